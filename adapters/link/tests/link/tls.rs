//! TLS itself, against ends that are set up by hand.

use std::sync::Arc;

use adit_core::Instant;
use adit_link::{Carrier, ClientSetup, ClientTls, LinkError, Phase, SelfSigned};
use bytes::BytesMut;
#[cfg(feature = "aws-lc-rs")]
use rustls::crypto::aws_lc_rs as crypto;
#[cfg(not(feature = "aws-lc-rs"))]
use rustls::crypto::ring as crypto;
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig,
    ServerConnection, SupportedProtocolVersion,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier},
    sign::CertifiedKey,
};

use crate::kit::{
    CERTIFICATE, End, HOST, Layers, Pair, client, client_setup, doubting, drain_output, server,
    trusting,
};

const BARE: Layers = Layers {
    tls: true,
    upgrade: false,
};

fn certificate() -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(CERTIFICATE.certificate.as_bytes()).unwrap()
}

fn key(pem: &str) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap()
}

/// Moves bytes between our end and rustls's until nothing moves; gives rustls's error.
fn converse(end: &mut End, other: &mut Connection) -> Option<rustls::Error> {
    loop {
        let ours = drain_output(&mut end.carrier);
        let mut theirs = Vec::new();
        while other.wants_write() {
            other.write_tls(&mut theirs).unwrap();
        }
        if ours.is_empty() && theirs.is_empty() {
            return None;
        }
        let mut left = &ours[..];
        while !left.is_empty() {
            other.read_tls(&mut left).unwrap();
            if let Err(error) = other.process_new_packets() {
                return Some(error);
            }
        }
        end.input(BytesMut::from(&theirs[..]));
    }
}

fn rustls_client(version: &'static SupportedProtocolVersion, alpn: &[&[u8]]) -> Connection {
    let mut roots = RootCertStore::empty();
    roots.add(certificate()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(crypto::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let name = ServerName::try_from(HOST).unwrap();
    ClientConnection::new(Arc::new(config), name)
        .unwrap()
        .into()
}

#[test]
fn tls_1_2_is_taken_and_has_no_exporter() {
    let mut end = End::new(server(BARE));
    let mut other = rustls_client(&rustls::version::TLS12, &[]);
    assert_eq!(converse(&mut end, &mut other), None);
    assert!(end.ready().facts.tls);
    assert_eq!(end.ready().facts.exporter, None);
}

#[test]
fn tls_1_3_has_the_exporter_of_rfc_9266() {
    let mut end = End::new(server(BARE));
    let mut other = rustls_client(&rustls::version::TLS13, &[]);
    assert_eq!(converse(&mut end, &mut other), None);
    let theirs = other
        .export_keying_material([0; 32], b"EXPORTER-Channel-Binding", None)
        .unwrap();
    assert_eq!(end.ready().facts.exporter, Some(theirs));
}

#[test]
fn http_1_1_is_the_only_protocol_that_a_server_selects() {
    for (offered, selected) in [
        (&[&b"h2"[..], b"http/1.1"][..], Some(Some(&b"http/1.1"[..]))),
        (&[][..], Some(None)),
        (&[&b"h2"[..]][..], None),
    ] {
        let mut end = End::new(server(BARE));
        let mut other = rustls_client(&rustls::version::TLS13, offered);
        let error = converse(&mut end, &mut other);
        match selected {
            Some(selected) => assert_eq!(other.alpn_protocol(), selected),
            None => {
                assert!(matches!(
                    end.error,
                    Some(LinkError::Tls {
                        phase: Phase::Tls,
                        ..
                    })
                ));
                let alert = AlertDescription::NoApplicationProtocol;
                assert_eq!(error, Some(rustls::Error::AlertReceived(alert)));
            }
        }
    }
}

/// Shows the real server's certificate, but signs with another key.
#[derive(Debug)]
struct Stolen(Arc<CertifiedKey>);

impl ResolvesServerCert for Stolen {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

fn rustls_server(versions: &[&'static SupportedProtocolVersion], key_pem: &str) -> Connection {
    let signer = crypto::sign::any_supported_type(&key(key_pem)).unwrap();
    let certified = CertifiedKey::new(vec![certificate()], signer);
    let mut config = ServerConfig::builder_with_provider(Arc::new(crypto::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Stolen(Arc::new(certified))));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    ServerConnection::new(Arc::new(config)).unwrap().into()
}

//= spec/02-carriers.md
//# A client that goes on although it can't check the certificate MUST still check the handshake's signature.
#[test]
fn a_certificate_without_its_key_ends_the_handshake_whether_it_is_trusted_or_not() {
    let other_key = rcgen::KeyPair::generate().unwrap().serialize_pem();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for tls in [trusting(), doubting()] {
            for (key_pem, good) in [(&CERTIFICATE.key, true), (&other_key, false)] {
                let setup = ClientSetup {
                    tls: Some(tls.clone()),
                    ..client_setup(BARE)
                };
                let client = Carrier::client(setup, [1; 32], Instant::ORIGIN).unwrap();
                let mut end = End::new(client);
                converse(&mut end, &mut rustls_server(&[version], key_pem));
                let refused = matches!(
                    end.error,
                    Some(LinkError::Tls {
                        phase: Phase::Tls,
                        ..
                    })
                );
                assert_eq!(refused, !good, "{:?}", end.error);
            }
        }
    }
}

/// A server that asks for a client certificate signed by `ca`, and may insist on it.
fn asking_server(
    version: &'static SupportedProtocolVersion,
    ca: &SelfSigned,
    insists: bool,
) -> Connection {
    let provider = Arc::new(crypto::default_provider());
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(ca.certificate.as_bytes()).unwrap();
    roots.add(ca).unwrap();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let verifier = if insists {
        verifier
    } else {
        verifier.allow_unauthenticated()
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(vec![certificate()], key(&CERTIFICATE.key))
        .unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    ServerConnection::new(Arc::new(config)).unwrap().into()
}

/// A client that may have a certificate of its own.
fn client_of(identity: Option<&SelfSigned>) -> End {
    let identity = identity.map(|own| (own.certificate.as_bytes(), own.key.as_bytes()));
    let tls = ClientTls::from_pem(Some(CERTIFICATE.certificate.as_bytes()), identity).unwrap();
    let setup = ClientSetup {
        tls: Some(tls),
        ..client_setup(Layers {
            tls: true,
            upgrade: true,
        })
    };
    End::new(Carrier::client(setup, [1; 32], Instant::ORIGIN).unwrap())
}

#[test]
fn a_client_without_the_certificate_that_a_server_insists_on_is_told_the_flags() {
    let [own, stranger] = [(), ()].map(|()| SelfSigned::generate(["client".to_owned()]).unwrap());
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for (identity, flag) in [
            (None, Some("--client-cert and --client-key")),
            (Some(&stranger), Some("in --client-cert")),
            (Some(&own), None),
        ] {
            let mut end = client_of(identity);
            let mut server = asking_server(version, &own, true);
            let refused = converse(&mut end, &mut server).is_some();
            let mut alert = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut alert).unwrap();
            }
            end.input(BytesMut::from(&alert[..]));
            assert_eq!(refused, flag.is_some());
            match flag {
                None => assert_eq!(end.error, None),
                Some(flag) => {
                    let text = end.error.unwrap().to_string();
                    assert!(text.contains(flag) && text.contains("TLS alert"), "{text}");
                }
            }
        }
    }
}

#[test]
fn a_server_that_says_so_only_by_http_is_understood_too() {
    let own = SelfSigned::generate(["client".to_owned()]).unwrap();
    for (identity, flag) in [
        (None, "--client-cert and --client-key"),
        (Some(&own), "in --client-cert"),
    ] {
        let mut end = client_of(identity);
        let mut server = asking_server(&rustls::version::TLS13, &own, false);
        assert_eq!(converse(&mut end, &mut server), None);
        let mut answer = server.writer();
        std::io::Write::write_all(&mut answer, b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        converse(&mut end, &mut server);
        let text = end.error.unwrap().to_string();
        assert!(text.contains(flag) && text.contains("status 400"), "{text}");
    }
}

//= spec/02-carriers.md
//# A client that speaks HTTP over TLS MUST offer `http/1.1` and no other protocol by ALPN
#[test]
fn a_client_offers_http_1_1_only_where_http_follows() {
    let versions = [&rustls::version::TLS13];
    for (layers, selected) in [
        (BARE, None),
        (
            Layers {
                tls: true,
                upgrade: true,
            },
            Some(&b"http/1.1"[..]),
        ),
    ] {
        let mut end = End::new(client(layers));
        let mut other = rustls_server(&versions, &CERTIFICATE.key);
        assert_eq!(converse(&mut end, &mut other), None);
        assert_eq!(other.alpn_protocol(), selected);
    }
}

#[test]
fn a_server_gives_out_no_tickets() {
    let mut pair = Pair::new(client(BARE), server(BARE));
    pair.server.input(drain_output(&mut pair.client.carrier));
    pair.client.input(drain_output(&mut pair.server.carrier));
    pair.server.input(drain_output(&mut pair.client.carrier));
    pair.server.ready();
    assert!(
        !pair.server.carrier.has_output(),
        "nothing follows the handshake"
    );
}
