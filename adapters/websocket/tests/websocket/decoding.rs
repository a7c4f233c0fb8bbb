//! What a decoder gives out: the same for any cutting of the input, by reference, and an error for
//! everything that RFC 6455 forbids.

use adit_websocket::{
    Close, CloseCode, Config, ControlPayload, Decoder, Encoder, Error, Item, Kind, MAX_HEAD, Role,
};
use bytes::BytesMut;
use proptest::prelude::*;

use super::common::*;

const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// The key that frames to an end of this role carry.
fn key_towards(role: Role, key: [u8; 4]) -> Option<[u8; 4]> {
    match role {
        Role::Client => None,
        Role::Server => Some(key),
    }
}

fn roles() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Client), Just(Role::Server)]
}

fn opcodes() -> impl Strategy<Value = u8> {
    prop_oneof![
        4 => Just(CONTINUATION),
        4 => Just(BINARY),
        2 => Just(TEXT),
        2 => Just(PING),
        2 => Just(PONG),
        1 => Just(CLOSE),
    ]
}

fn payloads() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(Vec::new()),
        prop::collection::vec(any::<u8>(), 0..20),
        "[a-zé]{0,20}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 120..130),
        Just(vec![0x03, 0xE8, b'b', b'y', b'e']),
        Just(vec![7; 65_536]),
    ]
}

/// Frames of all kinds in any order, most of them valid; sometimes one bit is wrong.
fn wires(role: Role) -> impl Strategy<Value = Vec<u8>> {
    let one = (
        opcodes(),
        prop::bool::weighted(0.7),
        payloads(),
        any::<[u8; 4]>(),
    );
    let frames = prop::collection::vec(one, 1..8);
    let flip = prop::option::weighted(0.3, (any::<prop::sample::Index>(), 0..8u8));
    (frames, flip).prop_map(move |(frames, flip)| {
        let mut wire = Vec::new();
        let mut in_message = false;
        for (opcode, fin, payload, key) in frames {
            let data = opcode < CLOSE;
            // Mostly in order: a frame inside a message continues it, one outside begins one.
            let opcode = match (data, in_message, opcode) {
                (true, true, _) => CONTINUATION,
                (true, false, CONTINUATION) => BINARY,
                _ => opcode,
            };
            let fin = fin || !data;
            in_message = if data { !fin } else { in_message };
            let first = if fin { FIN | opcode } else { opcode };
            wire.extend(frame(first, &payload, key_towards(role, key)));
        }
        if let Some((index, bit)) = flip {
            let near_the_start = wire.len().min(64);
            wire[index.index(near_the_start)] ^= 1 << bit;
        }
        wire
    })
}

fn config(text: bool) -> Config {
    if text {
        Config::with_text(100_000)
    } else {
        Config::default()
    }
}

/// Without the part of a failed text that came out before its fault was seen: how much that is
/// depends on the cutting, and nobody may use it.
fn without_failed_text(mut events: Vec<Event>) -> Vec<Event> {
    if let [
        ..,
        Event::Data(Kind::Text, _, false),
        Event::Failed(Error::TextNotUtf8),
    ] = &events[..]
    {
        let fault = events.pop();
        events.pop();
        events.extend(fault);
    }
    events
}

proptest! {
    #[test]
    fn any_cutting_gives_the_same_events(
        (role, wire) in roles().prop_flat_map(|role| (Just(role), wires(role))),
        lengths in prop::collection::vec(1usize..200, 1..6),
        text: bool,
    ) {
        let whole = events(&mut Decoder::new(role, config(text)), [&wire[..]]);
        for lengths in [&lengths[..], &[1]] {
            let cut = events(&mut Decoder::new(role, config(text)), cut(&wire, lengths));
            prop_assert_eq!(without_failed_text(cut), without_failed_text(whole.clone()));
        }
    }

    #[test]
    fn what_one_end_encodes_the_other_decodes(
        role in roles(),
        messages in prop::collection::vec(
            prop::collection::vec((0usize..3, any::<u16>()), 1..4),
            1..4,
        ),
        keys in prop::collection::vec(any::<[u8; 4]>(), 1..9),
        lengths in prop::collection::vec(1usize..5_000, 1..6),
    ) {
        let mut next = keys.iter().cycle();
        let keys = || *next.next().expect("a cycle does not end");
        let mut encoder = match role {
            Role::Client => Encoder::client(keys),
            Role::Server => Encoder::server(),
        };
        let mut wire = BytesMut::new();
        let mut expected = Vec::new();
        for parts in &messages {
            let mut whole = Vec::new();
            for (i, (class, len)) in parts.iter().enumerate() {
                let len = match class {
                    0 => usize::from(len % 126),
                    1 => 126 + usize::from(*len) % 65_410,
                    _ => 65_536 + usize::from(*len),
                };
                let payload: Vec<u8> = (0..len).map(|i| (i % 253) as u8).collect();
                let end = i + 1 == parts.len();
                let (head, mut mask) = encoder.data(Kind::Binary, len as u64, end)?;
                wire.extend_from_slice(head.as_slice());
                // Several slices under one mask.
                for slice in payload.chunks(len / 3 + 1) {
                    mask.copy_into(slice, &mut wire);
                }
                whole.extend(payload);
            }
            expected.push(Event::Data(Kind::Binary, whole, true));
        }
        let peer = match role {
            Role::Client => Role::Server,
            Role::Server => Role::Client,
        };
        prop_assert!(read_frames(&wire).iter().all(|frame| frame.masked == (role == Role::Client)));
        let decoded = events(&mut Decoder::new(peer, Config::default()), cut(&wire, &lengths));
        prop_assert_eq!(decoded, expected);
    }

    #[test]
    fn a_head_is_what_the_rfc_says(len in 0u64..200_000, end: bool, masked: bool) {
        let mut encoder =
            if masked { Encoder::client(|| KEY) } else { Encoder::server() };
        let (head, mask) = encoder.data(Kind::Binary, len, end)?;
        let first = if end { FIN | BINARY } else { BINARY };
        let whole = frame(first, &vec![0; len as usize], masked.then_some(KEY));
        prop_assert_eq!(head.as_slice(), &whole[..whole.len() - len as usize]);
        prop_assert!(head.as_slice().len() <= MAX_HEAD);
        prop_assert_eq!(mask.is_none(), !masked);
    }

    #[test]
    fn arbitrary_bytes_are_an_error_or_valid(
        role in roles(),
        wire in prop::collection::vec(any::<u8>(), 0..400),
        text: bool,
    ) {
        let mut decoder = Decoder::new(role, config(text));
        let events = events(&mut decoder, [&wire[..]]);
        let given_out: usize = events
            .iter()
            .map(|event| if let Event::Data(_, payload, _) = event { payload.len() } else { 0 })
            .sum();
        prop_assert!(given_out <= wire.len());
        let failed = matches!(events.last(), Some(Event::Failed(_)));
        let closed = matches!(events.last(), Some(Event::Other(Item::Close(_))));
        prop_assert_eq!(decoder.is_done(), failed || closed);
    }
}

/// What a decoder on `role`'s side says first to a frame.
#[track_caller]
fn refused(role: Role, wire: &[u8], error: Error, code: u16) {
    let mut decoder = Decoder::new(role, Config::default());
    let mut input = BytesMut::from(wire);
    assert_eq!(decoder.decode(&mut input), Err(error));
    assert_eq!(error.close_code().get(), code);
    // Final, whatever comes next.
    let mut fine = BytesMut::from(&frame(FIN | BINARY, b"x", key_towards(role, KEY))[..]);
    assert_eq!(decoder.decode(&mut fine), Err(error));
    assert!(decoder.is_done());
}

#[test]
fn a_fault_is_found_in_the_byte_that_shows_it() {
    use Error::*;
    let server = |wire: &[u8], error, code| refused(Role::Server, wire, error, code);
    server(&[0xC2], ReservedBits(0b100), 1002);
    server(&[0xA2], ReservedBits(0b010), 1002);
    server(&[0x92], ReservedBits(0b001), 1002);
    server(&[0x83], ReservedOpcode(3), 1002);
    server(&[0x8F], ReservedOpcode(15), 1002);
    server(&[0x09], ControlFragmented, 1002);
    server(&[0x80], NothingToContinue, 1002);
    server(&[0x81], TextRefused, 1003);
    server(&[0x82, 0x01], NotMasked, 1002);
    refused(Role::Client, &[0x82, 0x81], Masked, 1002);
    server(&[0x89, 0x80 | 126], ControlTooLong, 1002);
    server(&[0x89, 0x80 | 127], ControlTooLong, 1002);
    server(&[0x82, 0x80 | 126, 0, 125], LengthNotMinimal(125), 1002);
    server(&[0x82, 0x80 | 126, 0, 0], LengthNotMinimal(0), 1002);
    server(
        &[0x82, 0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF],
        LengthNotMinimal(65_535),
        1002,
    );
    server(&[0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0], LengthTopBit, 1002);
    server(&[0x88, 0x81, 0, 0, 0, 0, 3], CloseTooShort, 1002);
    server(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xED], CloseCode(1005), 1002);
    server(
        &[0x88, 0x83, 0, 0, 0, 0, 0x03, 0xE8, 0xFF],
        CloseReason,
        1007,
    );
}

#[test]
fn a_message_may_not_begin_inside_another() {
    for second in [TEXT, BINARY] {
        let wire = [frame(BINARY, b"half", Some(KEY)), vec![FIN | second]].concat();
        let events = events(
            &mut Decoder::new(Role::Server, Config::default()),
            [&wire[..]],
        );
        assert_eq!(events.last(), Some(&Event::Failed(Error::MessageNotEnded)));
    }
}

#[test]
fn the_least_lengths_of_each_form_are_accepted() {
    for wire in [
        &[0x82, 0x80 | 126, 0, 126][..],
        &[0x82, 0x80 | 127, 0, 0, 0, 0, 0, 1, 0, 0],
        &[
            0x82,
            0x80 | 127,
            0x7F,
            0xFF,
            0xFF,
            0xFF,
            0xFF,
            0xFF,
            0xFF,
            0xFF,
        ],
    ] {
        let mut decoder = Decoder::new(Role::Server, Config::default());
        assert_eq!(decoder.decode(&mut BytesMut::from(wire)), Ok(None));
        assert_eq!(decoder.decode(&mut BytesMut::from(&KEY[..])), Ok(None));
        assert!(!decoder.is_done());
    }
}

#[test]
fn payload_comes_out_of_the_buffer_it_came_in() {
    for role in [Role::Client, Role::Server] {
        let wire = frame(FIN | BINARY, &[42; 5_000], key_towards(role, KEY));
        let mut input = BytesMut::from(&wire[..]);
        let memory = input.as_ptr_range();
        let mut decoder = Decoder::new(role, Config::default());
        let Ok(Some(Item::Data { payload, .. })) = decoder.decode(&mut input) else {
            panic!("the payload is there");
        };
        assert_eq!(&payload[..], &[42; 5_000]);
        let head = wire.len() - 5_000;
        assert_eq!(payload.as_ptr() as usize, memory.start as usize + head);
        assert_eq!(payload.as_ptr_range().end, memory.end);
    }
}

#[test]
fn payload_leaves_before_its_frame_is_whole() {
    let wire = frame(FIN | BINARY, b"abcdef", Some(KEY));
    let mut decoder = Decoder::new(Role::Server, Config::default());
    let mut input = BytesMut::from(&wire[..wire.len() - 2]);
    let mut next = |input: &mut BytesMut| match decoder.decode(input) {
        Ok(Some(Item::Data { payload, end, .. })) => Some((payload, end)),
        Ok(None) => None,
        other => panic!("not payload: {other:?}"),
    };
    assert_eq!(next(&mut input), Some(("abcd".into(), false)));
    assert_eq!(next(&mut input), None);
    input.extend_from_slice(&wire[wire.len() - 2..]);
    assert_eq!(next(&mut input), Some(("ef".into(), true)));
}

#[test]
fn a_control_frame_between_two_slices_of_a_message_comes_out_whole() {
    let ping = ControlPayload::new(&[9; 125]).expect("it fits");
    let wire = [
        frame(BINARY, b"one ", None),
        frame(FIN | PING, ping.as_slice(), None),
        frame(FIN, b"two", None),
        frame(FIN | CLOSE, b"\x03\xE9bye", None),
    ]
    .concat();
    let events = events(
        &mut Decoder::new(Role::Client, Config::default()),
        cut(&wire, &[1]),
    );
    let expected = [
        Event::Data(Kind::Binary, b"one ".into(), false),
        Event::Other(Item::Ping(ping)),
        Event::Data(Kind::Binary, b"two".into(), true),
        Event::Other(Item::Close(Some(Close::new(CloseCode::GOING_AWAY, "bye")))),
    ];
    assert_eq!(events, expected);
}

#[test]
fn a_control_payload_holds_125_bytes_and_no_more() {
    assert!(ControlPayload::new(&[0; 125]).is_some());
    assert!(ControlPayload::new(&[0; 126]).is_none());
}
