//! Streams: ids, limits, halves, resets, and whose turn it is to be sent.

use super::*;

//= spec/05-streams.md
//# A receiver MUST answer OPEN for an id of the wrong parity, or one not above all earlier
//# ids of that side, with STREAM_STATE.
#[test]
fn an_id_of_the_wrong_parity_or_used_before_can_not_be_opened() {
    bench().gets(&open(1, 9)).ended_with(Code::STREAM_STATE);
    bench()
        .gets(&open(4, 9))
        .gets(&open(4, 9))
        .ended_with(Code::STREAM_STATE);
    bench()
        .gets(&open(4, 9))
        .gets(&open(2, 9))
        .ended_with(Code::STREAM_STATE);
    let mut gaps = bench();
    gaps.gets(&open(4, 9)).gets(&open(400, 9));
    assert_eq!(gaps.session.streams(), 2);
}

//= spec/05-streams.md
//# It MUST answer any stream frame for an id that was never opened with STREAM_STATE, and MUST ignore CREDIT, FIN, RESET and the payload of DATA
//# for a stream that was open and is gone (they still count, in positions and session credit).
#[test]
fn frames_for_a_stream_that_never_was_end_the_session_and_late_ones_only_count() {
    let frames = [
        data(6, 3),
        frame(kind::FIN, &[6]),
        frame(kind::RESET, &[6, 0x300]),
        frame(kind::CREDIT, &[6, 5_000_000]),
        frame(kind::CREDIT_RETURN, &[6, 5, 4]),
    ];
    for late in &frames {
        bench().gets(late).ended_with(Code::STREAM_STATE);

        let mut gone = bench();
        gone.gets(&open(6, 9));
        let id = gone.opened();
        gone.session.reset(id, Code::CANCELLED);
        gone.sent();
        let (.., before) = gone.session.positions();
        gone.gets(late);
        let (.., after) = gone.session.positions();
        assert!(!gone.session.is_closed());
        let counts = match late[0] {
            kind::DATA => 3,
            kind::FIN | kind::RESET => 1,
            _ => 0,
        };
        assert_eq!(after - before, counts);
    }
}

//= spec/05-streams.md
//# A receiver that already has as many streams open from its peer as its limits allow MUST answer OPEN with RESET and STREAM_LIMIT, and count it; it does not end the session.
#[test]
fn a_stream_beyond_the_limit_is_reset_and_the_session_goes_on() {
    let mut bench = Bench::new(Config {
        streams_max: 2,
        ..Config::default()
    });
    bench.gets(&open(0, 9)).gets(&open(2, 9)).gets(&open(4, 9));
    let resets = bench
        .frames()
        .into_iter()
        .filter(|frame| matches!(frame, Frame::Reset { .. }));
    let codes: Vec<Code> = resets
        .map(|frame| match frame {
            Frame::Reset { stream, code } => {
                assert_eq!(stream.as_u64(), 4);
                code
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(codes, [Code::STREAM_LIMIT]);
    assert_eq!(bench.session.stats().streams_refused, 1);
    assert!(!bench.session.is_closed());
}

#[test]
fn refusals_that_are_never_read_are_bounded() {
    let mut bench = Bench::new(Config {
        streams_max: 1,
        refusals_max: 100,
        ..Config::default()
    });
    for id in 0..101 {
        bench.gets(&open(id * 2, 9));
    }
    assert!(!bench.session.is_closed());
    bench.gets(&open(202, 9)).ended_with(Code::FLOOD);
}

//= spec/03-frames.md
//# a receiver MUST answer a kind that it does not know with RESET and UNSUPPORTED.
#[test]
fn a_kind_of_stream_that_is_not_known_is_reset() {
    let mut bench = bench();
    let body = [varint(0), varint(3), varint(0), varint(9), vec![0]].concat();
    bench.gets(&[&[kind::OPEN][..], &varint(body.len() as u64), &body].concat());
    let reset = |frame: &Frame| {
        matches!(
            frame,
            Frame::Reset {
                code: Code::UNSUPPORTED,
                ..
            }
        )
    };
    assert!(bench.frames().iter().any(reset));
    assert!(!bench.session.is_closed());
}

#[test]
fn a_stream_counts_until_it_is_released() {
    let config = Arc::new(Config {
        streams_max: 1,
        ..Config::default()
    });
    let mut pair = Pair::new(&config, Shape::default(), 1);
    let id = pair.open(Side::Server).expect("room for one");
    pair.run(Duration::from_millis(50));
    for side in [Side::Client, Side::Server] {
        pair.peer(side).session.finish(id).expect("it is open");
    }
    pair.run(Duration::from_millis(50));
    let again = pair.server.session.open(pair.now, any_open());
    assert_eq!(again, Err(OpenError::StreamLimit));
    pair.server.session.release(id);
    // The client has not released it: it refuses the next one.
    let next = pair.open(Side::Server).expect("our own place is free");
    pair.run(Duration::from_millis(50));
    assert!(pair.server.events.contains(&Event::Reset {
        id: next,
        code: Code::STREAM_LIMIT
    }));
    pair.server.session.release(next);
    pair.client.session.release(id);
    let last = pair.open(Side::Server).expect("our own place is free");
    pair.run(Duration::from_millis(50));
    assert!(
        pair.client
            .events
            .iter()
            .any(|event| matches!(event, Event::Opened { id, .. } if *id == last))
    );
}

#[test]
fn payload_or_a_second_fin_behind_fin_ends_the_session() {
    for behind in [data(0, 1), frame(kind::FIN, &[0])] {
        let mut bench = bench();
        bench.gets(&open(0, 9)).gets(&frame(kind::FIN, &[0]));
        bench.gets(&behind).ended_with(Code::STREAM_STATE);
    }
}

#[test]
fn the_halves_of_a_stream_end_apart() {
    let config = Arc::new(Config::default());
    let mut pair = Pair::new(&config, Shape::default(), 1);
    let id = pair.open(Side::Server).expect("room");
    pair.write(Side::Server, id, b"request");
    pair.server.session.finish(id).expect("open");
    pair.run(Duration::from_millis(100));
    assert_eq!(pair.read(Side::Client, id, 100), b"request");
    assert!(pair.client.session.is_read_finished(id));
    for _ in 0..3 {
        assert_eq!(pair.write(Side::Client, id, b"reply"), 5);
        pair.run(Duration::from_secs(20));
        assert_eq!(pair.read(Side::Server, id, 100), b"reply");
    }
    assert!(!pair.server.session.is_read_finished(id));
    pair.client.session.finish(id).expect("still open");
    pair.run(Duration::from_millis(100));
    assert!(pair.server.session.is_read_finished(id));
}

//= spec/05-streams.md
//# queued data MAY be dropped, and the local connection MUST be aborted too (TCP RST), never closed as
//# if it had ended well.
#[test]
fn a_reset_is_told_as_a_reset_and_never_as_an_end() {
    let config = Arc::new(Config::default());
    let mut pair = Pair::new(&config, Shape::default(), 1);
    let id = pair.open(Side::Server).expect("room");
    pair.write(Side::Server, id, b"half a req");
    pair.run(Duration::from_millis(100));
    pair.server.session.reset(id, Code::LOCAL_ERROR);
    pair.run(Duration::from_millis(100));
    assert!(pair.client.events.contains(&Event::Reset {
        id,
        code: Code::LOCAL_ERROR
    }));
    assert!(!pair.client.session.is_read_finished(id));
    assert_eq!(pair.client.session.write_space(id), 0);
}

#[test]
fn an_open_says_who_visits() {
    let config = Arc::new(Config::default());
    let mut pair = Pair::new(&config, Shape::default(), 1);
    let open = Open {
        kind: ServiceKind::Tcp,
        service: ServiceId(9),
        visitor: Some("192.0.2.7:4711".into()),
        dialled: Some("[::1]:9090".into()),
    };
    let id = pair
        .server
        .session
        .open(pair.now, open.clone())
        .expect("room");
    pair.run(Duration::from_millis(50));
    assert!(pair.client.events.contains(&Event::Opened { id, open }));
}

#[test]
fn a_sparse_stream_goes_before_bulk_and_bulk_streams_take_turns() {
    let mut bench = bench();
    let limits = 1_000_000;
    for id in [0, 2, 4, 6] {
        bench.gets(&open(id, limits));
    }
    let mut ids: Vec<StreamId> = bench.all_opened();
    let sparse = ids.pop().expect("four");
    for &id in &ids {
        assert_eq!(
            bench.session.write(id, &mut Bytes::from(vec![1; 200_000])),
            Ok(200_000)
        );
    }
    let mut order = Vec::new();
    let mut one = |bench: &mut Bench| loop {
        let frame = bench
            .session
            .poll_transmit(bench.now, 16_384)
            .expect("there is bulk to send");
        if frame.head()[0] == kind::DATA {
            order.push(u64::from(frame.head()[1]));
            break;
        }
    };
    for _ in 0..9 {
        one(&mut bench);
    }
    assert_eq!(
        bench.session.write(sparse, &mut Bytes::from_static(b"key")),
        Ok(3)
    );
    for _ in 0..3 {
        one(&mut bench);
    }
    assert_eq!(order, [0, 2, 4, 0, 2, 4, 0, 2, 4, sparse.as_u64(), 0, 2]);
}

#[test]
fn the_last_stream_moves_while_all_others_are_stalled() {
    let config = Arc::new(Config {
        streams_max: 64,
        session_pool: 1 << 20,
        ..Config::default()
    });
    let mut pair = Pair::new(&config, Shape::default(), 5);
    let ids: Vec<StreamId> = (0..64).filter_map(|_| pair.open(Side::Client)).collect();
    let bulk = vec![1; 300_000];
    let mut stalled = 0;
    for _ in 0..40 {
        for &id in &ids[1..] {
            stalled += pair.write(Side::Server, id, &bulk) as u64;
        }
        pair.run(Duration::from_millis(100));
    }
    assert!(stalled > config.session_window() * 3 / 4, "{stalled}");
    let mut arrived = 0;
    for _ in 0..300 {
        pair.write(Side::Server, ids[0], &bulk);
        pair.run(Duration::from_millis(100));
        arrived += pair.read(Side::Client, ids[0], usize::MAX).len();
    }
    assert!(arrived > 2 << 20, "{arrived} bytes");
}

#[test]
fn a_fin_needs_no_credit() {
    let mut bench = Bench::with_session_credit(0);
    bench.gets(&open(0, 100)).gets(&open(2, 100));
    let last = bench.opened();
    bench.session.finish(last).expect("open");
    let fin = Frame::Fin { stream: last };
    assert!(bench.frames().contains(&fin));
}
