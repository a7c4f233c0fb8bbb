//! Differential tests: this codec against tungstenite, in both directions and both roles.

use std::io::{self, Read, Write};

use adit_websocket::{
    Close, CloseCode, Config, ControlPayload, Decoder, Encoder, Item, Kind, Role, WebSocket,
};
use bytes::BytesMut;
use proptest::prelude::*;
use tungstenite::{
    Message,
    protocol::{
        Role as TheirRole, WebSocketContext,
        frame::{
            Frame,
            coding::{Data, OpCode},
        },
    },
};

use super::common::*;

/// A stream in memory: what is to be read comes in pieces, what was written is kept.
#[derive(Default)]
struct Pipe {
    input: Vec<Vec<u8>>,
    written: Vec<u8>,
}

impl Pipe {
    fn new(wire: &[u8], lengths: &[usize]) -> Self {
        let input = cut(wire, lengths)
            .into_iter()
            .rev()
            .map(<[u8]>::to_vec)
            .collect();
        Self {
            input,
            written: Vec::new(),
        }
    }
}

impl Read for Pipe {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let Some(mut piece) = self.input.pop() else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        let n = piece.len().min(out.len());
        out[..n].copy_from_slice(&piece[..n]);
        if n < piece.len() {
            self.input.push(piece.split_off(n));
        }
        Ok(n)
    }
}

impl Write for Pipe {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.written.write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What both sides can be asked: whole messages, control frames, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    Message(Kind, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
    Failed,
}

/// What tungstenite makes of a wire.
fn theirs(role: Role, wire: &[u8], lengths: &[usize]) -> Vec<Seen> {
    let role = match role {
        Role::Client => TheirRole::Client,
        Role::Server => TheirRole::Server,
    };
    let mut context = WebSocketContext::new(role, None);
    let mut pipe = Pipe::new(wire, lengths);
    let mut seen = Vec::new();
    loop {
        seen.push(match context.read(&mut pipe) {
            Ok(Message::Text(text)) => Seen::Message(Kind::Text, text.as_bytes().to_vec()),
            Ok(Message::Binary(bytes)) => Seen::Message(Kind::Binary, bytes.to_vec()),
            Ok(Message::Ping(payload)) => Seen::Ping(payload.to_vec()),
            Ok(Message::Pong(payload)) => Seen::Pong(payload.to_vec()),
            Ok(Message::Close(close)) => {
                seen.push(match close.map(|close| (close.code.into(), close.reason)) {
                    // What tungstenite makes of a close with a code that must not be sent.
                    Some((1002, reason)) if reason == "Protocol violation" => Seen::Failed,
                    close => Seen::Close(close.map(|(code, reason)| (code, reason.to_string()))),
                });
                return seen;
            }
            Ok(Message::Frame(_)) => unreachable!("reading gives no raw frames"),
            Err(tungstenite::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                return seen;
            }
            Err(_) => {
                seen.push(Seen::Failed);
                return seen;
            }
        });
    }
}

/// What this crate makes of a wire.
fn ours(role: Role, wire: &[u8], lengths: &[usize]) -> Vec<Seen> {
    let mut decoder = Decoder::new(role, Config::with_text(1 << 24));
    let mut message = Vec::new();
    let mut seen = Vec::new();
    for piece in cut(wire, lengths) {
        let mut input = BytesMut::from(piece);
        loop {
            seen.push(match decoder.decode(&mut input) {
                Ok(None) => break,
                Ok(Some(Item::Data { kind, payload, end })) => {
                    message.extend(payload);
                    if !end {
                        continue;
                    }
                    Seen::Message(kind, std::mem::take(&mut message))
                }
                Ok(Some(Item::Ping(payload))) => Seen::Ping(payload.as_slice().to_vec()),
                Ok(Some(Item::Pong(payload))) => Seen::Pong(payload.as_slice().to_vec()),
                Ok(Some(Item::Close(close))) => {
                    let close = close.map(|c| (c.code().get(), c.reason().to_owned()));
                    seen.push(Seen::Close(close));
                    return seen;
                }
                Err(_) => {
                    seen.push(Seen::Failed);
                    return seen;
                }
            });
        }
    }
    seen
}

/// One part of a conversation.
#[derive(Debug, Clone)]
enum Part {
    /// A message in these fragments, a ping before each but the first.
    Message(Kind, Vec<Vec<u8>>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
}

fn parts() -> impl Strategy<Value = Vec<Part>> {
    let bytes = prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..300),
        1 => any::<u8>().prop_map(|byte| vec![byte; 65_535]),
        1 => any::<u8>().prop_map(|byte| vec![byte; 70_000]),
    ];
    let control = || prop::collection::vec(any::<u8>(), 0..126);
    let text = "[a-zäλ🚇]{0,40}".prop_flat_map(|text| {
        // Cut between any two bytes, also inside a character.
        let cut = 1..text.len().max(1) + 1;
        (Just(text), cut).prop_map(|(text, cut)| {
            let fragments: Vec<_> = text.as_bytes().chunks(cut).map(<[u8]>::to_vec).collect();
            if fragments.is_empty() {
                vec![Vec::new()]
            } else {
                fragments
            }
        })
    });
    let part = prop_oneof![
        4 => prop::collection::vec(bytes, 1..4).prop_map(|f| Part::Message(Kind::Binary, f)),
        2 => text.prop_map(|f| Part::Message(Kind::Text, f)),
        1 => control().prop_map(Part::Ping),
        1 => control().prop_map(Part::Pong),
    ];
    prop::collection::vec(part, 1..6)
}

/// What a reader of these parts must see.
fn expected(parts: &[Part]) -> Vec<Seen> {
    let mut seen = Vec::new();
    for part in parts {
        match part {
            Part::Message(kind, fragments) => {
                seen.extend(
                    fragments
                        .iter()
                        .skip(1)
                        .map(|_| Seen::Ping(b"between".into())),
                );
                seen.push(Seen::Message(*kind, fragments.concat()));
            }
            Part::Ping(payload) => seen.push(Seen::Ping(payload.clone())),
            Part::Pong(payload) => seen.push(Seen::Pong(payload.clone())),
        }
    }
    seen
}

/// The parts as this crate sends them.
fn we_send(role: Role, parts: &[Part], mut key: [u8; 4]) -> BytesMut {
    let keys = move || {
        key = u32::from_le_bytes(key)
            .wrapping_mul(747_796_405)
            .wrapping_add(1)
            .to_le_bytes();
        key
    };
    let mut encoder = match role {
        Role::Client => Encoder::client(keys),
        Role::Server => Encoder::server(),
    };
    let control = |payload: &[u8]| ControlPayload::new(payload).expect("it fits");
    let mut wire = BytesMut::new();
    for part in parts {
        match part {
            Part::Message(kind, fragments) => {
                for (i, fragment) in fragments.iter().enumerate() {
                    if i > 0 {
                        wire.extend_from_slice(encoder.ping(control(b"between")).as_slice());
                    }
                    let end = i + 1 == fragments.len();
                    let len = fragment.len() as u64;
                    let (head, mut mask) = encoder.data(*kind, len, end).expect("it is open");
                    wire.extend_from_slice(head.as_slice());
                    mask.copy_into(fragment, &mut wire);
                }
            }
            Part::Ping(p) => wire.extend_from_slice(encoder.ping(control(p)).as_slice()),
            Part::Pong(p) => wire.extend_from_slice(encoder.pong(control(p)).as_slice()),
        }
    }
    wire
}

/// The parts as tungstenite sends them, with masks of its own choice.
fn they_send(role: Role, parts: &[Part]) -> Vec<u8> {
    let their_role = match role {
        Role::Client => TheirRole::Client,
        Role::Server => TheirRole::Server,
    };
    let mut context = WebSocketContext::new(their_role, None);
    let mut pipe = Pipe::default();
    for part in parts {
        match part {
            Part::Message(kind, fragments) => {
                for (i, fragment) in fragments.iter().enumerate() {
                    let opcode = match (i, kind) {
                        (0, Kind::Text) => Data::Text,
                        (0, Kind::Binary) => Data::Binary,
                        _ => Data::Continue,
                    };
                    if i > 0 {
                        let ping = Message::Ping("between".into());
                        context.write(&mut pipe, ping).expect("it is open");
                    }
                    let end = i + 1 == fragments.len();
                    let frame = Frame::message(fragment.clone(), OpCode::Data(opcode), end);
                    context
                        .write(&mut pipe, Message::Frame(frame))
                        .expect("it is open");
                }
            }
            Part::Ping(payload) => {
                let ping = Message::Ping(payload.clone().into());
                context.write(&mut pipe, ping).expect("it is open");
            }
            Part::Pong(payload) => {
                // Only a raw frame: as a message it would replace a pong that is owed.
                let frame = Frame::pong(payload.clone());
                context
                    .write(&mut pipe, Message::Frame(frame))
                    .expect("it is open");
            }
        }
    }
    context.flush(&mut pipe).expect("memory takes everything");
    pipe.written
}

fn roles() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Client), Just(Role::Server)]
}

fn other(role: Role) -> Role {
    match role {
        Role::Client => Role::Server,
        Role::Server => Role::Client,
    }
}

fn lengths() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(prop_oneof![1usize..20, 1_000usize..100_000], 1..5)
}

/// One frame that may break any rule but that of the shortest length, which tungstenite does not
/// check. Its payload is whole: tungstenite looks at a frame when it has all of it.
fn odd_frames() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        6 => prop::sample::select(vec![0x82, 0x02, 0x80, 0x00, 0x81, 0x01, 0x89, 0x8A, 0x88]),
        1 => any::<u8>(),
    ];
    let payload = prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..8),
        2 => "[a-zé]{0,9}".prop_map(String::into_bytes),
        2 => (990u16..5_010, "[a-zé]{0,9}")
            .prop_map(|(code, reason)| [&code.to_be_bytes()[..], reason.as_bytes()].concat()),
        1 => prop::collection::vec(any::<u8>(), 120..130),
    ];
    (
        first,
        payload,
        prop::option::weighted(0.95, any::<[u8; 4]>()),
    )
        // 1014 was registered after RFC 6455; tungstenite does not know it.
        .prop_filter("code 1014", |(first, payload, _)| {
            first & 0x0F != CLOSE || !payload.starts_with(&1014u16.to_be_bytes())
        })
        .prop_map(|(first, payload, key)| frame(first, &payload, key))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn tungstenite_reads_what_we_send(
        role in roles(),
        parts in parts(),
        key: [u8; 4],
        lengths in lengths(),
    ) {
        let wire = we_send(role, &parts, key);
        prop_assert_eq!(theirs(other(role), &wire, &lengths), expected(&parts));
    }

    #[test]
    fn we_read_what_tungstenite_sends(role in roles(), parts in parts(), lengths in lengths()) {
        let wire = they_send(role, &parts);
        prop_assert_eq!(ours(other(role), &wire, &lengths), expected(&parts));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_096))]

    #[test]
    fn we_take_and_refuse_what_tungstenite_takes_and_refuses(
        frames in prop::collection::vec(odd_frames(), 1..8),
        lengths in lengths(),
    ) {
        let wire = frames.concat();
        let theirs = theirs(Role::Server, &wire, &[usize::MAX]);
        prop_assert_eq!(ours(Role::Server, &wire, &lengths), theirs);
    }
}

#[test]
fn tungstenite_and_we_close_a_connection_whoever_begins() {
    for we_begin in [true, false] {
        let mut server: WebSocket = WebSocket::server(Config::default());
        let mut client = WebSocketContext::new(TheirRole::Client, None);
        let mut pipe = Pipe::default();
        let mut ended = false;
        if we_begin {
            server.close(Close::new(CloseCode::GOING_AWAY, "bye"));
        } else {
            client.close(&mut pipe, None).expect("it is open");
        }
        // Two rounds are enough for a close and its answer.
        for _ in 0..2 {
            let mut input = BytesMut::from(&std::mem::take(&mut pipe.written)[..]);
            while server
                .decode(&mut input)
                .expect("tungstenite breaks no rule")
                .is_some()
            {}
            while let Some(frame) = server.poll_control() {
                pipe.input.insert(0, frame.as_slice().to_vec());
            }
            while !pipe.input.is_empty() {
                client.read(&mut pipe).expect("we break no rule");
            }
            // A flush sends the answer, and says so with this error when all is done.
            ended |= match client.flush(&mut pipe) {
                Ok(()) => false,
                Err(tungstenite::Error::ConnectionClosed) => true,
                Err(other) => panic!("an unclean end: {other}"),
            };
        }
        assert!(server.is_closed());
        assert!(ended || !client.can_write());
    }
}
