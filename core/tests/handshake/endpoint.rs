//! What one server allows in all, and what it knows of its sessions.

use std::sync::Arc;
use std::time::Duration;

use adit_core::{
    AdmitError, AtLimit, Attachment, Code, Config, Frame, Grant, Instance, ServerHandshake,
    ServiceId,
};

use crate::kit::*;

fn limited(handshakes_max: usize, sessions_max: usize) -> Arc<Config> {
    Arc::new(Config {
        handshakes_max,
        sessions_max,
        ..Config::default()
    })
}

/// Another carrier whose client proved itself and waits to be let in.
fn waiting(server: &mut Server, instance: u8) -> ServerHandshake {
    let mut handshake = server
        .endpoint
        .accept(at(0), server_facts(false))
        .expect("room");
    let hello = drain(|| handshake.poll_transmit(at(0), 1000));
    let auth = played_auth(&hello, |auth| auth.instance = Instance([instance; 16]));
    handshake.handle_input(at(0), auth.into()).expect("AUTH");
    handshake.authenticate(at(0), Some(&verifier()));
    handshake
}

#[test]
fn handshakes_are_limited_and_one_that_ends_makes_room() {
    let mut server = Server::with(limited(2, 9), server_facts(false));
    let second = server
        .endpoint
        .accept(at(0), server_facts(false))
        .expect("room for two");
    assert_eq!(server.endpoint.handshakes(), 2);
    assert_eq!(
        server.endpoint.accept(at(0), server_facts(false)).err(),
        Some(AtLimit)
    );
    server.endpoint.abandon(second);
    let third = server
        .endpoint
        .accept(at(0), server_facts(false))
        .expect("room again");
    // A handshake that is simply dropped is not counted for ever.
    drop(third);
    assert_eq!(server.endpoint.handshakes(), 1);
}

#[test]
fn an_admitted_client_counts_as_a_session_and_no_longer_as_a_handshake() {
    let mut server = Server::with(limited(1, 9), server_facts(false));
    let auth = played_auth(&server.output(at(0)), |_| ());
    server.handle(at(0), auth.into());
    assert_eq!(
        (
            server.endpoint.handshakes(),
            server.endpoint.sessions().len()
        ),
        (0, 1)
    );
    let established = server.established.expect("let in");
    let record = server.endpoint.session(established.id).expect("known");
    assert_eq!(
        (&record.tunnel, record.epoch, record.bound),
        (&tunnel(), 0, false)
    );
    assert_eq!(record.attachment, Attachment::Attached { since: at(0) });
    assert_eq!(record.resume_key.expose(), established.resume_key.expose());
    server.endpoint.ended(established.id);
    assert_eq!(server.endpoint.sessions().len(), 0);
    // Ended twice, or never begun: nothing happens.
    server.endpoint.ended(established.id);
}

#[test]
fn sessions_are_limited_and_the_client_that_waits_can_be_told_so() {
    let mut server = Server::with(limited(9, 1), server_facts(false));
    let auth = played_auth(&server.output(at(0)), |_| ());
    server.handle(at(0), auth.into());
    let mut late = waiting(&mut server, 5);
    let error = server.endpoint.admit(at(0), &mut late, Vec::new()).err();
    assert_eq!(error, Some(AdmitError::AtLimit));
    late.refuse(at(0), Code::BUSY, Duration::from_secs(1));
    assert_eq!(
        refused(&parse(&drain(|| late.poll_transmit(at(0), 1000)))).0,
        Code::BUSY
    );
}

#[test]
fn only_a_client_that_proved_itself_is_admitted_and_only_once() {
    let mut server = Server::new(server_facts(false));
    let not_asked = Some(AdmitError::NotAsked);
    assert_eq!(
        server
            .endpoint
            .admit(at(0), &mut server.handshake, Vec::new())
            .err(),
        not_asked
    );
    let auth = played_auth(&server.output(at(0)), |_| ());
    server
        .handshake
        .handle_input(at(0), auth.into())
        .expect("AUTH");
    assert_eq!(
        server
            .endpoint
            .admit(at(0), &mut server.handshake, Vec::new())
            .err(),
        not_asked
    );
    server.handshake.authenticate(at(0), Some(&verifier()));
    assert!(
        server
            .endpoint
            .admit(at(0), &mut server.handshake, Vec::new())
            .is_ok()
    );
    assert_eq!(
        server
            .endpoint
            .admit(at(0), &mut server.handshake, Vec::new())
            .err(),
        not_asked
    );
    assert!(server.handshake.is_finished());
    assert!(server.handshake.poll_event().is_none());
}

#[test]
fn a_client_admitted_late_is_told_so_in_time() {
    // WELCOME comes out of the session, so that dropping the handshake loses nothing.
    let mut server = Server::new(server_facts(false));
    let mut handshake = waiting(&mut server, 5);
    let mut established = server
        .endpoint
        .admit(at(900), &mut handshake, Vec::new())
        .expect("let in");
    drop(handshake);
    let mut first = established.session.poll_transmit(at(900), 1000);
    let welcome = parse(&drain(|| first.take()));
    assert!(matches!(welcome, Frame::Welcome(welcome) if welcome.session == established.id));
}

//= spec/03-frames.md
//# WELCOME MUST hold one grant for each service of AUTH, in the same order.
#[test]
fn grants_are_put_in_order_and_what_is_missing_is_refused() {
    let mut server = Server::new(server_facts(false));
    let auth = played_auth(&server.output(at(0)), |auth| {
        auth.services = vec![service(4, "1"), service(2, "2"), service(9, "3")];
    });
    server
        .handshake
        .handle_input(at(0), auth.into())
        .expect("AUTH");
    server.handshake.authenticate(at(0), Some(&verifier()));
    let granted = |id, result| Grant {
        id: ServiceId(id),
        result,
    };
    let given = vec![
        granted(9, Err(Code::PORT_IN_USE)),
        granted(77, Ok("[::1]:1".into())),
        granted(4, Ok("127.0.0.1:1".into())),
    ];
    let established = server
        .endpoint
        .admit(at(0), &mut server.handshake, given)
        .expect("let in");
    let expected = [
        granted(4, Ok("127.0.0.1:1".into())),
        granted(2, Err(Code::UNSUPPORTED)),
        granted(9, Err(Code::PORT_IN_USE)),
    ];
    assert_eq!(established.grants, expected);
    server.established = Some(established);
    assert!(
        matches!(server.answer_frame(at(0)), Frame::Welcome(welcome) if welcome.grants == expected)
    );
}

#[test]
fn grants_that_do_not_fit_one_frame_are_not_sent() {
    let mut server = Server::new(server_facts(false));
    let mut handshake = waiting(&mut server, 5);
    let grants = vec![Grant {
        id: ServiceId(0),
        result: Ok("x".repeat(20_000)),
    }];
    let error = server.endpoint.admit(at(0), &mut handshake, grants).err();
    assert_eq!(error, Some(AdmitError::GrantsTooLong));
    assert!(
        server
            .endpoint
            .admit(at(0), &mut handshake, Vec::new())
            .is_ok()
    );
}

#[test]
fn earlier_runs_of_a_client_are_found_and_sessions_of_the_same_run_are_not() {
    let mut server = Server::new(server_facts(false));
    let mut admit = |instance| {
        let mut handshake = waiting(&mut server, instance);
        let request = handshake.poll_event();
        let id = server
            .endpoint
            .admit(at(0), &mut handshake, Vec::new())
            .expect("let in")
            .id;
        (request, id)
    };
    let (first_run, _) = (admit(1), admit(1));
    let (request, _) = admit(2);
    let Some(adit_core::HandshakeEvent::Admit(mut request)) = request else {
        panic!("no request")
    };
    assert_eq!(server.endpoint.earlier_runs(&request).count(), 2);
    assert!(
        server
            .endpoint
            .earlier_runs(&request)
            .any(|id| id == first_run.1)
    );
    request.client_id = adit_core::ClientId::new("host-2").expect("a name");
    assert_eq!(server.endpoint.earlier_runs(&request).count(), 0);
}
