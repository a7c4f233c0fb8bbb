//! Who may go on with a session, and what anybody else learns (spec/04-handshake.md, section 4.7).

use std::time::Duration;

use adit_core::{
    AuthFailure, CarrierFacts, Code, Frame, HandshakeError, Instant, Resume, ServerFacts,
    SessionError, SessionId, Token, Verifier,
};
use bytes::Bytes;

use crate::kit::*;
use crate::met::*;

#[test]
fn a_client_goes_on_with_its_session_on_one_carrier_after_the_other() {
    for binding in [false, true] {
        let mut met = Met::new(binding);
        for epoch in 1..4 {
            let now = at(1_000 * epoch);
            met.cut(now);
            assert!(!met.client.session.is_attached() && !met.session().is_attached());
            met.resume(now, epoch);
            assert!(met.client.session.is_attached() && met.session().is_attached());
            assert_eq!(met.session().epoch(), epoch);
            assert_eq!(met.client.session.epoch(), epoch);
            let id = met
                .session()
                .open(now, any_open())
                .expect("an open session");
            met.session()
                .write(id, &mut Bytes::from_static(b"on we go"))
                .expect("a new stream");
            met.talk(now);
            assert_eq!(met.client.session.chunks(id).next(), Some(&b"on we go"[..]));
        }
    }
}

/// What somebody gets who sends `resume`, proved by the wrong key or not, byte for byte; and what the owner is told.
fn strangers_answer(
    change: impl FnOnce(&mut Resume),
    bend: bool,
) -> (Vec<u8>, Option<AuthFailure>) {
    let mut met = Met::new(false);
    let hello = met.carrier(server_facts(false));
    let mut resume = met.right(1);
    change(&mut resume);
    let mut resume = proved(&met.client.resume_key, &hello, resume);
    if bend {
        *resume.last_mut().expect("a proof") ^= 1;
    }
    met.server.handshake.answer_after(at(500));
    (met.answer_to(at(0), resume), met.server.failure)
}

//= spec/04-handshake.md
//# The server answers REFUSE with UNKNOWN_SESSION if it does not know the session or the proof is wrong; both MUST cost and look the same.
#[test]
fn an_unknown_session_and_a_wrong_proof_get_the_same_bytes_without_delay() {
    let unknown = strangers_answer(|resume| resume.session = SessionId([9; 16]), false);
    let wrong = strangers_answer(|_| (), true);
    assert_eq!(unknown, wrong);
    let (answer, failure) = unknown;
    assert_eq!(failure, Some(AuthFailure::UnknownSession));
    assert_eq!(refused(&parse(&answer)).0, Code::UNKNOWN_SESSION);
    // Whatever else is wrong, somebody without the key is told no more.
    let lies: [fn(&mut Resume); 3] = [
        |resume| resume.epoch = 0,
        |resume| resume.received = 1 << 60,
        |resume| resume.binding = Some([1; 32]),
    ];
    for lie in lies {
        assert_eq!(strangers_answer(lie, true), wrong);
    }
}

#[test]
fn a_proof_of_resumption_that_differs_in_any_one_bit_is_wrong() {
    for bit in 0..256 {
        let mut met = Met::new(false);
        let hello = met.carrier(server_facts(false));
        let mut resume = proved(&met.client.resume_key, &hello, met.right(1));
        let byte = resume.len() - 32 + bit / 8;
        resume[byte] ^= 1 << (bit % 8);
        met.server.handle(at(0), resume.into());
        assert_eq!(met.server.failure, Some(AuthFailure::UnknownSession));
    }
}

#[test]
fn a_proof_is_good_on_the_carrier_that_it_was_made_for_only() {
    let mut met = Met::new(false);
    let hello = met.carrier(server_facts(false));
    let resume = proved(&met.client.resume_key, &hello, met.right(1));
    met.carrier(server_facts(false));
    let answer = met.answer_to(at(0), resume);
    assert_eq!(refused(&parse(&answer)).0, Code::UNKNOWN_SESSION);
}

#[test]
fn an_attempt_that_is_not_later_than_all_before_it_is_stale() {
    let mut met = Met::new(false);
    let (facts, stale) = (server_facts(false), Some(Code::STALE));
    assert_eq!(
        met.ask(at(0), facts.clone(), met.right(0)).err(),
        stale,
        "0 is the first carrier's"
    );
    let resumed = met.ask(at(0), facts.clone(), met.right(5));
    assert_eq!(resumed.map(|it| it.epoch), Ok(5));
    for epoch in [5, 4, 1] {
        assert_eq!(
            met.ask(at(0), facts.clone(), met.right(epoch)).err(),
            stale,
            "{epoch}"
        );
        assert!(met.session().is_attached());
    }
    assert!(met.ask(at(0), facts, met.right(6)).is_ok());
}

#[test]
fn of_two_attempts_the_later_one_goes_on_whichever_is_handed_over_first() {
    let mut met = Met::new(false);
    let mut attempt = |epoch| {
        let hello = met.carrier(server_facts(false));
        let resume = proved(&met.client.resume_key, &hello, met.right(epoch));
        met.server.handle(at(0), resume.into());
        met.server.found
    };
    assert!(attempt(1).is_some());
    assert!(attempt(3).is_some());
    assert_eq!(attempt(2), None, "though nobody has taken the session over");

    let mut met = Met::new(false);
    let hello = met.carrier(server_facts(false));
    let resume = proved(&met.client.resume_key, &hello, met.right(1));
    met.server.handle(at(0), resume.into());
    let accepted = met.server.endpoint.accept(at(0), server_facts(false));
    let mut earlier = std::mem::replace(&mut met.server.handshake, accepted.expect("room"));
    assert!(
        met.ask(at(0), server_facts(false), met.right(2)).is_ok(),
        "it overtakes the first"
    );
    let attached = earlier.attach(at(0), met.session());
    assert_eq!(attached, Err(AuthFailure::Stale));
    assert!(met.session().is_attached(), "to the later one's carrier");
    assert_eq!(met.session().epoch(), 2);
}

//= spec/04-handshake.md
//# BINDING_REQUIRED or BINDING_MISMATCH as above, where a session made bound MUST be resumed bound
#[test]
fn a_session_made_bound_is_resumed_bound_and_to_this_very_tls_connection() {
    // Even where the server has stopped asking for it.
    let unasked = ServerFacts {
        binding: false,
        ..server_facts(true)
    };
    for facts in [server_facts(true), unasked] {
        let mut met = Met::new(true);
        let bind = |binding| Resume {
            binding,
            ..met.right(1)
        };
        let (none, other, right) = (bind(None), bind(Some([0x66; 32])), bind(Some(EXPORTER)));
        let asked = met.ask(at(0), facts.clone(), none).err();
        assert_eq!(asked, Some(Code::BINDING_REQUIRED));
        let asked = met.ask(at(0), facts.clone(), other).err();
        assert_eq!(asked, Some(Code::BINDING_MISMATCH));
        assert_eq!(met.server.failure, Some(AuthFailure::BindingMismatch));
        assert!(met.session().is_attached(), "nothing was touched");
        assert!(met.ask(at(0), facts, right).is_ok());
    }
}

#[test]
fn a_binding_where_the_server_has_none_to_compare_is_a_mismatch() {
    let mut met = Met::new(false);
    let resume = Resume {
        binding: Some(EXPORTER),
        ..met.right(1)
    };
    let asked = met.ask(at(0), server_facts(false), resume).err();
    assert_eq!(asked, Some(Code::BINDING_MISMATCH));
}

#[test]
fn a_client_binds_the_return_of_a_bound_session_or_says_nothing() {
    let mut met = Met::new(true);
    // The server does not ask for it on this carrier.
    let hello = met.carrier(ServerFacts {
        binding: false,
        ..server_facts(true)
    });
    let mut returning = met.returning(at(0), self_signed(), hello.clone(), 1);
    returning
        .state_position(at(0), &mut met.client.session)
        .expect("a session that waits");
    let resume = parse(&drain(|| returning.poll_transmit(at(0), 1_000)));
    assert!(matches!(resume, Frame::Resume(resume) if resume.binding == Some(EXPORTER)));

    let unbindable = CarrierFacts {
        exporter: None,
        ..self_signed()
    };
    let mut returning = met.returning(at(0), unbindable, hello, 2);
    assert!(!returning.wants_position());
    assert!(returning.poll_transmit(at(0), 1_000).is_none());
    assert_eq!(
        returning.handle_timeout(at(0)),
        Err(HandshakeError::BindingImpossible)
    );
}

#[test]
fn a_session_is_resumed_until_its_window_has_passed() {
    let lost = at(1_000);
    let window = Duration::from_secs(60);
    let ask = |now: Instant| {
        let mut met = Met::new(false);
        met.cut(lost);
        let id = met.client.id;
        assert_eq!(met.server.endpoint.detached(lost, id, 1), []);
        met.ask(now, server_facts(false), met.right(1))
    };
    assert!(ask(lost + (window - Duration::from_micros(1))).is_ok());
    assert_eq!(ask(lost + window).err(), Some(Code::EXPIRED));
    assert_eq!(ask(lost + window * 100).err(), Some(Code::EXPIRED));
}

#[test]
fn a_session_that_has_just_ended_by_itself_has_expired() {
    let mut met = Met::new(false);
    met.session().close(at(0), Code::SHUTTING_DOWN);
    let asked = met.ask(at(0), server_facts(false), met.right(1)).err();
    assert_eq!(asked, Some(Code::EXPIRED));
}

#[test]
fn a_session_is_not_resumed_with_a_token_that_was_changed_since_or_a_tunnel_that_is_gone() {
    let other = Token::new(b"another token, also long").expect("long enough");
    for known in [None, Some(Verifier::new(&other, &tunnel()))] {
        let mut met = Met::new(false);
        met.server.known_verifier = known;
        let asked = met.ask(at(0), server_facts(false), met.right(1)).err();
        assert_eq!(asked, Some(Code::UNAUTHORIZED));
        assert_eq!(met.server.failure, Some(AuthFailure::Revoked));
        assert!(met.session().is_attached(), "it may go on where it is");
        // The right token again: the attempt that was refused used nothing up.
        met.server.known_verifier = Some(verifier());
        assert!(
            met.ask(at(0), server_facts(false), met.right(1)).is_ok(),
            "the same attempt"
        );
    }
}

//= spec/04-handshake.md
//# A server MUST verify the proof before it touches a carrier that the session still has.
#[test]
fn a_carrier_that_the_session_still_has_is_left_alone_before_the_proof_was_verified() {
    let mut met = Met::new(false);
    let id = met
        .session()
        .open(at(0), any_open())
        .expect("an open session");
    met.talk(at(0));
    let hello = met.carrier(server_facts(false));
    let right = proved(&met.client.resume_key, &hello, met.right(1));
    let wrong = [&right[..right.len() - 1], &[right[right.len() - 1] ^ 1]].concat();
    // In pieces: before the last byte there is nothing to verify.
    met.server.handle(at(0), wrong[..60].to_vec().into());
    let answer = met.answer_to(at(0), wrong[60..].to_vec());
    assert_eq!(refused(&parse(&answer)).0, Code::UNKNOWN_SESSION);

    assert!(met.session().is_attached());
    met.client
        .session
        .write(id, &mut Bytes::from_static(b"still here"))
        .expect("a stream");
    met.talk(at(0));
    assert_eq!(met.session().chunks(id).next(), Some(&b"still here"[..]));
    // Even with the right proof: finding it is one thing, taking it over another.
    let hello = met.carrier(server_facts(false));
    let right = proved(&met.client.resume_key, &hello, met.right(1));
    met.server.handle(at(0), right.into());
    assert_eq!(met.server.found, Some(met.client.id));
    assert!(met.session().is_attached());
}

#[test]
fn a_session_without_resumption_is_unknown_to_who_wants_to_resume_it() {
    let mut server = Server::new(server_facts(false));
    let auth = played_auth(&server.output(at(0)), |_| ());
    server.handle(at(0), auth.into());
    let established = server.established.as_ref().expect("let in");
    let (id, key) = (established.id, established.resume_key.clone());
    let accepted = server.endpoint.accept(at(0), server_facts(false));
    server.handshake = accepted.expect("room");
    let hello = drain(|| server.handshake.poll_transmit(at(0), 1_000));
    let Frame::Resume(unproved) = parse(&played_resume()) else {
        panic!("no RESUME")
    };
    let resume = Resume {
        session: id,
        ..unproved
    };
    server.handle(at(0), proved(&key, &hello, resume).into());
    let answer = drain(|| server.handshake.poll_transmit(at(0), 1_000));
    assert_eq!(refused(&parse(&answer)).0, Code::UNKNOWN_SESSION);
}

#[test]
fn a_server_that_can_not_prove_itself_gets_no_session_and_the_next_one_may() {
    let mut met = Met::new(false);
    let hello = met.carrier(server_facts(false));
    let mut returning = met.returning(at(0), plain(), hello, 1);
    returning
        .state_position(at(0), &mut met.client.session)
        .expect("a session that waits");
    let resume = drain(|| returning.poll_transmit(at(0), 1_000));
    let mut answer = met.answer_to(at(0), resume);
    *answer.last_mut().expect("a proof") ^= 1;
    assert_eq!(
        returning.handle_input(at(0), answer.into()),
        Err(HandshakeError::ServerProofWrong)
    );
    assert!(returning.attach(at(0), &mut met.client.session).is_none());
    assert!(!met.client.session.is_attached());
    met.resume(at(0), 2);
    assert!(met.client.session.is_attached());
}

#[test]
fn an_answer_to_another_attempt_is_none_to_this_one() {
    let mut met = Met::new(false);
    let mut attempt = |epoch| {
        let hello = met.carrier(server_facts(false));
        let mut returning = met.returning(at(0), plain(), hello, epoch);
        returning
            .state_position(at(0), &mut met.client.session)
            .expect("a session that waits");
        let resume = drain(|| returning.poll_transmit(at(0), 1_000));
        (returning, met.answer_to(at(0), resume))
    };
    let (mut first, to_first) = attempt(1);
    let (mut second, to_second) = attempt(2);
    let wrong = Err(HandshakeError::ServerProofWrong);
    assert_eq!(second.handle_input(at(0), to_first.into()), wrong);
    assert_eq!(first.handle_input(at(0), to_second.into()), wrong);
}

#[test]
fn a_session_that_has_ended_states_no_position() {
    let mut met = Met::new(false);
    let hello = met.carrier(server_facts(false));
    let mut returning = met.returning(at(0), plain(), hello, 1);
    met.client.session.close(at(0), Code::SHUTTING_DOWN);
    let stated = returning.state_position(at(0), &mut met.client.session);
    assert_eq!(stated, Err(HandshakeError::SessionOver));
    assert!(returning.poll_transmit(at(0), 1_000).is_none());
    let attached = met.client.session.attach(
        at(0),
        1,
        adit_core::Stated {
            received: 0,
            oldest: 0,
        },
    );
    assert_eq!(attached, Err(SessionError::Closed(Code::SHUTTING_DOWN)));
}
