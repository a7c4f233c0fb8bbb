//! Every frame comes back from its bytes, however they are cut; and no bytes make the decoder panic or keep more than one body.

use adit_core::{
    Auth, BODY_MAX, ClientId, Code, Decoder, Frame, Grant, Instance, Limits, Open, PAYLOAD_MAX,
    Piece, ProtocolError, Resume, Resumed, ServerHello, Service, ServiceId, ServiceKind, SessionId,
    TunnelName, VARINT_MAX, Welcome, kind,
};
use adit_proptests::wire::varint;
use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..=VARINT_MAX,
        0..300u64,
        Just(VARINT_MAX),
        0x3ff0..0x4010u64
    ]
}

fn short() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9:. é]{0,30}"
}

fn service_kind() -> impl Strategy<Value = ServiceKind> {
    prop_oneof![
        Just(ServiceKind::Tcp),
        Just(ServiceKind::Udp),
        Just(ServiceKind::Http),
        (3..VARINT_MAX).prop_map(ServiceKind::Other),
    ]
}

fn services() -> impl Strategy<Value = Vec<Service>> {
    vec((service_kind(), short()), 0..5).prop_map(|list| {
        let number = |(id, (kind, address))| Service {
            id: ServiceId(id),
            kind,
            address,
        };
        (0..).zip(list).map(number).collect()
    })
}

fn grants() -> impl Strategy<Value = Vec<Grant>> {
    let result = prop_oneof![
        short().prop_map(Ok),
        (1..VARINT_MAX).prop_map(|code| Err(Code(code))),
    ];
    vec((number(), result), 0..5).prop_map(|list| {
        list.into_iter()
            .map(|(id, result)| Grant {
                id: ServiceId(id),
                result,
            })
            .collect()
    })
}

fn limits() -> impl Strategy<Value = Limits> {
    (number(), number(), number(), number()).prop_map(
        |(stream_credit, session_credit, streams, replay)| Limits {
            stream_credit,
            session_credit,
            streams,
            replay,
        },
    )
}

fn handshake_frame() -> impl Strategy<Value = Frame> {
    let hello = (
        number(),
        number(),
        any::<[u8; 32]>(),
        number(),
        option::of(short()),
        option::of(short()),
    )
        .prop_map(|(lowest, highest, nonce, flags, software, name)| {
            Frame::ServerHello(ServerHello {
                lowest,
                highest,
                nonce,
                flags,
                software,
                name,
            })
        });
    let auth = (
        (
            number(),
            any::<[u8; 32]>(),
            "[a-z0-9._-]{1,64}",
            "[a-z0-9._:-]{1,128}",
            any::<[u8; 16]>(),
        ),
        (
            number(),
            option::of(any::<[u8; 32]>()),
            limits(),
            number(),
            services(),
        ),
        (
            option::of(short()),
            vec((short(), short()), 0..3),
            any::<[u8; 32]>(),
        ),
    )
        .prop_map(|(who, what, rest)| {
            Frame::Auth(Auth {
                version: who.0,
                nonce: who.1,
                tunnel: TunnelName::new(&who.2).expect("made of its alphabet"),
                client_id: ClientId::new(&who.3).expect("made of its alphabet"),
                instance: Instance(who.4),
                features: what.0,
                binding: what.1,
                limits: what.2,
                resume_window_ms: what.3,
                services: what.4,
                software: rest.0,
                labels: rest.1,
                proof: rest.2,
            })
        });
    let welcome = (
        (any::<[u8; 16]>(), number(), number(), limits(), number()),
        (grants(), vec(short(), 0..3), any::<[u8; 32]>()),
    )
        .prop_map(
            |((session, epoch, features, limits, resume_window_ms), rest)| {
                Frame::Welcome(Welcome {
                    session: SessionId(session),
                    epoch,
                    features,
                    limits,
                    resume_window_ms,
                    grants: rest.0,
                    others: rest.1,
                    proof: rest.2,
                })
            },
        );
    let resume = (
        (number(), any::<[u8; 16]>(), any::<[u8; 32]>(), number()),
        (
            number(),
            number(),
            option::of(any::<[u8; 32]>()),
            any::<[u8; 32]>(),
        ),
    )
        .prop_map(
            |((version, session, nonce, epoch), (received, oldest, binding, proof))| {
                let session = SessionId(session);
                Frame::Resume(Resume {
                    version,
                    session,
                    nonce,
                    epoch,
                    received,
                    oldest,
                    binding,
                    proof,
                })
            },
        );
    let resumed = (number(), number(), number(), any::<[u8; 32]>()).prop_map(
        |(epoch, received, oldest, proof)| {
            Frame::Resumed(Resumed {
                epoch,
                received,
                oldest,
                proof,
            })
        },
    );
    prop_oneof![hello, auth, welcome, resume, resumed]
}

/// Frames about streams need ids, and those come only from sessions: these are read from bytes, as a peer's would be.
fn numbered(kind: u8, fields: &[u64], tail: &[u8]) -> Frame {
    let mut body = Vec::new();
    for &field in fields {
        body.extend_from_slice(&varint(field));
    }
    body.extend_from_slice(tail);
    Frame::parse(kind, body.into()).expect("a body as the specification has it")
}

fn session_frame() -> impl Strategy<Value = Frame> {
    let detail = || option::of("[a-z é]{0,100}");
    let one = (number(), number(), number()).prop_flat_map(|(a, b, c)| {
        prop_oneof![
            Just(Frame::Ack { position: a }),
            Just(Frame::SessionCredit { offset: a }),
            Just(Frame::Withdraw {
                service: ServiceId(a)
            }),
            Just(numbered(kind::CREDIT, &[a, b], &[])),
            Just(numbered(kind::CREDIT_RETURN, &[a, b, c], &[])),
            Just(numbered(kind::FIN, &[a], &[])),
            Just(numbered(kind::RESET, &[a, b], &[])),
        ]
    });
    let open = (
        number(),
        service_kind(),
        number(),
        number(),
        option::of(short()),
        option::of(short()),
    )
        .prop_map(|(id, kind, service, credit, visitor, dialled)| {
            let Frame::Open { stream, .. } = numbered(kind::OPEN, &[id, 0, 0, 0], &[0]) else {
                unreachable!("an OPEN was parsed");
            };
            let open = Open {
                kind,
                service: ServiceId(service),
                visitor,
                dialled,
            };
            Frame::Open {
                stream,
                credit,
                open,
            }
        });
    prop_oneof![
        one,
        open,
        any::<[u8; 8]>().prop_map(Frame::Ping),
        any::<[u8; 8]>().prop_map(Frame::Pong),
        (number(), number(), detail()).prop_map(|(code, retry_after_ms, detail)| Frame::Refuse {
            code: Code(code),
            retry_after_ms,
            detail
        }),
        (number(), detail()).prop_map(|(code, detail)| Frame::Close {
            code: Code(code),
            detail
        }),
        (number(), vec(short(), 0..3)).prop_map(|(retry_after_ms, others)| Frame::GoAway {
            retry_after_ms,
            others
        }),
        (number(), services()).prop_map(|(offer, services)| Frame::Offer { offer, services }),
        (number(), grants()).prop_map(|(offer, grants)| Frame::Offered { offer, grants }),
        (limits(), grants()).prop_map(|(limits, grants)| Frame::Grant { limits, grants }),
        any::<[u8; 32]>().prop_map(|nonce| Frame::Challenge { nonce }),
        any::<([u8; 32], [u8; 32])>().prop_map(|(nonce, proof)| Frame::Reauth { nonce, proof }),
    ]
}

fn frame() -> impl Strategy<Value = Frame> {
    prop_oneof![handshake_frame(), session_frame()]
}

/// What a sender puts on the carrier: a frame with a body, payload of a stream, or something to be skipped.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "a handful live at a time")]
enum Sent {
    Frame(Frame),
    Payload(u64, Vec<u8>),
    Skipped(u8, Vec<u8>),
}

impl Sent {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Frame(frame) => frame.encoding(),
            Self::Payload(id, payload) => {
                let len = varint(payload.len() as u64);
                [&[kind::DATA][..], &varint(*id), &len, payload].concat()
            }
            Self::Skipped(kind, body) => [&[*kind][..], &varint(body.len() as u64), body].concat(),
        }
    }
}

fn sent() -> impl Strategy<Value = Sent> {
    prop_oneof![
        frame().prop_map(Sent::Frame),
        (number(), vec(any::<u8>(), 0..200)).prop_map(|(id, bytes)| Sent::Payload(id, bytes)),
        (0x80..=0xbfu8, vec(any::<u8>(), 0..200))
            .prop_map(|(kind, body)| Sent::Skipped(kind, body)),
    ]
}

/// What came out: frames, and payload with neighbouring pieces of one stream joined.
fn decode_all(pieces: impl Iterator<Item = Bytes>) -> Result<Vec<Sent>, ProtocolError> {
    let mut decoder = Decoder::default();
    let mut seen = Vec::new();
    for mut piece in pieces {
        while let Some(decoded) = decoder.decode(&mut piece)? {
            match decoded {
                Piece::Payload { stream, chunk } => match seen.last_mut() {
                    Some(Sent::Payload(id, bytes)) if *id == stream.as_u64() => {
                        bytes.extend_from_slice(&chunk);
                    }
                    _ => seen.push(Sent::Payload(stream.as_u64(), chunk.to_vec())),
                },
                ref body @ Piece::Body { kind, .. } => {
                    seen.push(Sent::Frame(Frame::parse(kind, body.body())?));
                }
            }
        }
        assert!(piece.is_empty(), "the decoder takes all of its input");
    }
    Ok(seen)
}

/// What should come out of what was sent.
fn joined(sent: &[Sent]) -> Vec<Sent> {
    let mut out: Vec<Sent> = Vec::new();
    for sent in sent {
        match (out.last_mut(), sent) {
            (_, Sent::Skipped(..)) => (),
            (Some(Sent::Payload(last, bytes)), Sent::Payload(id, more)) if last == id => {
                bytes.extend_from_slice(more);
            }
            (_, sent) => out.push(sent.clone()),
        }
    }
    out
}

fn assert_same(got: &[Sent], wanted: &[Sent]) {
    assert_eq!(format!("{got:?}"), format!("{wanted:?}"));
}

fn cut(bytes: &[u8], sizes: &[usize]) -> Vec<Bytes> {
    let (mut rest, mut pieces) = (bytes, Vec::new());
    for &size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, after) = rest.split_at(size.min(rest.len()));
        pieces.push(Bytes::copy_from_slice(piece));
        rest = after;
    }
    pieces
}

proptest! {
    #[test]
    fn every_frame_comes_back_from_its_bytes(frame in frame()) {
        let bytes = frame.encoding();
        prop_assume!(bytes.len() as u64 <= BODY_MAX);
        let seen = decode_all([Bytes::from(bytes)].into_iter())?;
        assert_same(&seen, &[Sent::Frame(frame)]);
    }

    //= spec/03-frames.md
    //# A receiver MUST skip a
    //# frame of an unknown type from 0x80 to 0xbf without keeping its body.
    #[test]
    fn any_cutting_of_the_input_gives_the_same_pieces(
        sent in vec(sent(), 1..12),
        sizes in vec(1..60usize, 1..20),
    ) {
        let bytes: Vec<u8> = sent.iter().flat_map(Sent::bytes).collect();
        let wanted = joined(&sent);
        assert_same(&decode_all(cut(&bytes, &sizes).into_iter())?, &wanted);
        assert_same(&decode_all(cut(&bytes, &[1]).into_iter())?, &wanted);
        assert_same(&decode_all([Bytes::from(bytes)].into_iter())?, &wanted);
    }

    #[test]
    fn a_changed_byte_is_an_error_or_another_frame_but_never_a_panic(
        frame in frame(),
        at in any::<prop::sample::Index>(),
        flip in 1..=255u8,
    ) {
        let mut bytes = frame.encoding();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Ok(seen) = decode_all([Bytes::from(bytes)].into_iter())
            && let [Sent::Frame(other)] = &seen[..]
        {
            prop_assert_ne!(other, &frame);
        }
    }

    #[test]
    fn any_bytes_are_frames_or_an_error(bytes in vec(any::<u8>(), 0..600), sizes in vec(1..50usize, 1..9)) {
        let whole = decode_all([Bytes::from(bytes.clone())].into_iter());
        let pieces = decode_all(cut(&bytes, &sizes).into_iter());
        match (whole, pieces) {
            (Ok(whole), Ok(pieces)) => assert_same(&pieces, &whole),
            (whole, pieces) => prop_assert_eq!(whole.err(), pieces.err()),
        }
    }

    //= spec/03-frames.md
    //# - a body (types up to 0xbf) MUST NOT be longer than 16,384 bytes;
    //# - a payload (types from 0xc0) MUST NOT be longer than 65,536 bytes.
    //= spec/03-frames.md
    //# A receiver MUST answer a longer one with FRAME_TOO_LARGE as soon as it has seen the head.
    #[test]
    fn a_frame_that_is_too_long_is_refused_at_its_head(
        body_kind in prop_oneof![Just(kind::AUTH), Just(kind::OPEN), 0x80..=0xbfu8],
        over in 1..1_000_000_000u64,
    ) {
        let heads = [
            [&[body_kind][..], &varint(BODY_MAX + over)].concat(),
            [&[kind::DATA][..], &varint(4), &varint(PAYLOAD_MAX + over)].concat(),
        ];
        for head in heads {
            let mut decoder = Decoder::default();
            let refused = decoder.decode(&mut Bytes::from(head));
            prop_assert_eq!(refused.map_err(|error| error.code), Err(Code::FRAME_TOO_LARGE));
            prop_assert_eq!(decoder.memory(), 0);
        }
    }
}

//= spec/03-frames.md
//# The length is the number of bytes that follow the head. It MUST be checked before anything is allocated for it:
#[test]
fn a_cut_body_takes_no_more_memory_than_its_checked_length() {
    let mut decoder = Decoder::default();
    let head = [&[kind::AUTH][..], &varint(BODY_MAX)].concat();
    assert_eq!(decoder.decode(&mut Bytes::from(head)), Ok(None));
    assert!(decoder.memory() as u64 <= BODY_MAX + 17);
}

#[test]
fn unknown_types_below_0x80_and_from_0xc1_end_the_session() {
    let unknown = (0x00..0x80)
        .chain(0xc1..=0xff)
        .filter(|kind| !matches!(kind, 0x01..=0x08 | 0x10..=0x15 | 0x40..=0x42 | 0x48..=0x4d));
    for kind in unknown {
        let refused = Decoder::default().decode(&mut Bytes::from(vec![kind, 0]));
        assert_eq!(
            refused.map_err(|error| error.code),
            Err(Code::UNKNOWN_FRAME),
            "{kind:#x}"
        );
    }
}

#[test]
fn a_body_with_bytes_left_or_missing_is_malformed() {
    for (kind, body) in [
        (kind::ACK, &[1, 2][..]),
        (kind::ACK, &[]),
        (kind::PING, &[0; 7]),
    ] {
        let refused = Frame::parse(kind, Bytes::copy_from_slice(body));
        assert_eq!(refused.map_err(|error| error.code), Err(Code::MALFORMED));
    }
}

//= spec/03-frames.md
//# Ids are the client's choice and MUST be unique within the session.
#[test]
fn two_services_of_one_id_are_malformed() {
    let service = |id| Service {
        id: ServiceId(id),
        kind: ServiceKind::Tcp,
        address: "80".into(),
    };
    let offer = Frame::Offer {
        offer: 1,
        services: vec![service(3), service(3)],
    }
    .encode();
    let refused = Frame::parse(kind::OFFER, offer.payload().clone());
    assert_eq!(refused.map_err(|error| error.code), Err(Code::MALFORMED));
}
