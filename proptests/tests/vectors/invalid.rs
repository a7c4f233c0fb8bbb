//! spec/vectors/invalid.json: what a peer must not send, and the error that each must give.

use std::sync::Arc;

use adit_core::{
    BODY_MAX, CarrierFacts, ClientHandshake, ClientHello, ClientId, Code, Config, Endpoint, Frame,
    HandshakeError, Instance, Instant, PAYLOAD_MAX, ServerFacts, ServerHello, Token, TunnelName,
    flags, kind,
};
use serde_json::{Value, json};

use crate::{compare, hex, read, recorded, unhex};

const ABOUT: &str = "Invalid inputs. `to` says who gets `input`: `any` receiver; a `server` that has sent SERVER_HELLO; a \
    `client` that has sent nothing; a `client without TLS` or with an `unchecked certificate`, likewise; a `greeted \
    client` without TLS that has answered a SERVER_HELLO. `error` is the code that the sender gets, or the name of the \
    client's own failure (chapter 4), of which the sender hears nothing.";

const NOW: Instant = Instant::ORIGIN;

struct Case {
    name: &'static str,
    to: &'static str,
    input: Vec<u8>,
    error: &'static str,
}

fn case(name: &'static str, to: &'static str, input: Vec<u8>, error: &'static str) -> Case {
    Case {
        name,
        to,
        input,
        error,
    }
}

fn hello(lowest: u64, highest: u64, flags: u64) -> Vec<u8> {
    Frame::ServerHello(ServerHello {
        lowest,
        highest,
        nonce: [0xa1; 32],
        flags,
        software: None,
        name: None,
    })
    .encoding()
}

/// A frame of `kind` with `body`, which must be shorter than 64 bytes.
fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    let len = u8::try_from(body.len()).expect("short");
    assert!(len < 64);
    [&[kind, len], body].concat()
}

/// A varint of four bytes.
fn long(value: u64) -> [u8; 4] {
    (u32::try_from(value).expect("30 bits") | 0x8000_0000).to_be_bytes()
}

/// AUTH as far as its client id, with this tunnel, and what follows cut off.
fn auth_front(version: u8, tunnel: &[u8], client_id: &[u8]) -> Vec<u8> {
    let len = |name: &[u8]| u8::try_from(name.len()).expect("short");
    let mut body = vec![version];
    body.extend_from_slice(&[0xa2; 32]);
    for name in [tunnel, client_id] {
        body.push(len(name));
        body.extend_from_slice(name);
    }
    frame(kind::AUTH, &body)
}

fn heads() -> Vec<Case> {
    let head = |kind, rest: &[u8]| [&[kind], rest].concat();
    let body = long(BODY_MAX + 1);
    vec![
        case(
            "a length in a longer form",
            "any",
            vec![kind::ACK, 0x40, 0x01, 0x00],
            "MALFORMED",
        ),
        case(
            "a stream id in a longer form",
            "any",
            vec![kind::DATA, 0x40, 0x01, 0x00],
            "MALFORMED",
        ),
        case(
            "a body of 16,385 bytes",
            "any",
            head(kind::PING, &body),
            "FRAME_TOO_LARGE",
        ),
        case(
            "a skippable body of 16,385 bytes",
            "any",
            head(0x99, &body),
            "FRAME_TOO_LARGE",
        ),
        case(
            "a payload of 65,537 bytes",
            "any",
            [&[kind::DATA, 0x00], &long(PAYLOAD_MAX + 1)[..]].concat(),
            "FRAME_TOO_LARGE",
        ),
        case("type 0x00", "any", vec![0x00, 0x00], "UNKNOWN_FRAME"),
        case(
            "an unknown type that counts nothing",
            "any",
            vec![0x3f, 0x00],
            "UNKNOWN_FRAME",
        ),
        case(
            "an unknown type that counts 1",
            "any",
            vec![0x7f, 0x00],
            "UNKNOWN_FRAME",
        ),
        case(
            "an unknown type with payload",
            "any",
            vec![0xff, 0x00, 0x00],
            "UNKNOWN_FRAME",
        ),
    ]
}

fn bodies() -> Vec<Case> {
    let malformed = |name, kind, body: &[u8]| case(name, "any", frame(kind, body), "MALFORMED");
    vec![
        malformed("a body that ends inside a number", kind::ACK, &[0x40]),
        malformed("a body that lacks its last field", kind::CREDIT, &[0x07]),
        malformed("a body with a byte left", kind::ACK, &[0x05, 0x00]),
        malformed("a number in a longer form", kind::ACK, &[0x40, 0x05]),
        malformed("a PING of seven bytes", kind::PING, b"1234567"),
        malformed("a PING of nine bytes", kind::PING, b"123456789"),
        malformed(
            "a blob longer than its frame",
            kind::CLOSE,
            &[0x00, 0x05, 0x01],
        ),
        malformed(
            "attribute keys that fall",
            kind::CLOSE,
            &[0x00, 0x04, 0x05, 0x00, 0x03, 0x00],
        ),
        malformed(
            "an attribute key twice",
            kind::CLOSE,
            &[0x00, 0x04, 0x05, 0x00, 0x05, 0x00],
        ),
        malformed(
            "an attribute that is cut",
            kind::CLOSE,
            &[0x00, 0x02, 0x05, 0x01],
        ),
        malformed(
            "a text that is not UTF-8",
            kind::CLOSE,
            &[0x00, 0x04, 0x01, 0x02, 0xc3, 0x28],
        ),
        malformed(
            "two services with one id",
            kind::OFFER,
            &[0x00, 0x02, 0x07, 0x00, 0x00, 0x00, 0x07, 0x00, 0x00, 0x00],
        ),
        malformed(
            "fewer services than the count says",
            kind::OFFER,
            &[0x00, 0x01],
        ),
        malformed(
            "more services than a frame may have",
            kind::OFFER,
            &[0x00, 0x44, 0x01],
        ),
        malformed("a REAUTH without its proof", kind::REAUTH, &[0xab; 32]),
    ]
}

fn to_servers() -> Vec<Case> {
    let to = |name, input, error| case(name, "server", input, error);
    vec![
        to("HTTP", b"GET / HTTP/1.1\r\n\r\n".to_vec(), "UNKNOWN_FRAME"),
        to(
            "a TLS record",
            vec![0x16, 0x03, 0x01, 0x02, 0x00],
            "UNKNOWN_FRAME",
        ),
        to(
            "a PING before AUTH",
            frame(kind::PING, b"12345678"),
            "UNEXPECTED_FRAME",
        ),
        to(
            "payload before AUTH",
            vec![kind::DATA, 0x00, 0x01, b'x'],
            "UNEXPECTED_FRAME",
        ),
        to("a server's hello", hello(1, 1, 0), "UNEXPECTED_FRAME"),
        to(
            "a version that was not offered",
            auth_front(2, b"orion", b"host"),
            "VERSION",
        ),
        to(
            "a RESUME of another version",
            frame(kind::RESUME, &[0x00]),
            "VERSION",
        ),
        to(
            "a tunnel without a name",
            auth_front(1, b"", b"host"),
            "MALFORMED",
        ),
        to(
            "a tunnel's name with a blank",
            auth_front(1, b"o rion", b"host"),
            "MALFORMED",
        ),
        to(
            "a client id with a slash",
            auth_front(1, b"orion", b"ho/st"),
            "MALFORMED",
        ),
        to(
            "an AUTH that is cut",
            auth_front(1, b"orion", b"host"),
            "MALFORMED",
        ),
    ]
}

fn to_clients() -> Vec<Case> {
    let both = flags::TLS_HERE | flags::BINDING;
    let mut bad_magic = hello(1, 1, 0);
    bad_magic[2] = b'A';
    let early = || frame(kind::PING, b"12345678");
    let plain = "client without TLS";
    let greeted = "greeted client";
    vec![
        case(
            "HTTP",
            "client",
            b"HTTP/1.1 404 Not Found\r\n".to_vec(),
            "NOT_ADIT",
        ),
        case("a hello without the magic", "client", bad_magic, "NOT_ADIT"),
        case(
            "a range that ends before it begins",
            "client",
            hello(2, 1, 0),
            "MALFORMED",
        ),
        case(
            "only later versions",
            "client",
            hello(2, 9, 0),
            "VERSION_MISMATCH",
        ),
        case(
            "only earlier versions",
            "client",
            hello(0, 0, 0),
            "VERSION_MISMATCH",
        ),
        case(
            "a binding that can't be",
            plain,
            hello(1, 1, both),
            "BINDING_IMPOSSIBLE",
        ),
        case(
            "no binding, where nobody can check the certificate",
            "unchecked certificate",
            hello(1, 1, flags::TLS_HERE),
            "CERTIFICATE_UNCHECKED",
        ),
        case(
            "a second hello",
            greeted,
            hello(1, 1, 0),
            "UNEXPECTED_FRAME",
        ),
        case(
            "a PING before WELCOME",
            greeted,
            early(),
            "UNEXPECTED_FRAME",
        ),
        case(
            "a RESUMED that nobody asked for",
            greeted,
            frame(kind::RESUMED, &[0; 36]),
            "UNEXPECTED_FRAME",
        ),
        case(
            "an empty WELCOME",
            greeted,
            frame(kind::WELCOME, &[]),
            "MALFORMED",
        ),
    ]
}

fn fresh() -> Vec<Case> {
    [heads(), bodies(), to_servers(), to_clients()]
        .into_iter()
        .flatten()
        .collect()
}

#[test]
fn the_file_says_what_the_code_makes() {
    let one = |case: &Case| {
        let Case {
            name, to, error, ..
        } = case;
        json!({ "name": name, "to": to, "input": hex(&case.input), "error": error })
    };
    let vectors: Vec<Value> = fresh().iter().map(one).collect();
    compare("invalid.json", ABOUT, &vectors);
}

#[test]
fn every_recorded_input_gives_its_error() {
    for vector in recorded("invalid.json") {
        let input = unhex(&vector["input"]);
        let error = match vector["to"].as_str().expect("text") {
            "any" => read(&input).err().map_or("none", |error| name(error.code)),
            "server" => server_says(input),
            "client" => client_says(true, true, None, input),
            "client without TLS" => client_says(false, false, None, input),
            "unchecked certificate" => client_says(true, false, None, input),
            "greeted client" => client_says(false, false, Some(hello(1, 1, 0)), input),
            other => panic!("nobody is called {other}"),
        };
        assert_eq!(error, vector["error"], "{}", vector["name"]);
    }
}

fn name(code: Code) -> &'static str {
    code.name().expect("a code of this version")
}

fn server_says(input: Vec<u8>) -> &'static str {
    let mut endpoint = Endpoint::new(Arc::default(), [1; 32]);
    let facts = ServerFacts {
        exporter: None,
        tls_here: false,
        binding: false,
        server_name: String::new(),
        software: String::new(),
    };
    let mut server = endpoint.accept(NOW, facts).expect("room");
    let _hello = server.poll_transmit(NOW, 1_000);
    let result = server.handle_input(NOW, input.into());
    let _event = server.poll_event();
    let sent = server.poll_transmit(NOW, 1_000).expect("an answer");
    let answer = read(&[sent.head(), sent.payload()].concat()).expect("a frame");
    match (result, answer) {
        (Ok(()), Some(Frame::Refuse { code, .. })) => name(code),
        (Err(HandshakeError::Protocol(error)), Some(Frame::Close { code, .. })) => {
            assert_eq!(code, error.code);
            name(code)
        }
        other => panic!("{other:?}"),
    }
}

fn client_says(
    tls: bool,
    certificate_checked: bool,
    hello: Option<Vec<u8>>,
    input: Vec<u8>,
) -> &'static str {
    let token = Token::new(b"a token of some length").expect("long enough");
    let wishes = ClientHello {
        tunnel: TunnelName::new("orion").expect("a name"),
        client_id: ClientId::new("host").expect("a name"),
        instance: Instance([1; 16]),
        services: Vec::new(),
        labels: Vec::new(),
        software: String::new(),
    };
    let facts = CarrierFacts {
        exporter: tls.then_some([0xe4; 32]),
        tls,
        certificate_checked,
    };
    let config: Arc<Config> = Arc::default();
    let mut client = ClientHandshake::new(config, &token, wishes, facts, [1; 32], NOW);
    if let Some(hello) = hello {
        client
            .handle_input(NOW, hello.into())
            .expect("a good hello");
        let _auth = client.poll_transmit(NOW, 1_000);
    }
    let error = client
        .handle_input(NOW, input.into())
        .expect_err("an error");
    let sent = client.poll_transmit(NOW, 1_000);
    match error {
        HandshakeError::Protocol(error) => {
            assert!(sent.is_some());
            return name(error.code);
        }
        // What is not Adit may get a CLOSE that it won't understand.
        HandshakeError::NotAdit => return "NOT_ADIT",
        _ => assert!(sent.is_none()),
    }
    match error {
        HandshakeError::VersionMismatch { .. } => "VERSION_MISMATCH",
        HandshakeError::BindingImpossible => "BINDING_IMPOSSIBLE",
        HandshakeError::CertificateUnchecked => "CERTIFICATE_UNCHECKED",
        other => panic!("{other:?}"),
    }
}
