//! Which frame when, and what anything else gets (spec/03-frames.md, section 3.4). Bytes come in any pieces.

use adit_core::auth::{Keys, Transcript};
use adit_core::{
    ClientHandshake, Code, Config, Frame, Grant, HandshakeError, ServiceId, SessionId, Welcome,
    features,
};
use bytes::Bytes;

use crate::kit::*;

fn is_unexpected<T>(result: Result<T, HandshakeError>) -> bool {
    matches!(result, Err(HandshakeError::Protocol(error)) if error.code == Code::UNEXPECTED_FRAME)
}

fn says_unexpected(bytes: &[u8]) -> bool {
    matches!(
        parse(bytes),
        Frame::Close {
            code: Code::UNEXPECTED_FRAME,
            ..
        }
    )
}

/// One frame of each kind that has no place in a handshake, and payload.
fn strangers() -> Vec<Vec<u8>> {
    let mut frames: Vec<_> = [
        Frame::GoAway {
            retry_after_ms: 0,
            others: Vec::new(),
        },
        Frame::Ack { position: 0 },
        Frame::SessionCredit { offset: 1 },
        Frame::Ping([0; 8]),
        Frame::Withdraw {
            service: ServiceId(0),
        },
        Frame::Challenge { nonce: [0; 32] },
    ]
    .iter()
    .map(Frame::encoding)
    .collect();
    frames.push(vec![adit_core::kind::DATA, 0, 1, b'x']);
    frames
}

//= spec/03-frames.md
//# A receiver MUST answer a frame outside its phase with UNEXPECTED_FRAME.
#[test]
fn a_server_answers_a_frame_that_is_neither_auth_nor_resume() {
    let mut frames = strangers();
    frames.push(played_hello(1, 1, 0));
    frames.push(
        Frame::Refuse {
            code: Code::BUSY,
            retry_after_ms: 0,
            detail: None,
        }
        .encoding(),
    );
    for frame in frames {
        let mut server = Server::new(server_facts(false));
        server.output(at(0));
        assert!(is_unexpected(
            server.handshake.handle_input(at(0), frame.into())
        ));
        assert!(says_unexpected(&server.output(at(0))));
        assert!(server.handshake.is_finished());
    }
}

//= spec/03-frames.md
//# A receiver MUST answer a frame outside its phase with UNEXPECTED_FRAME.
#[test]
fn a_client_answers_a_frame_that_has_no_place_between_the_hello_and_the_answer() {
    let mut frames = strangers();
    frames.push(played_hello(1, 1, 0));
    frames.push(played_resume());
    for frame in frames {
        let mut client = client(plain());
        client
            .handle_input(at(0), played_hello(1, 1, 0).into())
            .expect("a hello");
        drain(|| client.poll_transmit(at(0), 1000));
        assert!(is_unexpected(client.handle_input(at(0), frame.into())));
        assert!(says_unexpected(
            &drain(|| client.poll_transmit(at(0), 1000))
        ));
    }
}

#[test]
fn whatever_does_not_begin_with_a_hello_is_not_adit() {
    let peers: [&[u8]; 5] = [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        &[0x15, 3, 1, 0, 2, 2, 40],
        &[0x01, 6, b'n', b'o', b'p', b'e', 1, 1],
        &[0xff],
    ];
    for bytes in peers {
        let mut client = client(plain());
        let error = client.handle_input(at(0), Bytes::copy_from_slice(bytes));
        assert_eq!(error, Err(HandshakeError::NotAdit));
        assert!(client.poll_established(at(0)).is_none());
    }
}

#[test]
fn garbage_on_the_control_port_is_an_error_and_never_asks_for_anything() {
    let garbage: [&[u8]; 3] = [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3],
        &[0xff; 64],
    ];
    for bytes in garbage {
        let mut server = Server::new(server_facts(false));
        server.output(at(0));
        server.handle(at(0), Bytes::copy_from_slice(bytes));
        assert!(
            matches!(server.error, Some(HandshakeError::Protocol(_))),
            "{:?}",
            server.error
        );
        assert!(server.request.is_none() && server.failure.is_none());
        assert!(matches!(server.answer_frame(at(0)), Frame::Close { .. }));
    }
}

//= spec/03-frames.md
//# A client MUST NOT send anything between AUTH or RESUME and the
//# answer to it.
#[test]
fn a_client_is_silent_until_it_is_answered() {
    let mut server = Server::new(server_facts(false));
    let mut client = client(plain());
    client
        .handle_input(at(0), server.output(at(0)).into())
        .expect("a hello");
    assert!(matches!(
        parse(&drain(|| client.poll_transmit(at(0), 1000))),
        Frame::Auth(_)
    ));
    for now in [1, 1_000, 4_000] {
        client.handle_timeout(at(now)).expect("time is left");
        assert!(client.poll_transmit(at(now), 1000).is_none());
    }
}

#[test]
fn a_server_refuses_anything_behind_auth_before_it_answered() {
    // In one piece with AUTH, while the owner looks for the verifier, and while it binds ports.
    for moment in 0..3 {
        let mut server = Server::new(server_facts(false));
        let mut auth = played_auth(&server.output(at(0)), |_| ());
        let more = Frame::Ping([0; 8]).encoding();
        if moment == 0 {
            auth.extend_from_slice(&more);
            assert!(is_unexpected(
                server.handshake.handle_input(at(0), auth.into())
            ));
        } else {
            server
                .handshake
                .handle_input(at(0), auth.into())
                .expect("AUTH");
            if moment == 2 {
                server.handshake.authenticate(at(0), Some(&verifier()));
            }
            // One byte is enough.
            let byte = Bytes::copy_from_slice(&more[..1]);
            assert!(is_unexpected(server.handshake.handle_input(at(0), byte)));
        }
        assert!(says_unexpected(&server.output(at(0))));
        assert!(server.handshake.poll_event().is_none());
        server.handshake.authenticate(at(0), Some(&verifier()));
        let grants = Vec::new();
        assert!(
            server
                .endpoint
                .admit(at(0), &mut server.handshake, grants)
                .is_err()
        );
    }
}

#[test]
fn what_comes_in_the_same_piece_as_welcome_is_in_the_session_already() {
    let mut server = Server::new(server_facts(false));
    let mut client = client(plain());
    client
        .handle_input(at(0), server.output(at(0)).into())
        .expect("a hello");
    server.handle(at(0), drain(|| client.poll_transmit(at(0), 1000)).into());
    let mut bytes = server.output(at(0));
    bytes.extend(
        Frame::GoAway {
            retry_after_ms: 5,
            others: Vec::new(),
        }
        .encoding(),
    );
    client.handle_input(at(0), bytes.into()).expect("welcome");
    // And what comes before the session was fetched is not lost either.
    client
        .handle_input(at(0), Frame::Ping([9; 8]).encoding().into())
        .expect("a session");
    let mut session = client.poll_established(at(0)).expect("a session").session;
    assert!(matches!(
        session.poll_event(),
        Some(adit_core::Event::GoAway { .. })
    ));
    let pong = drain(|| session.poll_transmit(at(0), 1000));
    let expected = Frame::Pong([9; 8]).encoding();
    assert!(pong.windows(expected.len()).any(|frame| frame == expected));
}

#[test]
fn handshake_frames_leave_in_pieces_of_whatever_size_the_carrier_takes() {
    for limit in [64, 100, 16_384] {
        let (mut client, mut server) = (client(plain()), Server::new(server_facts(false)));
        let now = at(0);
        let take = |poll: &mut dyn FnMut(usize) -> Option<adit_core::Transmit>| {
            drain(|| {
                let frame = poll(limit)?;
                assert!(frame.len() <= limit);
                Some(frame)
            })
        };
        let hello = take(&mut |limit| server.handshake.poll_transmit(now, limit));
        client.handle_input(now, hello.into()).expect("a hello");
        let auth = take(&mut |limit| client.poll_transmit(now, limit));
        server.handle(now, auth.into());
        let session = &mut server.established.as_mut().expect("let in").session;
        assert!(session.has_output());
        let welcome = take(&mut |limit| session.poll_transmit(now, limit));
        client.handle_input(now, welcome.into()).expect("welcome");
        assert!(client.poll_established(now).is_some());
    }
}

#[test]
fn either_side_may_close_instead_of_going_on() {
    let close: Bytes = Frame::Close {
        code: Code::INTERNAL,
        detail: None,
    }
    .encoding()
    .into();
    let closed = Err(HandshakeError::PeerClosed(Code::INTERNAL));
    let mut server = Server::new(server_facts(false));
    let hello = server.output(at(0));
    assert_eq!(server.handshake.handle_input(at(0), close.clone()), closed);
    assert!(server.output(at(0)).is_empty());
    let mut client = client(plain());
    client.handle_input(at(0), hello.into()).expect("a hello");
    assert_eq!(client.handle_input(at(0), close), closed);
}

/// The client's answer to WELCOME of a server that knows the token, with a right proof over whatever it says.
fn welcomed(change: impl FnOnce(&mut Welcome)) -> (Result<(), HandshakeError>, ClientHandshake) {
    let hello = played_hello(1, 1, 0);
    let mut client = client(plain());
    client
        .handle_input(at(0), hello.clone().into())
        .expect("a hello");
    let auth = drain(|| client.poll_transmit(at(0), 1000));
    let (front, proof) = auth.split_last_chunk::<32>().expect("a proof");
    let grants = crate::kit::hello().services.iter().map(grant).collect();
    let mut welcome = Welcome {
        session: SessionId([9; 16]),
        epoch: 0,
        features: 0,
        limits: Config::default().limits(),
        resume_window_ms: 0,
        grants,
        others: Vec::new(),
        proof: [0; 32],
    };
    change(&mut welcome);
    let mut encoding = Frame::Welcome(welcome).encoding();
    let unproved = encoding.len() - 32;
    let t2 = Transcript::auth(&hello, front).welcome(proof, &encoding[..unproved]);
    let proof = Keys::new(&token(), &tunnel()).server_proof(&t2);
    encoding[unproved..].copy_from_slice(&proof);
    let result = client.handle_input(at(0), encoding.into());
    (result, client)
}

fn is_malformed(result: (Result<(), HandshakeError>, ClientHandshake)) -> bool {
    let (result, mut client) = result;
    assert!(client.poll_established(at(0)).is_none());
    matches!(result, Err(HandshakeError::Protocol(error)) if error.code == Code::MALFORMED)
}

#[test]
fn a_played_welcome_is_taken_as_it_should_be() {
    let (result, mut client) = welcomed(|welcome| welcome.others = vec!["b.example:443".into()]);
    assert_eq!(result, Ok(()));
    let established = client.poll_established(at(0)).expect("a session");
    assert_eq!(established.id, SessionId([9; 16]));
    assert_eq!(established.others, ["b.example:443"]);
}

//= spec/03-frames.md
//# WELCOME MUST hold one grant for each service of AUTH, in the same order.
#[test]
fn a_client_takes_no_welcome_whose_grants_do_not_answer_its_services() {
    assert!(is_malformed(welcomed(|welcome| welcome.grants.clear())));
    assert!(is_malformed(welcomed(|welcome| welcome.grants.reverse())));
    assert!(is_malformed(welcomed(|welcome| welcome.grants.push(
        Grant {
            id: ServiceId(99),
            result: Err(Code::UNSUPPORTED)
        }
    ))));
}

//= spec/03-frames.md
//# WELCOME MUST NOT hold a bit that AUTH lacks.
#[test]
fn a_client_takes_no_feature_that_it_did_not_offer() {
    assert!(is_malformed(welcomed(
        |welcome| welcome.features = features::OFFER
    )));
    assert!(is_malformed(welcomed(|welcome| welcome.features = 1 << 40)));
}

#[test]
fn a_server_grants_no_feature_and_ignores_those_that_it_does_not_know() {
    let mut server = Server::new(server_facts(false));
    let auth = played_auth(&server.output(at(0)), |auth| auth.features = (1 << 62) - 1);
    server.handle(at(0), auth.into());
    assert!(matches!(server.answer_frame(at(0)), Frame::Welcome(welcome) if welcome.features == 0));
}

#[test]
fn a_fresh_session_can_neither_have_been_resumed_nor_be() {
    assert!(is_malformed(welcomed(|welcome| welcome.epoch = 1)));
    assert!(is_malformed(welcomed(
        |welcome| welcome.resume_window_ms = 1
    )));
}
