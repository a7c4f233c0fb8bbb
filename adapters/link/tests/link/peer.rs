//! A carrier and a peer that can say whatever it likes once rustls has made the handshake for it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use bytes::BytesMut;
#[cfg(feature = "aws-lc-rs")]
use rustls::crypto::aws_lc_rs as crypto;
#[cfg(not(feature = "aws-lc-rs"))]
use rustls::crypto::ring as crypto;
use rustls::{
    CipherSuite, ClientConfig, ClientConnection, Connection, KeyLog, RootCertStore, ServerConfig,
    ServerConnection,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    version::TLS13,
};

use crate::{
    by_hand::{HANDSHAKE, Half, KEY_UPDATE},
    kit::{CERTIFICATE, End, HOST, Layers, client, drain_output, server},
};

const BARE: Layers = Layers {
    tls: true,
    upgrade: false,
};

#[derive(Debug, Default)]
struct Log(Mutex<HashMap<String, Vec<u8>>>);

impl KeyLog for Log {
    fn log(&self, label: &str, _: &[u8], secret: &[u8]) {
        let mut log = self.0.lock().unwrap();
        log.insert(label.to_owned(), secret.to_vec());
    }
}

/// A carrier, and a peer of which rustls makes the handshake.
pub(crate) struct Meeting {
    pub(crate) end: End,
    pub(crate) theirs: Connection,
    suite: CipherSuite,
    log: Arc<Log>,
}

impl Meeting {
    pub(crate) fn new(our_client: bool, suite: CipherSuite) -> Self {
        let mut provider: CryptoProvider = crypto::default_provider();
        provider.cipher_suites.retain(|it| it.suite() == suite);
        let (provider, log) = (Arc::new(provider), Arc::<Log>::default());
        let certificate =
            CertificateDer::from_pem_slice(CERTIFICATE.certificate.as_bytes()).unwrap();
        let (carrier, theirs) = if our_client {
            let key = PrivateKeyDer::from_pem_slice(CERTIFICATE.key.as_bytes()).unwrap();
            let mut config = ServerConfig::builder_with_provider(provider)
                .with_protocol_versions(&[&TLS13])
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![certificate], key)
                .unwrap();
            config.send_tls13_tickets = 0;
            config.key_log = log.clone();
            let theirs = ServerConnection::new(Arc::new(config)).unwrap();
            (client(BARE), Connection::from(theirs))
        } else {
            let mut roots = RootCertStore::empty();
            roots.add(certificate).unwrap();
            let mut config = ClientConfig::builder_with_provider(provider)
                .with_protocol_versions(&[&TLS13])
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth();
            config.key_log = log.clone();
            let name = ServerName::try_from(HOST).unwrap();
            let theirs = ClientConnection::new(Arc::new(config), name).unwrap();
            (server(BARE), theirs.into())
        };
        Self {
            end: End::new(carrier),
            theirs,
            suite,
            log,
        }
    }

    /// Goes on until the peer has nothing more to say in its handshake, and gives its last words, after which the carrier is ready.
    pub(crate) fn until_ready(&mut self) -> Vec<u8> {
        loop {
            let ours = drain_output(&mut self.end.carrier);
            let mut left = &ours[..];
            while !left.is_empty() {
                self.theirs.read_tls(&mut left).unwrap();
                self.theirs.process_new_packets().unwrap();
            }
            let mut words = Vec::new();
            while self.theirs.wants_write() {
                self.theirs.write_tls(&mut words).unwrap();
            }
            if self.log.0.lock().unwrap().len() >= 5 {
                return words;
            }
            self.end.input(BytesMut::from(&words[..]));
        }
    }

    pub(crate) fn half(&self, of_client: bool) -> Half {
        let label = if of_client {
            "CLIENT_TRAFFIC_SECRET_0"
        } else {
            "SERVER_TRAFFIC_SECRET_0"
        };
        let secret = self.log.0.lock().unwrap()[label].clone();
        Half::new(self.suite, secret)
    }
}

/// A carrier whose handshake is done, and the keys of the peer.
pub(crate) struct Peer {
    pub(crate) end: End,
    pub(crate) send: Half,
    receive: Half,
    pub(crate) our_client: bool,
}

impl Peer {
    pub(crate) fn new(our_client: bool, suite: CipherSuite) -> Self {
        let mut meeting = Meeting::new(our_client, suite);
        let words = meeting.until_ready();
        meeting.end.input(BytesMut::from(&words[..]));
        let _finished = drain_output(&mut meeting.end.carrier);
        assert!(meeting.end.ready().facts.exporter.is_some());
        meeting.end.events.clear();
        let (send, receive) = (meeting.half(!our_client), meeting.half(our_client));
        Self {
            end: meeting.end,
            send,
            receive,
            our_client,
        }
    }

    pub(crate) fn give(&mut self, wire: &[u8]) {
        self.end.input(BytesMut::from(wire));
    }

    pub(crate) fn seal_and_give(&mut self, kind: u8, content: &[u8]) {
        let wire = self.send.seal(kind, content);
        self.give(&wire);
        if kind == HANDSHAKE && content[0] == KEY_UPDATE[0] {
            self.send.update();
        }
    }

    /// What the carrier has to say.
    pub(crate) fn hear(&mut self) -> Vec<(u8, Vec<u8>)> {
        self.receive.open_all(&drain_output(&mut self.end.carrier))
    }
}

fn suites() -> Vec<CipherSuite> {
    let suites = crypto::default_provider().cipher_suites;
    let suites = suites.iter().filter(|suite| suite.tls13().is_some());
    suites.map(|suite| suite.suite()).collect()
}

/// A peer for each suite and each side.
pub(crate) fn peers() -> impl Iterator<Item = Peer> {
    let suites = suites().into_iter();
    suites.flat_map(|suite| [true, false].map(|our_client| Peer::new(our_client, suite)))
}
