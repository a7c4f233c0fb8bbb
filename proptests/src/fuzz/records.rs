//! Records of TLS 1.3 from a peer with the right keys, against a model of what RFC 8446 lets in: an input is a list of records. Its first byte says which side the
//! carrier is and how the wire is cut.

use std::collections::HashMap;
use std::io::IoSlice;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use adit_core::Instant;
use adit_link::{
    Carrier, CarrierEvent, ClientSetup, ClientTls, SelfSigned, ServerSetup, ServerTls,
};
use bytes::BytesMut;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::TLS13;
use rustls::{
    CipherSuite, ClientConfig, ClientConnection, Connection, KeyLog, RootCertStore, ServerConfig,
    ServerConnection,
};

use super::by_hand::{ALERT, DATA, HANDSHAKE, Half, KEY_UPDATE};
use super::pieces;

const SUITE: CipherSuite = CipherSuite::TLS13_AES_128_GCM_SHA256;
const NAME: &str = "localhost";

/// The longest content of a record.
const LONGEST: usize = 1 << 14;

/// Records without data in a row that a carrier bears with.
const IDLE_MAX: u32 = 32;

/// What a byte of an input counts for where it is a length beyond the first few: the longest reach a little over the longest record.
const STEP: usize = 65;

/// What comes of a list of records.
#[derive(Debug, Default, PartialEq)]
struct Heard {
    payload: Vec<u8>,
    failed: bool,
    closed: bool,
}

/// What RFC 8446 lets in.
#[derive(Default)]
struct Model {
    heard: Heard,
    /// Of a handshake message.
    part: Vec<u8>,
    idle: u32,
    client: bool,
}

impl Model {
    fn over(&self) -> bool {
        self.heard.failed || self.heard.closed
    }

    /// A record that is sealed as it should be; whether the peer's keys change behind it.
    fn take(&mut self, kind: u8, content: &[u8], padding: usize) -> bool {
        if self.over() {
            return false;
        }
        self.idle += 1;
        let whole = self.part.is_empty();
        let mut updates = false;
        let good = kind != 0
            && content.len() <= LONGEST
            && content.len() + padding <= LONGEST
            && match kind {
                DATA if whole => {
                    if !content.is_empty() {
                        self.idle = 0;
                    }
                    true
                }
                ALERT if whole => matches!(content, [_, 0 | 90]),
                HANDSHAKE if !content.is_empty() => {
                    self.part.extend_from_slice(content);
                    let result = self.messages();
                    updates = result == Some(true);
                    result.is_some()
                }
                _ => false,
            };
        if !good || self.idle > IDLE_MAX {
            self.heard.failed = true;
            return false;
        }
        match (kind, content) {
            (DATA, _) => self.heard.payload.extend_from_slice(content),
            (ALERT, [_, 0]) => self.heard.closed = true,
            _ => {}
        }
        updates
    }

    /// `None` if there is a message that may not be; else whether the last one is a KeyUpdate.
    fn messages(&mut self) -> Option<bool> {
        while let Some(&kind) = self.part.first() {
            let ticket = kind == 4 && self.client;
            if !ticket && kind != KEY_UPDATE[0] {
                return None;
            }
            let Some(&[_, a, b, c]) = self.part.first_chunk() else {
                return Some(false);
            };
            let len = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
            if len > LONGEST || !ticket && len != 1 {
                return None;
            }
            if self.part.len() < 4 + len {
                return Some(false);
            }
            let body: Vec<u8> = self.part.drain(..4 + len).skip(4).collect();
            if !ticket {
                return (body[0] <= 1 && self.part.is_empty()).then_some(true);
            }
        }
        Some(false)
    }
}

/// See the top of this file.
pub(super) fn records(input: &[u8]) {
    let Some((&seed, mut bytes)) = input.split_first() else {
        return;
    };
    let client = seed & 0x80 != 0;
    let Some((mut carrier, mut send, mut receive)) = meet(client) else {
        panic!("the handshake of two honest sides failed");
    };
    let mut model = Model {
        client,
        ..Model::default()
    };
    let mut wire = Vec::new();
    while let Some((&[how, len, padding], rest)) = bytes.split_first_chunk() {
        let [len, padding] = [len, padding].map(|byte| match usize::from(byte) {
            few @ ..0x40 => few,
            many => (many - 3) * STEP,
        });
        let (said, rest) = rest.split_at(len.min(rest.len()));
        bytes = rest;
        let mut content = said.to_vec();
        content.resize(len, 7);
        let kind = match how % 8 {
            0..=2 => DATA,
            3 | 4 => HANDSHAKE,
            5 => ALERT,
            _ => how,
        };
        if how % 8 != 7 {
            // All zeroes are no record: what looks like padding then is.
            let kind_at = content.len();
            let mut inner = content;
            inner.push(kind);
            inner.resize(inner.len() + padding, 0);
            wire.extend(send.seal_inner(&inner, None));
            let (kind, content) = match inner[..=kind_at].iter().rposition(|byte| *byte != 0) {
                Some(at) => (inner[at], &inner[..at]),
                None => (0, &inner[..0]),
            };
            let padding = inner.len() - content.len() - 1;
            if model.take(kind, content, padding) {
                send.update();
            }
        } else {
            // Not sealed at all.
            let [high, low] = (content.len() as u16).to_be_bytes();
            wire.extend([kind, 3, 3, high, low]);
            wire.extend(content);
            model.heard.failed |= !model.over();
        }
    }
    let mut heard = Heard::default();
    let mut said = Vec::new();
    for piece in pieces(&wire, seed & 0x7f) {
        let error = carrier.handle_input(Instant::ORIGIN, BytesMut::from(piece));
        heard.failed |= error.is_err();
        while let Some(payload) = carrier.poll_payload() {
            heard.payload.extend_from_slice(&payload);
        }
        while let Some(event) = carrier.poll_event() {
            heard.closed |= matches!(event, CarrierEvent::PeerClosed(_));
        }
        // Who reads nothing for a while gets one update, and at the end a last word.
        if piece.len() % 3 == 0 {
            say(&mut carrier, &mut said);
        }
    }
    say(&mut carrier, &mut said);
    assert_eq!(heard, model.heard);
    let last = receive.open_all(&said).pop();
    let is_alert = last.is_some_and(|(kind, _)| kind == ALERT);
    assert_eq!(is_alert, model.over(), "the last word");
}

/// Lets a carrier say what it has to say.
fn say(carrier: &mut Carrier, said: &mut Vec<u8>) {
    while carrier.has_output() {
        let mut slices = [IoSlice::new(&[]); 8];
        let filled = carrier.gather(&mut slices);
        let before = said.len();
        for slice in &slices[..filled] {
            said.extend_from_slice(slice);
        }
        let len = said.len() - before;
        carrier.written(len);
    }
}

#[derive(Debug, Default)]
struct Log(Mutex<HashMap<String, Vec<u8>>>);

impl KeyLog for Log {
    fn log(&self, label: &str, _: &[u8], secret: &[u8]) {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.insert(label.to_owned(), secret.to_vec());
    }
}

/// What both sides need again and again.
struct Setup {
    client: ClientTls,
    server: ServerTls,
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

static SETUP: LazyLock<Option<Setup>> = LazyLock::new(|| {
    let own = SelfSigned::generate([NAME.to_owned()]).ok()?;
    let (certificate, key) = (own.certificate.as_bytes(), own.key.as_bytes());
    Some(Setup {
        client: ClientTls::from_pem(Some(certificate), None).ok()?,
        server: ServerTls::from_pem(certificate, key).ok()?,
        certificate: CertificateDer::from_pem_slice(certificate).ok()?,
        key: PrivateKeyDer::from_pem_slice(key).ok()?,
    })
});

/// A carrier whose handshake is done, and the keys of the peer that made it.
fn meet(client: bool) -> Option<(Carrier, Half, Half)> {
    let setup = SETUP.as_ref()?;
    let mut provider: CryptoProvider = ring::default_provider();
    provider.cipher_suites.retain(|it| it.suite() == SUITE);
    let (provider, log) = (Arc::new(provider), Arc::<Log>::default());
    let now = Instant::ORIGIN;
    let (mut carrier, mut theirs) = if client {
        let config = ServerConfig::builder_with_provider(provider);
        let config = config.with_protocol_versions(&[&TLS13]).ok()?;
        let (chain, key) = (vec![setup.certificate.clone()], setup.key.clone_key());
        let mut config = config.with_no_client_auth().with_single_cert(chain, key);
        let config = config.as_mut().ok()?;
        config.send_tls13_tickets = 0;
        config.key_log = log.clone();
        let theirs = ServerConnection::new(Arc::new(config.clone())).ok()?;
        let carrier = ClientSetup {
            tls: Some(setup.client.clone()),
            server_name: NAME.to_owned(),
            ..ClientSetup::default()
        };
        let carrier = Carrier::client(carrier, [1; 32], now).ok()?;
        (carrier, Connection::from(theirs))
    } else {
        let mut roots = RootCertStore::empty();
        roots.add(setup.certificate.clone()).ok()?;
        let config = ClientConfig::builder_with_provider(provider);
        let config = config.with_protocol_versions(&[&TLS13]).ok()?;
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.key_log = log.clone();
        let name = ServerName::try_from(NAME).ok()?;
        let theirs = ClientConnection::new(Arc::new(config), name).ok()?;
        let carrier = Arc::new(ServerSetup {
            tls: Some(setup.server.clone()),
            ..ServerSetup::default()
        });
        let peer = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 4_711);
        (Carrier::server(carrier, peer, [2; 32], now), theirs.into())
    };
    let ready = |carrier: &mut Carrier| {
        std::iter::from_fn(|| carrier.poll_event())
            .any(|event| matches!(event, CarrierEvent::Ready(_)))
    };
    for _ in 0..4 {
        let (mut ours, mut wire) = (Vec::new(), Vec::new());
        say(&mut carrier, &mut ours);
        let mut left = &ours[..];
        while !left.is_empty() {
            theirs.read_tls(&mut left).ok()?;
            theirs.process_new_packets().ok()?;
        }
        while theirs.wants_write() {
            theirs.write_tls(&mut wire).ok()?;
        }
        carrier.handle_input(now, BytesMut::from(&wire[..])).ok()?;
        if ready(&mut carrier) {
            say(&mut carrier, &mut ours);
            let log = log.0.lock().unwrap_or_else(PoisonError::into_inner);
            let half = |label| Some(Half::new(SUITE, log.get(label)?.clone()));
            let of_client = half("CLIENT_TRAFFIC_SECRET_0")?;
            let of_server = half("SERVER_TRAFFIC_SECRET_0")?;
            return Some(if client {
                (carrier, of_server, of_client)
            } else {
                (carrier, of_client, of_server)
            });
        }
    }
    None
}
