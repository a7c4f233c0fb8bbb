//! Nobody who ends TLS in between gets a session, whatever he does to the frames.

use base64::prelude::{BASE64_STANDARD, Engine};
use sha2::{Digest, Sha256};

use crate::kit::{Mitm, Site, TOKEN, Tamper, Upstream, ask, port_of, service_of};

/// What the client logs when such a man stands between it and a server that ends TLS itself.
fn refused(tamper: Tamper, client_says: &str, server_says: Option<&str>) {
    let site = Site::new();
    let server = site.server(&[]);
    let mitm = Mitm::start(port_of(&server), true, tamper);
    let url = format!("wss://127.0.0.1:{}", mitm.port());
    let client = site.client_of(&url, &["--upstream", "0=127.0.0.1:9"]);
    client.logged(client_says);
    if let Some(server_says) = server_says {
        server.logged(server_says);
    }
    assert!(!client.log().contains("connected to"));
    assert!(!server.log().contains("connected, session"));
}

#[test]
fn one_who_only_passes_frames_on_is_found_by_the_binding() {
    refused(
        Tamper::No,
        "something between client and server ends TLS",
        Some("something between it and this server ends TLS"),
    );
}

#[test]
fn one_who_claims_that_tls_ends_elsewhere_gets_no_proof_at_all() {
    refused(Tamper::TlsEndsElsewhere, "--ca-file", None);
}

#[test]
fn one_who_strips_the_binding_breaks_the_proof() {
    refused(
        Tamper::StripBinding,
        "the token is wrong",
        Some("its token is wrong"),
    );
}

#[test]
fn one_who_puts_his_own_binding_in_breaks_the_proof() {
    refused(
        Tamper::OwnBinding,
        "the token is wrong",
        Some("its token is wrong"),
    );
}

#[test]
fn a_client_that_trusts_the_middle_is_still_refused_by_a_server_that_ends_tls_itself() {
    let site = Site::new();
    let server = site.server(&[]);
    let mitm = Mitm::start(port_of(&server), true, Tamper::TlsEndsElsewhere);
    let ca = site.file("ca.pem", mitm.certificate());
    let url = format!("wss://127.0.0.1:{}", mitm.port());
    let ca = ca.to_str().unwrap();
    let client = site.client_of(&url, &["--ca-file", ca, "--upstream", "0=127.0.0.1:9"]);
    client.logged("no session with");
    assert!(!server.log().contains("connected, session"));
}

#[test]
fn behind_an_ingress_a_certificate_that_cannot_be_checked_names_the_flag_to_set() {
    let site = Site::new();
    let server = site.server(&["--tls", "off"]);
    let ingress = Mitm::start(port_of(&server), false, Tamper::No);
    let upstream = Upstream::echo("reply");
    let url = format!("wss://127.0.0.1:{}", ingress.port());
    let without = site.client_of(&url, &["--upstream", &upstream.anywhere()]);
    without.logged("--ca-file");
    assert!(!without.log().contains("connected to"));

    let ca = site.file("ca.pem", ingress.certificate());
    let ca = ca.to_str().unwrap();
    let with = site.client_of(&url, &["--ca-file", ca, "--upstream", &upstream.anywhere()]);
    let addr = service_of(&with, upstream.addr());
    assert_eq!(ask(addr, b"hello").unwrap(), b"reply:hello");
}

#[test]
fn an_ingress_never_sees_the_token_nor_a_form_of_it() {
    let site = Site::new();
    let server = site.server(&["--tls", "off"]);
    let ingress = Mitm::start(port_of(&server), false, Tamper::No);
    let ca = site.file("ca.pem", ingress.certificate());
    let upstream = Upstream::echo("reply");
    let url = format!("wss://127.0.0.1:{}", ingress.port());
    let ca = ca.to_str().unwrap();
    let client = site.client_of(&url, &["--ca-file", ca, "--upstream", &upstream.anywhere()]);
    ask(service_of(&client, upstream.addr()), b"hello").unwrap();

    let seen = ingress.read();
    let holds = |needle: &[u8]| seen.windows(needle.len()).any(|window| window == needle);
    assert!(holds(b"hello"), "the test sees nothing");
    for (name, form) in forms(TOKEN) {
        assert!(!holds(&form), "{name} of the token was sent");
    }
}

/// The token and what it might be disguised as.
pub(crate) fn forms(token: &str) -> Vec<(&'static str, Vec<u8>)> {
    let hex = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    let hash = Sha256::digest(token);
    vec![
        ("the text", token.into()),
        ("the hex form", hex(token.as_bytes()).into()),
        (
            "the base64 form",
            BASE64_STANDARD.encode(token).trim_end_matches('=').into(),
        ),
        ("the hash", hash.to_vec()),
        ("the hash in hex", hex(&hash).into()),
        (
            "the hash in base64",
            BASE64_STANDARD.encode(hash).trim_end_matches('=').into(),
        ),
    ]
}
