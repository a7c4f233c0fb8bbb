//! How long anything may take, and what a wrong proof costs its sender (spec/04-handshake.md, sections 4.2 and 4.9).

use std::time::Duration;

use adit_core::{AuthFailure, Code, HandshakeError};
use bytes::Bytes;

use crate::kit::*;

//= spec/04-handshake.md
//# A server MUST drop a carrier that did not complete AUTH or RESUME within `handshake_timeout` (10 s by default,
//# from the moment the carrier was accepted, TLS and
//# HTTP included), and one from which nothing arrived for `dead_after` (5 s).
#[test]
fn a_server_gives_up_on_a_silent_client_after_dead_after() {
    let mut server = Server::new(server_facts(false));
    server.output(at(0));
    assert_eq!(server.handshake.poll_timeout(), Some(at(5_000)));
    assert_eq!(server.handshake.handle_timeout(at(4_999)), Ok(()));
    assert_eq!(
        server.handshake.handle_timeout(at(5_000)),
        Err(HandshakeError::Silent)
    );
    assert_eq!(server.handshake.poll_timeout(), None);
}

//= spec/04-handshake.md
//# A server MUST drop a carrier that did not complete AUTH or RESUME within `handshake_timeout` (10 s by default,
//# from the moment the carrier was accepted, TLS and
//# HTTP included)
#[test]
fn a_handshake_sent_a_byte_a_second_ends_at_the_handshake_timeout() {
    let mut server = Server::new(server_facts(false));
    let auth = played_auth(&server.output(at(0)), |_| ());
    for (second, byte) in (1..10).zip(&auth) {
        let byte = Bytes::copy_from_slice(&[*byte]);
        server
            .handshake
            .handle_input(at(second * 1_000), byte)
            .expect("one byte of AUTH");
        assert_eq!(server.handshake.handle_timeout(at(second * 1_000)), Ok(()));
    }
    assert_eq!(server.handshake.poll_timeout(), Some(at(10_000)));
    assert_eq!(
        server.handshake.handle_timeout(at(10_000)),
        Err(HandshakeError::TimedOut)
    );
}

#[test]
fn time_that_tls_and_http_took_counts() {
    let mut server = Server::new(server_facts(false));
    server
        .handshake
        .handle_input(at(9_000), Bytes::from_static(&[0x02]))
        .expect("AUTH's type");
    server.handshake.count_from(at(0));
    // Said again, later: nothing is given back.
    server.handshake.count_from(at(8_000));
    assert_eq!(
        server.handshake.handle_timeout(at(10_000)),
        Err(HandshakeError::TimedOut)
    );

    let mut client = client(plain());
    client
        .handle_input(at(3_000), played_hello(1, 1, 0).into())
        .expect("a hello");
    assert_eq!(client.poll_timeout(), Some(at(8_000)));
    client
        .handle_input(at(7_000), Bytes::from_static(&[0x03]))
        .expect("WELCOME's type");
    client.count_from(at(0));
    assert_eq!(client.poll_timeout(), Some(at(10_000)));
}

#[test]
fn a_client_gives_up_on_the_same_terms() {
    let mut silent = client(plain());
    assert_eq!(silent.poll_timeout(), Some(at(5_000)));
    assert_eq!(silent.handle_timeout(at(4_999)), Ok(()));
    assert_eq!(
        silent.handle_timeout(at(5_000)),
        Err(HandshakeError::Silent)
    );

    let mut slow = client(plain());
    let hello = played_hello(1, 1, 0);
    for (second, byte) in (1..10).zip(&hello) {
        slow.handle_input(at(second * 1_000), Bytes::copy_from_slice(&[*byte]))
            .expect("a byte");
        assert_eq!(slow.handle_timeout(at(second * 1_000)), Ok(()));
    }
    assert_eq!(
        slow.handle_timeout(at(10_000)),
        Err(HandshakeError::TimedOut)
    );
}

#[test]
fn an_empty_piece_is_no_sign_of_life() {
    let mut server = Server::new(server_facts(false));
    server
        .handshake
        .handle_input(at(4_000), Bytes::new())
        .expect("nothing");
    assert_eq!(server.handshake.poll_timeout(), Some(at(5_000)));
}

#[test]
fn an_owner_that_never_answers_does_not_keep_the_carrier() {
    let mut server = Server::new(server_facts(false));
    let auth = played_auth(&server.output(at(0)), |_| ());
    server
        .handshake
        .handle_input(at(0), auth.into())
        .expect("AUTH");
    // The client may say nothing, so its silence is no fault.
    assert_eq!(server.handshake.handle_timeout(at(9_999)), Ok(()));
    assert_eq!(
        server.handshake.handle_timeout(at(10_000)),
        Err(HandshakeError::TimedOut)
    );
}

/// A server that was sent a wrong proof, or the right one, while a penalty holds until `until` ms.
fn punished(right: bool, until: u64) -> Server {
    let mut server = Server::new(server_facts(false));
    let mut auth = played_auth(&server.output(at(0)), |_| ());
    if !right {
        *auth.last_mut().expect("a proof") ^= 1;
    }
    server.handshake.answer_after(at(until));
    server.handle(at(0), auth.into());
    server
}

#[test]
fn a_penalty_delays_the_answer_to_a_wrong_proof() {
    let mut server = punished(false, 800);
    assert_eq!(server.failure, Some(AuthFailure::Token));
    assert!(server.output(at(799)).is_empty());
    assert!(!server.handshake.is_finished());
    assert_eq!(server.handshake.poll_timeout(), Some(at(800)));
    assert_eq!(server.handshake.handle_timeout(at(800)), Ok(()));
    assert_eq!(refused(&server.answer_frame(at(800))).0, Code::UNAUTHORIZED);
    assert!(server.handshake.is_finished());
}

#[test]
fn a_penalty_that_is_set_on_hearing_of_the_failure_still_counts() {
    let mut server = Server::new(server_facts(false));
    let auth = played_auth(&server.output(at(0)), |_| ());
    server
        .handshake
        .handle_input(at(0), auth.into())
        .expect("AUTH");
    let _asked = server.handshake.poll_event();
    server.handshake.authenticate(at(0), None);
    // Before the failure was polled nothing goes out, so that there is time to say so.
    assert!(server.output(at(0)).is_empty());
    assert!(server.handshake.poll_event().is_some());
    server.handshake.answer_after(at(300));
    assert!(server.output(at(299)).is_empty());
    assert!(!server.output(at(300)).is_empty());
}

#[test]
fn no_penalty_outlasts_the_clients_patience() {
    let mut server = punished(false, 60_000);
    assert_eq!(server.handshake.poll_timeout(), Some(at(2_500)));
    assert!(!server.output(at(2_500)).is_empty());
}

//= spec/04-handshake.md
//# A server MUST NOT refuse or delay a
//# correct proof because of earlier failures, whoever made them
#[test]
fn a_penalty_does_not_touch_a_right_proof() {
    let mut server = punished(true, 60_000);
    assert!(server.established.is_some());
    assert!(!server.output(at(0)).is_empty());

    // Nor one that is right and refused for another reason.
    let mut server = Server::new(server_facts(true));
    let auth = played_auth(&server.output(at(0)), |_| ());
    server.handshake.answer_after(at(60_000));
    server.handle(at(0), auth.into());
    assert_eq!(
        refused(&server.answer_frame(at(0))).0,
        Code::BINDING_REQUIRED
    );
}

#[test]
fn a_refusal_that_the_carrier_does_not_take_is_given_up() {
    let mut server = punished(false, 0);
    assert_eq!(server.handshake.handle_timeout(at(0)), Ok(()));
    assert_eq!(server.handshake.poll_timeout(), Some(at(5_000)));
    assert_eq!(
        server.handshake.handle_timeout(at(5_000)),
        Err(HandshakeError::TimedOut)
    );
    server
        .handshake
        .refuse(at(5_000), Code::BUSY, Duration::ZERO);
    assert_eq!(server.handshake.poll_timeout(), None);
}
