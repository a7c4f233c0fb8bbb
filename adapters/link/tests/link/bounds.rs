//! What a peer can make a carrier hold, and what a batch looks like on the wire.

use std::io::IoSlice;

use adit_core::Instant;
use adit_link::{CarrierEvent, LinkConfig, LinkError, ServerSetup};
use bytes::{Bytes, BytesMut};

use crate::kit::{
    ALL_LAYERS, End, Layers, Pair, client, drain_output, serve, server, server_setup,
};

const TLS: Layers = Layers {
    tls: true,
    upgrade: true,
};
const PLAIN: Layers = Layers {
    tls: false,
    upgrade: true,
};
const UNSENT_MAX: usize = 64 * 1024;
const BATCH_MAX: usize = 16_384;

/// More than any limit here, and little enough that a limit which is gone fails a test instead of
/// taking the machine's memory.
const PLENTY: usize = 1024 * 1024;

/// A session with [`PLENTY`] to send, in frames of at most `longest` bytes.
fn plenty(longest: usize) -> impl FnMut(usize) -> Option<Bytes> {
    let mut left = PLENTY;
    move |room| {
        let len = room.min(longest).min(left);
        left -= len;
        (len > 0).then(|| Bytes::from(vec![7; len]))
    }
}

/// The lengths of the TLS records in these bytes.
fn records(mut wire: &[u8]) -> Vec<usize> {
    let mut lengths = Vec::new();
    while let [_, _, _, high, low, rest @ ..] = wire {
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        lengths.push(len);
        wire = &rest[len..];
    }
    lengths
}

#[test]
fn a_batch_is_one_record_and_one_websocket_frame() {
    let mut pair = Pair::settled(client(TLS), server(TLS));
    // A batch of many frames, small and large, that fills a record to the last byte.
    for (end, overhead) in [(&mut pair.client, 8), (&mut pair.server, 4)] {
        let frames = [100, 1, 9_000, 300, 16_376 - 9_401];
        let mut frames = frames.iter().map(|len| Bytes::from(vec![7; *len]));
        let sent = end.carrier.send(|_| frames.next());
        assert_eq!(sent, 16_376);
        let wire = drain_output(&mut end.carrier);
        // The type of the record's content and the cipher's tag: 17 bytes (RFC 8446 section 5.2).
        assert_eq!(records(&wire), [overhead + sent + 17]);
    }
}

#[test]
fn a_puller_is_never_asked_for_more_than_fits_the_record() {
    for layers in ALL_LAYERS {
        let mut pair = Pair::with(layers);
        pair.settle();
        for end in [&mut pair.client, &mut pair.server] {
            let mut asked = Vec::new();
            let mut source = plenty(1_000);
            end.carrier.send(|room| {
                asked.push(room);
                source(room)
            });
            assert!(
                asked.iter().all(|room| (64..=16_376).contains(room)),
                "{asked:?}"
            );
            if layers.tls {
                let wire = drain_output(&mut end.carrier);
                assert!(records(&wire).iter().all(|len| *len <= BATCH_MAX + 17));
            }
        }
    }
}

//= spec/02-carriers.md
//# It MUST NOT hold frames back to fill a message.
#[test]
fn a_small_frame_leaves_at_once() {
    for layers in ALL_LAYERS {
        let mut pair = Pair::with(layers);
        pair.settle();
        pair.server.send(b"x");
        assert!(pair.server.carrier.has_output());
        pair.settle();
        assert_eq!(pair.client.received, b"x");
    }
}

#[test]
fn without_tls_a_servers_payload_is_written_from_where_it_lies() {
    let mut pair = Pair::settled(client(PLAIN), server(PLAIN));
    let payload = Bytes::from(vec![7; 8_000]);
    let mut frames = [Bytes::from_static(b"small"), payload.clone()].into_iter();
    pair.server.carrier.send(|_| frames.next());
    let mut slices = [IoSlice::new(&[]); 8];
    let used = pair.server.carrier.gather(&mut slices);
    assert!(
        slices[..used]
            .iter()
            .any(|slice| slice.as_ptr() == payload.as_ptr())
    );
}

#[test]
fn frames_are_taken_until_64_kib_are_unsent_and_again_when_the_socket_took_them() {
    for layers in ALL_LAYERS {
        let mut pair = Pair::with(layers);
        pair.settle();
        for end in [&mut pair.client, &mut pair.server] {
            let sent = end.carrier.send(plenty(usize::MAX));
            assert!(
                (UNSENT_MAX - 2_000..UNSENT_MAX + BATCH_MAX).contains(&sent),
                "{sent}"
            );
            assert_eq!(end.carrier.send(plenty(usize::MAX)), 0);
            assert_eq!(end.carrier.send_space(), 0);
            end.carrier.written(BATCH_MAX + 1_000);
            assert!(end.carrier.send_space() > 0);
            drain_output(&mut end.carrier);
            assert_eq!(end.carrier.send_space(), UNSENT_MAX);
        }
    }
}

/// A client's ping over plain WebSocket, with a mask of zero.
fn ping(payload: &[u8]) -> Vec<u8> {
    [&[0x89, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload].concat()
}

#[test]
fn pings_without_end_do_not_grow_the_output_of_a_peer_that_does_not_read() {
    let mut pair = Pair::settled(client(PLAIN), server(PLAIN));
    let mut wire = Vec::new();
    for number in 0..20_000_u32 {
        wire.extend(ping(&[&number.to_be_bytes()[..], &[7; 100]].concat()));
        // One byte of payload, so that the flood budget is not what ends this.
        wire.extend([0x82, 0x81, 0, 0, 0, 0, 7]);
    }
    for piece in wire.chunks(114) {
        pair.server.input(BytesMut::from(piece));
    }
    assert_eq!(pair.server.error, None);
    let pongs = drain_output(&mut pair.server.carrier);
    assert!(pongs.len() <= UNSENT_MAX + 2 * 131, "{}", pongs.len());
    // The latest ping is answered once there is room again.
    let last = 19_999_u32.to_be_bytes();
    assert!(pongs.windows(4).any(|window| window == last));
}

//= spec/02-carriers.md
//# A receiver MUST end a carrier with code 1008 when more than 1,024 frames without payload follow
//# each other.
#[test]
fn pings_without_anything_else_end_the_carrier() {
    let mut pair = Pair::settled(client(PLAIN), server(PLAIN));
    for number in 0..2_000 {
        assert_eq!(pair.server.error.is_some(), number > 1_024, "{number}");
        pair.server.input(BytesMut::from(&ping(b"")[..]));
    }
    let Some(LinkError::WebSocket(error)) = pair.server.error.clone() else {
        panic!("not ended")
    };
    assert!(matches!(error, adit_websocket::Error::Flood { .. }));
    pair.settle();
    assert!(
        format!("{:?}", pair.client.events).contains("1008"),
        "{:?}",
        pair.client.events
    );
}

#[test]
fn payload_that_is_not_polled_lowers_the_read_limit_and_then_ends_the_carrier() {
    let mut setup = server_setup(Layers {
        tls: false,
        upgrade: false,
    });
    setup.config.unread_max = 1_000;
    let mut carrier = serve(setup);
    assert_eq!(carrier.read_limit(), 1_000);
    carrier
        .handle_input(Instant::ORIGIN, BytesMut::from(&[7; 600][..]))
        .unwrap();
    assert_eq!(carrier.read_limit(), 400);
    assert_eq!(
        carrier.poll_payload().map(|payload| payload.len()),
        Some(600)
    );
    assert_eq!(carrier.read_limit(), 1_000);
    carrier
        .handle_input(Instant::ORIGIN, BytesMut::from(&[7; 1_000][..]))
        .unwrap();
    assert_eq!(carrier.read_limit(), 0);
    let error = carrier
        .handle_input(Instant::ORIGIN, BytesMut::from(&[7][..]))
        .unwrap_err();
    assert_eq!(error, LinkError::Unread { limit: 1_000 });
}

#[test]
fn no_number_of_records_in_one_read_is_too_much() {
    let mut pair = Pair::settled(client(TLS), server(TLS));
    let mut wire = BytesMut::new();
    for _ in 0..2_000 {
        pair.client.send(b"tiny");
        wire.unsplit(drain_output(&mut pair.client.carrier));
    }
    assert!(wire.len() < 65_536 + 10_000);
    pair.server.input(wire);
    assert_eq!(pair.server.error, None);
    assert_eq!(pair.server.received.len(), 8_000);
}

#[test]
fn events_are_few_whatever_comes() {
    let mut setup = server_setup(PLAIN);
    setup.config = LinkConfig::default();
    let mut end = End::new(serve(ServerSetup { ..setup }));
    for _ in 0..100 {
        end.input(BytesMut::from("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
        end.carrier.handle_eof(Instant::ORIGIN);
    }
    assert!(matches!(
        end.events[..],
        [CarrierEvent::Answered { status: 404 }]
    ));
}
