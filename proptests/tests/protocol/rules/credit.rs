//! Credit: nobody sends more than was granted, and what is granted and not used comes back.

use super::*;

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

#[test]
fn credit_follows_what_was_taken_and_not_what_has_arrived() {
    // A window that does not grow: what is stated is what was taken, and the window.
    let config = Config {
        stream_credit: 8_000,
        stream_window_first: 8_000,
        stream_window_max: 8_000,
        ..Config::default()
    };
    let mut bench = Bench::new(config);
    bench.gets(&open(0, 9)).gets(&data(0, 8_000));
    let id = bench.opened();
    bench.sent();
    bench.session.consume(bench.now, id, 5_000);
    let credit = Frame::Credit {
        stream: id,
        offset: 13_000,
    };
    let said = bench.sent();
    assert!(said.contains(&Sent::Frame(credit)), "{said:?}");
}
