//! What a client decides: how it reaches its server, when it tries again, what it says of failures, and how it ends.

use std::sync::Arc;
use std::time::Duration;

use adit_core::{Code, Config, HandshakeError, Instant, Token};
use adit_proptests::scene::{
    CONTROL, client_config, host_port, server_config, token, without_resumption,
};
use adit_proptests::{Behaviour, World};
use adit_relay::Notice;
use adit_relay::client::{AttemptError, ClientConfig, Proxy, ProxyError};

use super::{PORT, SECOND, UPSTREAM};

const PROXY: &str = "192.168.1.1:3128";

fn plain() -> ClientConfig {
    client_config(&[("9090", UPSTREAM)])
}

fn through_proxy(credentials: Option<(&str, &str)>) -> ClientConfig {
    let mut config = plain();
    let credentials = credentials.map(|(user, word)| (user.to_owned(), word.to_owned()));
    config.proxy = Some(Proxy {
        at: host_port(PROXY),
        credentials,
    });
    config
}

/// The failed attempts: when, why, and how long until the next.
fn failures(world: &World) -> Vec<(Instant, AttemptError, Duration)> {
    let failure = |(at, notice): &(Instant, Notice)| match notice {
        Notice::AttemptFailed {
            error, retry_in, ..
        } => Some((*at, error.clone(), *retry_in)),
        _ => None,
    };
    world.notices.iter().filter_map(failure).collect()
}

/// Whether the client failed with this error.
fn failed_with(world: &World, is: impl Fn(&AttemptError) -> bool) -> bool {
    failures(world).iter().any(|(_, error, _)| is(error))
}

fn is_proxy_error(wanted: &ProxyError) -> impl Fn(&AttemptError) -> bool + '_ {
    move |error| matches!(error, AttemptError::Proxy { error, .. } if error == wanted)
}

#[test]
fn a_client_keeps_trying_with_growing_jittered_waits_and_gets_in_when_the_server_is_there() {
    let mut world = World::new(1);
    world.client(plain(), Ok(token("a")));
    world.run(SECOND * 600);
    let waits: Vec<Duration> = failures(&world)
        .into_iter()
        .map(|(.., wait)| wait)
        .collect();
    assert!(waits.len() > 20, "it gave up: {waits:?}");
    assert!(waits[0] >= Duration::from_millis(250) && waits[0] <= Duration::from_millis(500));
    assert!(waits.iter().all(|wait| *wait <= SECOND * 30));
    assert!(
        waits.iter().any(|wait| *wait > SECOND * 10),
        "the waits do not grow"
    );
    let server = world.server(CONTROL, server_config());
    assert!(world.run_until(SECOND * 31, |world| world.counters(server).sessions == 1));
}

#[test]
fn a_server_that_restarts_is_found_again_and_its_ports_come_back() {
    let (mut world, server, _) = World::tunnelled(2, &[("9090", UPSTREAM)]);
    world.listen(UPSTREAM, Behaviour::Echo);
    world.run(SECOND * 60);
    for _ in 0..3 {
        world.kill_server(server);
        world.run(SECOND / 5);
        assert!(!world.is_open(PORT));
        let restarted = world.server(CONTROL, server_config());
        world.expect_sessions(restarted, 1);
        let visitor = world.visitor(PORT);
        world.say(visitor, b"hello");
        world.expect_heard(visitor, b"hello");
        world.run(SECOND * 20);
        world.kill_server(restarted);
    }
}

#[test]
fn the_waits_start_over_once_a_session_has_lived_and_not_before() {
    let mut world = World::new(3);
    world.client(without_resumption(plain()), Ok(token("a")));
    world.run(SECOND * 120);
    for (lived, starts_over) in [(SECOND * 2, false), (SECOND * 60, true)] {
        let server = world.server(CONTROL, server_config());
        assert!(world.run_until(SECOND * 31, |world| world.counters(server).sessions == 1));
        world.run(lived);
        world.notices.clear();
        world.kill_server(server);
        world.run(SECOND / 10);
        let wait = world.notices.iter().find_map(|(_, notice)| match notice {
            Notice::Disconnected { retry_in, .. } => *retry_in,
            _ => None,
        });
        // The ceiling of the waits, and so the longest of many, tells the two apart; one wait does so for this seed.
        assert_eq!(wait.unwrap() <= SECOND / 2, starts_over, "{wait:?}");
        world.run(SECOND * 60);
    }
}

#[test]
fn the_name_is_resolved_and_the_token_read_again_at_every_attempt() {
    let mut world = World::new(4);
    let server = world.server(CONTROL, server_config());
    let mut config = plain();
    config.server = host_port("tunnel.example.com:8123");
    let client = world.client(config, Err("no such file".to_owned()));
    world.run(SECOND);
    assert!(failed_with(&world, |error| matches!(
        error,
        AttemptError::Token(_)
    )));
    world.set_token(client, Ok(token("b")));
    world.run(SECOND * 5);
    let no_name = |error: &AttemptError| error.to_string().contains("can't be resolved");
    assert!(failed_with(&world, no_name));
    world.name("tunnel.example.com", &["203.0.113.1:0"]);
    world.run(SECOND * 30);
    let unauthorized = |error: &AttemptError| match error {
        AttemptError::Handshake {
            error: HandshakeError::Refused { code, .. },
            ..
        } => *code == Code::UNAUTHORIZED,
        _ => false,
    };
    assert!(failed_with(&world, unauthorized));
    assert_eq!(world.counters(server).sessions, 0);
    world.set_token(client, Ok(token("a")));
    assert!(world.run_until(SECOND * 31, |world| world.counters(server).sessions == 1));
}

#[test]
fn a_resolver_or_a_server_that_hangs_is_given_up_after_the_connect_timeout() {
    let mut world = World::new(5);
    world.name("hangs", &[]);
    world.name("hole", &["203.0.113.9:0"]);
    world.hole("203.0.113.9:8123");
    for host in ["hangs:8123", "hole:8123"] {
        let began = world.now;
        world.notices.clear();
        let mut config = plain();
        config.server = host_port(host);
        let client = world.client(config, Ok(token("a")));
        world.run(SECOND * 6);
        let (at, error, _) = failures(&world).remove(0);
        assert_eq!(at - began, SECOND * 5, "{error}");
        world.kill(client);
    }
}

#[test]
fn a_server_with_a_dead_address_is_reached_at_the_other() {
    let mut world = World::new(6);
    let server = world.server(CONTROL, server_config());
    world.name("tunnel", &["203.0.113.9:0", "203.0.113.1:0"]);
    world.hole("203.0.113.9:8123");
    let mut config = plain();
    config.server = host_port("tunnel:8123");
    world.client(config, Ok(token("a")));
    world.run(SECOND / 2);
    assert_eq!(world.counters(server).sessions, 1);
}

#[test]
fn an_address_that_answers_but_is_no_server_is_not_tried_first_again() {
    let mut world = World::new(7);
    let server = world.server(CONTROL, server_config());
    world.name("tunnel", &["203.0.113.9:0", "203.0.113.1:0"]);
    world.listen("203.0.113.9:8123", Behaviour::Manual);
    let mut config = plain();
    config.server = host_port("tunnel:8123");
    world.client(config, Ok(token("a")));
    world.run(SECOND * 8);
    assert!(failed_with(&world, |error| {
        matches!(
            error,
            AttemptError::Handshake {
                error: HandshakeError::Silent,
                ..
            }
        )
    }));
    assert_eq!(world.counters(server).sessions, 1);
}

#[test]
fn a_carrier_that_goes_silent_is_noticed_within_six_seconds() {
    let (mut world, server, _) = World::tunnelled(8, &[("9090", UPSTREAM)]);
    world.run(SECOND * 10);
    world.freeze_server(server);
    let silent = |world: &mut World| {
        world.noticed(|notice| matches!(notice, Notice::Interrupted { reason, .. } if reason.contains("silent")))
    };
    assert!(world.run_until(SECOND * 6, silent));
}

#[test]
fn a_session_through_a_connect_proxy_works_with_the_right_password() {
    let mut world = World::new(9);
    let server = world.server(CONTROL, server_config());
    // user:pass
    let credentials = Some("dXNlcjpwYXNz".to_owned());
    world.listen(PROXY, Behaviour::Proxy { credentials });
    world.listen(UPSTREAM, Behaviour::Echo);
    world.client(through_proxy(Some(("user", "pass"))), Ok(token("a")));
    world.expect_sessions(server, 1);
    let visitor = world.visitor(PORT);
    world.say(visitor, b"hello");
    world.expect_heard(visitor, b"hello");
}

#[test]
fn a_proxy_that_refuses_is_named_with_the_reason() {
    for (given, error) in [
        (None, ProxyError::CredentialsNeeded),
        (Some(("user", "wrong")), ProxyError::CredentialsRefused),
    ] {
        let mut world = World::new(10);
        let credentials = Some("dXNlcjpwYXNz".to_owned());
        world.listen(PROXY, Behaviour::Proxy { credentials });
        let client = world.client(through_proxy(given), Ok(token("a")));
        world.run(SECOND * 20);
        assert!(
            failed_with(&world, is_proxy_error(&error)),
            "{:#?}",
            world.notices
        );
        assert!(failures(&world).len() > 2, "it gave up");
        assert_eq!(world.meter(client).unwrap().counters().carriers, 0);
    }
}

#[test]
fn a_proxy_that_cannot_reach_the_server_hangs_or_is_none_is_told_apart() {
    let mut world = World::new(11);
    world.listen(PROXY, Behaviour::Proxy { credentials: None });
    world.client(through_proxy(None), Ok(token("a")));
    world.run(SECOND);
    let unreachable = ProxyError::Unreachable {
        target: host_port(CONTROL),
        status: 503,
    };
    assert!(
        failed_with(&world, is_proxy_error(&unreachable)),
        "{:#?}",
        world.notices
    );

    let mut world = World::new(12);
    world.listen(PROXY, Behaviour::Manual);
    world.client(through_proxy(None), Ok(token("a")));
    world.run(SECOND * 6);
    assert!(failed_with(&world, is_proxy_error(&ProxyError::Silent)));

    let mut world = World::new(13);
    world.listen(PROXY, Behaviour::Echo);
    world.client(through_proxy(None), Ok(token("a")));
    world.run(SECOND);
    assert!(
        failed_with(&world, is_proxy_error(&ProxyError::NotHttp)),
        "{:#?}",
        world.notices
    );
}

#[test]
fn a_client_whose_services_were_all_refused_asks_again_later() {
    let mut world = World::new(14);
    let server = world.server(CONTROL, server_config());
    world.listen(PORT, Behaviour::Echo);
    world.client(plain(), Ok(token("a")));
    world.run(SECOND * 20);
    assert!(
        world.counters(server).sessions_total > 1,
        "it did not ask again"
    );
    assert!(
        world.counters(server).sessions_total < 20,
        "it asked without waiting"
    );
    world.unlisten(PORT);
    assert!(world.run_until(SECOND * 31, |world| world.is_open(PORT)));
    world.run(SECOND);
    assert_eq!(world.counters(server).sessions, 1);
}

#[test]
fn a_session_with_some_services_refused_is_kept() {
    let mut world = World::new(15);
    let server = world.server(CONTROL, server_config());
    world.client(
        client_config(&[("80", UPSTREAM), ("9090", UPSTREAM)]),
        Ok(token("a")),
    );
    world.run(SECOND * 60);
    assert_eq!(world.counters(server).sessions_total, 1);
    assert!(world.is_open(PORT));
}

#[test]
fn a_server_that_goes_away_is_left_for_another_while_old_streams_run_on() {
    let mut world = World::new(16);
    let old = world.server(CONTROL, server_config());
    world.name("tunnel", &["203.0.113.1:0", "203.0.113.2:0"]);
    let mut config = plain();
    config.server = host_port("tunnel:8123");
    let client = world.client(config, Ok(token("a")));
    world.listen(UPSTREAM, Behaviour::Echo);
    world.expect_sessions(old, 1);
    let visitor = world.visitor(PORT);
    world.say(visitor, b"old ");
    world.expect_heard(visitor, b"old ");
    let new = world.server("203.0.113.2:8123", server_config());
    world.drain_server(old, SECOND * 30);
    world.expect_sessions(new, 1);
    world.run(SECOND / 10);
    let meter = world.meter(client).unwrap();
    assert_eq!(meter.counters().sessions, 2, "the old session was dropped");
    let second = world.visitor(PORT);
    world.say(second, b"new");
    world.expect_heard(second, b"new");
    world.say(visitor, b"stream");
    world.finish(visitor);
    world.expect_heard(visitor, b"old stream");
    world.run(SECOND * 5);
    assert!(world.handle(old).is_done());
    assert_eq!(meter.counters().sessions, 1);
    assert_eq!(meter.counters().carriers, 1);
    assert!(!world.was_reset(visitor));
}

#[test]
fn servers_that_keep_going_away_leave_no_more_than_a_few_sessions_behind() {
    let mut world = World::new(17);
    world.listen(UPSTREAM, Behaviour::Manual);
    let first = world.server(CONTROL, server_config());
    let client = world.client(plain(), Ok(token("a")));
    world.expect_sessions(first, 1);
    let mut server = first;
    for _ in 0..8 {
        world.visitor(PORT);
        world.run(SECOND / 5);
        world.drain_server(server, SECOND * 1_000);
        server = world.server(CONTROL, server_config());
        assert!(world.run_until(SECOND * 60, |world| world.counters(server).sessions == 1));
        let sessions = world.meter(client).unwrap().counters().sessions;
        assert!(sessions <= 4, "{sessions} sessions");
    }
}

#[test]
fn a_draining_client_lets_running_streams_finish() {
    let (mut world, server, client) = World::tunnelled(18, &[("9090", UPSTREAM)]);
    world.listen(UPSTREAM, Behaviour::Echo);
    world.run(SECOND);
    let visitor = world.visitor(PORT);
    world.say(visitor, b"one ");
    world.expect_heard(visitor, b"one ");
    world.drain_client(client, SECOND * 30);
    world.run(SECOND);
    assert!(!world.is_open(PORT), "visitors still come");
    world.say(visitor, b"two");
    world.finish(visitor);
    world.expect_heard(visitor, b"one two");
    assert!(world.run_until(SECOND * 3, |world| world.has_ended(client)));
    assert!(world.saw_fin(visitor) && !world.was_reset(visitor));
    assert_eq!(world.counters(server).sessions, 0);
}

#[test]
fn a_draining_client_ends_after_the_grace_whatever_still_runs() {
    let (mut world, _, client) = World::tunnelled(19, &[("9090", UPSTREAM)]);
    world.listen(UPSTREAM, Behaviour::Manual);
    world.run(SECOND);
    let visitor = world.visitor(PORT);
    world.run(SECOND);
    world.drain_client(client, SECOND * 5);
    world.run(SECOND * 4);
    assert!(!world.has_ended(client));
    assert!(world.run_until(SECOND * 4, |world| world.has_ended(client)));
    world.run(SECOND);
    assert!(world.was_reset(visitor) && !world.saw_fin(visitor));
}

#[test]
fn a_client_that_is_told_to_stop_before_it_has_a_session_ends_at_once() {
    for until in [0, 3, 8, 12, 18] {
        let mut world = World::new(20);
        world.server(CONTROL, server_config());
        let client = world.client(plain(), Ok(token("a")));
        world.run(Duration::from_millis(until));
        world.drain_client(client, SECOND * 30);
        assert!(
            world.run_until(SECOND * 3, |world| world.has_ended(client)),
            "at {until} ms"
        );
    }
}

#[test]
fn no_notice_ever_holds_the_token_or_the_proxys_password() {
    let mut world = World::new(21);
    world.server(CONTROL, server_config());
    world.listen(
        PROXY,
        Behaviour::Proxy {
            credentials: Some("no".to_owned()),
        },
    );
    let secret = "a-secret-that-nobody-prints";
    let token = Token::new(secret.as_bytes()).map_err(|error| error.to_string());
    world.client(plain(), token.clone());
    world.client(through_proxy(Some(("user", secret))), token);
    world.run(SECOND * 10);
    assert!(failures(&world).len() > 2);
    for (_, notice) in &world.notices {
        let text = format!("{notice} {notice:?}");
        assert!(!text.contains(secret), "{text}");
    }
    assert!(!format!("{:?}", through_proxy(Some(("user", secret))).proxy).contains(secret));
}

#[test]
fn a_server_that_asks_for_patience_gets_it() {
    let mut world = World::new(22);
    let mut config = server_config();
    config.core = Arc::new(Config {
        sessions_max: 0,
        ..Config::default()
    });
    world.server(CONTROL, config);
    world.client(plain(), Ok(token("a")));
    world.run(SECOND * 3);
    let first = &failures(&world)[0];
    assert_eq!(
        first.2, SECOND,
        "the backoff alone would be half a second at most"
    );
}

#[test]
fn a_session_that_lived_starts_the_backoff_over_though_the_server_goes_away() {
    let mut world = World::new(31);
    world.client(plain(), Ok(token("a")));
    world.run(SECOND * 300);
    let server = world.server(CONTROL, server_config());
    assert!(world.run_until(SECOND * 31, |world| world.counters(server).sessions == 1));
    world.run(SECOND * 20);
    world.drain_server(server, SECOND);
    world.run(SECOND);
    let wait = world.notices.iter().find_map(|(_, notice)| match notice {
        Notice::ServerGoingAway { retry_after } => Some(*retry_after),
        _ => None,
    });
    assert_eq!(
        wait,
        Some(SECOND),
        "the waits of attempts long ago still count"
    );
}
