//! What visitors and upstreams see of a tunnel between them: data, half-close, resets, upstreams that fail.

use std::time::Duration;

use adit_core::Code;
use adit_proptests::scene::{client_config, without_resumption};
use adit_proptests::{Behaviour, World};
use adit_relay::{Notice, RESET_CODES};

use super::{PORT, SECOND, UPSTREAM, bytes};

/// A world with a tunnel to an upstream that behaves like this.
fn tunnel_to(behaviour: Behaviour, seed: u64) -> World {
    let (mut world, ..) = World::tunnelled(seed, &[("9090", UPSTREAM)]);
    world.listen(UPSTREAM, behaviour);
    world
}

#[test]
fn an_echo_comes_back_whole_through_the_tunnel_for_many_seeds() {
    for seed in 0..20 {
        let mut world = tunnel_to(Behaviour::Echo, seed);
        let visitor = world.visitor(PORT);
        let data = bytes(300_000);
        world.say(visitor, &data);
        world.finish(visitor);
        world.expect_heard(visitor, &data);
        assert!(world.run_until(SECOND, |world| world.saw_fin(visitor)));
        assert!(!world.was_reset(visitor));
    }
}

#[test]
fn exchanges_cost_no_turn_for_nothing() {
    let mut world = tunnel_to(Behaviour::Echo, 7);
    let visitor = world.visitor(PORT);
    world.say(visitor, &bytes(1_000));
    world.expect_heard(visitor, &bytes(1_000));
    let before = world.asked_in_vain;
    for exchange in 2..=100 {
        world.say(visitor, &bytes(1_000));
        let heard = exchange * 1_000;
        assert!(world.run_until(SECOND, |world| world.heard(visitor).len() == heard));
    }
    assert_eq!(world.asked_in_vain, before);
}

#[test]
fn a_visitor_that_half_closes_reads_the_reply_afterwards() {
    let mut world = tunnel_to(Behaviour::Manual, 1);
    let visitor = world.visitor(PORT);
    world.say(visitor, b"request");
    world.finish(visitor);
    world.run(SECOND);
    let upstream = world.accepted(UPSTREAM).unwrap();
    assert!(world.saw_fin(upstream), "the FIN did not get through");
    assert_eq!(world.heard(upstream), b"request");
    assert!(!world.saw_fin(visitor), "the other direction ended with it");
    world.say(upstream, b"reply");
    world.finish(upstream);
    world.expect_heard(visitor, b"reply");
    assert!(world.run_until(SECOND, |world| world.saw_fin(visitor)));
    assert!(!world.was_reset(visitor) && !world.was_reset(upstream));
}

#[test]
fn an_upstream_that_half_closes_still_reads_what_the_visitor_sends() {
    let mut world = tunnel_to(Behaviour::Manual, 2);
    let visitor = world.visitor(PORT);
    world.run(SECOND);
    let upstream = world.accepted(UPSTREAM).unwrap();
    world.say(upstream, b"greeting");
    world.finish(upstream);
    world.expect_heard(visitor, b"greeting");
    assert!(world.run_until(SECOND, |world| world.saw_fin(visitor)));
    world.say(visitor, b"late");
    world.finish(visitor);
    world.expect_heard(upstream, b"late");
    assert!(world.run_until(SECOND, |world| world.saw_fin(upstream)));
    assert!(!world.was_reset(visitor) && !world.was_reset(upstream));
}

#[test]
fn a_reset_stays_a_reset_in_both_directions() {
    let mut world = tunnel_to(Behaviour::Manual, 3);
    for by_visitor in [true, false] {
        let visitor = world.visitor(PORT);
        world.say(visitor, b"x");
        world.run(SECOND);
        let upstream = world.accepted(UPSTREAM).unwrap();
        let (from, to) = if by_visitor {
            (visitor, upstream)
        } else {
            (upstream, visitor)
        };
        world.abort(from);
        world.run(SECOND);
        assert!(world.was_reset(to) && !world.saw_fin(to));
    }
}

#[test]
fn an_upstream_that_refuses_resets_the_visitor_and_says_why_on_both_sides() {
    let (mut world, server, _) = World::tunnelled(4, &[("9090", UPSTREAM)]);
    let visitor = world.visitor(PORT);
    world.say(visitor, b"request");
    world.run(SECOND);
    assert!(world.was_reset(visitor) && !world.saw_fin(visitor));
    let refused = |notice: &Notice| match notice {
        Notice::VisitorReset { code, .. } => *code == Code::DIAL_REFUSED,
        _ => false,
    };
    assert!(world.noticed(refused));
    assert!(world.noticed(|notice| matches!(notice, Notice::UpstreamFailed { .. })));
    let index = RESET_CODES
        .iter()
        .position(|code| *code == Code::DIAL_REFUSED)
        .unwrap();
    assert_eq!(world.counters(server).resets_total[index], 1);
    assert_eq!(world.counters(server).streams, 0);
}

#[test]
fn an_upstream_that_hangs_is_given_up_after_the_dial_timeout() {
    let (mut world, server, _) = World::tunnelled(5, &[("9090", UPSTREAM)]);
    world.hole(UPSTREAM);
    let visitor = world.visitor(PORT);
    world.say(visitor, b"request");
    world.run(Duration::from_millis(9_900));
    assert!(!world.was_reset(visitor));
    world.run(Duration::from_millis(200));
    assert!(world.was_reset(visitor));
    let timed_out = |notice: &Notice| {
        matches!(
            notice,
            Notice::VisitorReset {
                code: Code::DIAL_TIMEOUT,
                ..
            }
        )
    };
    assert!(world.noticed(timed_out));
    assert_eq!(world.counters(server).streams, 0);
}

#[test]
fn an_upstream_without_a_name_is_told_apart() {
    let (mut world, ..) = World::tunnelled(6, &[("9090", "nowhere:80")]);
    let visitor = world.visitor(PORT);
    world.run(SECOND);
    assert!(world.was_reset(visitor));
    let no_name = |notice: &Notice| {
        matches!(
            notice,
            Notice::VisitorReset {
                code: Code::DIAL_NAME,
                ..
            }
        )
    };
    assert!(world.noticed(no_name));
}

#[test]
fn the_second_address_of_an_upstream_is_tried_when_the_first_hangs() {
    let (mut world, ..) = World::tunnelled(7, &[("9090", "db:80")]);
    world.name("db", &["[2001:db8::1]:0", "10.0.0.1:0"]);
    world.hole("[2001:db8::1]:80");
    world.listen(UPSTREAM, Behaviour::Echo);
    let visitor = world.visitor(PORT);
    world.say(visitor, b"hello");
    world.run(Duration::from_millis(400));
    assert_eq!(world.heard(visitor), b"hello");
}

#[test]
fn a_visitor_that_leaves_while_the_upstream_is_dialled_ends_the_dialling() {
    let (mut world, server, client) = World::tunnelled(8, &[("9090", UPSTREAM)]);
    world.hole(UPSTREAM);
    let visitor = world.visitor(PORT);
    world.run(SECOND);
    world.abort(visitor);
    world.run(SECOND);
    assert_eq!(world.counters(server).streams, 0);
    assert_eq!(world.meter(client).unwrap().counters().streams, 0);
    world.run(Duration::from_secs(20));
    assert!(!world.noticed(|notice| matches!(notice, Notice::UpstreamFailed { .. })));
}

#[test]
fn a_lost_session_ends_the_dialling_for_its_visitors() {
    let config = without_resumption(client_config(&[("9090", UPSTREAM)]));
    let (mut world, server, _) = World::tunnelled_as(13, config);
    world.hole(UPSTREAM);
    world.visitor(PORT);
    world.run(SECOND);
    world.kill_server(server);
    world.run(Duration::from_secs(20));
    assert!(!world.noticed(|notice| matches!(notice, Notice::UpstreamFailed { .. })));
}

#[test]
fn what_came_before_the_upstream_was_connected_reaches_it() {
    let (mut world, ..) = World::tunnelled(9, &[("9090", "db:80")]);
    world.name("db", &["10.0.0.1:0"]);
    world.listen(UPSTREAM, Behaviour::Manual);
    let visitor = world.visitor(PORT);
    let data = bytes(5_000);
    world.say(visitor, &data);
    world.finish(visitor);
    world.run(SECOND);
    let upstream = world.accepted(UPSTREAM).unwrap();
    assert_eq!(world.heard(upstream), data);
    assert!(world.saw_fin(upstream));
}

#[test]
fn a_reader_that_stops_stalls_its_own_stream_only_and_loses_nothing() {
    let mut world = tunnel_to(Behaviour::Manual, 10);
    let (slow, fast) = (world.visitor(PORT), world.visitor(PORT));
    world.run(SECOND);
    let stopped = world.accepted(UPSTREAM).unwrap();
    let reading = world.accepted(UPSTREAM).unwrap();
    world.plug(stopped, true);
    let data = bytes(3_000_000);
    world.say(slow, &data);
    world.run(Duration::from_secs(5));
    assert!(
        world.unsaid(slow) > 1_000_000,
        "nothing held the sender back"
    );
    let small = bytes(200_000);
    world.say(fast, &small);
    world.expect_heard(reading, &small);
    world.plug(stopped, false);
    world.expect_heard(stopped, &data);
}

#[test]
fn an_adapter_that_reads_more_than_it_may_loses_nothing_by_it() {
    let mut world = tunnel_to(Behaviour::Manual, 12);
    world.careless = true;
    let visitor = world.visitor(PORT);
    world.run(SECOND);
    let upstream = world.accepted(UPSTREAM).unwrap();
    world.plug(upstream, true);
    let data = bytes(2_000_000);
    world.say(visitor, &data);
    world.finish(visitor);
    world.run(SECOND * 3);
    world.plug(upstream, false);
    world.expect_heard(upstream, &data);
    assert!(world.run_until(SECOND, |world| world.saw_fin(upstream)));
}

#[test]
fn a_lost_session_resets_its_streams_and_truncates_none() {
    let config = without_resumption(client_config(&[("9090", UPSTREAM)]));
    let (mut world, server, client) = World::tunnelled_as(11, config);
    world.listen(UPSTREAM, Behaviour::Echo);
    let visitor = world.visitor(PORT);
    world.say(visitor, b"hello");
    world.expect_heard(visitor, b"hello");
    let upstream = world.accepted(UPSTREAM).unwrap();
    world.kill_server(server);
    world.run(SECOND);
    assert!(world.was_reset(visitor) && !world.saw_fin(visitor));
    assert!(world.was_reset(upstream) && !world.saw_fin(upstream));
    assert_eq!(world.meter(client).unwrap().counters().streams, 0);
}
