//! What one end sends comes out at the other, whatever layers there are and however bytes are cut.

use adit_core::Instant;
use adit_link::{CarrierEvent, CloseCode, Ending};
use proptest::prelude::*;

use crate::kit::{ALL_LAYERS, Layers, Pair, drain_output};

/// Bytes that show when they are doubled, lost or swapped.
fn pattern(len: usize, salt: u8) -> Vec<u8> {
    (0..len)
        .map(|at| (at % 251) as u8 ^ (at / 251) as u8 ^ salt)
        .collect()
}

fn exchange(layers: Layers, lengths: [usize; 2], mut cut: impl FnMut() -> usize) {
    let mut pair = Pair::with(layers);
    pair.settle_cut(&mut cut);
    pair.client.ready();
    pair.server.ready();
    let [up, down] = [pattern(lengths[0], 1), pattern(lengths[1], 2)];
    let (mut sent_up, mut sent_down) = (0, 0);
    while sent_up < up.len() || sent_down < down.len() {
        sent_up += pair.client.send(&up[sent_up..]);
        sent_down += pair.server.send(&down[sent_down..]);
        pair.settle_cut(&mut cut);
    }
    assert!(pair.server.received == up, "{layers:?}: up");
    assert!(pair.client.received == down, "{layers:?}: down");
    assert_eq!((&pair.client.error, &pair.server.error), (&None, &None));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn any_cutting_of_the_bytes_gives_the_same(
        layers in prop::sample::select(&ALL_LAYERS[..]),
        lengths in prop::array::uniform2(prop_oneof![0..200_usize, 0..150_000_usize]),
        cuts in prop::collection::vec(prop_oneof![1..20_usize, 1..20_000_usize], 1..20),
    ) {
        let mut cuts = cuts.into_iter().cycle();
        exchange(layers, lengths, || cuts.next().unwrap_or(1));
    }
}

//= spec/02-carriers.md
//# A receiver MUST NOT read a meaning into where a carrier cuts the stream.
#[test]
fn byte_by_byte_works_with_all_layers_and_with_none() {
    for layers in ALL_LAYERS {
        exchange(layers, [1_000, 1_000], || 1);
    }
}

#[test]
fn a_message_of_every_length_class_passes_masked_and_unmasked() {
    for layers in ALL_LAYERS {
        for len in [
            1, 125, 126, 127, 16_375, 16_376, 16_377, 65_535, 65_536, 70_000,
        ] {
            exchange(layers, [len, len], || usize::MAX);
        }
    }
}

#[test]
fn what_a_client_sends_over_websocket_is_masked_and_what_a_server_sends_is_not() {
    let mut pair = Pair::with(Layers {
        tls: false,
        upgrade: true,
    });
    pair.settle();
    let text = b"a text that is easy to find on the wire";
    let finds = |wire: &[u8]| wire.windows(text.len()).any(|window| window == text);

    pair.client.send(text);
    let first = drain_output(&mut pair.client.carrier);
    pair.client.send(text);
    let second = drain_output(&mut pair.client.carrier);
    assert!(!finds(&first));
    assert_ne!(first[2..6], second[2..6], "a fresh key for each frame");

    pair.server.send(text);
    assert!(finds(&drain_output(&mut pair.server.carrier)));
}

#[test]
fn a_close_arrives_behind_everything_that_was_sent_before_it() {
    for layers in ALL_LAYERS {
        let mut pair = Pair::with(layers);
        pair.settle();
        pair.client.send(b"the last words");
        pair.client
            .carrier
            .close(Instant::ORIGIN, CloseCode::GOING_AWAY);
        assert_eq!(pair.client.send(b"too late"), 0);
        pair.settle();
        assert_eq!(pair.server.received, b"the last words", "{layers:?}");
        let how = pair.server.events.iter().find_map(|event| match event {
            CarrierEvent::PeerClosed(closed) => Some(closed.how.clone()),
            _ => None,
        });
        let expected = match layers {
            Layers { upgrade: true, .. } => Some(Ending::WebSocket {
                code: Some(1001),
                reason: String::new(),
            }),
            Layers { tls: true, .. } => Some(Ending::Tls),
            _ => None,
        };
        assert_eq!(how, expected, "{layers:?}");
        assert!(pair.client.carrier.is_finished(), "{layers:?}");
        assert_eq!(
            pair.server.carrier.is_finished(),
            expected.is_some(),
            "{layers:?}"
        );
    }
}

#[test]
fn the_end_of_the_byte_stream_is_told_once_with_what_was_going_on() {
    for (settle, words) in [(false, "upgrade"), (true, "open")] {
        let mut pair = Pair::with(Layers {
            tls: false,
            upgrade: true,
        });
        if settle {
            pair.settle();
        }
        pair.client.carrier.handle_eof(Instant::ORIGIN);
        pair.client.carrier.handle_eof(Instant::ORIGIN);
        pair.client.poll();
        let closed: Vec<String> = pair
            .client
            .events
            .iter()
            .filter_map(|event| match event {
                CarrierEvent::PeerClosed(closed) => Some(closed.to_string()),
                _ => None,
            })
            .collect();
        assert_eq!(closed.len(), 1);
        assert!(closed[0].contains(words), "{closed:?}");
    }
}
