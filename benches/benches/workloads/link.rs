//! Carriers with all of their layers (TLS 1.3, the upgrade, WebSocket frames), a client's and a server's end of each, and what was written at one handed to the
//! other as a socket would.

use super::Ready;
use adit_core::Instant;
use adit_link::{
    Carrier, CarrierEvent, ClientSetup, ClientTls, ClientUpgrade, SelfSigned, ServerSetup,
    ServerTls, ServerUpgrade,
};
use bytes::{Bytes, BytesMut};
use std::io::IoSlice;
use std::sync::Arc;

const HOST: &str = "orion.example.com";
const PATH: &str = "/connect";
/// Bytes of bulk on all carriers together.
const ALL: usize = 8 << 20;
/// Bytes of one frame of bulk, and of what is said in an exchange.
const FRAME: usize = 16_000;
const REQUEST: usize = 200;
const ANSWER: usize = 1_024;
static SAID: [u8; FRAME] = [7; FRAME];

/// Who can make carriers.
struct Maker {
    client: ClientSetup,
    server: Arc<ServerSetup>,
}

impl Maker {
    fn new() -> Self {
        let own = SelfSigned::generate([HOST.to_owned()]).expect("a certificate");
        let (certificate, key) = (own.certificate.as_bytes(), own.key.as_bytes());
        let trusting = ClientTls::from_pem(Some(certificate), None).expect("a root");
        Self {
            client: ClientSetup {
                tls: Some(trusting),
                server_name: HOST.to_owned(),
                upgrade: Some(ClientUpgrade {
                    host: HOST.to_owned(),
                    path: PATH.to_owned(),
                    ..Default::default()
                }),
                ..Default::default()
            },
            server: Arc::new(ServerSetup {
                tls: Some(ServerTls::from_pem(certificate, key).expect("its key")),
                upgrade: Some(ServerUpgrade::new(PATH).expect("a path")),
                ..Default::default()
            }),
        }
    }

    fn pair(&self) -> Pair {
        let now = Instant::ORIGIN;
        let peer = "192.0.2.1:4711".parse().expect("an address");
        let client = Carrier::client(self.client.clone(), [1; 32], now).expect("a setup");
        let server = Carrier::server(Arc::clone(&self.server), peer, [2; 32], now);
        let mut pair = Pair { client, server };
        for _ in 0..8 {
            carry(&mut pair.client, &mut pair.server);
            carry(&mut pair.server, &mut pair.client);
        }
        let ready =
            |carrier: &mut Carrier| matches!(carrier.poll_event(), Some(CarrierEvent::Ready(_)));
        assert!(
            ready(&mut pair.client) && ready(&mut pair.server),
            "they have met"
        );
        pair
    }
}

/// Both ends of one carrier.
struct Pair {
    client: Carrier,
    server: Carrier,
}

/// Everything that one end has to say, and how many bytes of payload that was.
fn carry(from: &mut Carrier, to: &mut Carrier) -> usize {
    let mut heard = 0;
    while from.has_output() {
        let mut slices = [IoSlice::new(&[]); 64];
        let used = from.gather(&mut slices);
        let mut bytes = BytesMut::with_capacity(to.read_limit());
        for slice in &slices[..used] {
            let room = to.read_limit() - bytes.len();
            // In pieces that are too short for the copying instruction, whose every step callgrind counts as one.
            for piece in slice[..slice.len().min(room)].chunks(1_024) {
                bytes.extend_from_slice(piece);
            }
        }
        from.written(bytes.len());
        to.handle_input(Instant::ORIGIN, bytes)
            .expect("an honest peer");
        while let Some(payload) = to.poll_payload() {
            heard += payload.len();
        }
    }
    heard
}

fn say(from: &mut Carrier, to: &mut Carrier, what: &'static [u8]) {
    let mut said = Some(Bytes::from_static(what));
    assert_eq!(from.send(|_| said.take()), what.len());
    assert_eq!(carry(from, to), what.len());
}

/// So many bytes, in frames; the output is emptied only when it is full.
fn bulk(from: &mut Carrier, to: &mut Carrier, each: usize) {
    let (mut left, mut heard) = (each, 0);
    while left > 0 {
        from.send(|room| {
            let len = left.min(room).min(FRAME);
            left -= len;
            (len > 0).then(|| Bytes::from_static(&SAID[..len]))
        });
        heard += carry(from, to);
    }
    assert_eq!(heard, each);
}

fn prepared(carriers: usize, units: usize, mut each: impl FnMut(&mut Pair) + 'static) -> Ready {
    let maker = Maker::new();
    let mut pairs: Vec<_> = (0..carriers).map(|_| maker.pair()).collect();
    let mut run = move || pairs.iter_mut().for_each(&mut each);
    run();
    Ready {
        run: Box::new(run),
        units: units * carriers,
    }
}

/// Bytes of bulk on each of so many carriers.
const fn share(carriers: usize) -> usize {
    let each = ALL / carriers;
    if each < 8 * FRAME { 8 * FRAME } else { each }
}

pub(super) fn bulk_from_servers(carriers: usize) -> Ready {
    let each = share(carriers);
    prepared(carriers, each, move |pair| {
        bulk(&mut pair.server, &mut pair.client, each)
    })
}

pub(super) fn bulk_from_clients(carriers: usize) -> Ready {
    let each = share(carriers);
    prepared(carriers, each, move |pair| {
        bulk(&mut pair.client, &mut pair.server, each)
    })
}

pub(super) fn exchange(carriers: usize) -> Ready {
    prepared(carriers, 10, |pair| {
        for _ in 0..10 {
            say(&mut pair.server, &mut pair.client, &SAID[..REQUEST]);
            say(&mut pair.client, &mut pair.server, &SAID[..ANSWER]);
        }
    })
}
