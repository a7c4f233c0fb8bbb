//! Targets that read a byte stream: the first byte of an input says how the rest is cut, and must make no difference.

use std::io::IoSlice;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use adit_core::{BODY_MAX, Decoder, Frame, Instant, Piece, ProtocolError, StreamId};
use adit_link::{
    Carrier, CarrierEvent, ClientSetup, ClientUpgrade, LinkConfig, ServerSetup, ServerUpgrade,
};
use adit_websocket::{Config, Item, Role};
use bytes::{Bytes, BytesMut};

use super::pieces;

/// Bytes that a carrier may want to send in answer to an input.
const ANSWER_MAX: usize = 64 * 1024;

/// What a stream of frames says, however it is cut.
#[derive(Debug, Default, PartialEq)]
struct Said {
    frames: Vec<Result<Frame, ProtocolError>>,
    payload: Vec<(StreamId, u8)>,
    error: Option<ProtocolError>,
}

/// Frames of the protocol: [`Decoder`] and [`Frame::parse`].
pub(super) fn decoder(input: &[u8]) {
    let Some((&seed, bytes)) = input.split_first() else {
        return;
    };
    let whole = said(&[bytes]);
    assert_eq!(said(&pieces(bytes, seed)), whole, "cut otherwise");
    for frame in whole.frames.into_iter().flatten() {
        // What was understood can be said again, and means the same.
        let again = said(&[&frame.encoding()]);
        assert_eq!(again.frames, [Ok(frame)]);
    }
}

fn said(pieces: &[&[u8]]) -> Said {
    let (mut decoder, mut said) = (Decoder::default(), Said::default());
    for piece in pieces {
        let mut bytes = Bytes::copy_from_slice(piece);
        loop {
            match decoder.decode(&mut bytes) {
                Ok(None) => break,
                Ok(Some(Piece::Payload { stream, chunk })) => {
                    said.payload
                        .extend(chunk.iter().map(|byte| (stream, *byte)));
                }
                Ok(Some(piece @ Piece::Body { kind, .. })) => {
                    said.frames.push(Frame::parse(kind, piece.body()));
                }
                Err(error) => {
                    said.error = Some(error);
                    return said;
                }
            }
        }
        let bound = BODY_MAX as usize + 64;
        assert!(decoder.memory() <= 2 * bound, "{}", decoder.memory());
    }
    said
}

/// WebSocket frames, for a client and for a server, as messages of bytes and of text.
pub(super) fn websocket(input: &[u8]) {
    let Some((&seed, bytes)) = input.split_first() else {
        return;
    };
    for role in [Role::Client, Role::Server] {
        for config in [Config::default(), Config::with_text(1 << 20)] {
            let (said, payload, error) = items(role, config, &[bytes]);
            let (said_cut, payload_cut, error_cut) = items(role, config, &pieces(bytes, seed));
            assert_eq!((&said_cut, &error_cut), (&said, &error));
            // Of a piece of text that turns out to be none, nothing leaves; where the piece begins depends on the cuts.
            let same = payload_cut == payload;
            let broken = error.is_some() && config.text && payload_cut.starts_with(&payload);
            assert!(same || broken, "{payload_cut:?} and {payload:?}");
        }
    }
}

/// What comes out, payload byte by byte; and what was wrong.
fn items(role: Role, config: Config, pieces: &[&[u8]]) -> (Vec<String>, Vec<u8>, Option<String>) {
    let mut decoder = adit_websocket::Decoder::new(role, config);
    let (mut said, mut payload) = (Vec::new(), Vec::new());
    for piece in pieces {
        let mut bytes = BytesMut::from(*piece);
        loop {
            match decoder.decode(&mut bytes) {
                Ok(None) => break,
                Ok(Some(Item::Data {
                    payload: part,
                    end,
                    kind,
                })) => {
                    payload.extend_from_slice(&part);
                    if end {
                        said.push(format!("{kind:?} to {}", payload.len()));
                    }
                }
                Ok(Some(other)) => said.push(format!("{other:?} at {}", payload.len())),
                Err(error) => return (said, payload, Some(error.to_string())),
            }
        }
    }
    (said, payload, None)
}

/// HTTP in front of WebSocket: what a stranger sends to a server, and what he answers to a client.
pub(super) fn upgrade(input: &[u8]) {
    let Some((&seed, bytes)) = input.split_first() else {
        return;
    };
    let now = Instant::ORIGIN;
    let peer = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 4_711);
    let server = ServerUpgrade::new("/connect").map(|upgrade| ServerSetup {
        upgrade: Some(upgrade),
        ..ServerSetup::default()
    });
    let client = ClientSetup {
        upgrade: Some(ClientUpgrade {
            host: "example.com".into(),
            path: "/connect".into(),
            ..ClientUpgrade::default()
        }),
        config: LinkConfig::default(),
        ..ClientSetup::default()
    };
    let server = server.map(|setup| Carrier::server(Arc::new(setup), peer, [1; 32], now));
    let client = Carrier::client(client, [2; 32], now);
    for (mut carrier, is_client) in [(server.ok(), false), (client.ok(), true)]
        .into_iter()
        .filter_map(|(carrier, is_client)| Some((carrier?, is_client)))
    {
        let mut answered = 0;
        for piece in pieces(bytes, seed) {
            // What is wrong is told to the peer, and every later call says so.
            let _ = carrier.handle_input(now, BytesMut::from(piece));
            hear(&mut carrier, is_client);
            answered += answer(&mut carrier);
        }
        carrier.handle_eof(now);
        hear(&mut carrier, is_client);
        answered += answer(&mut carrier);
        assert!(answered <= ANSWER_MAX, "{answered} bytes in answer");
    }
}

/// A client's key can't be answered by who has not seen it.
fn hear(carrier: &mut Carrier, is_client: bool) {
    while let Some(event) = carrier.poll_event() {
        let ready = matches!(event, CarrierEvent::Ready(_));
        assert!(!(ready && is_client), "upgraded by a stranger");
    }
    while carrier.poll_payload().is_some() {}
}

/// Lets a carrier send all that it wants to; how much that was.
fn answer(carrier: &mut Carrier) -> usize {
    let mut sent = 0;
    while carrier.has_output() {
        let mut slices = [IoSlice::new(&[]); 8];
        let filled = carrier.gather(&mut slices);
        let len: usize = slices.iter().take(filled).map(|slice| slice.len()).sum();
        if len == 0 {
            break;
        }
        carrier.written(len);
        sent += len;
    }
    sent
}
