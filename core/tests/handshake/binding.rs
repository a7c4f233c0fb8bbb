//! Channel binding, and each way in which a man in the middle fails (spec/04-handshake.md, section 4.5).

use adit_core::{
    AuthFailure, CarrierFacts, ClientHandshake, Code, Frame, HandshakeError, ServerFacts, flags,
};

use crate::kit::*;

/// What the client sees on the connection to the man in the middle, whose certificate is his own.
const HIS: [u8; 32] = [0x66; 32];

fn flags_of(facts: ServerFacts) -> u64 {
    match Server::new(facts).answer_frame(at(0)) {
        Frame::ServerHello(hello) => hello.flags,
        other => panic!("no SERVER_HELLO: {other:?}"),
    }
}

//= spec/04-handshake.md
//# A server that ends TLS itself MUST set TLS_HERE, and SHOULD set BINDING unless its operator turned it off.
#[test]
fn the_hello_says_where_tls_ends_and_whether_proofs_are_bound() {
    assert_eq!(
        flags_of(server_facts(true)),
        flags::TLS_HERE | flags::BINDING
    );
    assert_eq!(
        flags_of(ServerFacts {
            binding: false,
            ..server_facts(true)
        }),
        flags::TLS_HERE
    );
    assert_eq!(flags_of(server_facts(false)), 0);
}

#[test]
fn a_client_that_gives_no_proof_sends_nothing_at_all() {
    let silent = [
        // Nobody can check the certificate, and the server does not bind.
        (self_signed(), 0, HandshakeError::CertificateUnchecked),
        (
            self_signed(),
            flags::TLS_HERE,
            HandshakeError::CertificateUnchecked,
        ),
        // The server binds, and there is nothing to bind to.
        (
            plain(),
            flags::TLS_HERE | flags::BINDING,
            HandshakeError::BindingImpossible,
        ),
        (
            CarrierFacts {
                exporter: None,
                ..self_signed()
            },
            flags::TLS_HERE | flags::BINDING,
            HandshakeError::BindingImpossible,
        ),
    ];
    for (facts, flags, error) in silent {
        let mut client = client(facts);
        let hello = played_hello(1, 1, flags);
        assert_eq!(client.handle_input(at(0), hello.into()), Err(error));
        assert!(client.poll_transmit(at(0), 1000).is_none(), "{error:?}");
    }
}

/// Somebody relays between a client and a server: the client sees his TLS, and `bend_hello` and `bend_auth` are
/// what he makes of the frames.
fn relayed(
    checked: bool,
    bend_hello: impl FnOnce(&mut Vec<u8>),
    bend_auth: impl FnOnce(&mut Vec<u8>),
) -> (Result<(), HandshakeError>, Server, ClientHandshake) {
    let mut client = client(CarrierFacts {
        exporter: Some(HIS),
        tls: true,
        certificate_checked: checked,
    });
    let mut server = Server::new(server_facts(true));
    let mut hello = server.output(at(0));
    bend_hello(&mut hello);
    if let Err(error) = client.handle_input(at(0), hello.into()) {
        return (Err(error), server, client);
    }
    let mut auth = drain(|| client.poll_transmit(at(0), 1000));
    bend_auth(&mut auth);
    server.handle(at(0), auth.into());
    let answer = server.output(at(0));
    let told = client.handle_input(at(0), answer.into());
    (told, server, client)
}

/// Rewrites SERVER_HELLO as if the server did not end TLS itself.
fn claim_tls_elsewhere(hello: &mut Vec<u8>) {
    let Frame::ServerHello(mut frame) = parse(hello) else {
        panic!("no SERVER_HELLO")
    };
    frame.flags = 0;
    *hello = Frame::ServerHello(frame).encoding();
}

fn rebind(auth: &mut Vec<u8>, binding: Option<[u8; 32]>) {
    let Frame::Auth(mut frame) = parse(auth) else {
        panic!("no AUTH")
    };
    frame.binding = binding;
    *auth = Frame::Auth(frame).encoding();
}

#[test]
fn relaying_the_frames_unchanged_shows_that_tls_ends_elsewhere() {
    for checked in [true, false] {
        let (told, server, _) = relayed(checked, |_| (), |_| ());
        assert_eq!(told, Err(HandshakeError::BindingMismatch));
        assert_eq!(server.failure, Some(AuthFailure::BindingMismatch));
        assert!(server.established.is_none());
    }
}

#[test]
fn rewriting_the_hello_meets_silence_from_a_client_that_could_not_check_the_certificate() {
    let (told, server, mut client) = relayed(false, claim_tls_elsewhere, |_| ());
    assert_eq!(told, Err(HandshakeError::CertificateUnchecked));
    assert!(client.poll_transmit(at(0), 1000).is_none());
    assert!(server.established.is_none());
}

#[test]
fn rewriting_the_hello_breaks_the_proof_of_a_client_that_trusts_the_certificate() {
    let (told, server, _) = relayed(true, claim_tls_elsewhere, |_| ());
    assert!(matches!(
        told,
        Err(HandshakeError::Refused {
            code: Code::UNAUTHORIZED,
            ..
        })
    ));
    assert_eq!(server.failure, Some(AuthFailure::Token));
}

#[test]
fn stripping_or_replacing_the_binding_breaks_the_proof() {
    for binding in [None, Some(EXPORTER)] {
        let (told, server, _) = relayed(false, |_| (), |auth| rebind(auth, binding));
        assert!(matches!(
            told,
            Err(HandshakeError::Refused {
                code: Code::UNAUTHORIZED,
                ..
            })
        ));
        assert_eq!(server.failure, Some(AuthFailure::Token));
        assert!(server.established.is_none());
    }
}

#[test]
fn rewriting_the_hello_and_the_binding_together_breaks_the_proof() {
    let (told, server, _) = relayed(true, claim_tls_elsewhere, |auth| {
        rebind(auth, Some(EXPORTER))
    });
    assert!(matches!(
        told,
        Err(HandshakeError::Refused {
            code: Code::UNAUTHORIZED,
            ..
        })
    ));
    assert!(server.established.is_none());
}

#[test]
fn behind_a_proxy_that_ends_tls_a_checked_certificate_is_enough() {
    let facts = CarrierFacts {
        exporter: Some(HIS),
        tls: true,
        certificate_checked: true,
    };
    let (mut client, mut server) = (client(facts), Server::new(server_facts(false)));
    run(&mut client, &mut server).expect("agreed");
    assert!(!client.poll_established(at(0)).expect("a session").bound);
}

#[test]
fn an_unbound_proof_is_told_that_it_must_be_bound_when_it_is_right_and_only_then() {
    let answer = |bend: fn(&mut Vec<u8>)| {
        let mut server = Server::new(server_facts(true));
        let mut auth = played_auth(&server.output(at(0)), |_| ());
        bend(&mut auth);
        server.handle(at(0), auth.into());
        refused(&server.answer_frame(at(0))).0
    };
    assert_eq!(answer(|_| ()), Code::BINDING_REQUIRED);
    assert_eq!(
        answer(|auth| *auth.last_mut().expect("a proof") ^= 1),
        Code::UNAUTHORIZED
    );
}

#[test]
fn a_binding_that_comes_to_a_server_without_one_of_its_own_is_a_mismatch() {
    let mut server = Server::new(server_facts(false));
    let auth = played_auth(&server.output(at(0)), |auth| auth.binding = Some(HIS));
    server.handle(at(0), auth.into());
    assert_eq!(
        refused(&server.answer_frame(at(0))).0,
        Code::BINDING_MISMATCH
    );
}
