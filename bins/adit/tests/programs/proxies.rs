//! Clients behind an HTTP proxy.

use crate::kit::{ConnectProxy, Site, Upstream, ask, port_of, service_of};

/// `user:pass word` in base64.
const LOGIN: &str = "dXNlcjpwYXNzIHdvcmQ=";

#[test]
fn a_session_goes_through_a_proxy_that_wants_a_password() {
    let (site, upstream) = (Site::new(), Upstream::echo("reply"));
    let server = site.server(&[]);
    let proxy = ConnectProxy::start(LOGIN);
    let through = format!("http://user:pass%20word@127.0.0.1:{}", proxy.port());
    let client = site.client(
        &server,
        &["--proxy", &through, "--upstream", &upstream.anywhere()],
    );
    let addr = service_of(&client, upstream.addr());
    assert_eq!(ask(addr, b"hello").unwrap(), b"reply:hello");
    assert_eq!(proxy.targets(), [format!("127.0.0.1:{}", port_of(&server))]);
    assert!(!client.log().contains("pass"), "the password is in the log");
}

#[test]
fn a_proxy_that_does_not_take_the_password_is_told_apart_from_one_that_got_none() {
    let site = Site::new();
    let server = site.server(&[]);
    let proxy = ConnectProxy::start(LOGIN);
    let at = |login: &str| format!("http://{login}127.0.0.1:{}", proxy.port());
    let client =
        |proxy: &str| site.client(&server, &["--proxy", proxy, "--upstream", "0=127.0.0.1:9"]);
    client(&at("")).logged("it wants a user name and a password (407)");
    client(&at("user:wrong@")).logged("does not accept the user name and password given (407)");
    assert!(proxy.targets().is_empty());
}
