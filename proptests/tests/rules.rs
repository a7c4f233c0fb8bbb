//! The rules of streams, credit and positions, one by one, and what a peer that breaks one is told.

use std::sync::Arc;
use std::time::Duration;

use adit_core::{
    Code, Config, Event, Frame, Instant, Limits, Open, OpenError, Piece, ServiceId, ServiceKind,
    Session, SessionError, Side, StreamId, kind,
};
use adit_proptests::Pair;
use adit_proptests::pair::any_open;
use adit_proptests::pipe::Shape;
use adit_proptests::wire::{data, numbers as frame, open, varint};
use bytes::Bytes;

/// A server's session whose client is the test itself.
struct Bench {
    now: Instant,
    session: Session,
    decoder: adit_core::Decoder,
}

/// What the session under test sent.
#[allow(clippy::large_enum_variant, reason = "a handful live at a time")]
#[derive(Debug, PartialEq)]
enum Sent {
    Frame(Frame),
    Data(StreamId, usize),
}

impl Bench {
    fn new(config: Config) -> Self {
        Self::facing(config, Config::default().limits())
    }

    /// A session whose peer states these limits.
    fn facing(config: Config, peer: Limits) -> Self {
        let now = Instant::from_millis(5);
        Self {
            now,
            session: Session::new(Arc::new(config), Side::Server, peer, now),
            decoder: adit_core::Decoder::default(),
        }
    }

    /// A session that may send so many bytes in all.
    fn with_session_credit(session_credit: u64) -> Self {
        let limits = Limits {
            session_credit,
            ..Config::default().limits()
        };
        Self::facing(Config::default(), limits)
    }

    fn gets(&mut self, bytes: &[u8]) -> &mut Self {
        self.session
            .handle_input(self.now, Bytes::copy_from_slice(bytes), bytes.len());
        self
    }

    /// Everything that the session sends now.
    fn sent(&mut self) -> Vec<Sent> {
        let mut sent = Vec::new();
        while let Some(frame) = self.session.poll_transmit(self.now, 16_384) {
            let mut bytes = Bytes::from([frame.head(), frame.payload()].concat());
            while let Some(piece) = self.decoder.decode(&mut bytes).expect("our own frames") {
                sent.push(match piece {
                    Piece::Payload { stream, ref chunk } => Sent::Data(stream, chunk.len()),
                    Piece::Body { kind, .. } => {
                        Sent::Frame(Frame::parse(kind, piece.body()).expect("our own frame"))
                    }
                });
            }
        }
        sent
    }

    fn frames(&mut self) -> Vec<Frame> {
        let frame = |sent| match sent {
            Sent::Frame(frame) => Some(frame),
            Sent::Data(..) => None,
        };
        self.sent().into_iter().filter_map(frame).collect()
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.session.poll_event()).collect()
    }

    /// The streams that were opened since the events were looked at last.
    fn all_opened(&mut self) -> Vec<StreamId> {
        let opened = |event| match event {
            Event::Opened { id, .. } => Some(id),
            _ => None,
        };
        self.events().into_iter().filter_map(opened).collect()
    }

    /// The one stream that was opened last.
    fn opened(&mut self) -> StreamId {
        self.all_opened().pop().expect("a stream was opened")
    }

    /// The session has ended, and CLOSE says why.
    fn ended_with(&mut self, code: Code) {
        let events = self.events();
        let closed = events.iter().any(
            |event| matches!(event, Event::Closed(SessionError::Protocol(error)) if error.code == code),
        );
        assert!(closed, "wanted {code:?}, got {events:?}");
        assert_eq!(self.frames(), [Frame::Close { code, detail: None }]);
        assert_eq!(self.session.streams(), 0);
    }
}

fn bench() -> Bench {
    Bench::new(Config::default())
}

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
//# A sender MUST NOT send payload beyond the stream's credit or beyond the session's credit. A receiver MUST
//# answer payload beyond either with FLOW_CONTROL.
#[test]
fn payload_beyond_the_streams_credit_ends_the_session() {
    let credit = Config::default().stream_credit as usize;
    let mut within = bench();
    within.gets(&open(0, 9)).gets(&data(0, credit));
    assert!(!within.session.is_closed());
    within.gets(&data(0, 1)).ended_with(Code::FLOW_CONTROL);
}

#[test]
fn payload_beyond_the_sessions_credit_ends_the_session() {
    let config = Config {
        streams_max: 2,
        stream_credit: 1_000,
        session_pool: 0,
        ..Config::default()
    };
    let mut bench = Bench::new(config);
    bench.gets(&open(0, 9)).gets(&open(2, 9));
    bench.gets(&data(0, 1_000)).gets(&data(2, 1_000));
    assert!(!bench.session.is_closed());
    // A third stream is refused, and its payload still counts against the session.
    bench
        .gets(&open(4, 9))
        .gets(&data(4, 1_000))
        .ended_with(Code::FLOW_CONTROL);
}

#[test]
fn a_sender_stops_at_the_streams_credit_and_goes_on_when_it_rises() {
    let mut bench = bench();
    bench.gets(&open(0, 100));
    let id = bench.opened();
    assert_eq!(bench.session.write_space(id), 100);
    let mut data = Bytes::from(vec![1; 500]);
    assert_eq!(bench.session.write(id, &mut data), Ok(100));
    assert_eq!(bench.session.write(id, &mut data), Ok(0));
    assert!(bench.sent().contains(&Sent::Data(id, 100)));
    bench.events();
    bench.gets(&frame(kind::CREDIT, &[0, 150]));
    assert_eq!(bench.events(), [Event::Writable(id)]);
    assert_eq!(bench.session.write(id, &mut data), Ok(50));
    assert!(bench.sent().contains(&Sent::Data(id, 50)));
}

#[test]
fn a_sender_stops_at_the_sessions_credit() {
    let mut bench = Bench::with_session_credit(1_500);
    bench.gets(&open(0, 1_000)).gets(&open(2, 1_000));
    let ids: Vec<StreamId> = bench.all_opened();
    for &id in &ids {
        assert_eq!(
            bench.session.write(id, &mut Bytes::from(vec![1; 1_000])),
            Ok(1_000)
        );
    }
    let payload = |sent: Vec<Sent>| -> usize {
        sent.iter()
            .map(|sent| {
                if let Sent::Data(_, len) = sent {
                    *len
                } else {
                    0
                }
            })
            .sum()
    };
    assert_eq!(payload(bench.sent()), 1_500);
    bench.gets(&frame(kind::SESSION_CREDIT, &[1_700]));
    assert_eq!(payload(bench.sent()), 200);
}

//= spec/05-streams.md
//# CREDIT and SESSION_CREDIT state it; a value that is not above
//# the one known MUST be ignored, so repeating one is harmless.
#[test]
fn credit_never_falls() {
    let mut bench = bench();
    bench.gets(&open(0, 100));
    let id = bench.opened();
    bench
        .gets(&frame(kind::CREDIT, &[0, 50]))
        .gets(&frame(kind::SESSION_CREDIT, &[1]));
    assert_eq!(bench.session.write_space(id), 100);
    assert_eq!(
        bench.session.write(id, &mut Bytes::from(vec![1; 100])),
        Ok(100)
    );
    assert!(bench.sent().contains(&Sent::Data(id, 100)));
}

//= spec/05-streams.md
//# A receiver MUST ignore a return whose `seen` is not the credit that it stated last, because newer credit is under way; otherwise `kept` is the stream's credit again, as if it had
//# been stated, unless `kept` lies below what was received already.
#[test]
fn credit_that_is_given_back_is_credit_no_more_unless_newer_credit_crossed_it() {
    let credit = Config::default().stream_credit;
    let mut bench = bench();
    bench.gets(&open(0, 9)).gets(&data(0, 100));
    // Void: another `seen`, and less than what was received.
    bench.gets(&frame(kind::CREDIT_RETURN, &[0, credit - 1, 200]));
    bench.gets(&frame(kind::CREDIT_RETURN, &[0, credit, 99]));
    bench.gets(&data(0, 900));
    assert!(!bench.session.is_closed());
    bench
        .gets(&frame(kind::CREDIT_RETURN, &[0, credit, 2_000]))
        .gets(&data(0, 1_000));
    assert!(!bench.session.is_closed());
    bench.gets(&data(0, 1)).ended_with(Code::FLOW_CONTROL);
}

#[test]
fn an_idle_stream_gives_its_growth_back_and_goes_on_afterwards() {
    let config = Arc::new(Config::default());
    let mut pair = Pair::new(
        &config,
        Shape {
            latency: Duration::from_millis(1),
            ..Shape::default()
        },
        3,
    );
    let free = config.budget.free();
    let id = pair.open(Side::Client).expect("room");
    pair.run(Duration::from_millis(10));
    let taken_by_opening = free - config.budget.free();
    assert!(taken_by_opening > 0);
    let chunk = vec![1; 200_000];
    for _ in 0..200 {
        pair.write(Side::Client, id, &chunk);
        pair.run(Duration::from_millis(2));
        pair.read(Side::Server, id, usize::MAX);
    }
    assert!(
        free - config.budget.free() > taken_by_opening,
        "the window grew"
    );
    pair.run(Duration::from_secs(30));
    pair.read(Side::Server, id, usize::MAX);
    pair.run(Duration::from_secs(30));
    assert_eq!(config.budget.free(), free, "everything was given back");
    let mut arrived = 0;
    for _ in 0..100 {
        pair.write(Side::Client, id, &[2; 1_000]);
        pair.run(Duration::from_millis(10));
        arrived += pair.read(Side::Server, id, usize::MAX).len();
    }
    assert_eq!(arrived, 100_000);
}

#[test]
fn what_a_session_took_of_the_budget_comes_back_when_it_ends() {
    let config = Arc::new(Config::default());
    let free = config.budget.free();
    let mut pair = Pair::new(&config, Shape::default(), 3);
    for _ in 0..50 {
        pair.open(Side::Server);
    }
    pair.run(Duration::from_millis(100));
    assert!(config.budget.free() < free);
    drop(pair);
    assert_eq!(config.budget.free(), free);
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

//= spec/06-positions.md
//# A receiver MUST answer an ACK above what it sent with POSITION, and MUST ignore
//# one below an earlier one.
#[test]
fn an_ack_of_what_was_never_sent_ends_the_session_and_an_old_one_does_nothing() {
    let mut bench = bench();
    bench.gets(&open(0, 100));
    let id = bench.opened();
    assert_eq!(
        bench
            .session
            .write(id, &mut Bytes::from_static(b"0123456789")),
        Ok(10)
    );
    bench.sent();
    bench
        .gets(&frame(kind::ACK, &[10]))
        .gets(&frame(kind::ACK, &[4]));
    assert_eq!(bench.session.positions().1, 10);
    bench
        .gets(&frame(kind::ACK, &[11]))
        .ended_with(Code::POSITION);
}

#[test]
fn counted_frames_and_payload_move_the_position_and_nothing_else_does() {
    let mut bench = bench();
    bench
        .gets(&open(0, 100))
        .gets(&data(0, 77))
        .gets(&frame(kind::FIN, &[0]));
    bench
        .gets(&frame(kind::ACK, &[0]))
        .gets(&frame(kind::CREDIT, &[0, 200]));
    bench
        .gets(&[kind::PING, 8, 1, 2, 3, 4, 5, 6, 7, 8])
        .gets(&[0x9a, 2, 0, 0]);
    assert_eq!(bench.session.positions().2, 1 + 77 + 1);
}

#[test]
fn acknowledgements_ride_along_or_follow_within_the_delay_or_the_units() {
    let acks = |frames: Vec<Frame>| {
        frames
            .into_iter()
            .filter(|frame| matches!(frame, Frame::Ack { .. }))
            .count()
    };
    let mut bench = bench();
    bench.frames();
    bench.gets(&open(0, 100));
    assert_eq!(
        acks(bench.frames()),
        0,
        "nothing else goes out, and nothing is due"
    );
    let due = bench
        .session
        .poll_timeout()
        .expect("an acknowledgement is due");
    assert_eq!(due - bench.now, Duration::from_millis(25));
    bench.now = due;
    assert_eq!(acks(bench.frames()), 1);
    bench.now += Duration::from_millis(1);
    bench
        .gets(&[kind::PING, 8, 1, 2, 3, 4, 5, 6, 7, 8])
        .gets(&data(0, 1));
    assert_eq!(acks(bench.frames()), 1, "it rides in front of the PONG");
    for _ in 0..9 {
        bench.gets(&data(0, 900));
    }
    assert_eq!(acks(bench.frames()), 0);
    let id = bench.opened();
    let now = bench.now;
    bench.session.consume(now, id, 8_000);
    bench.now += Duration::from_millis(1);
    assert_eq!(acks(bench.frames()), 1, "it rides in front of the credit");
}

//= spec/03-frames.md
//# A receiver MUST answer a frame outside its phase with UNEXPECTED_FRAME.
#[test]
fn a_handshakes_frame_in_an_open_session_ends_it() {
    let refuse = Frame::Refuse {
        code: Code::BUSY,
        retry_after_ms: 0,
        detail: None,
    };
    bench()
        .gets(&refuse.encoding())
        .ended_with(Code::UNEXPECTED_FRAME);
}

//= spec/03-frames.md
//# A peer MUST NOT send a frame of a feature that WELCOME does not name, and a receiver MUST
//# answer one with UNEXPECTED_FRAME (DATAGRAM is skipped).
#[test]
fn a_frame_of_a_feature_that_was_not_agreed_on_ends_the_session() {
    let offer = Frame::Offer {
        offer: 1,
        services: Vec::new(),
    };
    bench()
        .gets(&offer.encoding())
        .ended_with(Code::UNEXPECTED_FRAME);
    bench()
        .gets(
            &Frame::Withdraw {
                service: ServiceId(1),
            }
            .encoding(),
        )
        .ended_with(Code::UNEXPECTED_FRAME);
    let mut datagram = bench();
    datagram.gets(
        &Frame::Datagram {
            flow: 1,
            payload: Bytes::from_static(b"x"),
        }
        .encoding(),
    );
    assert!(!datagram.session.is_closed());
}

//= spec/05-streams.md
//# A receiver MUST answer an empty budget with FLOOD.
#[test]
fn frames_that_do_no_work_are_counted_and_end_the_session() {
    let floods: [(&str, Vec<u8>); 6] = [
        ("empty data", data(0, 0)),
        ("void credit", frame(kind::CREDIT, &[0, 5])),
        ("void session credit", frame(kind::SESSION_CREDIT, &[5])),
        ("void return", frame(kind::CREDIT_RETURN, &[0, 5, 4])),
        ("old acknowledgement", frame(kind::ACK, &[0])),
        ("pings", vec![kind::PING, 8, 0, 0, 0, 0, 0, 0, 0, 0]),
    ];
    for (name, bytes) in floods {
        let mut bench = bench();
        bench.gets(&open(0, 9));
        let budget = Config::default().glitches_max;
        for _ in 0..budget {
            bench.gets(&bytes);
        }
        assert!(!bench.session.is_closed(), "{name}");
        bench.gets(&bytes);
        assert!(bench.session.is_closed(), "{name}");
        bench.ended_with(Code::FLOOD);
    }
}

#[test]
fn streams_that_are_opened_and_reset_at_once_are_counted() {
    let mut bench = bench();
    for id in 0..=u64::from(Config::default().glitches_max) {
        bench
            .gets(&open(id * 2, 9))
            .gets(&frame(kind::RESET, &[id * 2, 0x300]));
        for event in bench.events() {
            if let Event::Reset { id, .. } = event {
                bench.session.release(id);
            }
        }
    }
    assert!(bench.session.is_closed());
}

#[test]
fn work_and_time_pay_for_glitches() {
    let mut bench = bench();
    bench.gets(&open(0, 9));
    let id = bench.opened();
    for _ in 0..20_000 {
        bench.gets(&data(0, 0)).gets(&data(0, 1_024));
        let now = bench.now;
        bench.session.consume(now, id, 1_024);
        bench.sent();
    }
    assert!(!bench.session.is_closed(), "one for each KiB");
    for _ in 0..20_000 {
        bench.now += Duration::from_millis(1);
        bench.gets(&data(0, 0));
    }
    assert!(!bench.session.is_closed(), "a thousand a second");
}

#[test]
fn only_the_latest_ping_is_answered() {
    let mut bench = bench();
    for n in 0..100 {
        bench.gets(&[kind::PING, 8, 0, 0, 0, 0, 0, 0, 0, n]);
    }
    let pongs: Vec<Frame> = bench
        .frames()
        .into_iter()
        .filter(|frame| matches!(frame, Frame::Pong(_)))
        .collect();
    assert_eq!(pongs, [Frame::Pong([0, 0, 0, 0, 0, 0, 0, 99])]);
}

#[test]
fn silence_is_asked_about_and_then_called_death() {
    let config = Arc::new(Config::default());
    let mut pair = Pair::new(&config, Shape::default(), 1);
    pair.run(Duration::from_secs(3_600));
    assert!(
        !pair.client.session.is_closed(),
        "an idle session lives for as long as both answer"
    );
    let silent_since = pair.now;
    while !pair.client.session.is_closed() {
        pair.now = pair
            .client
            .session
            .poll_timeout()
            .expect("it waits for something");
        let now = pair.now;
        pair.client.session.handle_timeout(now);
        while pair.client.session.poll_transmit(now, 1_000).is_some() {}
    }
    let took = pair.now - silent_since;
    assert!(took <= Duration::from_secs(6), "{took:?}");
    assert!(took >= Duration::from_secs(3), "{took:?}");
    let closed = Event::Closed(SessionError::Silent(config.dead_after));
    assert_eq!(pair.client.session.poll_event(), Some(closed));
}

#[test]
fn a_process_that_was_suspended_asks_before_it_gives_up() {
    let config = Arc::new(Config::default());
    let mut pair = Pair::new(&config, Shape::default(), 1);
    pair.run(Duration::from_millis(1_500));
    pair.now += Duration::from_secs(3_600);
    let now = pair.now;
    pair.client.session.handle_timeout(now);
    assert!(!pair.client.session.is_closed());
    while pair.exchange() {}
    pair.run(Duration::from_secs(10));
    assert!(!pair.client.session.is_closed());
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
fn a_visitor_that_sends_byte_by_byte_costs_little_more_than_its_bytes() {
    let mut bench = bench();
    bench.gets(&open(0, 1_000_000));
    let id = bench.opened();
    let len = 100_000;
    for n in 0..len {
        let byte = &mut Bytes::copy_from_slice(&[n as u8]);
        assert_eq!(bench.session.write(id, byte), Ok(1));
    }
    let memory = bench.session.memory();
    assert!(memory <= 2 * len + 2 * adit_core::STREAM_COST, "{memory}");
    let sent: usize = bench
        .sent()
        .iter()
        .map(|sent| match sent {
            Sent::Data(_, len) => *len,
            Sent::Frame(_) => 0,
        })
        .sum();
    assert_eq!(sent, len);
    assert!(bench.session.memory() <= 2 * adit_core::STREAM_COST);
}

#[test]
fn visitors_that_come_and_reset_at_once_never_end_a_session() {
    let config = Arc::new(Config::default());
    let mut pair = Pair::new(&config, Shape::default(), 1);
    for _ in 0..30_000 {
        let id = pair.open(Side::Server).expect("the last one is gone");
        while pair.exchange() {}
        pair.server.session.reset(id, Code::CANCELLED);
        while pair.exchange() {}
        for peer in [&mut pair.client, &mut pair.server] {
            for event in std::mem::take(&mut peer.events) {
                if let Event::Reset { id, .. } = event {
                    peer.session.release(id);
                }
            }
        }
        if pair.client.pipe.due().is_some() || pair.server.pipe.due().is_some() {
            pair.advance(Duration::from_millis(20));
        }
    }
    assert!(!pair.client.session.is_closed() && !pair.server.session.is_closed());
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

#[test]
fn an_acknowledgement_that_the_carrier_does_not_take_is_no_deadline_for_ever() {
    let mut bench = bench();
    bench.frames();
    bench.gets(&open(0, 100));
    bench.now = bench.session.poll_timeout().expect("it is due soon");
    let now = bench.now;
    bench.session.handle_timeout(now);
    assert!(bench.session.has_output());
    assert!(bench.session.poll_timeout().expect("liveness") > now + Duration::from_secs(1));
    assert!(matches!(bench.frames()[..], [Frame::Ack { position: 1 }]));
}

#[test]
fn bytes_that_are_no_frame_yet_are_a_sign_of_life() {
    let mut bench = bench();
    for _ in 0..100 {
        bench.now += Duration::from_secs(1);
        let now = bench.now;
        bench.session.handle_alive(now);
        bench.session.handle_timeout(now);
    }
    assert!(!bench.session.is_closed());
}

#[test]
fn streams_that_the_application_refuses_are_counted() {
    let mut bench = bench();
    let budget = u64::from(Config::default().glitches_max);
    for n in 0..=budget {
        assert!(!bench.session.is_closed());
        bench.gets(&open(n * 2, 9));
        let (id, now) = (bench.opened(), bench.now);
        bench.session.refuse(now, id, Code::UNSUPPORTED);
        if n < budget {
            bench.sent();
        }
    }
    assert!(bench.session.is_closed());
}
