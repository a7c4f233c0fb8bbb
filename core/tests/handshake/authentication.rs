//! Who is let in, what both sides then know, and what somebody without the token learns.

use adit_core::{
    AuthFailure, ClientHello, Code, Frame, HandshakeError, LIST_MAX, Token, TunnelName,
};

use crate::kit::*;

#[test]
fn a_client_with_the_token_is_let_in_and_both_sides_agree_on_everything() {
    let (mut client, mut server) = (client(self_signed()), Server::new(server_facts(true)));
    run(&mut client, &mut server).expect("agreed");
    let (ours, theirs) = (
        client
            .poll_established(at(0))
            .expect("the client's session"),
        server.established.expect("the server's session"),
    );
    assert_eq!(ours.id, theirs.id);
    assert_eq!(ours.grants, theirs.grants);
    assert_eq!(ours.resume_key.expose(), theirs.resume_key.expose());
    assert!(ours.bound && theirs.bound);
    assert_eq!(ours.server_name.as_deref(), Some("server-a"));
    assert_eq!(ours.server_software.as_deref(), Some("test 2"));

    let (request, hello) = (server.request.expect("asked"), hello());
    assert_eq!(request.tunnel, hello.tunnel);
    assert_eq!(request.client_id, hello.client_id);
    assert_eq!(request.instance, hello.instance);
    assert_eq!(request.services, hello.services);
    assert_eq!(request.labels, hello.labels);
    assert_eq!(request.software.as_deref(), Some("test 1"));
    assert!(request.bound);
}

#[test]
fn the_session_is_given_out_once() {
    let (mut client, mut server) = (client(plain()), Server::new(server_facts(false)));
    run(&mut client, &mut server).expect("agreed");
    assert!(client.poll_established(at(0)).is_some());
    assert!(client.poll_established(at(0)).is_none());
}

//= spec/04-handshake.md
//# Nonces MUST be fresh and unpredictable
//# for every carrier.
#[test]
fn every_carrier_has_nonces_of_its_own() {
    let mut server = Server::new(server_facts(false));
    let first = server.output(at(0));
    server.handshake = server
        .endpoint
        .accept(at(0), server_facts(false))
        .expect("room");
    let second = server.output(at(0));
    assert_eq!(first.len(), second.len());
    assert_ne!(first, second);

    let answer = |seed| {
        let (config, facts) = (config(), plain());
        let mut client =
            adit_core::ClientHandshake::new(config, &token(), hello(), facts, seed, at(0));
        client
            .handle_input(at(0), first.clone().into())
            .expect("a hello");
        match parse(&drain(|| client.poll_transmit(at(0), 1000))) {
            Frame::Auth(auth) => auth,
            other => panic!("no AUTH: {other:?}"),
        }
    };
    assert_ne!(answer([1; 32]).nonce, answer([2; 32]).nonce);
    assert_ne!(answer([1; 32]).proof, answer([2; 32]).proof);
}

/// What a client gets that knows `token` for `tunnel`, byte for byte, and what the owner is told.
fn answer_to(token: &[u8], tunnel: &str) -> (Vec<u8>, Option<AuthFailure>) {
    let mut server = Server::new(server_facts(false));
    let mut hello = hello();
    hello.tunnel = TunnelName::new(tunnel).expect("a name");
    let mut client = client_with(&Token::new(token).expect("long enough"), hello, plain());
    client
        .handle_input(at(0), server.output(at(0)).into())
        .expect("a hello");
    server.handle(at(0), drain(|| client.poll_transmit(at(0), 1000)).into());
    (server.output(at(0)), server.failure)
}

//= spec/04-handshake.md
//# For a tunnel that it does not know it MUST do the same work against a verifier that nobody can meet, and MUST
//# give the same answer as for a wrong
//# token: REFUSE with UNAUTHORIZED.
#[test]
fn an_unknown_tunnel_and_a_wrong_token_get_the_same_bytes() {
    let wrong_token = answer_to(b"another token, also long", TUNNEL);
    let unknown_tunnel = answer_to(TOKEN, "no-such-tunnel");
    assert_eq!(wrong_token, unknown_tunnel);
    assert_eq!(wrong_token.1, Some(AuthFailure::Token));
    assert_eq!(refused(&parse(&wrong_token.0)).0, Code::UNAUTHORIZED);
    // Neither does the right token of another tunnel get in anywhere.
    assert_eq!(
        answer_to(b"another token, also long", "no-such-tunnel"),
        wrong_token
    );
}

// The comparison is `subtle`'s; what can be tested is that no part of the proof is left out of it.
//= spec/04-handshake.md
//# It MUST compare in constant
//# time.
#[test]
fn a_proof_that_differs_in_any_one_bit_is_wrong() {
    for bit in 0..256 {
        let mut server = Server::new(server_facts(false));
        let mut auth = played_auth(&server.output(at(0)), |_| ());
        let byte = auth.len() - 32 + bit / 8;
        auth[byte] ^= 1 << (bit % 8);
        server.handle(at(0), auth.into());
        assert_eq!(server.failure, Some(AuthFailure::Token), "bit {bit}");
    }
}

//= spec/04-handshake.md
//# A client MUST verify the server proof before it uses the session, and MUST drop the carrier if it is wrong.
#[test]
fn a_server_that_does_not_know_the_token_gets_no_session() {
    let mut server = Server::new(server_facts(false));
    let mut client = client(plain());
    client
        .handle_input(at(0), server.output(at(0)).into())
        .expect("a hello");
    server.handle(at(0), drain(|| client.poll_transmit(at(0), 1000)).into());
    let mut welcome = server.output(at(0));
    let last = welcome.len() - 1;
    welcome[last] ^= 1;
    let error = Err(HandshakeError::ServerProofWrong);
    assert_eq!(client.handle_input(at(0), welcome.into()), error);
    assert!(client.poll_established(at(0)).is_none());
    assert!(client.poll_transmit(at(0), 1000).is_none());
    // It stays so, whatever comes.
    assert_eq!(
        client.handle_input(at(0), server.output(at(0)).into()),
        error
    );
    assert_eq!(client.handle_timeout(at(1)), error);
    assert_eq!(client.poll_timeout(), None);
}

//= spec/04-handshake.md
//# Any other code of REFUSE that tells something about the tunnel, its sessions or the carrier MUST be sent only
//# after the proof was verified
#[test]
fn before_the_proof_a_refusal_tells_nothing() {
    let told = |code: Code, asked: bool| {
        let mut server = Server::new(server_facts(false));
        let hello = server.output(at(0));
        if asked {
            let auth = played_auth(&hello, |_| ());
            server
                .handshake
                .handle_input(at(0), auth.into())
                .expect("AUTH");
        }
        server
            .handshake
            .refuse(at(0), code, std::time::Duration::from_secs(3));
        refused(&server.answer_frame(at(0))).0
    };
    for &code in Code::ALL {
        let early = matches!(code, Code::VERSION | Code::BUSY | Code::SHUTTING_DOWN);
        let expected = if early { code } else { Code::UNAUTHORIZED };
        for asked in [false, true] {
            assert_eq!(told(code, asked), expected);
        }
    }
}

#[test]
fn after_the_proof_a_refusal_says_what_it_means_and_when_to_come_back() {
    let mut server = Server::new(server_facts(false));
    let auth = played_auth(&server.output(at(0)), |_| ());
    server
        .handshake
        .handle_input(at(0), auth.into())
        .expect("AUTH");
    server.handshake.authenticate(at(0), Some(&verifier()));
    let retry_after = std::time::Duration::from_secs(3);
    server.handshake.refuse(at(0), Code::BUSY, retry_after);
    // Nobody waits to be let in any more.
    assert!(server.handshake.poll_event().is_none());
    assert!(!server.handshake.is_finished());
    assert_eq!(
        refused(&server.answer_frame(at(0))),
        (Code::BUSY, retry_after)
    );
    assert!(server.handshake.is_finished());
}

#[test]
fn a_refused_client_is_told_the_code_and_when_to_come_back() {
    let mut server = Server::new(server_facts(false));
    let mut client = client(plain());
    client
        .handle_input(at(0), server.output(at(0)).into())
        .expect("a hello");
    let retry_after = std::time::Duration::from_secs(9);
    server
        .handshake
        .refuse(at(0), Code::SHUTTING_DOWN, retry_after);
    assert_eq!(
        client.handle_input(at(0), server.output(at(0)).into()),
        Err(HandshakeError::Refused {
            code: Code::SHUTTING_DOWN,
            retry_after
        })
    );
}

//= spec/04-handshake.md
//# A receiver MUST answer others with
//# MALFORMED.
#[test]
fn names_that_are_none_are_malformed() {
    let mut server = Server::new(server_facts(false));
    let mut auth = played_auth(&server.output(at(0)), |_| ());
    let name = auth
        .windows(TUNNEL.len())
        .position(|part| part == TUNNEL.as_bytes());
    auth[name.expect("the tunnel's name is in AUTH")] = b' ';
    server.handle(at(0), auth.into());
    assert!(
        matches!(server.error, Some(HandshakeError::Protocol(error)) if error.code == Code::MALFORMED)
    );
    assert!(matches!(
        server.answer_frame(at(0)),
        Frame::Close {
            code: Code::MALFORMED,
            ..
        }
    ));
}

#[test]
fn a_session_that_is_to_be_resumed_is_not_known() {
    let mut server = Server::new(server_facts(false));
    server.output(at(0));
    server.handle(at(0), played_resume().into());
    assert_eq!(server.failure, Some(AuthFailure::UnknownSession));
    assert_eq!(
        refused(&server.answer_frame(at(0))).0,
        Code::UNKNOWN_SESSION
    );
    assert!(server.handshake.is_finished());
}

#[test]
fn a_client_that_offers_more_than_a_frame_holds_says_so_before_it_sends_anything() {
    let many_services = (0..1_025).map(|id| service(id, "")).collect();
    let long_services = (0..900).map(|id| service(id, "10.0.0.1:50000")).collect();
    let label = (String::new(), String::new());
    let too_large = [
        ClientHello {
            services: many_services,
            ..hello()
        },
        ClientHello {
            services: long_services,
            ..hello()
        },
        ClientHello {
            labels: vec![label; LIST_MAX + 1],
            ..hello()
        },
    ];
    for hello in too_large {
        let mut client = client_with(&token(), hello, plain());
        let error = client.handle_input(at(0), played_hello(1, 1, 0).into());
        assert_eq!(error, Err(HandshakeError::HelloTooLarge));
        assert!(client.poll_transmit(at(0), 1000).is_none());
    }
}

//= spec/03-frames.md
//# A receiver MUST refuse a frame with more than 1,024 services or grants,
//# 256 labels or 256 addresses with MALFORMED.
#[test]
fn a_list_that_would_cost_more_than_it_says_is_refused() {
    let is_taken = |services: u64, labels: usize| {
        let mut server = Server::new(server_facts(false));
        let auth = played_auth(&server.output(at(0)), |auth| {
            auth.services = (0..services).map(|id| service(id, "")).collect();
            auth.labels = vec![(String::new(), String::new()); labels];
        });
        server.handle(at(0), auth.into());
        match server.error {
            Some(HandshakeError::Protocol(error)) => assert_eq!(error.code, Code::MALFORMED),
            Some(other) => panic!("{other:?}"),
            None => (),
        }
        server.error.is_none()
    };
    assert!(is_taken(1_024, 256));
    assert!(!is_taken(1_025, 0));
    assert!(!is_taken(0, 257));
    let others = vec![String::new(); LIST_MAX + 1];
    let go_away = Frame::GoAway {
        retry_after_ms: 0,
        others,
    }
    .encode();
    let body = go_away.payload().clone();
    assert!(Frame::parse(adit_core::kind::GOAWAY, body).is_err());
}

//= spec/11-security.md
//# An implementation MUST NOT show a token or a key in what it prints for people.
#[test]
fn no_secret_shows_in_what_the_machines_print() {
    let (mut client, mut server) = (client(self_signed()), Server::new(server_facts(true)));
    let before = format!("{client:?} {:?} {:?}", server.handshake, server.endpoint);
    assert!(before.contains("awaiting SERVER_HELLO") && before.contains("awaiting AUTH"));
    run(&mut client, &mut server).expect("agreed");
    let (_, record) = server.endpoint.sessions().next().expect("one session");
    let key = format!("{:?}", &record.resume_key.expose()[..4]);
    let shown = format!("{client:?} {:?} {record:?}", server.handshake);
    assert!(shown.contains("[resume key]"));
    assert!(!shown.contains(key.trim_matches(['[', ']'])));
}
