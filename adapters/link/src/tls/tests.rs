//! Our records against rustls's: it made the handshake, and must understand all that comes after, and the other way round.

use std::{
    io::{Read, Write},
    sync::Arc,
};

use rustls::{
    ClientConfig, ClientConnection, Connection, Error, ServerConfig, ServerConnection,
    SupportedCipherSuite, crypto::CryptoProvider,
};

use super::*;

/// Either end of ours, and rustls at the other.
struct Pair {
    ours: Tls,
    output: Output,
    theirs: Connection,
}

fn provider_of(suite: SupportedCipherSuite) -> Arc<CryptoProvider> {
    let mut provider = CryptoProvider::clone(&provider::provider());
    provider.cipher_suites = vec![suite];
    Arc::new(provider)
}

impl Pair {
    fn new(our_client: bool, suite: SupportedCipherSuite) -> Self {
        let own = SelfSigned::generate(["localhost".to_owned()]).unwrap();
        let (certificate, key) = (own.certificate.as_bytes(), own.key.as_bytes());
        let provider = provider_of(suite);
        let (ours, theirs) = if our_client {
            let mut config = ServerConfig::builder_with_provider(provider)
                .with_protocol_versions(VERSIONS)
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(
                    pem::certificates("it", certificate).unwrap(),
                    pem::private_key("it", key).unwrap(),
                )
                .unwrap();
            config.send_tls13_tickets = 3;
            let theirs = ServerConnection::new(Arc::new(config)).unwrap();
            let setup = ClientTls::from_pem(Some(certificate), None).unwrap();
            (
                Tls::client(&setup, "localhost", false).unwrap(),
                theirs.into(),
            )
        } else {
            let mut roots = rustls::RootCertStore::empty();
            for certificate in pem::certificates("it", certificate).unwrap() {
                roots.add(certificate).unwrap();
            }
            let config = ClientConfig::builder_with_provider(provider)
                .with_protocol_versions(VERSIONS)
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth();
            let name = "localhost".try_into().unwrap();
            let theirs = ClientConnection::new(Arc::new(config), name).unwrap();
            let setup = ServerTls::from_pem(certificate, key).unwrap();
            (Tls::server(&setup).unwrap(), theirs.into())
        };
        let mut theirs: Connection = theirs;
        theirs.set_buffer_limit(None);
        let mut pair = Self {
            ours,
            output: Output::default(),
            theirs,
        };
        for _ in 0..4 {
            pair.they_hear().unwrap();
            assert_eq!(pair.we_hear().unwrap(), b"");
        }
        assert!(!pair.ours.is_handshaking() && !pair.theirs.is_handshaking());
        assert!(pair.ours.opens_in_place());
        pair
    }

    /// All that our side has to say, as wire bytes.
    fn wire(&mut self) -> Vec<u8> {
        self.ours.flush(&mut self.output);
        let mut slices = [std::io::IoSlice::new(&[]); 8];
        let filled = self.output.gather(&mut slices);
        let wire: Vec<u8> = slices[..filled]
            .iter()
            .flat_map(|slice| slice.to_vec())
            .collect();
        self.output.written(wire.len());
        assert!(self.output.is_empty());
        wire
    }

    /// What rustls makes of it.
    fn they_hear(&mut self) -> Result<Vec<u8>, Error> {
        let wire = self.wire();
        self.give(&wire)
    }

    fn give(&mut self, mut wire: &[u8]) -> Result<Vec<u8>, Error> {
        let mut plain = Vec::new();
        while !wire.is_empty() {
            self.theirs.read_tls(&mut wire).unwrap();
            self.theirs.process_new_packets()?;
            let _ = self.theirs.reader().read_to_end(&mut plain);
        }
        Ok(plain)
    }

    /// All that rustls has to say, as wire bytes.
    fn their_wire(&mut self) -> BytesMut {
        let mut wire = BytesMut::new();
        write_out(&mut self.theirs, &mut wire);
        wire
    }

    /// What our side makes of it, in pieces.
    fn we_hear(&mut self) -> Result<Vec<u8>, LinkError> {
        let wire = self.their_wire();
        let mut plain = Vec::new();
        for piece in wire.chunks(1_000) {
            let take = |record: BytesMut| plain.extend_from_slice(&record);
            self.ours.read(Phase::Open, piece.into(), take)?;
        }
        Ok(plain)
    }

    fn send(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(RECORD_MAX) {
            let written = self.ours.write(&mut self.output, part.len(), |out| {
                out.extend_from_slice(part)
            });
            written.unwrap();
        }
    }

    /// Both sides say something, and hear it.
    fn talk(&mut self, bytes: &[u8]) {
        self.send(bytes);
        assert_eq!(self.they_hear().unwrap(), bytes);
        self.theirs.writer().write_all(bytes).unwrap();
        assert_eq!(self.we_hear().unwrap(), bytes);
    }
}

fn suites() -> Vec<SupportedCipherSuite> {
    let suites = provider::provider().cipher_suites.clone();
    let suites: Vec<_> = suites
        .into_iter()
        .filter(|suite| suite.tls13().is_some())
        .collect();
    assert_eq!(suites.len(), 3);
    suites
}

fn noise(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * at % 251) as u8).collect()
}

/// A pair for each suite and each side.
fn pairs() -> impl Iterator<Item = Pair> {
    let suites = suites().into_iter();
    suites.flat_map(|suite| [true, false].map(|our_client| Pair::new(our_client, suite)))
}

#[test]
fn every_suite_of_tls_13_carries_bytes_both_ways_behind_the_tickets_of_a_server() {
    for mut pair in pairs() {
        for len in [1, 16_383, 16_384, 16_385, 100_000] {
            pair.talk(&noise(len));
        }
    }
}

#[test]
fn both_sides_export_the_same_value() {
    for pair in pairs() {
        let theirs =
            pair.theirs
                .export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(&[]));
        assert_eq!(pair.ours.exporter(), theirs.ok());
    }
}

#[test]
fn keys_are_updated_when_the_peer_asks_and_bytes_go_on() {
    for mut pair in pairs() {
        for round in 1..20 {
            // rustls asks for an update of our keys with its own.
            pair.theirs.refresh_traffic_keys().unwrap();
            pair.theirs
                .writer()
                .write_all(b"behind the update")
                .unwrap();
            assert_eq!(pair.we_hear().unwrap(), b"behind the update");
            pair.talk(&noise(round * 1_000));
        }
    }
}

#[test]
fn our_keys_are_updated_before_they_are_used_up() {
    for suite in suites() {
        let original = suite.tls13().unwrap();
        // As this suite is, but for its limit; a test may leak.
        let few: &'static _ = Box::leak(Box::new(rustls::Tls13CipherSuite {
            common: rustls::crypto::CipherSuiteCommon {
                suite: original.common.suite,
                hash_provider: original.common.hash_provider,
                confidentiality_limit: 5,
            },
            hkdf_provider: original.hkdf_provider,
            aead_alg: original.aead_alg,
            quic: None,
        }));
        let mut pair = Pair::new(true, suite);
        let Stage::Records(records) = &mut pair.ours.stage else {
            panic!("the handshake is done");
        };
        records.limit_keys(few);
        for word in 0..50 {
            pair.talk(&noise(word + 1));
        }
    }
}

#[test]
fn a_record_that_was_changed_ends_it_and_the_peer_is_told() {
    for mut pair in pairs() {
        pair.theirs.writer().write_all(b"a word").unwrap();
        let mut wire = pair.their_wire();
        let last = wire.len() - 1;
        wire[last] ^= 1;
        let error = pair
            .ours
            .read(Phase::Open, wire, |_| panic!("it is not genuine"));
        assert!(error.unwrap_err().to_string().contains("decrypt"));
        let told = pair.they_hear().unwrap_err();
        assert_eq!(told, Error::AlertReceived(AlertDescription::BadRecordMac));
        let sealed = pair
            .ours
            .write(&mut pair.output, 4, |out| out.extend_from_slice(b"more"));
        assert!(sealed.is_err());
        assert!(pair.output.is_empty());
    }
}

#[test]
fn a_record_that_comes_again_ends_it() {
    for mut pair in pairs() {
        pair.theirs.writer().write_all(b"a word").unwrap();
        let wire = pair.their_wire();
        pair.ours.read(Phase::Open, wire.clone(), |_| ()).unwrap();
        let again = pair
            .ours
            .read(Phase::Open, wire, |_| panic!("it came before"));
        assert!(again.is_err());
    }
}

#[test]
fn good_byes_are_heard_on_both_sides() {
    for mut pair in pairs() {
        pair.send(b"last words");
        pair.ours.close();
        let wire = pair.wire();
        assert_eq!(pair.give(&wire).unwrap(), b"last words");
        assert!(pair.theirs.process_new_packets().unwrap().peer_has_closed());

        pair.theirs.writer().write_all(b"so long").unwrap();
        pair.theirs.send_close_notify();
        assert_eq!(pair.we_hear().unwrap(), b"so long");
        assert!(pair.ours.is_closed());
    }
}

#[test]
fn who_only_keeps_us_busy_is_told_to_stop() {
    for mut pair in pairs() {
        pair.talk(b"something, so that nothing counts of what came before");
        for _ in 0..32 {
            pair.theirs.refresh_traffic_keys().unwrap();
            assert_eq!(pair.we_hear().unwrap(), b"");
            let _ = pair.wire();
        }
        pair.theirs.refresh_traffic_keys().unwrap();
        let error = pair.we_hear().unwrap_err().to_string();
        assert!(error.contains("too many records without data"), "{error}");
    }
}

#[test]
fn what_is_not_sealed_is_not_taken() {
    for mut pair in pairs() {
        let alert = BytesMut::from(&[21, 3, 3, 0, 2, 1, 0][..]);
        let error = pair
            .ours
            .read(Phase::Open, alert, |_| ())
            .unwrap_err()
            .to_string();
        assert!(error.contains("does not belong here"), "{error}");
        assert!(!pair.ours.is_closed());
    }
}

#[test]
fn nothing_shows_a_secret() {
    for pair in pairs() {
        let shown = format!("{:?} {:?}", pair.ours, Secrets::default());
        assert!(shown.len() < 80, "{shown}");
    }
}
