//! Signs of life, and what follows from none.

use super::*;

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
