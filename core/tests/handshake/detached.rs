//! How many sessions may be without a carrier, and which of them give way.

use std::sync::Arc;

use adit_core::{Config, Instance, SessionId, TunnelName};

use crate::kit::*;

/// A server with `sessions` of them, each of its own client run and tunnel.
fn server(config: Config, tunnels: &[&str]) -> (Server, Vec<SessionId>) {
    let config = Arc::new(Config {
        replay: 1_000,
        ..config
    });
    let mut server = Server::with(config, server_facts(false));
    let admit = |(run, tunnel): (u8, &&str)| {
        let accepted = server.endpoint.accept(at(0), server_facts(false));
        let mut handshake = accepted.expect("room");
        let hello = drain(|| handshake.poll_transmit(at(0), 1_000));
        let auth = played_auth(&hello, |auth| {
            auth.tunnel = TunnelName::new(tunnel).expect("a name");
            auth.instance = Instance([run; 16]);
            auth.features = 1;
            auth.resume_window_ms = 60_000;
        });
        handshake.handle_input(at(0), auth.into()).expect("AUTH");
        handshake.authenticate(at(0), Some(&verifier()));
        let admitted = server.endpoint.admit(at(0), &mut handshake, Vec::new());
        admitted.expect("let in").id
    };
    let ids = (0..).zip(tunnels).map(admit).collect();
    (server, ids)
}

#[test]
fn beyond_detached_max_the_longest_detached_session_goes_first() {
    let limits = Config {
        detached_max: 2,
        ..Config::default()
    };
    let (mut server, ids) = server(limits, &["a"; 4]);
    let endpoint = &mut server.endpoint;
    assert_eq!(endpoint.detached(at(30), ids[1], 1), []);
    assert_eq!(endpoint.detached(at(20), ids[0], 1), []);
    assert_eq!(
        endpoint.detached(at(40), ids[2], 1),
        [ids[0]],
        "since 20, though told later"
    );
    endpoint.ended(ids[0]);
    // One that has a carrier again makes room.
    endpoint.attached(at(41), ids[1]);
    assert_eq!(endpoint.detached(at(50), ids[3], 1), []);
    // The one that has been attached for a while counts from its new loss.
    assert_eq!(endpoint.detached(at(60), ids[1], 1), [ids[2]]);
}

#[test]
fn a_tunnel_has_its_own_share_and_can_not_push_out_others() {
    let limits = Config {
        detached_per_tunnel: 2,
        ..Config::default()
    };
    let (mut server, ids) = server(limits, &["quiet", "busy", "busy", "busy", "busy"]);
    let endpoint = &mut server.endpoint;
    for (since, id) in (1..).zip(&ids[..3]) {
        assert_eq!(endpoint.detached(at(since), *id, 1), []);
    }
    // The quiet tunnel's has been without for longest, and stays.
    assert_eq!(endpoint.detached(at(10), ids[3], 1), [ids[1]]);
    endpoint.ended(ids[1]);
    assert_eq!(endpoint.detached(at(11), ids[4], 1), [ids[2]]);
}

#[test]
fn what_detached_sessions_hold_in_all_is_bounded_by_letting_the_longest_detached_go() {
    let limits = Config {
        detached_bytes: 1_000,
        ..Config::default()
    };
    let (mut server, ids) = server(limits, &["a"; 4]);
    let endpoint = &mut server.endpoint;
    assert_eq!(endpoint.detached(at(1), ids[0], 400), []);
    assert_eq!(endpoint.detached(at(2), ids[1], 400), []);
    assert_eq!(
        endpoint.detached(at(3), ids[2], 200),
        [],
        "exactly the limit"
    );
    // As many as it takes, and no more.
    assert_eq!(endpoint.detached(at(4), ids[3], 500), [ids[0], ids[1]]);
    endpoint.ended(ids[0]);
    endpoint.ended(ids[1]);
    // One that is larger than the limit goes itself, after all the others.
    endpoint.attached(at(5), ids[2]);
    let all = endpoint.detached(at(6), ids[2], 1_001);
    assert_eq!(all, [ids[3], ids[2]]);
}

#[test]
fn a_session_that_the_endpoint_does_not_know_pushes_out_nobody() {
    let limits = Config {
        detached_max: 0,
        ..Config::default()
    };
    let (mut server, ids) = server(limits, &["a"]);
    let unknown = SessionId([9; 16]);
    assert_eq!(server.endpoint.detached(at(1), unknown, 1), []);
    assert_eq!(server.endpoint.detached(at(1), ids[0], 1), [ids[0]]);
}

#[test]
fn a_tunnel_that_holds_most_gives_way_before_one_that_has_waited_longer() {
    let limits = Config {
        detached_bytes: 1_000,
        detached_max: 3,
        ..Config::default()
    };
    let (mut server, ids) = server(limits, &["quiet", "busy", "busy", "busy", "quiet"]);
    let endpoint = &mut server.endpoint;
    assert_eq!(endpoint.detached(at(1), ids[0], 100), []);
    assert_eq!(endpoint.detached(at(2), ids[1], 500), []);
    assert_eq!(endpoint.detached(at(3), ids[2], 500), [ids[1]]);
    endpoint.ended(ids[1]);
    assert_eq!(endpoint.detached(at(4), ids[3], 1), []);
    // Too many now, and half of them are the quiet one's: of as many, either may go.
    let given_up = endpoint.detached(at(5), ids[4], 1);
    assert!(given_up == [ids[2]] || given_up == [ids[0]], "{given_up:?}");
}
