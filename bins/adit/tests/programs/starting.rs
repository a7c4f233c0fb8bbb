//! Programs that can't begin say why, with what to do, and end with the documented code.

use std::net::TcpListener;

use adit_link::SelfSigned;

use crate::kit::{Program, Site, Upstream, ask, service_of};

/// A server with the site's certificate, for which nothing vouches but that: the proof is not bound to TLS.
const ONLY_THE_CERTIFICATE: [&str; 8] = [
    "--tls",
    "files",
    "--tls-cert",
    "tls.crt",
    "--tls-key",
    "tls.key",
    "--channel-binding",
    "off",
];

/// The exit code and the log of a server that can't begin.
fn failing_server(site: &Site, args: &[&str]) -> (Option<i32>, String) {
    let mut server = site.starting_server(args);
    let code = server.ended().code();
    server.logged("error: ");
    (code, server.log())
}

#[test]
fn a_control_port_that_is_taken_is_named_with_another_one_to_take() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let (code, log) = failing_server(&Site::new(), &["--control-addr", &addr]);
    assert_eq!(code, Some(1));
    assert!(
        log.contains(&addr) && log.contains("as in --control-addr"),
        "{log}"
    );
}

/// The exit code and the log of a client that can't begin.
fn failing_client(site: &Site, url: &str, args: &[&str]) -> (Option<i32>, String) {
    let mut client = site.client_of(url, &[args, &["--upstream", "0=127.0.0.1:9"]].concat());
    let code = client.ended().code();
    client.logged("error: ");
    (code, client.log())
}

#[test]
fn a_token_that_is_missing_empty_or_short_is_explained() {
    let site = Site::new();
    site.file("short", "0123456789\n");
    site.file("empty", "\n");
    for (file, part) in [
        ("missing", "missing"),
        ("short", "16"),
        ("empty", "adit token new"),
    ] {
        let args = ["--token-file", file];
        for (code, log) in [
            failing_server(&site, &args),
            failing_client(&site, "wss://127.0.0.1:1", &args),
        ] {
            assert_eq!(code, Some(1), "{log}");
            assert!(log.contains(file) && log.contains(part), "{log}");
            assert!(!log.contains("0123456789"), "{log}");
        }
    }
}

#[test]
fn a_weak_token_works_with_a_warning_on_both_sides() {
    const WEAK: &str = "aaaaaaaaaaaaaaaaaaaa";
    let site = Site::new();
    site.file("weak", WEAK);
    let args = ["--token-file", "weak"];
    let server = site.server(&args);
    let client = site.client(
        &server,
        &[&args[..], &["--upstream", "0=127.0.0.1:9"]].concat(),
    );
    client.logged("connected to");
    for program in [&server, &client] {
        assert!(program.logged("token is weak").contains("adit token new"));
        assert!(!program.log().contains(WEAK));
    }
}

#[test]
fn a_url_that_is_none_is_told_with_its_flag_and_a_good_one() {
    let site = Site::new();
    for url in [
        "not a url",
        "ftp://example.com",
        "wss://",
        "wss://a:b:c",
        "wss://a.example.com:0",
    ] {
        let (code, log) = failing_client(&site, url, &[]);
        assert_eq!(code, Some(2), "{log}");
        assert!(
            log.contains("--url") && log.contains("wss://tunnel.example.com/connect"),
            "{log}"
        );
    }
}

#[test]
fn tls_files_that_cannot_be_used_are_named() {
    let site = Site::new();
    let made = SelfSigned::generate(["localhost".to_owned()]).unwrap();
    site.file("tls.crt", &made.certificate);
    site.file(
        "other.key",
        &SelfSigned::generate(["localhost".to_owned()]).unwrap().key,
    );
    for key in ["missing.key", "other.key", "tls.crt"] {
        let args = ["--tls", "files", "--tls-cert", "tls.crt", "--tls-key", key];
        let (code, log) = failing_server(&site, &args);
        assert_eq!(code, Some(1), "{log}");
        assert!(log.contains(key), "{log}");
    }
}

#[test]
fn usage_that_makes_no_sense_ends_with_2() {
    let site = Site::new();
    let (code, _) = failing_server(&site, &["--tls", "files"]);
    assert_eq!(code, Some(2));
    let (code, log) = failing_server(&site, &["--log-level", "adit=loud"]);
    assert_eq!(code, Some(2));
    assert!(log.contains("--log-level"), "{log}");
}

#[test]
fn the_self_signed_certificate_is_kept_between_runs() {
    let (site, upstream) = (Site::new(), Upstream::echo("reply"));
    drop(site.server(&[]));
    let kept = site.dir().join("state/self-signed.pem");
    let before = std::fs::read(&kept).unwrap();
    let server = site.server(&[]);
    assert_eq!(std::fs::read(&kept).unwrap(), before);
    // A client that was given it trusts it even without channel binding.
    let client = site.client(
        &server,
        &[
            "--ca-file",
            kept.to_str().unwrap(),
            "--upstream",
            &upstream.anywhere(),
        ],
    );
    assert_eq!(
        ask(service_of(&client, upstream.addr()), b"hello").unwrap(),
        b"reply:hello"
    );
}

/// Replaces a running server's certificate, key and token; `tell` may say so to it.
fn replaced(tell: impl Fn(&Program)) {
    let (site, upstream) = (Site::new(), Upstream::echo("reply"));
    let write = || {
        let made = SelfSigned::generate(["127.0.0.1".to_owned()]).unwrap();
        site.file("tls.key", &made.key);
        site.file("tls.crt", &made.certificate);
    };
    write();
    let server = site.server(&ONLY_THE_CERTIFICATE);
    let args = ["--ca-file", "tls.crt", "--upstream", &upstream.anywhere()];
    let before = site.client(&server, &args);
    let addr = service_of(&before, upstream.addr());
    write();
    site.file("token", "a-new-token-that-nobody-had-before-0123");
    tell(&server);
    server.logged("the certificate in");
    server.logged("the token in");
    let after = site.client(&server, &args);
    assert_eq!(
        ask(service_of(&after, upstream.addr()), b"hello").unwrap(),
        b"reply:hello"
    );
    // Who is connected stays so.
    assert_eq!(ask(addr, b"hello").unwrap(), b"reply:hello");
}

#[test]
fn changed_certificates_and_tokens_are_taken_at_once_on_sighup() {
    replaced(Program::hang_up);
}

#[test]
fn changed_certificates_and_tokens_are_noticed_without_a_signal() {
    replaced(|_| ());
}

#[test]
fn a_certificate_that_cannot_be_used_leaves_the_old_one_in_place() {
    let (site, upstream) = (Site::new(), Upstream::echo("reply"));
    let made = SelfSigned::generate(["127.0.0.1".to_owned()]).unwrap();
    site.file("tls.key", &made.key);
    for copy in ["tls.crt", "ca.pem"] {
        site.file(copy, &made.certificate);
    }
    let server = site.server(&ONLY_THE_CERTIFICATE);
    site.file("tls.crt", "half of a certifi");
    assert!(
        server
            .logged("the certificate in use stays")
            .contains("tls.crt")
    );
    let args = ["--ca-file", "ca.pem", "--upstream", &upstream.anywhere()];
    let client = site.client(&server, &args);
    assert_eq!(
        ask(service_of(&client, upstream.addr()), b"hello").unwrap(),
        b"reply:hello"
    );
}

#[test]
fn the_admin_address_answers_operators() {
    let (site, upstream) = (Site::new(), Upstream::echo("reply"));
    let admin = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let server = site.server(&["--admin-addr", &admin.to_string()]);
    let get = |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        String::from_utf8(ask(admin, request.as_bytes()).unwrap()).unwrap()
    };
    assert!(get("/healthz").starts_with("HTTP/1.1 200 "));
    assert!(get("/readyz").starts_with("HTTP/1.1 200 "));
    assert!(get("/metrics").contains("\nadit_sessions 0\n"));
    let client = site.client(&server, &["--upstream", &upstream.anywhere()]);
    ask(service_of(&client, upstream.addr()), b"hello").unwrap();
    let metrics = get("/metrics");
    assert!(
        metrics.contains("\nadit_sessions 1\n")
            && metrics.contains("\nadit_streams_opened_total 1\n")
    );
}
