//! What a session says first on another carrier, and from where it goes on (spec/06-positions.md, sections 6.3 and 6.4).

use std::time::Duration;

use adit_core::{
    AuthFailure, Code, Event, Frame, Instant, Resume, Session, SessionError, Stated, StreamId,
};
use bytes::Bytes;

use crate::kit::*;
use crate::met::*;

fn write(session: &mut Session, id: StreamId, data: &[u8]) {
    let mut data = Bytes::copy_from_slice(data);
    session.write(id, &mut data).expect("an open stream");
    assert!(data.is_empty(), "no room for all of it");
}

fn received(session: &Session, id: StreamId) -> Vec<u8> {
    session.chunks(id).flatten().copied().collect()
}

/// A stream of the server's that both know.
fn stream(met: &mut Met, now: Instant) -> StreamId {
    let id = met
        .session()
        .open(now, any_open())
        .expect("an open session");
    met.talk(now);
    id
}

/// Positions of both sides that are no zeros: units went both ways, were acknowledged in part, and then the carrier was lost.
fn with_positions() -> Met {
    let mut met = Met::new(false);
    let id = stream(&mut met, at(0));
    write(&mut met.client.session, id, &[1; 100]);
    write(met.session(), id, &[2; 30]);
    met.talk(at(0));
    for session in [
        &mut met.client.session,
        &mut met.server.established.as_mut().expect("met").session,
    ] {
        session.handle_timeout(at(25));
    }
    met.talk(at(25));
    write(&mut met.client.session, id, &[1; 10]);
    write(met.session(), id, &[2; 3]);
    // Sent, and lost.
    let _ = (
        said(&mut met.client.session, at(26)),
        said(met.session(), at(26)),
    );
    met.cut(at(26));
    assert_eq!(met.client.session.positions(), (110, 100, 31));
    assert_eq!(met.session().positions(), (34, 31, 100));
    met
}

//= spec/06-positions.md
//# With `a` the highest ACK received and `s` the number of units sent, a receiver of them MUST check
//# `a <= received <= s` and `oldest <= own received position`, and MUST treat the session as lost otherwise (GONE).
#[test]
fn a_client_whose_positions_can_not_be_met_loses_its_session() {
    let fits = |resume: &Resume| {
        (31..=34).contains(&resume.received) && resume.oldest <= 100 && resume.epoch == 1
    };
    for received in [0, 30, 31, 34, 35, 1 << 61] {
        for oldest in [0, 100, 101, 1 << 61] {
            let mut met = with_positions();
            let resume = Resume {
                received,
                oldest,
                ..met.right(1)
            };
            let fits = fits(&resume);
            let asked = met.ask(at(27), server_facts(false), resume);
            assert_eq!(asked.is_ok(), fits, "{received}, {oldest}");
            if !fits {
                assert_eq!(asked.err(), Some(Code::GONE));
                assert_eq!(met.server.failure, Some(AuthFailure::Gone));
                let lost = Event::Closed(SessionError::Gone);
                assert_eq!(met.session().poll_event(), Some(lost));
            }
        }
    }
}

#[test]
fn a_server_whose_positions_can_not_be_met_has_lost_the_session() {
    for received in [0, 99, 100, 110, 111, 1 << 61] {
        for oldest in [0, 31, 32, 1 << 61] {
            let fits = (100..=110).contains(&received) && oldest <= 31;
            let mut met = with_positions();
            let session = &mut met.client.session;
            let ours = session.state_position(at(27)).expect("it waits");
            assert_eq!((ours.received, ours.oldest), (31, 100));
            let attached = session.attach(at(27), 1, Stated { received, oldest });
            assert_eq!(attached.is_ok(), fits, "{received}, {oldest}");
            if !fits {
                assert_eq!(attached, Err(SessionError::Gone));
                assert!(session.is_closed());
            }
        }
    }
}

//= spec/04-handshake.md
//# It MUST cut that carrier before it reads the position that
//# RESUMED states.
#[test]
fn the_position_that_a_server_states_is_where_it_cut_the_old_carrier() {
    let mut met = Met::new(false);
    let id = stream(&mut met, at(0));
    write(&mut met.client.session, id, b"0123456789");
    let old = said(&mut met.client.session, at(1));
    let hello = met.carrier(server_facts(false));
    let mut returning = met.returning(at(1), plain(), hello, 1);
    returning
        .state_position(at(1), &mut met.client.session)
        .expect("a session that waits");
    let resume = drain(|| returning.poll_transmit(at(1), 1_000));
    // The old carrier still brings bytes, until the moment at which the session leaves it, in the middle of a frame.
    let first = old.len() - 7;
    give(met.session(), at(1), &old[..first]);
    let (half, rest) = resume.split_at(50);
    met.server.handle(at(1), half.to_vec().into());
    give(met.session(), at(1), &old[first..first + 2]);
    let answer = met.answer_to(at(1), rest.to_vec());
    let Frame::Resumed(resumed) = parse(&answer) else {
        panic!("no RESUMED")
    };
    assert_eq!(resumed.received, 5, "all that came on the old carrier");
    assert_eq!(met.session().positions().2, resumed.received);
    returning
        .handle_input(at(1), answer.into())
        .expect("let back in");
    returning
        .attach(at(1), &mut met.client.session)
        .expect("the answer is here")
        .expect("the positions fit");
    met.talk(at(1));
    assert_eq!(received(met.session(), id), b"0123456789");
}

//= spec/06-positions.md
//# From the moment a side has stated its position on a new carrier, it MUST NOT take a byte from an older one.
#[test]
fn a_client_that_has_stated_its_position_takes_nothing_from_the_old_carrier() {
    let mut met = Met::new(false);
    let id = stream(&mut met, at(0));
    write(met.session(), id, b"0123456789");
    let old = said(met.session(), at(1));
    give(&mut met.client.session, at(1), &old[..old.len() - 6]);
    let hello = met.carrier(server_facts(false));
    let mut returning = met.returning(at(1), plain(), hello, 1);
    assert!(
        met.client.session.is_attached(),
        "nothing was stated so far"
    );
    returning
        .state_position(at(1), &mut met.client.session)
        .expect("a session that waits");
    let stated = parse(&drain(|| returning.poll_transmit(at(1), 1_000)));
    assert!(matches!(stated, Frame::Resume(resume) if resume.received == 5));
    give(&mut met.client.session, at(1), &old[old.len() - 6..]);
    assert_eq!(met.client.session.positions().2, 5);
    assert_eq!(received(&met.client.session, id), b"0123");
    assert_eq!(said(&mut met.client.session, at(1)), []);
    // It comes again, and once.
    met.resume(at(1), 2);
    met.talk(at(1));
    assert_eq!(received(&met.client.session, id), b"0123456789");
}

//= spec/06-positions.md
//# A side whose limits state *replay* above 0 keeps every unit until it is acknowledged, and MUST NOT send beyond that many unacknowledged units.
#[test]
fn no_more_units_are_sent_than_are_kept_until_they_are_acknowledged() {
    let mut met = Met::new(false);
    let id = stream(&mut met, at(0));
    for _ in 0..3 {
        write(met.session(), id, &[1; 2_000]);
        // In whole frames: what keeping each one costs counts as well.
        let session = met.session();
        let _ = drain(|| session.poll_transmit(at(1), 16_384));
    }
    let (sent, acked, _) = met.session().positions();
    assert_eq!(sent - acked, KEEP, "as many as are kept, and not one more");
    assert!(!met.session().has_output());
    // OPEN counts as well: it waits its turn.
    met.session()
        .open(at(1), any_open())
        .expect("an open session");
    assert_eq!(said(met.session(), at(1)), []);
    // All of it is still here, and goes out again.
    met.cut(at(2));
    met.resume(at(2), 1);
    met.talk(at(2));
    assert_eq!(received(&met.client.session, id), [1; 6_000]);
}

//= spec/06-positions.md
//# Before its first unit on the new carrier each side MUST state again: SESSION_CREDIT, the CREDIT of every open stream, and GOAWAY if it was sent.
#[test]
fn before_its_first_unit_a_side_says_again_what_holds() {
    let mut met = Met::new(false);
    let (first, second) = (stream(&mut met, at(0)), stream(&mut met, at(0)));
    // One that the client has not heard of, and one that is gone.
    let gone = stream(&mut met, at(0));
    met.session().reset(gone, Code::CANCELLED);
    met.talk(at(0));
    let unheard = met
        .session()
        .open(at(1), any_open())
        .expect("an open session");
    write(met.session(), first, b"lost");
    let _ = said(met.session(), at(1));
    met.session().go_away(at(1), Duration::from_secs(9));
    let _ = said(met.session(), at(1));
    met.cut(at(2));
    met.resume(at(2), 1);

    let said_again = read(&said(met.session(), at(2)));
    let units = said_again
        .iter()
        .position(Said::counts)
        .expect("what was lost");
    let (before, after) = said_again.split_at(units);
    let credit = |said: &Said| match said {
        Said::Frame(Frame::Credit { stream, .. }) => Some(*stream),
        _ => None,
    };
    let mut restated: Vec<_> = before.iter().filter_map(credit).collect();
    restated.sort_unstable();
    assert_eq!(
        restated,
        [first, second],
        "neither what is gone nor what is unheard of"
    );
    let session_credit = |said: &Said| matches!(said, Said::Frame(Frame::SessionCredit { .. }));
    assert_eq!(before.iter().filter(|said| session_credit(said)).count(), 1);
    let leaving = |said: &Said| matches!(said, Said::Frame(Frame::GoAway { retry_after_ms, .. }) if *retry_after_ms == 9_000);
    assert!(before.iter().any(leaving));
    // What was lost, in the order of its positions: control frames go out before data.
    let opened =
        |said: &Said| matches!(said, Said::Frame(Frame::Open { stream, .. }) if *stream == unheard);
    assert!(opened(&after[0]), "{after:?}");
    assert_eq!(
        after[1..],
        [Said::Data(first.as_u64(), b"lost".to_vec())],
        "{after:?}"
    );

    // The client, too, of the streams that it did not open.
    let said_again = read(&said(&mut met.client.session, at(2)));
    assert!(said_again.iter().any(session_credit));
    assert_eq!(said_again.iter().filter_map(credit).count(), 2);
}

#[test]
fn credit_that_was_lost_with_a_carrier_is_known_on_the_next() {
    let mut met = Met::new(false);
    let id = stream(&mut met, at(0));
    let space = met.session().write_space(id);
    for _ in 0..3 {
        write(met.session(), id, &[1; 2_000]);
        met.talk(at(1));
        met.client.session.handle_timeout(at(26));
        met.talk(at(26));
    }
    assert!(met.session().write_space(id) < space);
    // The client takes all of it, and what it says then is lost.
    met.client.session.consume(at(27), id, 6_000);
    let credit = |said: &Said| matches!(said, Said::Frame(Frame::Credit { .. }));
    let lost = read(&said(&mut met.client.session, at(27)));
    assert!(lost.iter().any(credit));
    met.cut(at(28));
    met.resume(at(28), 1);
    met.talk(at(28));
    assert!(met.session().write_space(id) >= space);
}

//= spec/06-positions.md
//# A side MUST NOT give back credit of a stream before it has that statement: what it gave back would come again with it.
#[test]
fn credit_is_not_given_back_before_the_other_side_has_stated_it_again() {
    let mut met = Met::new(false);
    stream(&mut met, at(0));
    let given_back = |session: &mut Session, now| {
        session.handle_timeout(now);
        let back = |said: &Said| matches!(said, Said::Frame(Frame::CreditReturn { .. }));
        read(&said(session, now)).iter().any(back)
    };
    met.cut(at(20_000));
    met.resume(at(20_000), 1);
    // Idle for long, but what the server states of its credit is under way.
    assert!(!given_back(&mut met.client.session, at(20_001)));
    met.talk(at(20_002));
    assert!(given_back(&mut met.client.session, at(30_001)));
}

//= spec/06-positions.md
//# If a session is not resumed within the resume window, both sides end it, and every stream MUST end with a reset (SESSION_LOST), never as
//# if it had ended well.
#[test]
fn a_session_that_is_not_resumed_ends_and_no_stream_of_it_ends_well() {
    let mut met = Met::new(false);
    let id = stream(&mut met, at(0));
    write(&mut met.client.session, id, b"half of it");
    met.client.session.finish(id).expect("an open stream");
    // All but FIN arrives.
    let sent = said(&mut met.client.session, at(1));
    give(met.session(), at(1), &sent[..sent.len() - 1]);
    while met.session().poll_event().is_some() {}
    met.cut(at(1_000));
    let window = met.session().resume_window().expect("granted");
    for session in [
        &mut met.client.session,
        &mut met.server.established.as_mut().expect("met").session,
    ] {
        assert_eq!(session.poll_timeout(), Some(at(1_000) + window));
        session.handle_timeout(at(1_000) + (window - Duration::from_micros(1)));
        assert!(!session.is_closed());
        while session.poll_event().is_some() {}
        session.handle_timeout(at(1_000) + window);
        // The owner resets what hangs on the session's streams: it hears of the end, and of nothing that would end one well.
        let end = Event::Closed(SessionError::Expired(window));
        assert_eq!(session.poll_event(), Some(end));
        assert_eq!(session.poll_event(), None);
        assert!(!session.is_read_finished(id));
        assert_eq!(session.streams(), 0);
        assert_eq!(
            session.state_position(at(1_000) + window),
            None,
            "it is too late"
        );
    }
}
