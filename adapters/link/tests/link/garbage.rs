//! What a carrier makes of peers that speak something else.

use adit_core::Instant;
use adit_link::{Carrier, CarrierEvent, ClientSetup, LinkError};
use bytes::BytesMut;
use proptest::prelude::*;

use crate::kit::{
    ALL_LAYERS, End, Layers, Pair, client, client_setup, drain_output, server, server_setup,
};

const TLS: Layers = Layers {
    tls: true,
    upgrade: true,
};
const PLAIN: Layers = Layers {
    tls: false,
    upgrade: true,
};

fn greeted(carrier: Carrier, greeting: &[u8]) -> (End, String) {
    let mut end = End::new(carrier);
    drain_output(&mut end.carrier);
    end.input(BytesMut::from(greeting));
    let output = drain_output(&mut end.carrier);
    assert!(end.carrier.is_finished() || end.error.is_none());
    (end, String::from_utf8_lossy(&output).into_owned())
}

#[test]
fn tls_on_a_server_without_tls_is_told_as_such_at_both_ends() {
    let pair = Pair::settled(client(TLS), server(PLAIN));
    assert_eq!(pair.server.error, Some(LinkError::TlsOnPlainPort));
    assert_eq!(pair.client.error, Some(LinkError::ServerWithoutTls));
}

#[test]
fn plain_http_on_a_server_with_tls_gets_a_plain_answer_that_says_so() {
    let pair = Pair::settled(client(PLAIN), server(TLS));
    assert_eq!(pair.server.error, Some(LinkError::HttpOnTlsPort));
    assert!(matches!(
        pair.client.error,
        Some(LinkError::Status { status: 400, .. })
    ));

    let (end, answer) = greeted(server(TLS), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(end.error, Some(LinkError::HttpOnTlsPort));
    assert!(
        answer.starts_with("HTTP/1.1 400 Bad Request\r\n"),
        "{answer}"
    );
    assert!(
        answer.ends_with("this port speaks TLS: use https:// or wss://\n"),
        "{answer}"
    );
}

#[test]
fn a_server_is_told_what_came_instead_of_a_client() {
    for (layers, greeting, expected, status) in [
        (TLS, &b"\x00\x01"[..], LinkError::NotTls { first: 0 }, None),
        (TLS, b"SSH-2.0-x\r\n", LinkError::HttpOnTlsPort, Some("400")),
        (
            PLAIN,
            b"\x00\x01",
            LinkError::NotHttp {
                problem: "it does not begin with a method",
            },
            Some("400"),
        ),
        (
            PLAIN,
            b"SSH-2.0-x\r\n\r\n",
            LinkError::NotHttp {
                problem: "bad request line",
            },
            Some("400"),
        ),
        (
            PLAIN,
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            LinkError::NotHttp {
                problem: "only HTTP/1.1 is spoken here",
            },
            Some("400"),
        ),
    ] {
        let (end, answer) = greeted(server(layers), greeting);
        assert_eq!(end.error, Some(expected), "{:?}", greeting.escape_ascii());
        match status {
            Some(status) => assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")),
                "{answer}"
            ),
            None => assert_eq!(answer, ""),
        }
    }
}

#[test]
fn a_client_is_told_what_answers_instead_of_a_server() {
    for (layers, greeting, expected) in [
        (
            TLS,
            &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
            LinkError::ServerWithoutTls,
        ),
        (
            TLS,
            b"SSH-2.0-x\x1b[0m\r\n",
            LinkError::NotAServer {
                start: r"SSH-2.0-x\x1b[0m\r\n".into(),
            },
        ),
        (
            PLAIN,
            b"\x15\x03\x01\x00\x02\x02\x28",
            LinkError::ServerSpeaksTls,
        ),
        (
            PLAIN,
            b"220 smtp ready\r\n",
            LinkError::NotAServer {
                start: r"220 smtp ready\r\n".into(),
            },
        ),
        (
            PLAIN,
            b"HTTP/1.1 abc\r\n\r\n",
            LinkError::BadAnswer {
                problem: "bad status",
            },
        ),
    ] {
        let (end, _) = greeted(client(layers), greeting);
        assert_eq!(end.error, Some(expected), "{:?}", greeting.escape_ascii());
    }
}

#[test]
fn a_tls_alert_is_told_with_its_name() {
    let (end, _) = greeted(client(TLS), b"\x15\x03\x03\x00\x02\x02\x28");
    let Some(LinkError::Tls { problem, .. }) = end.error else {
        panic!("{:?}", end.error)
    };
    assert!(problem.contains("HandshakeFailure"), "{problem}");
}

#[test]
fn broken_tls_after_the_handshake_is_an_error_and_what_came_before_it_still_counts() {
    let mut pair = Pair::settled(client(TLS), server(TLS));
    pair.client.send(b"before");
    let mut wire = drain_output(&mut pair.client.carrier);
    pair.client.send(b"broken");
    let mut broken = drain_output(&mut pair.client.carrier);
    let last = broken.len() - 1;
    broken[last] ^= 1;
    wire.unsplit(broken);
    pair.server.input(wire);
    assert!(matches!(pair.server.error, Some(LinkError::Tls { .. })));
    assert_eq!(pair.server.received, b"before");
    assert!(
        !pair.server.carrier.has_output() || !drain_output(&mut pair.server.carrier).is_empty()
    );
}

#[test]
fn a_frame_against_rfc_6455_is_an_error_and_answered_with_a_close() {
    let mut pair = Pair::settled(client(PLAIN), server(PLAIN));
    pair.server.input(BytesMut::from(&b"\x82\x01x"[..]));
    assert_eq!(
        pair.server.error,
        Some(LinkError::WebSocket(adit_websocket::Error::NotMasked))
    );
    pair.settle();
    let closed = pair.client.events.iter().any(|event| {
        matches!(event, CarrierEvent::PeerClosed(closed) if closed.to_string().contains("1002"))
    });
    assert!(closed, "{:?}", pair.client.events);
}

#[test]
fn a_peer_that_offers_another_protocol_in_tls_is_refused() {
    // A client without an upgrade names no protocol: that is taken.
    let bare = Layers {
        tls: true,
        upgrade: false,
    };
    let pair = Pair::settled(client(bare), server(bare));
    pair.client.ready();
}

/// Beginnings that get past the first look.
const STARTS: &[&[u8]] = &[b"", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n", b"HTTP/1.1 "];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn no_bytes_make_a_carrier_panic_or_send_much(
        layers in prop::sample::select(&ALL_LAYERS[..]),
        is_client: bool,
        settled: bool,
        start in prop::sample::select(STARTS),
        garbage in prop::collection::vec(any::<u8>(), 0..600),
        cut in 1..700_usize,
    ) {
        let mut pair = Pair::with(layers);
        if settled {
            pair.settle();
        }
        let mut end = if is_client { pair.client } else { pair.server };
        drain_output(&mut end.carrier);
        let mut bytes = BytesMut::from(&[start, &garbage[..]].concat()[..]);
        while !bytes.is_empty() {
            end.input(bytes.split_to(cut.min(bytes.len())));
        }
        prop_assert!(drain_output(&mut end.carrier).len() < 2_000);
        prop_assert!(end.received.len() <= start.len() + garbage.len());
        if end.error.is_some() {
            prop_assert_eq!(end.carrier.send_space(), 0);
            prop_assert!(end.carrier.is_finished());
        }
    }

    #[test]
    fn any_mutation_of_a_handshake_is_an_error_or_harmless(
        layers in prop::sample::select(&ALL_LAYERS[..3]),
        at in any::<prop::sample::Index>(),
        bit in 0..8_u8,
        to_server: bool,
    ) {
        let mut pair = Pair::with(layers);
        let mut wire = drain_output(&mut pair.client.carrier);
        if !to_server {
            pair.server.input(wire);
            wire = drain_output(&mut pair.server.carrier);
        }
        let at = at.index(wire.len());
        wire[at] ^= 1 << bit;
        let receiver = if to_server { &mut pair.server } else { &mut pair.client };
        receiver.input(wire);
        pair.settle();
        for end in [&mut pair.client, &mut pair.server] {
            if end.error.is_some() {
                prop_assert_eq!(end.send(b"data"), 0);
            }
        }
    }
}

#[test]
fn setting_up_what_cannot_be_is_told_before_anything_is_sent() {
    let with = |change: &dyn Fn(&mut ClientSetup)| {
        let mut setup = client_setup(PLAIN);
        change(&mut setup);
        Carrier::client(setup, [1; 32], Instant::ORIGIN)
            .unwrap_err()
            .to_string()
    };
    let header = |name: &str, value: &str| {
        with(&|setup| {
            setup.upgrade.as_mut().unwrap().headers = vec![(name.into(), value.into())];
        })
    };
    for (error, words) in [
        (
            with(&|setup| setup.upgrade.as_mut().unwrap().path = "connect".into()),
            "is no path",
        ),
        (
            with(&|setup| setup.upgrade.as_mut().unwrap().path = "/a b".into()),
            "is no path",
        ),
        (
            with(&|setup| setup.upgrade.as_mut().unwrap().path = "/a\r\nX: y".into()),
            "is no path",
        ),
        (
            with(&|setup| setup.upgrade.as_mut().unwrap().host = "a\r\nX: y".into()),
            "as the Host",
        ),
        (
            with(&|setup| setup.upgrade.as_mut().unwrap().host = String::new()),
            "as the Host",
        ),
        (header("X", "secret\r\nY: z"), "such as a line end"),
        (header("X Y", "z"), "no header name may hold"),
        (header("Host", "z"), "the upgrade itself sets it"),
        (
            header("sec-websocket-KEY", "z"),
            "the upgrade itself sets it",
        ),
        (header("X", &"y".repeat(9_000)), "servers take 8192"),
    ] {
        assert!(error.contains(words), "{words}: {error}");
        assert!(!error.contains("secret"));
    }
    assert!(server_setup(PLAIN).upgrade.is_some());
}

//= spec/02-carriers.md
//# A receiver MUST answer a text message with a Close of code 1003.
#[test]
fn a_text_message_is_answered_with_1003() {
    let mut pair = Pair::settled(client(PLAIN), server(PLAIN));
    pair.server
        .input(BytesMut::from(&b"\x81\x81\x00\x00\x00\x00x"[..]));
    assert!(pair.server.error.is_some());
    pair.settle();
    assert!(
        format!("{:?}", pair.client.events).contains("1003"),
        "{:?}",
        pair.client.events
    );
}

//= spec/02-carriers.md
//# A receiver MUST deliver the payload of a message as it arrives, without waiting for the message to end.
#[test]
fn a_message_that_never_ends_is_delivered_as_it_comes() {
    let mut pair = Pair::settled(client(PLAIN), server(PLAIN));
    // A head that declares 2^62 bytes, a mask of zero, and three of the bytes.
    let head = [
        &[0x02, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0],
        &[0; 4][..],
        b"abc",
    ]
    .concat();
    pair.server.input(BytesMut::from(&head[..]));
    assert_eq!(pair.server.received, b"abc");
    pair.server.input(BytesMut::from(&b"def"[..]));
    assert_eq!(pair.server.received, b"abcdef");
}
