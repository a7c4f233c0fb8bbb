//! The cases of the Autobahn test suite, sections 1 to 7, 9 (in small) and 10, as tables.
//!
//! A server that echoes messages is fed each case whole and in small pieces. A case says what the
//! server must send, up to and including its Close.

use adit_websocket::{Config, Item, Kind, WebSocket};
use bytes::BytesMut;

/// What the server sent.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Reply {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>),
}

use Reply::*;

use super::common::*;

/// The code that answers a broken protocol.
const PROTOCOL_ERROR: Reply = Close(Some(1002));
/// The code that answers text that is not UTF-8.
const NOT_UTF8: Reply = Close(Some(1007));

/// A server that collects each message and sends it back.
fn echo(pieces: &[&[u8]]) -> Vec<Reply> {
    let config = Config::with_text(1 << 24);
    let mut server: WebSocket = WebSocket::server(config);
    let mut sent = Vec::new();
    let mut message = Vec::new();
    for piece in pieces {
        let mut input = BytesMut::from(*piece);
        loop {
            let result = server.decode(&mut input);
            let more = matches!(result, Ok(Some(_)));
            if let Ok(Some(Item::Data { kind, payload, end })) = result {
                message.extend(payload);
                if end {
                    send(&mut server, kind, &std::mem::take(&mut message), &mut sent);
                }
            }
            while let Some(frame) = server.poll_control() {
                sent.extend(frame.as_slice());
            }
            if !more {
                break;
            }
        }
    }
    read_frames(&sent).into_iter().map(reply).collect()
}

fn send(server: &mut WebSocket, kind: Kind, message: &[u8], sent: &mut Vec<u8>) {
    let (head, mask) = server
        .data(kind, message.len() as u64, true)
        .expect("it is open");
    assert!(mask.is_none(), "a server does not mask");
    sent.extend(head.as_slice());
    sent.extend(message);
}

fn reply(frame: ReadFrame) -> Reply {
    assert!(!frame.masked, "a server does not mask");
    match frame.first {
        0x81 => Text(frame.payload),
        0x82 => Binary(frame.payload),
        0x8A => Pong(frame.payload),
        0x88 => Close(
            frame
                .payload
                .first_chunk()
                .map(|code| u16::from_be_bytes(*code)),
        ),
        other => panic!("a frame that the server has no reason to send: {other:#x}"),
    }
}

/// Feeds a case in several cuttings and compares what comes back.
#[track_caller]
fn case(name: &str, frames: &[Vec<u8>], expected: &[Reply]) {
    let wire = frames.concat();
    for lengths in [&[usize::MAX][..], &[1], &[2, 3, 5], &[997]] {
        assert_eq!(
            echo(&cut(&wire, lengths)),
            expected,
            "case {name}, cut by {lengths:?}"
        );
    }
}

/// A client's frame.
fn client(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    frame(first, payload.as_ref(), Some([0xA1, 0x0B, 0x5C, 0xD4]))
}

fn close(code: u16, reason: impl AsRef<[u8]>) -> Vec<u8> {
    client(FIN | CLOSE, [&code.to_be_bytes(), reason.as_ref()].concat())
}

/// A message in one frame for each part.
fn fragments(opcode: u8, parts: &[&[u8]]) -> Vec<Vec<u8>> {
    let last = parts.len() - 1;
    let first_byte = |i| (if i == 0 { opcode } else { 0 }) | (if i == last { FIN } else { 0 });
    parts
        .iter()
        .enumerate()
        .map(|(i, part)| client(first_byte(i), part))
        .collect()
}

#[test]
fn section_1_messages_of_every_length_class_come_back() {
    for len in [0, 125, 126, 127, 128, 65_535, 65_536] {
        let payload = vec![b'*'; len];
        let wire = [client(FIN | TEXT, &payload), close(1000, "")];
        case("1.1", &wire, &[Text(payload.clone()), Close(Some(1000))]);
        let payload = vec![0xFE; len];
        let wire = [client(FIN | BINARY, &payload), close(1000, "")];
        case("1.2", &wire, &[Binary(payload.clone()), Close(Some(1000))]);
    }
}

#[test]
fn section_2_pings_are_answered_and_pongs_are_not() {
    let bytes = [0x00, 0xFF, 0xFE, 0xFD, 0xFC, 0xFB, 0x00, 0xFF];
    let longest = [0xFE; 125];
    let payloads: [&[u8]; 4] = [b"", b"Hello, world!", &bytes, &longest];
    for payload in payloads {
        let wire = [client(FIN | PING, payload), close(1000, "")];
        case(
            "2.1 to 2.4, 2.6",
            &wire,
            &[Pong(payload.into()), Close(Some(1000))],
        );
    }
    case("2.5", &[client(FIN | PING, [0xFE; 126])], &[PROTOCOL_ERROR]);

    for payload in [&b""[..], b"unsolicited pong payload"] {
        let wire = [client(FIN | PONG, payload), close(1000, "")];
        case("2.7, 2.8", &wire, &[Close(Some(1000))]);
    }
    let wire = [
        client(FIN | PONG, "unsolicited"),
        client(FIN | PING, "ping"),
        close(1000, ""),
    ];
    case("2.9", &wire, &[Pong(b"ping".into()), Close(Some(1000))]);

    let payloads: Vec<String> = (0..10).map(|i| format!("payload-{i}")).collect();
    let mut wire: Vec<_> = payloads.iter().map(|p| client(FIN | PING, p)).collect();
    wire.push(close(1000, ""));
    let mut expected: Vec<_> = payloads.iter().map(|p| Pong(p.clone().into())).collect();
    expected.push(Close(Some(1000)));
    case("2.10, 2.11", &wire, &expected);
}

#[test]
fn section_3_reserved_bits_end_the_connection() {
    for bits in 1..=7u8 {
        for opcode in [TEXT, BINARY, PING, PONG, CLOSE] {
            let wire = [
                client(FIN | TEXT, "before"),
                client(FIN | bits << 4 | opcode, "*****"),
                client(FIN | PING, ""),
            ];
            case(
                "3.1 to 3.7",
                &wire,
                &[Text(b"before".into()), PROTOCOL_ERROR],
            );
        }
    }
}

#[test]
fn section_4_reserved_opcodes_end_the_connection() {
    for opcode in (0x3..=0x7).chain(0xB..=0xF) {
        for payload in [&b""[..], b"reserved opcode payload"] {
            let wire = [
                client(FIN | TEXT, "before"),
                client(FIN | opcode, payload),
                client(FIN | PING, ""),
            ];
            case("4.1, 4.2", &wire, &[Text(b"before".into()), PROTOCOL_ERROR]);
        }
    }
}

#[test]
fn section_5_fragments_are_joined_and_control_frames_may_come_between() {
    case(
        "5.1",
        &[client(PING, "fragment1"), client(FIN, "fragment2")],
        &[PROTOCOL_ERROR],
    );
    case(
        "5.2",
        &[client(PONG, "fragment1"), client(FIN, "fragment2")],
        &[PROTOCOL_ERROR],
    );

    let parts: [&[u8]; 2] = [b"fragment1", b"fragment2"];
    let whole = Text(parts.concat());
    case(
        "5.3 to 5.5",
        &fragments(TEXT, &parts),
        std::slice::from_ref(&whole),
    );

    let ping = client(FIN | PING, "ping");
    let [first, last] = fragments(TEXT, &parts).try_into().unwrap();
    let pong = Pong(b"ping".into());
    case(
        "5.6 to 5.8",
        &[first.clone(), ping.clone(), last],
        &[pong.clone(), whole.clone()],
    );

    for continuation in [CONTINUATION, FIN | CONTINUATION] {
        let stray = client(continuation, "non-continuation payload");
        let next = client(FIN | TEXT, "Hello, world!");
        case(
            "5.9 to 5.14",
            &[stray.clone(), next.clone()],
            &[PROTOCOL_ERROR],
        );
        let mut wire = fragments(TEXT, &parts);
        wire.extend([stray, next]);
        case("5.15 to 5.17", &wire, &[whole.clone(), PROTOCOL_ERROR]);
    }
    for second in [TEXT, BINARY] {
        let wire = [first.clone(), client(FIN | second, "fragment2")];
        case("5.18", &wire, &[PROTOCOL_ERROR]);
    }

    let parts: [&[u8]; 5] = [
        b"fragment1",
        b"fragment2",
        b"fragment3",
        b"fragment4",
        b"fragment5",
    ];
    let mut wire = fragments(TEXT, &parts);
    wire.insert(2, client(FIN | PING, "pongme 1!"));
    wire.insert(5, client(FIN | PING, "pongme 2!"));
    wire.extend([client(FIN | PING, "pongme 3!"), close(1000, "")]);
    let expected = [
        Pong(b"pongme 1!".into()),
        Pong(b"pongme 2!".into()),
        Text(parts.concat()),
        Pong(b"pongme 3!".into()),
        Close(Some(1000)),
    ];
    case("5.19, 5.20", &wire, &expected);
}

/// Sections 6.5 to 6.23: boundaries, noncharacters, the edges of what is allowed.
const VALID: &[&[u8]] = &[
    b"",
    b"\0",
    b"\x7F",
    "κόσμε".as_bytes(),
    "Hello-µ@ßöäüàá-UTF-8!!".as_bytes(),
    b"\xC2\x80",
    b"\xDF\xBF",
    b"\xE0\xA0\x80",
    b"\xED\x9F\xBF",
    b"\xEE\x80\x80",
    b"\xEF\xBF\xBD",
    b"\xEF\xBF\xBE",
    b"\xEF\xBF\xBF",
    b"\xF0\x90\x80\x80",
    b"\xF0\x9F\xBF\xBE",
    b"\xF4\x8F\xBF\xBF",
];

/// Sections 6.3, 6.6 and 6.8 to 6.20.
const INVALID: &[&[u8]] = &[
    // Bytes of a continuation with nothing to continue.
    b"\x80",
    b"\xBF",
    b"\x80\xBF\x80\xBF",
    // First bytes with nothing after them.
    b"\xC0 \xC1 \xDF ",
    b"\xE0 \xEF ",
    b"\xF0 \xF7 ",
    // Characters that end early.
    b"\xC0",
    b"\xCE",
    b"\xE0\x80",
    b"\xEF\xBF",
    b"\xF0\x90\x80",
    b"\xF7\xBF\xBF",
    b"\xF8\x80\x80\x80",
    // Bytes that UTF-8 never uses.
    b"\xFE",
    b"\xFF",
    b"\xFE\xFE\xFF\xFF",
    // Characters in more bytes than they need.
    b"\xC0\xAF",
    b"\xE0\x80\xAF",
    b"\xF0\x80\x80\xAF",
    b"\xF8\x80\x80\x80\xAF",
    b"\xC1\xBF",
    b"\xE0\x9F\xBF",
    b"\xF0\x8F\xBF\xBF",
    b"\xC0\x80",
    // Halves of surrogate pairs, and pairs.
    b"\xED\xA0\x80",
    b"\xED\xAF\xBF",
    b"\xED\xBF\xBF",
    b"\xED\xA0\x80\xED\xB0\x80",
    // Past U+10FFFF.
    b"\xF4\x90\x80\x80",
    b"\xF8\x88\x80\x80\x80",
    b"\xFC\x84\x80\x80\x80\x80",
];

#[test]
fn section_6_valid_text_comes_back_however_it_is_fragmented() {
    case("6.1.1", &[client(FIN | TEXT, "")], &[Text(Vec::new())]);
    case(
        "6.1.2",
        &fragments(TEXT, &[b"", b"", b""]),
        &[Text(Vec::new())],
    );
    case(
        "6.1.3",
        &fragments(TEXT, &[b"", b"middle", b""]),
        &[Text(b"middle".into())],
    );
    for text in VALID {
        case(
            "6.2, 6.5",
            &[client(FIN | TEXT, text)],
            &[Text(text.to_vec())],
        );
        let octets: Vec<&[u8]> = text.chunks(1).collect();
        if !octets.is_empty() {
            case(
                "6.2, by octet",
                &fragments(TEXT, &octets),
                &[Text(text.to_vec())],
            );
        }
    }
}

#[test]
fn section_6_invalid_text_ends_the_connection() {
    for text in INVALID {
        case("6.3, 6.6 to 6.20", &[client(FIN | TEXT, text)], &[NOT_UTF8]);
        let octets: Vec<&[u8]> = text.chunks(1).collect();
        case("by octet", &fragments(TEXT, &octets), &[NOT_UTF8]);
        let between = [b"before ", *text, b" after"].concat();
        case("in a text", &[client(FIN | TEXT, between)], &[NOT_UTF8]);
    }
    // A text may stop inside a character when more of the message is to come, not at its end.
    let whole = "κόσμε".as_bytes();
    for end in 1..whole.len() {
        let prefix = &whole[..end];
        let expected = match std::str::from_utf8(prefix) {
            Ok(_) => Text(prefix.to_vec()),
            Err(_) => NOT_UTF8,
        };
        case("6.6", &[client(FIN | TEXT, prefix)], &[expected]);
    }
}

#[test]
fn section_6_invalid_text_is_found_before_its_message_ends() {
    let valid = b"\xCE\xBA\xE1\xBD\xB9\xCF\x83\xCE\xBC\xCE\xB5";
    let parts = [client(TEXT, valid), client(CONTINUATION, b"\xF4\x90")];
    case("6.4.1, 6.4.2", &parts, &[NOT_UTF8]);
    // A frame that has not come whole: its first bytes are enough.
    let mut cut_short = client(FIN | TEXT, [valid, &b"\xF4\x90\x80\x80edited"[..]].concat());
    cut_short.truncate(cut_short.len() - 6);
    case("6.4.3, 6.4.4", &[cut_short], &[NOT_UTF8]);
}

#[test]
fn section_6_binary_messages_are_not_text() {
    for bytes in INVALID {
        case(
            "binary",
            &[client(FIN | BINARY, bytes)],
            &[Binary(bytes.to_vec())],
        );
    }
}

#[test]
fn section_7_after_a_close_nothing_counts() {
    let hello = client(FIN | TEXT, "Hello World!");
    let normal = Close(Some(1000));
    let echo = Text(b"Hello World!".into());
    case(
        "7.1.1",
        &[hello.clone(), close(1000, "")],
        &[echo, normal.clone()],
    );
    case(
        "7.1.2",
        &[close(1000, ""), close(1000, "")],
        std::slice::from_ref(&normal),
    );
    let ping = client(FIN | PING, "");
    case(
        "7.1.3",
        &[close(1000, ""), ping],
        std::slice::from_ref(&normal),
    );
    case(
        "7.1.4",
        &[close(1000, ""), hello],
        std::slice::from_ref(&normal),
    );
    let [first, last] = fragments(TEXT, &[b"fragment1", b"fragment2"])
        .try_into()
        .unwrap();
    case(
        "7.1.5",
        &[first, close(1000, ""), last],
        std::slice::from_ref(&normal),
    );
    let long = vec![b'*'; 256 * 1024];
    let wire = [
        client(FIN | TEXT, &long),
        close(1000, ""),
        client(FIN | PING, ""),
    ];
    case("7.1.6", &wire, &[Text(long), normal]);
}

#[test]
fn section_7_the_payload_of_a_close_is_checked() {
    case("7.3.1", &[client(FIN | CLOSE, "")], &[Close(None)]);
    case("7.3.2", &[client(FIN | CLOSE, "a")], &[PROTOCOL_ERROR]);
    case("7.3.3", &[close(1000, "")], &[Close(Some(1000))]);
    case(
        "7.3.4",
        &[close(1000, "Hello World!")],
        &[Close(Some(1000))],
    );
    case("7.3.5", &[close(1000, [b'*'; 123])], &[Close(Some(1000))]);
    case("7.3.6", &[close(1000, [b'*'; 124])], &[PROTOCOL_ERROR]);
    for reason in INVALID {
        case("7.5.1", &[close(1000, reason)], &[NOT_UTF8]);
    }
}

#[test]
fn section_7_close_codes_are_checked() {
    let valid = [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000,
        4999,
    ];
    for code in valid {
        case("7.7", &[close(code, "")], &[Close(Some(code))]);
    }
    let invalid = [
        0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 32_768, 65_535,
    ];
    for code in invalid {
        case("7.9, 7.13", &[close(code, "")], &[PROTOCOL_ERROR]);
        case("7.9, 7.13", &[close(code, "reason")], &[PROTOCOL_ERROR]);
    }
}

#[test]
fn section_9_and_10_long_messages_come_back_however_they_are_fragmented() {
    let text = vec![b'*'; 128 * 1024];
    let bytes: Vec<u8> = (0..128 * 1024u32).map(|i| (i % 251) as u8).collect();
    for len in [64, 256, 1_024, 1_300, 4_096, 65_536] {
        let parts: Vec<&[u8]> = text.chunks(len).collect();
        case(
            "9.3, 10.1.1",
            &fragments(TEXT, &parts),
            &[Text(text.clone())],
        );
        let parts: Vec<&[u8]> = bytes.chunks(len).collect();
        case("9.4", &fragments(BINARY, &parts), &[Binary(bytes.clone())]);
    }
    // Many small messages, 9.7 and 9.8.
    let wire: Vec<_> = (0..1_000)
        .map(|_| client(FIN | BINARY, &bytes[..64]))
        .collect();
    case("9.8", &wire, &vec![Binary(bytes[..64].to_vec()); 1_000]);
}

#[test]
fn a_message_past_the_limit_ends_the_connection_at_its_head() {
    let mut first_half = client(BINARY, vec![0; 1 << 23]);
    first_half.extend(client(FIN | CONTINUATION, vec![0; (1 << 23) + 1]));
    let head_only = first_half.len() - (1 << 23) - 1;
    first_half.truncate(head_only);
    assert_eq!(echo(&[&first_half]), [Close(Some(1009))]);
}
