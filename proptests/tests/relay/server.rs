//! How a server's sessions follow each other, and how they and it end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use adit_core::{Config, Instant};
use adit_proptests::scene::{CONTROL, client_config, named, server_config, token};
use adit_proptests::{Behaviour, World};
use adit_relay::Notice;
use adit_relay::server::{Server, Tunnels};

use super::{PORT, SECOND, UPSTREAM};

#[test]
fn a_client_that_comes_back_takes_over_at_once_from_a_silent_instance_of_itself() {
    let (mut world, server, old) = World::tunnelled(3, &[("9090", UPSTREAM)]);
    world.listen(UPSTREAM, Behaviour::Echo);
    world.freeze(old);
    world.client(client_config(&[("9090", UPSTREAM)]), Ok(token("a")));
    world.run(SECOND / 5);
    assert_eq!(
        world.counters(server).sessions,
        2,
        "the new one waits for the old one"
    );
    let visitor = world.visitor(PORT);
    world.say(visitor, b"hello");
    world.expect_heard(visitor, b"hello");
    let replaced = world.run_until(SECOND * 2, |world| {
        world.noticed(|notice| matches!(notice, Notice::SessionReplaced { .. }))
    });
    assert!(replaced);
    assert_eq!(world.counters(server).sessions, 1);
    assert!(world.is_open(PORT));
}

#[test]
fn a_draining_server_lets_running_streams_finish_and_then_ends() {
    let (mut world, server, _) = World::tunnelled(16, &[("9090", UPSTREAM)]);
    world.listen(UPSTREAM, Behaviour::Echo);
    let visitor = world.visitor(PORT);
    world.say(visitor, b"one ");
    world.expect_heard(visitor, b"one ");
    world.drain_server(server, SECOND * 30);
    world.run(SECOND);
    assert!(!world.is_open(PORT), "visitors can still come");
    assert!(!world.handle(server).is_done());
    world.say(visitor, b"two");
    world.finish(visitor);
    world.expect_heard(visitor, b"one two");
    assert!(world.run_until(SECOND * 3, |world| world.handle(server).is_done()));
    assert!(world.saw_fin(visitor) && !world.was_reset(visitor));
}

#[test]
fn a_draining_server_ends_after_the_grace_whatever_still_runs() {
    let (mut world, server, _) = World::tunnelled(17, &[("9090", UPSTREAM)]);
    world.listen(UPSTREAM, Behaviour::Manual);
    let visitor = world.visitor(PORT);
    world.strangers(3, b"");
    world.run(SECOND);
    world.drain_server(server, SECOND * 10);
    world.run(SECOND * 9);
    assert!(!world.was_reset(visitor));
    assert!(world.run_until(SECOND * 4, |world| world.handle(server).is_done()));
    world.run(SECOND);
    assert!(world.was_reset(visitor) && !world.saw_fin(visitor));
}

#[test]
fn a_drained_server_is_done_only_when_its_last_words_have_arrived() {
    let (mut world, server, _) = World::tunnelled(23, &[("9090", UPSTREAM)]);
    // One that never closes its side costs no more than the linger.
    let mute = world.strangers(1, b"")[0];
    world.plug(mute, true);
    world.run(SECOND);
    world.drain_server(server, SECOND);
    assert!(world.run_until(SECOND * 4, |world| world.handle(server).is_done()));
    assert_eq!(
        world.tasks_of(server),
        0,
        "a task would have been cut short"
    );
    let told = |notice: &Notice| matches!(notice, Notice::Disconnected { reason, .. } if reason.contains("shutting down"));
    assert!(world.noticed(told), "{:#?}", world.notices);
}

#[test]
fn whoever_polls_a_draining_server_is_woken_when_its_last_peer_is_dropped() {
    let server = Server::new(server_config(), [1; 32]);
    let woken = Arc::new(AtomicUsize::new(0));
    let count = woken.clone();
    server.wake_by(move || {
        count.fetch_add(1, Ordering::Relaxed);
    });
    let now = Instant::from_millis(1);
    let from = "192.0.2.1:1".parse().expect("an address");
    let mut peer = server.accept(now, from).expect("it does not drain yet");
    server.drain(now, Duration::ZERO);
    while server.poll_ask().is_some() {}
    peer.handle_wake(now);
    assert!(!server.is_done(), "a peer is still at its last words");
    let before = woken.load(Ordering::Relaxed);
    drop(peer);
    assert!(server.is_done());
    assert_eq!(woken.load(Ordering::Relaxed), before + 1);
}

#[test]
fn a_client_that_closes_its_session_is_told_apart_from_one_that_is_lost() {
    let (mut world, server, client) = World::tunnelled(18, &[("9090", UPSTREAM)]);
    world.run(SECOND);
    world.drain_client(client, SECOND);
    assert!(world.run_until(SECOND * 3, |world| world.has_ended(client)));
    world.expect_sessions(server, 0);
    let reason = "the other side stopped, and nothing was left to do";
    let closed =
        |notice: &Notice| matches!(notice, Notice::SessionEnded { reason: r, .. } if r == reason);
    assert!(world.noticed(closed), "{:#?}", world.notices);
    assert_eq!(world.counters(server).carriers, 0);
}

#[test]
fn other_tunnels_count_from_the_next_handshake_on() {
    let (mut world, server, client) = World::tunnelled(19, &[("9090", UPSTREAM)]);
    world
        .handle(server)
        .set_tunnels(Arc::new(Tunnels::default()));
    world.run(SECOND * 20);
    assert_eq!(
        world.counters(server).sessions,
        1,
        "a running session was touched"
    );
    world.kill(client);
    world.client(client_config(&[("9090", UPSTREAM)]), Ok(token("a")));
    // The old session waits for its client as long as its window is.
    world.run(SECOND * 65);
    assert_eq!(world.counters(server).sessions, 0);
    assert!(world.counters(server).auth_failures_total > 0);
}

#[test]
fn a_client_that_comes_back_gets_its_visitors_at_once_though_the_server_believes_in_its_old_session()
 {
    let mut world = World::new(22);
    let mut config = server_config();
    config.core = Arc::new(Config {
        ping_after: SECOND * 60,
        dead_after: SECOND * 120,
        ..Config::default()
    });
    let server = world.server(CONTROL, config);
    let client = world.client(named("client", UPSTREAM), Ok(token("a")));
    world.expect_sessions(server, 1);
    world.listen(UPSTREAM, Behaviour::Echo);
    world.cut_off(client);
    assert!(world.run_until(SECOND * 20, |world| world.counters(server).sessions == 2));
    for _ in 0..4 {
        let visitor = world.visitor(PORT);
        world.say(visitor, b"hello");
        assert!(world.run_until(SECOND / 10, |world| world.heard(visitor) == b"hello"));
    }
    world.run(SECOND * 2);
    assert_eq!(world.counters(server).sessions, 1, "the old one was kept");
}
