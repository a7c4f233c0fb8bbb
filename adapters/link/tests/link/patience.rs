//! Peers that are slow, or say nothing: in virtual time.

use std::time::Duration;

use adit_core::Instant;
use adit_link::{Carrier, CloseCode, LinkError, Phase};
use bytes::BytesMut;

use crate::kit::{ALL_LAYERS, End, Layers, Pair, at, client, drain_output, server, take_output};

fn phase(layers: Layers) -> Phase {
    if layers.tls {
        Phase::Tls
    } else {
        Phase::Upgrade
    }
}

#[test]
fn a_silent_peer_is_given_up_after_five_seconds_whatever_the_layers() {
    for layers in &ALL_LAYERS[..3] {
        for mut carrier in [client(*layers), server(*layers)] {
            assert_eq!(carrier.poll_timeout(), Some(at(5.0)));
            assert_eq!(carrier.handle_timeout(at(4.999)), Ok(()));
            let limit = Duration::from_secs(5);
            let silent = LinkError::Silent {
                phase: phase(*layers),
                limit,
            };
            assert_eq!(carrier.handle_timeout(at(5.0)), Err(silent));
            assert_eq!(carrier.send_space(), 0);
        }
    }
}

#[test]
fn a_peer_that_falls_silent_half_way_is_given_up_five_seconds_later() {
    let mut pair = Pair::with(Layers {
        tls: true,
        upgrade: true,
    });
    let hello = drain_output(&mut pair.client.carrier);
    pair.server.carrier.handle_input(at(3.0), hello).unwrap();
    assert_eq!(pair.server.carrier.poll_timeout(), Some(at(8.0)));
    assert!(matches!(
        pair.server.carrier.handle_timeout(at(8.0)),
        Err(LinkError::Silent {
            phase: Phase::Tls,
            ..
        })
    ));
}

/// Feeds `bytes` one a second until the receiver gives up, and says when that was.
fn dribble(receiver: &mut Carrier, bytes: &[u8]) -> (Instant, LinkError) {
    let mut bytes = bytes.iter();
    for second in 1..60 {
        let now = at(f64::from(second) * 0.999);
        if let Err(error) = receiver.handle_timeout(now) {
            return (now, error);
        }
        let byte = bytes.next().expect("the handshake is longer than that");
        receiver
            .handle_input(now, BytesMut::from(&[*byte][..]))
            .unwrap();
    }
    panic!("never given up");
}

#[test]
fn a_handshake_sent_a_byte_a_second_is_given_up_after_ten_seconds() {
    for layers in &ALL_LAYERS[..3] {
        let mut pair = Pair::with(*layers);
        let hello = drain_output(&mut pair.client.carrier);
        let (now, error) = dribble(&mut pair.server.carrier, &hello);
        assert!(now >= at(10.0) && now <= at(11.0));
        assert!(
            matches!(error, LinkError::TimedOut { .. }),
            "{layers:?}: {error}"
        );

        let mut pair = Pair::with(*layers);
        pair.server.input(drain_output(&mut pair.client.carrier));
        let answer = drain_output(&mut pair.server.carrier);
        let (_, error) = dribble(&mut pair.client.carrier, &answer);
        assert!(
            matches!(error, LinkError::TimedOut { .. }),
            "{layers:?}: {error}"
        );
    }
}

#[test]
fn a_carrier_that_is_ready_waits_for_nothing() {
    for layers in ALL_LAYERS {
        let mut pair = Pair::with(layers);
        pair.settle();
        for end in [&mut pair.client, &mut pair.server] {
            assert_eq!(end.carrier.poll_timeout(), None, "{layers:?}");
            assert_eq!(end.carrier.handle_timeout(at(1_000.0)), Ok(()));
        }
    }
}

#[test]
fn last_words_wait_two_seconds_for_a_peer_that_does_not_read_them() {
    let mut pair = Pair::with(Layers {
        tls: true,
        upgrade: true,
    });
    pair.settle();
    let carrier = &mut pair.client.carrier;
    carrier.close(at(20.0), CloseCode::NORMAL);
    assert!(carrier.has_output() && !carrier.is_finished());
    assert_eq!(carrier.poll_timeout(), Some(at(22.0)));
    assert_eq!(carrier.handle_timeout(at(21.0)), Ok(()));
    assert!(matches!(
        carrier.handle_timeout(at(22.0)),
        Err(LinkError::TimedOut {
            phase: Phase::Closing,
            ..
        })
    ));
    assert!(carrier.is_finished());
}

#[test]
fn a_plain_answer_that_nobody_reads_is_given_up_too() {
    let mut end = End::new(server(Layers {
        tls: false,
        upgrade: true,
    }));
    end.input(BytesMut::from("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_eq!(end.carrier.poll_timeout(), Some(at(2.0)));
    assert!(end.carrier.handle_timeout(at(2.0)).is_err());
    assert!(take_output(&mut end.carrier, 1).is_empty());
}
