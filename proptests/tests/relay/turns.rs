//! Whose turn a visitor is: sessions that serve one port take turns, and a visitor that one of them can't take goes to the next.

use std::sync::Arc;
use std::time::Duration;

use adit_core::{Code, Config};
use adit_proptests::scene::{CONTROL, named, server_config, token, without_resumption};
use adit_proptests::{Behaviour, ServerId, TaskId, World};
use adit_relay::Notice;
use adit_relay::client::ClientConfig;

use super::{PORT, SECOND};

const FIRST: &str = "10.0.0.1:80";
const SECOND_UPSTREAM: &str = "10.0.0.2:80";

/// A server with two clients that serve port 9090, each with an upstream of its own that behaves like this.
fn two_clients(names: [&str; 2], behaviour: &Behaviour) -> (World, ServerId, [TaskId; 2]) {
    let [first, second] = names;
    clients_of(
        [named(first, FIRST), named(second, SECOND_UPSTREAM)],
        behaviour,
    )
}

fn clients_of(configs: [ClientConfig; 2], behaviour: &Behaviour) -> (World, ServerId, [TaskId; 2]) {
    let mut world = World::new(1);
    let server = world.server(CONTROL, server_config());
    world.listen(FIRST, behaviour.clone());
    world.listen(SECOND_UPSTREAM, behaviour.clone());
    let [first, second] = configs;
    let first = world.client(first, Ok(token("a")));
    world.expect_sessions(server, 1);
    let second = world.client(second, Ok(token("a")));
    world.expect_sessions(server, 2);
    (world, server, [first, second])
}

/// Sends visitors; counts how many reached each of the two upstreams.
fn where_visitors_go(world: &mut World, count: usize) -> [usize; 2] {
    for _ in 0..count {
        world.visitor(PORT);
        world.run(SECOND / 10);
    }
    world.run(SECOND / 2);
    [FIRST, SECOND_UPSTREAM].map(|upstream| std::iter::from_fn(|| world.accepted(upstream)).count())
}

/// Why visitors were reset.
fn resets(world: &World) -> Vec<Code> {
    let code = |notice: &Notice| match notice {
        Notice::VisitorReset { code, .. } => Some(*code),
        _ => None,
    };
    world
        .notices
        .iter()
        .filter_map(|(_, notice)| code(notice))
        .collect()
}

/// How often a client could not reach its upstream.
fn failed_dials(world: &World) -> usize {
    let failed = |notice: &Notice| matches!(notice, Notice::UpstreamFailed { .. });
    let notices = world.notices.iter();
    notices.filter(|(_, notice)| failed(notice)).count()
}

#[test]
fn clients_of_one_tunnel_take_turns_on_one_port() {
    let (mut world, ..) = two_clients(["first", "second"], &Behaviour::Manual);
    assert_eq!(where_visitors_go(&mut world, 10), [5, 5]);
}

#[test]
fn a_port_stays_open_until_its_last_session_ends() {
    let configs = [named("first", FIRST), named("second", SECOND_UPSTREAM)];
    let configs = configs.map(without_resumption);
    let (mut world, server, [first, second]) = clients_of(configs, &Behaviour::Manual);
    world.kill(first);
    world.expect_sessions(server, 1);
    assert_eq!(where_visitors_go(&mut world, 4), [0, 4]);
    world.kill(second);
    world.expect_sessions(server, 0);
    assert!(!world.is_open(PORT));
    assert!(world.noticed(|notice| matches!(notice, Notice::PortClosed { .. })));
}

#[test]
fn a_silent_session_gets_no_visitors_while_another_answers_and_is_dropped_within_six_seconds() {
    let (mut world, server, [first, _]) = two_clients(["first", "second"], &Behaviour::Manual);
    assert_eq!(where_visitors_go(&mut world, 2), [1, 1]);
    world.freeze(first);
    world.run(Duration::from_millis(3_100));
    assert_eq!(
        world.counters(server).sessions,
        2,
        "it is only suspected yet"
    );
    // Its visitor, which has noticed nothing, goes there, too.
    assert_eq!(where_visitors_go(&mut world, 4), [0, 5]);
    let gone = world.run_until(SECOND * 2, |world| {
        world.counters(server).sessions_detached == 1
    });
    assert!(gone, "a dead carrier was not noticed");
    assert_eq!(where_visitors_go(&mut world, 4), [0, 4]);
}

#[test]
fn the_only_session_of_a_port_gets_visitors_even_if_it_is_suspected() {
    let (mut world, server, client) = World::tunnelled(2, &[("9090", FIRST)]);
    world.freeze(client);
    world.run(SECOND * 4);
    world.visitor(PORT);
    assert_eq!(world.counters(server).streams, 1);
    assert_eq!(world.counters(server).visitors_refused_total, 0);
}

#[test]
fn two_live_instances_of_one_client_id_both_serve() {
    let (mut world, server, _) = two_clients(["twin", "twin"], &Behaviour::Manual);
    world.run(SECOND * 20);
    assert_eq!(world.counters(server).sessions, 2);
    assert_eq!(where_visitors_go(&mut world, 6), [3, 3]);
    assert!(!world.noticed(|notice| matches!(notice, Notice::SessionReplaced { .. })));
}

/// A configuration of a client that takes so many visitors at once.
fn small(name: &str, upstream: &str, streams_max: u64) -> ClientConfig {
    let mut config = named(name, upstream);
    config.core = Arc::new(Config {
        streams_max,
        ..Config::default()
    });
    config
}

#[test]
fn a_visitor_beyond_the_stream_limit_of_one_session_goes_to_another() {
    let configs = [small("small", FIRST, 1), named("large", SECOND_UPSTREAM)];
    let (mut world, server, _) = clients_of(configs, &Behaviour::Manual);
    assert_eq!(where_visitors_go(&mut world, 6), [1, 5]);
    assert_eq!(resets(&world), []);
    assert_eq!(world.counters(server).visitors_refused_total, 0);
}

#[test]
fn a_visitor_beyond_the_stream_limit_is_reset_and_counted() {
    let mut world = World::new(20);
    let server = world.server(CONTROL, server_config());
    world.client(small("small", FIRST, 2), Ok(token("a")));
    world.expect_sessions(server, 1);
    world.listen(FIRST, Behaviour::Manual);
    let visitors = [(); 3].map(|()| world.visitor(PORT));
    world.run(SECOND);
    assert_eq!(
        visitors.map(|visitor| world.was_reset(visitor)),
        [false, false, true]
    );
    assert_eq!(world.counters(server).visitors_refused_total, 1);
    assert_eq!(resets(&world), [Code::STREAM_LIMIT]);
    world.abort(visitors[0]);
    world.run(SECOND);
    let next = world.visitor(PORT);
    world.run(SECOND);
    assert!(!world.was_reset(next), "the place was not given back");
}

#[test]
fn a_visitor_whose_upstream_refuses_is_served_by_another_session() {
    let (mut world, server, _) = two_clients(["first", "second"], &Behaviour::Echo);
    world.unlisten(FIRST);
    for _ in 0..4 {
        let visitor = world.visitor(PORT);
        world.run(SECOND);
        world.say(visitor, b"hello");
        world.expect_heard(visitor, b"hello");
    }
    assert!(failed_dials(&world) > 0, "the first had no turn");
    assert_eq!(resets(&world), []);
    assert_eq!(world.counters(server).visitors_refused_total, 0);
    assert_eq!(world.counters(server).streams, 4);
}

#[test]
fn a_visitor_of_a_session_that_is_lost_before_it_answered_is_served_by_another() {
    let (mut world, _, [first, _]) = two_clients(["first", "second"], &Behaviour::Echo);
    world.hole(FIRST);
    let visitors = [(); 4].map(|()| world.visitor(PORT));
    world.run(SECOND);
    world.kill(first);
    world.run(SECOND);
    for visitor in visitors {
        world.say(visitor, b"hello");
        world.expect_heard(visitor, b"hello");
    }
}

#[test]
fn a_visitor_that_has_spoken_is_reset_and_not_moved() {
    let (mut world, ..) = two_clients(["first", "second"], &Behaviour::Echo);
    world.unlisten(FIRST);
    let visitors = [(); 4].map(|()| world.visitor(PORT));
    for visitor in visitors {
        world.say(visitor, b"hello");
    }
    world.run(SECOND);
    let reset = visitors.map(|visitor| world.was_reset(visitor));
    assert_eq!(reset, [true, false, true, false]);
    assert_eq!(resets(&world), [Code::DIAL_REFUSED; 2]);
    for visitor in [visitors[1], visitors[3]] {
        world.expect_heard(visitor, b"hello");
    }
}

#[test]
fn a_visitor_that_was_greeted_by_an_upstream_is_reset_with_its_session() {
    let configs = [named("first", FIRST), named("second", SECOND_UPSTREAM)];
    let configs = configs.map(without_resumption);
    let (mut world, _, clients) = clients_of(configs, &Behaviour::Manual);
    let visitor = world.visitor(PORT);
    world.run(SECOND);
    let upstream = world.accepted(FIRST).expect("its turn");
    world.say(upstream, b"220 hello");
    world.expect_heard(visitor, b"220 hello");
    world.kill(clients[0]);
    world.run(SECOND);
    assert!(world.was_reset(visitor));
    assert!(world.accepted(SECOND_UPSTREAM).is_none(), "it was moved");
}

#[test]
fn an_upstream_that_resets_its_visitor_is_believed() {
    let (mut world, ..) = two_clients(["first", "second"], &Behaviour::Manual);
    let visitor = world.visitor(PORT);
    world.run(SECOND);
    let upstream = world.accepted(FIRST).expect("its turn");
    world.abort(upstream);
    world.run(SECOND);
    assert!(world.was_reset(visitor));
    assert!(world.accepted(SECOND_UPSTREAM).is_none(), "it was moved");
}

#[test]
fn a_visitor_that_nobody_can_serve_is_offered_to_each_session_once_and_then_reset() {
    let (mut world, server, _) = two_clients(["first", "second"], &Behaviour::Manual);
    world.unlisten(FIRST);
    world.unlisten(SECOND_UPSTREAM);
    let visitor = world.visitor(PORT);
    world.run(SECOND);
    assert!(world.was_reset(visitor));
    assert_eq!(failed_dials(&world), 2);
    assert_eq!(resets(&world), [Code::DIAL_REFUSED]);
    assert_eq!(world.counters(server).visitors_refused_total, 1);
    assert_eq!(world.counters(server).streams, 0);
}

#[test]
fn a_visitor_is_offered_to_no_more_than_thirty_two_sessions() {
    let mut world = World::new(3);
    let server = world.server(CONTROL, server_config());
    for n in 0..40 {
        world.client(named(&format!("client-{n}"), FIRST), Ok(token("a")));
    }
    world.expect_sessions(server, 40);
    let visitor = world.visitor(PORT);
    world.run(SECOND * 2);
    assert!(world.was_reset(visitor));
    assert_eq!(failed_dials(&world), 32);
}
