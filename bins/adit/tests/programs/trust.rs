//! Which CAs a client trusts without `--ca-file`, seen where only the certificate vouches for the server.

use adit_link::SelfSigned;

use crate::kit::{Program, Site, Upstream, ask, port_of, service_of};

/// A server whose certificate is in the site's file `roots/ca.pem`, and that does not bind the proof to TLS.
fn server(site: &Site) -> Program {
    let made = SelfSigned::generate(["127.0.0.1".to_owned()]).unwrap();
    std::fs::create_dir(site.dir().join("roots")).unwrap();
    site.file("roots/ca.pem", &made.certificate);
    site.file("tls.key", &made.key);
    let tls = ["--tls", "files", "--tls-cert", "roots/ca.pem"];
    let rest = ["--tls-key", "tls.key", "--channel-binding", "off"];
    site.server(&[tls, rest].concat())
}

#[test]
fn a_private_ca_is_trusted_by_ssl_cert_file_and_ssl_cert_dir_and_not_without() {
    let (site, upstream) = (Site::new(), Upstream::echo("reply"));
    let server = server(&site);
    let url = format!("wss://127.0.0.1:{}", port_of(&server));
    let offer = upstream.anywhere();
    let client =
        |variables: &[(&str, &str)]| site.client_in(&url, &["--upstream", &offer], variables);
    for variable in [("SSL_CERT_FILE", "roots/ca.pem"), ("SSL_CERT_DIR", "roots")] {
        let trusting = client(&[variable]);
        let addr = service_of(&trusting, upstream.addr());
        assert_eq!(ask(addr, b"hello").unwrap(), b"reply:hello");
        assert!(!trusting.log().contains("built into"));
    }
    let other = client(&[]);
    other.logged("--ca-file");
    other.logged_times("no session with", 2);
    assert!(!other.log().contains("connected to"));
}

#[test]
fn where_the_system_has_no_cas_the_built_in_ones_are_used_and_the_log_says_so() {
    let site = Site::new();
    let server = server(&site);
    site.file("empty.pem", "");
    std::fs::create_dir(site.dir().join("empty")).unwrap();
    let url = format!("wss://127.0.0.1:{}", port_of(&server));
    for (variable, nothing) in [
        ("SSL_CERT_FILE", "empty.pem"),
        ("SSL_CERT_FILE", "missing.pem"),
        ("SSL_CERT_DIR", "empty"),
    ] {
        let args = ["--upstream", "0=127.0.0.1:9"];
        let client = site.client_in(&url, &args, &[(variable, nothing)]);
        let line = client.logged("those built into adit-client are used");
        assert!(line.contains(variable), "{line}");
        client.logged("checked against the built-in CAs");
    }
    // They are no substitute for a CA that was given.
    let with = ["--ca-file", "roots/ca.pem", "--upstream", "0=127.0.0.1:9"];
    let client = site.client_in(&url, &with, &[("SSL_CERT_FILE", "empty.pem")]);
    client.logged("connected to");
    assert!(!client.log().contains("built into"));
}
