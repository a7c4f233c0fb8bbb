//! Which version is spoken (spec/04-handshake.md, section 4.3).

use adit_core::{AuthFailure, Code, Frame, HandshakeError, VERSION, kind};

use crate::kit::*;

//= spec/04-handshake.md
//# If there is none,
//# the client MUST NOT send AUTH.
#[test]
fn a_client_sends_no_auth_to_a_server_that_does_not_speak_its_version() {
    for (lowest, highest) in [(2, 3), (0, 0), (2, 1 << 61)] {
        let mut client = client(plain());
        assert_eq!(
            client.handle_input(at(0), played_hello(lowest, highest, 0).into()),
            Err(HandshakeError::VersionMismatch { lowest, highest })
        );
        assert!(client.poll_transmit(at(0), 1000).is_none());
    }
}

#[test]
fn a_client_picks_its_version_out_of_a_wider_range() {
    let mut client = client(plain());
    client
        .handle_input(at(0), played_hello(0, 9, 0).into())
        .expect("a common version");
    let auth = parse(&drain(|| client.poll_transmit(at(0), 1000)));
    assert!(matches!(auth, Frame::Auth(auth) if auth.version == VERSION));
}

#[test]
fn a_range_that_ends_before_it_begins_is_malformed() {
    let mut client = client(plain());
    let error = client.handle_input(at(0), played_hello(2, 1, 0).into());
    assert!(matches!(error, Err(HandshakeError::Protocol(error)) if error.code == Code::MALFORMED));
}

//= spec/04-handshake.md
//# A server MUST answer a version outside its range with REFUSE and VERSION.
#[test]
fn a_version_that_was_not_offered_is_refused() {
    for version in [0, 2, 1 << 40] {
        let mut server = Server::new(server_facts(false));
        let auth = played_auth(&server.output(at(0)), |auth| auth.version = version);
        server.handle(at(0), auth.into());
        assert_eq!(server.failure, Some(AuthFailure::Version));
        assert_eq!(refused(&server.answer_frame(at(0))).0, Code::VERSION);
    }
}

#[test]
fn the_rest_of_another_versions_auth_need_not_look_like_ours() {
    for kind in [kind::AUTH, kind::RESUME] {
        let mut server = Server::new(server_facts(false));
        server.output(at(0));
        server.handle(at(0), vec![kind, 3, 2, 0xff, 0xff].into());
        assert_eq!(refused(&server.answer_frame(at(0))).0, Code::VERSION);
    }
}
