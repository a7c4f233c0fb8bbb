//! When a carrier is dead, and how a session ends well (spec/07-liveness.md, spec/08-codes.md).

use std::sync::Arc;
use std::time::Duration;

use adit_core::{
    Code, Config, Event, Frame, Instant, Open, OpenError, ServiceId, ServiceKind, Session,
    SessionError, Side,
};
use bytes::Bytes;

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn session(side: Side) -> Session {
    let config: Arc<Config> = Arc::default();
    let limits = config.limits();
    Session::new(config, side, limits, at(0))
}

fn open() -> Open {
    Open {
        kind: ServiceKind::Tcp,
        service: ServiceId(0),
        visitor: None,
        dialled: None,
    }
}

/// All that a session has to say now.
fn output(session: &mut Session, now: Instant) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(frame) = session.poll_transmit(now, 1_000) {
        bytes.extend_from_slice(frame.head());
        bytes.extend_from_slice(frame.payload());
    }
    bytes
}

fn says(output: &[u8], frame: &Frame) -> bool {
    let frame = frame.encoding();
    output.windows(frame.len()).any(|part| part == frame)
}

fn hears(session: &mut Session, now: Instant, frame: &Frame) {
    session.handle_input(now, frame.encoding().into(), usize::MAX);
}

//= spec/07-liveness.md
//# A side MUST drop a carrier that is dead, whatever it still has to send on it.
#[test]
fn a_carrier_from_which_nothing_comes_is_asked_and_then_dropped() {
    for side in [Side::Client, Side::Server] {
        let mut session = session(side);
        // The first PING measures the round trip; it is no question about life.
        assert!(!output(&mut session, at(0)).is_empty());
        hears(&mut session, at(0), &Frame::Pong(1u64.to_be_bytes()));
        let mut data = Bytes::from_static(b"unsent");
        let id = session.open(at(0), open()).expect("a stream");
        session.write(id, &mut data).expect("room");

        assert_eq!(session.poll_timeout(), Some(at(2_000)));
        session.handle_timeout(at(2_000));
        assert!(says(
            &output(&mut session, at(2_000)),
            &Frame::Ping(2u64.to_be_bytes())
        ));
        session.handle_timeout(at(4_999));
        assert!(!session.is_closed());
        session.handle_timeout(at(5_000));
        let silent = SessionError::Silent(Duration::from_secs(5));
        assert_eq!(session.poll_event(), Some(Event::Closed(silent)));
        assert!(output(&mut session, at(5_000)).is_empty());
        assert_eq!(session.poll_timeout(), None);
    }
}

#[test]
fn any_byte_is_a_sign_of_life_even_half_a_frame() {
    let mut session = session(Side::Server);
    session.handle_timeout(at(2_000));
    session.handle_input(at(4_900), Bytes::from_static(&[0x10]), 1);
    session.handle_timeout(at(5_000));
    session.handle_timeout(at(6_899));
    assert!(!session.is_closed());
    assert_eq!(session.last_received(), at(4_900));
}

#[test]
fn a_process_that_was_suspended_asks_before_it_calls_its_peer_dead() {
    let mut session = session(Side::Client);
    let hour = 3_600_000;
    session.handle_timeout(at(hour));
    assert!(!session.is_closed());
    assert!(!output(&mut session, at(hour)).is_empty());
    session.handle_timeout(at(hour + 3_000));
    assert!(session.is_closed());
}

//= spec/07-liveness.md
//# A receiver MUST answer PING with a PONG that holds the same 8 bytes.
#[test]
fn a_ping_is_answered_with_its_own_bytes_and_of_several_the_last_is() {
    let mut session = session(Side::Server);
    output(&mut session, at(0));
    hears(&mut session, at(1), &Frame::Ping(*b"12345678"));
    assert_eq!(
        output(&mut session, at(1)),
        Frame::Pong(*b"12345678").encoding()
    );
    hears(&mut session, at(2), &Frame::Ping(*b"older..."));
    hears(&mut session, at(2), &Frame::Ping(*b"newer..."));
    assert_eq!(
        output(&mut session, at(2)),
        Frame::Pong(*b"newer...").encoding()
    );
}

#[test]
fn a_pong_that_nobody_asked_for_is_no_measurement() {
    let mut session = session(Side::Client);
    output(&mut session, at(0));
    hears(&mut session, at(7), &Frame::Pong(*b"whatever"));
    assert_eq!(session.rtt(), None);
    hears(&mut session, at(9), &Frame::Pong(1u64.to_be_bytes()));
    assert_eq!(session.rtt(), Some(Duration::from_millis(9)));
    assert!(!session.is_closed());
}

//= spec/07-liveness.md
//# A side that has sent or received GOAWAY MUST NOT open a stream.
#[test]
fn who_is_leaving_and_who_was_told_so_open_no_streams() {
    let mut leaving = session(Side::Server);
    leaving.go_away(at(0), Duration::from_secs(1));
    assert_eq!(leaving.open(at(0), open()), Err(OpenError::Ending));
    let others = Vec::new();
    let go_away = Frame::GoAway {
        retry_after_ms: 1_000,
        others,
    };
    assert!(says(&output(&mut leaving, at(0)), &go_away));

    let mut told = session(Side::Client);
    let running = told.open(at(0), open()).expect("a stream");
    hears(&mut told, at(1), &go_away);
    assert_eq!(told.open(at(1), open()), Err(OpenError::Ending));
    // What runs goes on.
    assert!(told.write_space(running) > 0);
}

//= spec/08-codes.md
//# A receiver MUST take a code that it does not know as it takes any other of the same frame
#[test]
fn an_unknown_code_ends_what_a_known_one_would() {
    let unknown = Code(0x1_2345);
    let mut closed = session(Side::Client);
    hears(
        &mut closed,
        at(0),
        &Frame::Close {
            code: unknown,
            detail: None,
        },
    );
    let told = Event::Closed(SessionError::PeerClosed(unknown));
    assert_eq!(closed.poll_event(), Some(told));

    let mut reset = session(Side::Client);
    let id = reset.open(at(0), open()).expect("a stream");
    output(&mut reset, at(0));
    hears(
        &mut reset,
        at(0),
        &Frame::Reset {
            stream: id,
            code: unknown,
        },
    );
    assert_eq!(reset.poll_event(), Some(Event::Reset { id, code: unknown }));
    assert!(!reset.is_closed());
}
