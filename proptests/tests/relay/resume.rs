//! Servers and clients whose carriers break while visitors come and go: visitors notice a pause, and nothing else.

use std::time::Duration;

use adit_proptests::network::Break;
use adit_proptests::scene::{CONTROL, client_config, named, server_config, token};
use adit_proptests::{Behaviour, PuppetId, ServerId, TaskId, World};
use adit_relay::Notice;

use super::{PORT, SECOND, UPSTREAM, bytes};

const BREAKS: [Break; 4] = [Break::Reset, Break::Fin, Break::Silence, Break::Stall];

/// A server and a client with a session that both know of, and an echo as upstream.
fn tunnelled(seed: u64) -> (World, ServerId, TaskId) {
    let (mut world, server, client) = World::tunnelled(seed, &[("9090", UPSTREAM)]);
    world.listen(UPSTREAM, Behaviour::Echo);
    let met = |world: &mut World| in_session(world, client);
    assert!(world.run_until(SECOND, met));
    (world, server, client)
}

/// The same, with a visitor that said hello and heard it.
fn greeted(seed: u64) -> (World, ServerId, TaskId, PuppetId) {
    let (mut world, server, client) = tunnelled(seed);
    let visitor = world.visitor(PORT);
    world.say(visitor, b"hello");
    world.expect_heard(visitor, b"hello");
    (world, server, client, visitor)
}

/// The same without a visitor, and with another client that serves the port.
fn beside_another(seed: u64) -> (World, ServerId, TaskId) {
    let (mut world, server, client) = tunnelled(seed);
    world.client(named("other", UPSTREAM), Ok(token("a")));
    world.expect_sessions(server, 2);
    (world, server, client)
}

fn in_session(world: &World, client: TaskId) -> bool {
    let meter = world.meter(client);
    meter.is_some_and(|it| it.counters().sessions == 1)
}

/// The session goes on, on another carrier, within `limit`.
fn expect_resumed(world: &mut World, server: ServerId, limit: Duration) {
    let back = |world: &mut World| world.counters(server).resumes_total == 1;
    assert!(world.run_until(limit, back), "{:#?}", world.notices);
}

/// The client's carrier breaks, and for now none leads to the server any more.
fn cut_off(world: &mut World) {
    world.hole(CONTROL);
    world.break_carriers(Break::Reset);
}

#[test]
fn an_echo_comes_back_whole_though_its_carrier_breaks_in_every_way() {
    for (seed, how) in BREAKS.into_iter().enumerate() {
        let (mut world, server, client) = tunnelled(seed as u64);
        let visitor = world.visitor(PORT);
        let data = bytes(2_000_000);
        world.say(visitor, &data);
        world.finish(visitor);
        world.run(Duration::from_millis(40));
        for _ in 0..3 {
            world.break_carriers(how);
            world.run(SECOND * 8);
        }
        world.expect_heard(visitor, &data);
        assert!(world.run_until(SECOND, |world| world.saw_fin(visitor)));
        assert!(!world.was_reset(visitor), "{how:?}");
        let counters = world.counters(server);
        assert_eq!(counters.sessions_total, 1, "{how:?}: {:#?}", world.notices);
        assert_eq!((counters.sessions, counters.carriers), (1, 1), "{how:?}");
        assert_eq!(counters.sessions_detached, 0);
        assert!(counters.resumes_total >= 1, "{how:?}");
        let ours = world.meter(client).expect("it runs").counters();
        assert_eq!(
            (ours.sessions, ours.carriers, ours.sessions_detached),
            (1, 1, 0),
            "{how:?}"
        );
        assert_eq!(ours.sessions_total, 1);
    }
}

#[test]
fn a_carrier_that_is_seen_to_break_is_replaced_within_200_ms() {
    let (mut world, server, _) = tunnelled(1);
    world.break_carriers(Break::Reset);
    expect_resumed(&mut world, server, SECOND / 5);
}

#[test]
fn a_silent_carrier_with_data_on_it_is_replaced_after_two_seconds() {
    let (mut world, server, _, visitor) = greeted(2);
    world.break_carriers(Break::Silence);
    world.say(visitor, b" again");
    // The server alone has something under way: the client notices by its own pings.
    expect_resumed(&mut world, server, SECOND * 6);
    world.expect_heard(visitor, b"hello again");
}

#[test]
fn a_visitor_that_comes_during_an_outage_is_held_and_then_served() {
    let (mut world, server, _) = tunnelled(3);
    cut_off(&mut world);
    world.run(SECOND * 10);
    let visitor = world.visitor(PORT);
    world.say(visitor, b"during the outage");
    world.finish(visitor);
    world.run(SECOND * 10);
    assert!(world.heard(visitor).is_empty() && !world.was_reset(visitor));
    assert_eq!(world.counters(server).sessions_detached, 1);
    world.reopen(server, CONTROL);
    world.expect_heard(visitor, b"during the outage");
    assert_eq!(world.counters(server).sessions_total, 1);
}

#[test]
fn after_the_resume_window_visitors_are_reset_and_the_port_is_closed() {
    let (mut world, server, client, visitor) = greeted(4);
    cut_off(&mut world);
    world.run(SECOND * 59);
    assert!(world.is_open(PORT) && !world.was_reset(visitor));
    world.run(SECOND * 2);
    assert!(!world.is_open(PORT) && world.was_reset(visitor));
    assert_eq!(world.counters(server).sessions, 0);
    world.reopen(server, CONTROL);
    let again = |world: &mut World| in_session(world, client);
    assert!(world.run_until(SECOND * 40, again), "{:#?}", world.notices);
    assert_eq!(world.counters(server).sessions, 1);
}

#[test]
fn a_server_that_was_restarted_ends_the_old_session_and_begins_a_new_one_at_once() {
    let (mut world, server, _) = tunnelled(5);
    let visitor = world.visitor(PORT);
    world.kill_server(server);
    let server = world.server(CONTROL, server_config());
    world.expect_sessions(server, 1);
    assert!(world.was_reset(visitor));
    assert!(world.noticed(|notice| matches!(notice, Notice::Interrupted { .. })));
}

#[test]
fn a_client_that_comes_back_as_a_new_run_replaces_its_old_self_at_once() {
    let (mut world, server, client, visitor) = greeted(6);
    world.kill(client);
    world.run(SECOND);
    assert_eq!(world.counters(server).sessions_detached, 1);
    world.client(client_config(&[("9090", UPSTREAM)]), Ok(token("a")));
    let replaced = |world: &mut World| world.was_reset(visitor);
    assert!(world.run_until(SECOND, replaced), "{:#?}", world.notices);
    let counters = world.counters(server);
    assert_eq!((counters.sessions, counters.sessions_detached), (1, 0));
}

#[test]
fn a_session_without_a_carrier_gets_no_visitor_while_another_serves_the_port() {
    let (mut world, server, client) = beside_another(7);
    world.kill(client);
    world.run(SECOND);
    assert_eq!(world.counters(server).sessions_detached, 1);
    for n in 0..6_u8 {
        let visitor = world.visitor(PORT);
        world.say(visitor, &[n]);
        world.expect_heard(visitor, &[n]);
    }
}

#[test]
fn no_visitor_waits_for_a_client_that_stopped_a_moment_ago_while_another_serves_the_port() {
    let (mut world, _, client) = beside_another(7);
    let ask = |world: &mut World, n: u8| {
        let visitor = world.visitor(PORT);
        world.say(visitor, &[n]);
        let answered = |world: &mut World| world.heard(visitor) == [n];
        assert!(world.run_until(SECOND * 2, answered), "visitor {n}");
    };
    // Both have just been heard.
    ask(&mut world, 0);
    ask(&mut world, 1);
    world.suspend(client, true);
    for n in 2..8 {
        ask(&mut world, n);
    }
}

#[test]
fn a_carrier_that_went_silent_while_nothing_was_under_way_is_left_when_a_question_stays_without_answer()
 {
    let (mut world, server, _) = tunnelled(14);
    world.run(SECOND * 10);
    world.break_carriers(Break::Silence);
    // 2 s of silence at most, of which some has passed, and 1 s for the answer.
    expect_resumed(&mut world, server, Duration::from_millis(3_200));
}

#[test]
fn a_client_that_slept_notices_at_once_that_its_carrier_is_gone() {
    let (mut world, server, client) = tunnelled(8);
    world.suspend(client, true);
    world.run(SECOND * 30);
    world.break_carriers(Break::Silence);
    world.suspend(client, false);
    expect_resumed(&mut world, server, SECOND);
}

#[test]
fn a_client_that_slept_keeps_a_carrier_that_still_answers() {
    let (mut world, server, client) = tunnelled(9);
    world.suspend(client, true);
    world.run(Duration::from_millis(4_800));
    world.suspend(client, false);
    world.run(SECOND * 10);
    assert_eq!(
        world.counters(server).resumes_total,
        0,
        "{:#?}",
        world.notices
    );
    assert_eq!(world.counters(server).carriers, 1);
}

#[test]
fn a_client_that_moved_to_another_network_leaves_its_carrier_at_once() {
    let (mut world, server, _) = tunnelled(12);
    world.run(SECOND * 10);
    world.break_carriers(Break::Silence);
    // For a moment there is no network.
    world.route = None;
    world.run(SECOND);
    world.route = Some([192, 0, 2, 7].into());
    // Silence alone, with nothing under way, would tell after 3 s.
    expect_resumed(&mut world, server, SECOND * 3 / 2);
}

#[test]
fn a_client_whose_old_way_still_works_keeps_its_carrier() {
    let (mut world, server, _) = tunnelled(13);
    world.run(SECOND * 10);
    world.route = Some([192, 0, 2, 7].into());
    world.run(SECOND * 30);
    assert_eq!(world.counters(server).resumes_total, 0);
    assert_eq!(world.counters(server).carriers, 1);
    // One attempt began, was of no use, and there was no other.
    assert!(world.counters(server).carriers_total <= 2);
    // The same network, back again, is no other.
    world.route = None;
    world.run(SECOND * 3);
    world.route = Some([192, 0, 2, 7].into());
    world.run(SECOND * 30);
    assert_eq!(world.counters(server).resumes_total, 0);
}

#[test]
fn beside_a_client_that_stopped_no_visitor_waits_for_two_seconds_and_soon_none_at_all() {
    let (mut world, _, client) = beside_another(10);
    // Any moment between two signs of life of the one that stops.
    for pause in [0, 700, 1_400, 2_100] {
        world.suspend(client, false);
        world.run(SECOND * 10 + Duration::from_millis(pause));
        world.suspend(client, true);
        let stopped_at = world.now;
        for n in 0..20_u8 {
            world.run(Duration::from_millis(200));
            let (visitor, came_at) = (world.visitor(PORT), world.now);
            world.say(visitor, &[n]);
            world.expect_heard(visitor, &[n]);
            let waited = world.now - came_at;
            let most = if world.now > stopped_at + SECOND * 2 {
                100
            } else {
                1_200
            };
            assert!(
                waited <= Duration::from_millis(most),
                "{waited:?}, {n} after {pause} ms"
            );
        }
    }
}

#[test]
fn a_client_that_is_told_to_stop_while_it_has_no_carrier_and_no_stream_ends_at_once() {
    let (mut world, _, client) = tunnelled(11);
    cut_off(&mut world);
    world.run(SECOND);
    world.drain_client(client, SECOND * 30);
    // What is left of attempts to come back runs out.
    assert!(world.run_until(SECOND * 3, |world| world.has_ended(client)));
}

#[test]
fn a_client_that_is_told_to_stop_while_it_has_no_carrier_finishes_its_streams_first() {
    let (mut world, server, client, visitor) = greeted(12);
    cut_off(&mut world);
    world.run(SECOND);
    world.drain_client(client, SECOND * 30);
    world.say(visitor, b" again");
    world.finish(visitor);
    world.run(SECOND * 5);
    world.reopen(server, CONTROL);
    world.expect_heard(visitor, b"hello again");
    assert!(world.run_until(SECOND * 5, |world| world.has_ended(client)));
    assert!(world.saw_fin(visitor) && !world.was_reset(visitor));
}

#[test]
fn a_session_of_a_draining_server_ends_with_its_carrier() {
    let (mut world, server, _, visitor) = greeted(13);
    world.drain_server(server, SECOND * 300);
    world.run(SECOND);
    assert!(!world.was_reset(visitor));
    world.break_carriers(Break::Reset);
    assert!(world.run_until(SECOND, |world| world.was_reset(visitor)));
}

#[test]
fn both_sides_count_the_same_carriers() {
    let (mut world, server, client) = tunnelled(14);
    world.break_carriers(Break::Reset);
    world.run(SECOND);
    let (theirs, ours) = (
        world.counters(server),
        world.meter(client).expect("it runs").counters(),
    );
    assert_eq!((theirs.carriers_total, ours.carriers_total), (2, 2));
    assert_eq!((theirs.carriers, ours.carriers), (1, 1));
}
