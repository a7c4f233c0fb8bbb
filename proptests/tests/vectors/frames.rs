//! spec/vectors/frames.json: every frame type, its fields and its bytes.

use adit_core::{
    Auth, ClientId, Code, Decoder, Frame, Grant, Instance, Limits, Open, Piece, Resume, Resumed,
    ServerHello, Service, ServiceId, ServiceKind, SessionId, StreamId, TunnelName, VARINT_MAX,
    Welcome, features, flags, kind,
};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::{compare, fields, hex, recorded, unhex};

const ABOUT: &str = "Every frame type of chapter 3. `encoding` is the whole frame in hex, `fields` what it says: bytes \
    as hex, numbers of 2^53 and more as text, an attribute that is absent as null. Each is read to its fields, and \
    written back to the same bytes.";

const NUMBERS: Limits = Limits {
    stream_credit: 8_192,
    session_credit: 134_217_728,
    streams: 8_192,
    replay: 0,
};

/// The stream with this id: ids are made by sessions, or read.
fn stream(id: u8) -> StreamId {
    match Frame::parse(kind::FIN, vec![id].into()) {
        Ok(Frame::Fin { stream }) => stream,
        other => panic!("{id} takes one byte: {other:?}"),
    }
}

fn text(text: &str) -> Option<String> {
    Some(text.into())
}

fn service(id: u64, kind: ServiceKind, address: &str) -> Service {
    let (id, address) = (ServiceId(id), address.into());
    Service { id, kind, address }
}

fn services() -> Vec<Service> {
    vec![
        service(0, ServiceKind::Tcp, "9090"),
        service(1, ServiceKind::Udp, "127.0.0.1:5353"),
        service(900, ServiceKind::Http, "orion.example.com"),
        service(70_000, ServiceKind::Other(77), ""),
    ]
}

fn grants() -> Vec<Grant> {
    let grant = |id, result| Grant {
        id: ServiceId(id),
        result,
    };
    vec![
        grant(0, Ok("127.0.0.1:9090".into())),
        grant(1, Err(Code::UNSUPPORTED)),
        grant(900, Err(Code(VARINT_MAX))),
    ]
}

fn handshake() -> Vec<(&'static str, Frame)> {
    let hello = ServerHello {
        lowest: 1,
        highest: 1,
        nonce: [0xa1; 32],
        flags: flags::TLS_HERE | flags::BINDING,
        software: text("adit-server 0.1.0"),
        name: text("server-0"),
    };
    let bare_hello = ServerHello {
        lowest: 0,
        highest: VARINT_MAX,
        flags: 0,
        software: None,
        name: None,
        ..hello.clone()
    };
    let auth = Auth {
        version: 1,
        nonce: [0xa2; 32],
        tunnel: TunnelName::new("orion-aws").expect("a name"),
        client_id: ClientId::new("host-1:9").expect("a name"),
        instance: Instance([0xa3; 16]),
        features: features::RESUMPTION | features::DATAGRAM,
        binding: Some([0xa4; 32]),
        limits: NUMBERS,
        resume_window_ms: 60_000,
        services: services(),
        software: text("adit-client 0.1.0"),
        labels: vec![
            ("region".into(), "eu-1".into()),
            ("é".into(), String::new()),
        ],
        proof: [0xa5; 32],
    };
    let bare_auth = Auth {
        features: 0,
        binding: None,
        resume_window_ms: 0,
        services: Vec::new(),
        software: None,
        labels: Vec::new(),
        ..auth.clone()
    };
    let welcome = Welcome {
        session: SessionId([0xa6; 16]),
        epoch: 0,
        features: 0,
        limits: NUMBERS,
        resume_window_ms: 0,
        grants: grants(),
        others: vec!["b.example.com:443".into(), "c.example.com:443".into()],
        proof: [0xa7; 32],
    };
    let bare_welcome = Welcome {
        grants: Vec::new(),
        others: Vec::new(),
        ..welcome.clone()
    };
    let resume = Resume {
        version: 1,
        session: SessionId([0xa6; 16]),
        nonce: [0xa8; 32],
        epoch: 3,
        received: 1_000_000,
        oldest: 16_384,
        binding: Some([0xa4; 32]),
        proof: [0xa9; 32],
    };
    let resumed = Resumed {
        epoch: 3,
        received: 16_400,
        oldest: 999_999,
        proof: [0xaa; 32],
    };
    vec![
        ("with all attributes", Frame::ServerHello(hello)),
        ("the widest range", Frame::ServerHello(bare_hello)),
        ("with everything", Frame::Auth(auth)),
        ("with nothing", Frame::Auth(bare_auth)),
        ("with grants", Frame::Welcome(welcome)),
        ("without grants", Frame::Welcome(bare_welcome)),
        ("bound", Frame::Resume(resume.clone())),
        (
            "unbound",
            Frame::Resume(Resume {
                binding: None,
                ..resume
            }),
        ),
        ("", Frame::Resumed(resumed)),
    ]
}

fn open() -> Vec<(&'static str, Frame)> {
    let whole = Open {
        kind: ServiceKind::Tcp,
        service: ServiceId(900),
        visitor: text("192.0.2.7:50123"),
        dialled: text("[2001:db8::1]:9090"),
    };
    let bare = Open {
        kind: ServiceKind::Other(3),
        service: ServiceId(0),
        visitor: None,
        dialled: None,
    };
    let (others, offset, credit) = (Vec::new(), 1 << 30, 262_144);
    vec![
        (
            "",
            Frame::Refuse {
                code: Code::BUSY,
                retry_after_ms: 3_000,
                detail: text("try later"),
            },
        ),
        (
            "",
            Frame::Close {
                code: Code::DONE,
                detail: None,
            },
        ),
        (
            "with a detail",
            Frame::Close {
                code: Code::STREAM_STATE,
                detail: text("a second FIN"),
            },
        ),
        (
            "",
            Frame::GoAway {
                retry_after_ms: 0,
                others,
            },
        ),
        (
            "to other servers",
            Frame::GoAway {
                retry_after_ms: 500,
                others: vec!["b.example.com:443".into()],
            },
        ),
        ("the first", Frame::Ack { position: 0 }),
        (
            "the last",
            Frame::Ack {
                position: VARINT_MAX,
            },
        ),
        (
            "",
            Frame::Credit {
                stream: stream(7),
                offset,
            },
        ),
        (
            "",
            Frame::CreditReturn {
                stream: stream(7),
                seen: offset,
                offset: 8_192,
            },
        ),
        ("", Frame::SessionCredit { offset }),
        ("", Frame::Ping(*b"12345678")),
        ("", Frame::Pong(*b"12345678")),
        (
            "with both addresses",
            Frame::Open {
                stream: stream(1),
                credit,
                open: whole,
            },
        ),
        (
            "of a kind to come",
            Frame::Open {
                stream: stream(62),
                credit: 0,
                open: bare,
            },
        ),
        ("", Frame::Fin { stream: stream(1) }),
        (
            "",
            Frame::Reset {
                stream: stream(1),
                code: Code::DIAL_REFUSED,
            },
        ),
    ]
}

fn reserved() -> Vec<(&'static str, Frame)> {
    let (nonce, proof) = ([0xab; 32], [0xac; 32]);
    let payload = Bytes::from_static(b"datagram");
    vec![
        (
            "",
            Frame::Offer {
                offer: 5,
                services: services(),
            },
        ),
        (
            "",
            Frame::Offered {
                offer: 5,
                grants: grants(),
            },
        ),
        (
            "",
            Frame::Withdraw {
                service: ServiceId(900),
            },
        ),
        (
            "",
            Frame::Grant {
                limits: NUMBERS,
                grants: grants(),
            },
        ),
        ("", Frame::Challenge { nonce }),
        ("", Frame::Reauth { nonce, proof }),
        ("", Frame::Datagram { flow: 9, payload }),
    ]
}

fn fresh() -> Vec<Value> {
    let all = [handshake(), open(), reserved()];
    let mut vectors: Vec<_> = all
        .iter()
        .flatten()
        .map(|(what, frame)| {
            let (frame_name, fields) = fields::of(frame);
            let name = [frame_name, what].join(" ").trim().to_owned();
            json!({ "name": name, "frame": frame_name, "fields": fields, "encoding": hex(&frame.encoding()) })
        })
        .collect();
    for (name, id, payload) in [
        ("DATA", 1, "GET / HTTP/1.1\r\n"),
        ("DATA without payload", 0, ""),
    ] {
        let mut encoding = vec![kind::DATA, id, u8::try_from(payload.len()).expect("short")];
        encoding.extend_from_slice(payload.as_bytes());
        vectors.push(json!({
            "name": name,
            "frame": "DATA",
            "fields": { "stream id": id, "payload": hex(payload.as_bytes()) },
            "encoding": hex(&encoding),
        }));
    }
    vectors
}

#[test]
fn the_file_says_what_the_code_makes() {
    compare("frames.json", ABOUT, &fresh());
}

#[test]
fn every_recorded_frame_is_read_to_its_fields_and_written_back() {
    for vector in recorded("frames.json") {
        let encoding = unhex(&vector["encoding"]);
        match vector["frame"].as_str() {
            Some("DATA") => {
                let mut input = Bytes::from(encoding);
                let piece = Decoder::default().decode(&mut input).expect("a frame");
                let Some(Piece::Payload { stream, chunk }) = piece else {
                    panic!("no payload: {piece:?}");
                };
                let fields = json!({ "stream id": stream.as_u64(), "payload": hex(&chunk) });
                assert_eq!(fields, vector["fields"]);
            }
            // Decoders skip it; it is read from its body.
            Some("DATAGRAM") => {
                let frame = Frame::parse(kind::DATAGRAM, encoding[2..].to_vec().into());
                check(&frame.expect("a body"), &vector);
            }
            _ => {
                let frame = crate::read(&encoding).expect("a frame").expect("a body");
                check(&frame, &vector);
            }
        }
    }
}

fn check(frame: &Frame, vector: &Value) {
    let (name, fields) = fields::of(frame);
    assert_eq!(
        (name, &fields),
        (
            vector["frame"].as_str().unwrap_or_default(),
            &vector["fields"]
        )
    );
    assert_eq!(hex(&frame.encoding()), vector["encoding"], "{name}");
}

#[test]
fn every_type_of_the_protocol_has_a_vector() {
    let vectors = recorded("frames.json");
    let recorded: std::collections::BTreeSet<_> = vectors
        .iter()
        .map(|vector| unhex(&vector["encoding"])[0])
        .collect();
    // The types stand in the specification's table.
    let chapter = include_str!("../../../spec/03-frames.md");
    let row = |line: &str| u8::from_str_radix(line.strip_prefix("| 0x")?.get(..2)?, 16).ok();
    let rows = chapter.lines().filter(|line| !line.contains(" to "));
    let specified: std::collections::BTreeSet<_> = rows.filter_map(row).collect();
    assert!(specified.len() > 20);
    assert_eq!(recorded, specified);
}
