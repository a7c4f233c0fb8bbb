//! Whom a client believes, and the value that binds a proof to a TLS connection.

use adit_core::Instant;
use adit_link::{
    Carrier, ClientSetup, ClientTls, LinkError, SelfSigned, ServerSetup, ServerTls, SetupError,
};

use crate::kit::{
    CERTIFICATE, HOST, Layers, Pair, client_setup, doubting, serve, server, server_setup,
    server_tls, trusting, upgrade,
};

const BOTH: Layers = Layers {
    tls: true,
    upgrade: true,
};

fn client_with(tls: ClientTls, name: &str) -> Carrier {
    let setup = ClientSetup {
        tls: Some(tls),
        server_name: name.to_owned(),
        ..client_setup(BOTH)
    };
    Carrier::client(setup, [1; 32], Instant::ORIGIN).unwrap()
}

#[test]
fn a_certificate_that_the_given_ca_signed_for_this_name_is_checked() {
    let pair = Pair::settled(client_with(trusting(), HOST), server(BOTH));
    let ready = pair.client.ready();
    assert!(ready.facts.tls && ready.facts.certificate_checked);
    assert_eq!(ready.certificate_problem, None);
}

#[test]
fn a_certificate_that_cannot_be_checked_is_told_and_does_not_end_the_handshake() {
    let installed = || ClientTls::from_pem(None, None).unwrap();
    for (tls, name, words) in [
        (doubting(), HOST, "by another key"),
        (installed(), HOST, "signed by no known CA"),
        (trusting(), "wrong.example.com", "for another name"),
    ] {
        let roots = tls.roots().to_string();
        let pair = Pair::settled(client_with(tls, name), server(BOTH));
        let ready = pair.client.ready();
        assert!(ready.facts.tls && !ready.facts.certificate_checked);
        let problem = ready.certificate_problem.as_deref().unwrap();
        assert!(
            problem.contains(words) && problem.contains(&roots),
            "{problem}"
        );
    }
}

#[test]
fn a_certificate_for_an_ip_address_is_checked_too() {
    let own = SelfSigned::generate(["192.0.2.7".to_owned(), "::1".to_owned()]).unwrap();
    for (name, good) in [
        ("192.0.2.7", true),
        ("::1", true),
        ("[::1]", true),
        ("192.0.2.8", false),
    ] {
        let tls = ClientTls::from_pem(Some(own.certificate.as_bytes()), None).unwrap();
        let server_tls =
            ServerTls::from_pem(own.certificate.as_bytes(), own.key.as_bytes()).unwrap();
        let server = serve(ServerSetup {
            tls: Some(server_tls),
            ..server_setup(BOTH)
        });
        let pair = Pair::settled(client_with(tls, name), server);
        assert_eq!(
            pair.client.ready().facts.certificate_checked,
            good,
            "{name}"
        );
    }
}

//= spec/02-carriers.md
//# It MUST NOT send HTTP headers of its user's to a server whose certificate it could
//# not check, for they may be passwords.
#[test]
fn the_users_headers_do_not_go_to_a_server_whose_certificate_cannot_be_checked() {
    let mut setup = client_setup(BOTH);
    let secret = ("Authorization".to_owned(), "Basic c2VjcmV0".to_owned());
    setup.upgrade.as_mut().unwrap().headers.push(secret);
    let client = |tls| {
        let setup = ClientSetup {
            tls: Some(tls),
            ..setup.clone()
        };
        Carrier::client(setup, [1; 32], Instant::ORIGIN).unwrap()
    };
    let pair = Pair::settled(client(doubting()), server(BOTH));
    assert!(matches!(
        pair.client.error,
        Some(LinkError::HeadersUnchecked { .. })
    ));
    assert!(
        pair.server
            .events
            .iter()
            .all(|event| !format!("{event:?}").starts_with("Ready"))
    );

    Pair::settled(client(trusting()), server(BOTH))
        .server
        .ready();
    assert!(!format!("{setup:?}").contains("c2VjcmV0"));
}

#[test]
fn both_ends_of_a_connection_have_the_same_exporter_and_two_connections_have_not() {
    let exporters = || {
        let pair = Pair::settled(client_with(doubting(), HOST), server(BOTH));
        (
            pair.client.ready().facts.exporter.unwrap(),
            pair.server.ready().facts.exporter.unwrap(),
        )
    };
    let (first, second) = (exporters(), exporters());
    assert_eq!(first.0, first.1);
    assert_ne!(first.0, second.0);
}

#[test]
fn a_man_in_the_middle_has_another_exporter_on_each_side() {
    // The same certificate and key in the middle: even a stolen key does not help him.
    let outer = Pair::settled(client_with(trusting(), HOST), serve(server_setup(BOTH)));
    let inner = Pair::settled(client_with(trusting(), HOST), serve(server_setup(BOTH)));
    let client_sees = outer.client.ready().facts.exporter;
    let server_sees = inner.server.ready().facts.exporter;
    assert!(client_sees.is_some() && server_sees.is_some());
    assert_ne!(client_sees, server_sees);
}

#[test]
fn without_tls_there_is_nothing_to_bind_to() {
    let pair = Pair::with(Layers {
        tls: false,
        upgrade: false,
    });
    assert_eq!(pair.client.ready().facts.exporter, None);
    assert!(!pair.client.ready().facts.tls);
}

#[test]
fn a_replaced_certificate_serves_new_carriers_on_every_clone() {
    let tls = server_tls();
    let setup = ServerSetup {
        tls: Some(tls.clone()),
        ..server_setup(BOTH)
    };
    let checked = || {
        let pair = Pair::settled(client_with(trusting(), HOST), serve(setup.clone()));
        pair.client.ready().facts.certificate_checked
    };
    assert!(checked());
    let other = SelfSigned::generate([HOST.to_owned()]).unwrap();
    tls.replace(&ServerTls::from_pem(other.certificate.as_bytes(), other.key.as_bytes()).unwrap());
    assert!(!checked());
}

#[test]
fn broken_pem_is_told_by_what_is_wrong_with_it() {
    let (certificate, key) = (&CERTIFICATE.certificate[..], &CERTIFICATE.key[..]);
    let other = SelfSigned::generate([HOST.to_owned()]).unwrap();
    let unended = &certificate[..certificate.len() - 30];
    for (certificate, key, words) in [
        ("", key, "no certificate found"),
        (key, key, "no certificate found"),
        (certificate, "", "no private key found"),
        (certificate, certificate, "no private key found"),
        (unended, key, "a block does not end"),
        (certificate, &other.key, "can't be used together"),
    ] {
        let error = ServerTls::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap_err();
        assert!(error.to_string().contains(words), "{words}: {error}");
        assert!(
            !error
                .to_string()
                .contains(key.get(30..60).unwrap_or("nothing"))
        );
    }
    assert_eq!(
        ClientTls::from_pem(Some(b""), None).unwrap_err(),
        SetupError::NoCertificate {
            what: "the CA file"
        },
    );
}

#[test]
fn a_client_certificate_and_its_key_are_taken_and_must_fit() {
    let own = SelfSigned::generate(["client".to_owned()]).unwrap();
    let ca = Some(CERTIFICATE.certificate.as_bytes());
    let with =
        |key: &str| ClientTls::from_pem(ca, Some((own.certificate.as_bytes(), key.as_bytes())));
    let pair = Pair::settled(client_with(with(&own.key).unwrap(), HOST), server(BOTH));
    pair.client.ready();
    assert!(matches!(
        with(&CERTIFICATE.key),
        Err(SetupError::BadKey { .. })
    ));
}

#[test]
fn keys_are_in_no_debug_text() {
    let own = SelfSigned::generate([HOST.to_owned()]).unwrap();
    assert!(!format!("{own:?}").contains("PRIVATE KEY"));
    assert!(format!("{:?}{:?}", server_tls(), trusting()).len() < 200);
    let name = ClientSetup {
        server_name: "not a name".to_owned(),
        ..client_setup(BOTH)
    };
    let error = Carrier::client(name, [1; 32], Instant::ORIGIN).unwrap_err();
    assert!(
        matches!(error, LinkError::Setup(SetupError::BadServerName { .. })),
        "{error}"
    );
    assert_eq!(upgrade().headers.len(), 0);
}
