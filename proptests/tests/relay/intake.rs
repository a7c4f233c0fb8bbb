//! Who comes in at a server's control port: proofs and penalties, and places that strangers can't take from those who have one.

use std::sync::Arc;
use std::time::Duration;

use adit_core::{Code, Config, Token};
use adit_proptests::World;
use adit_proptests::pipe::Shape;
use adit_proptests::scene::{self, CONTROL, client_config, named, server_config, token};
use adit_relay::client::AttemptError;
use adit_relay::{Level, Notice};

use super::{SECOND, UPSTREAM};

/// For each failed proof, how long it took until the client was told, less the way.
fn held_back(world: &World) -> Vec<Duration> {
    let way = Duration::from_millis(5);
    let at = |is: fn(&Notice) -> bool| {
        let times = world.notices.iter().filter(move |(_, notice)| is(notice));
        times.map(|(at, _)| *at)
    };
    let failed = at(|notice| matches!(notice, Notice::AuthFailed { .. }));
    let told = at(|notice| matches!(notice, Notice::AttemptFailed { .. }));
    failed
        .zip(told)
        .map(|(failed, told)| told - (failed + way))
        .collect()
}

#[test]
fn a_wrong_token_is_answered_ever_later_and_never_delays_a_right_one() {
    let mut world = World::new(9);
    let server = world.server(CONTROL, server_config());
    let mut wrong = named("wrong", UPSTREAM);
    wrong.reconnect_max = SECOND;
    world.client(
        wrong,
        Token::new(b"a token that is wrong").map_err(|e| e.to_string()),
    );
    world.run(SECOND * 60);
    let delays: Vec<Duration> = world
        .notices
        .iter()
        .filter_map(|(_, notice)| match notice {
            Notice::AuthFailed { delay, .. } => Some(*delay),
            _ => None,
        })
        .collect();
    assert!(delays.len() > 10, "it did not keep trying: {delays:?}");
    assert_eq!(delays[0], SECOND / 2);
    assert_eq!(delays[1], SECOND);
    assert!(delays.is_sorted());
    // The last answer may be under way.
    let held_back = held_back(&world);
    assert!(held_back.len() + 1 >= delays.len());
    assert_eq!(
        held_back,
        delays[..held_back.len()],
        "not held back as announced"
    );
    let told = |notice: &Notice| match notice {
        Notice::AttemptFailed {
            error: AttemptError::Handshake { .. },
            ..
        } => notice.to_string().contains("--token-file"),
        _ => false,
    };
    assert!(world.noticed(told), "the client was not told what is wrong");
    for n in 0..10 {
        let began = world.now;
        world.client(named(&format!("right-{n}"), UPSTREAM), Ok(token("a")));
        world.expect_sessions(server, n + 1);
        assert!(world.now - began < SECOND / 10, "a right token was delayed");
    }
}

#[test]
fn an_unknown_tunnel_looks_like_a_wrong_token() {
    let mut world = World::new(10);
    world.server(CONTROL, server_config());
    let mut config = client_config(&[("9090", UPSTREAM)]);
    config.tunnel = scene::tunnel("nobody");
    world.client(config, Ok(token("nobody")));
    world.run(SECOND * 3);
    let told = |notice: &Notice| {
        matches!(
            notice,
            Notice::AttemptFailed {
                error: AttemptError::Handshake {
                    error: adit_core::HandshakeError::Refused {
                        code: Code::UNAUTHORIZED,
                        ..
                    },
                    ..
                },
                ..
            }
        )
    };
    assert!(world.noticed(told));
}

#[test]
fn a_thousand_silent_connections_delay_nobody_who_speaks() {
    let mut world = World::new(11);
    let mut config = server_config();
    config.core = Arc::new(Config {
        handshakes_max: 100,
        ..Config::default()
    });
    let server = world.server(CONTROL, config);
    world.strangers(1_000, b"");
    world.run(SECOND / 10);
    assert!(
        world.counters(server).carriers <= 100,
        "the limit does not hold"
    );
    let began = world.now;
    world.client(named("speaker", UPSTREAM), Ok(token("a")));
    world.strangers(300, b"");
    world.expect_sessions(server, 1);
    assert!(world.now - began < SECOND / 10, "silence delayed a client");
    assert_eq!(
        world.counters(server).displaced_total,
        1_201,
        "{:?}",
        world.counters(server)
    );
    world.run(SECOND * 11);
    assert_eq!(
        world.counters(server).carriers,
        1,
        "silent carriers were kept"
    );
}

/// What a log at its default level holds.
fn lines(world: &World) -> usize {
    let shown = world
        .notices
        .iter()
        .filter(|(_, it)| it.level() > Level::Debug);
    shown.count()
}

#[test]
fn at_the_default_limits_silent_connections_delay_nobody_and_fill_no_log() {
    for (count, displaced) in [(1_000, 0), (1_100, 77)] {
        let mut world = World::new(30);
        let server = world.server(CONTROL, server_config());
        world.strangers(count, b"");
        world.run(SECOND / 10);
        let began = world.now;
        world.client(named("speaker", UPSTREAM), Ok(token("a")));
        world.expect_sessions(server, 1);
        assert!(world.now - began < SECOND / 10, "silence delayed a client");
        assert_eq!(world.counters(server).displaced_total, displaced);
        assert!(world.counters(server).carriers <= 1_024);
        world.run(SECOND * 11);
        assert_eq!(world.counters(server).carriers, 1, "silence was kept");
        // A port and a session, twice, and the crowd once.
        let told = 4 + usize::from(displaced > 0);
        assert_eq!(lines(&world), told, "{:#?}", world.notices);
    }
}

#[test]
fn the_silent_make_room_before_those_who_speak() {
    let mut world = World::new(12);
    let mut config = server_config();
    config.core = Arc::new(Config {
        handshakes_max: 10,
        ..Config::default()
    });
    world.server(CONTROL, config);
    // The first byte of AUTH: it speaks, and is older than all others.
    let speaker = world.strangers(1, &[0x02])[0];
    world.run(SECOND / 10);
    let silent = world.strangers(20, b"");
    world.run(SECOND / 10);
    assert!(
        !world.was_reset(speaker),
        "it was dropped, though others were silent"
    );
    assert!(world.was_reset(silent[0]));
    assert!(!world.was_reset(silent[19]), "the youngest was dropped");
}

#[test]
fn a_handshake_of_a_byte_a_second_ends_after_ten_seconds() {
    let mut world = World::new(13);
    let server = world.server(CONTROL, server_config());
    let idler = world.visitor(CONTROL);
    // The head of an AUTH frame of 16,000 bytes, and then its body, slowly.
    world.say(idler, &[0x02, 0x7e, 0x80]);
    for _ in 0..9 {
        world.run(SECOND);
        world.say(idler, b"x");
    }
    assert_eq!(world.counters(server).carriers, 1);
    world.run(SECOND * 2);
    assert_eq!(world.counters(server).carriers, 0);
    assert!(world.noticed(|notice| matches!(notice, Notice::CarrierFailed { .. })));
}

#[test]
fn garbage_is_told_so_and_costs_nobody_else_anything() {
    let (mut world, server, _) = World::tunnelled(14, &[("9090", UPSTREAM)]);
    let idler = world.strangers(1, b"GET / HTTP/1.1\r\n\r\n")[0];
    world.run(SECOND);
    assert!(world.saw_fin(idler) || world.was_reset(idler));
    assert!(world.noticed(|notice| matches!(notice, Notice::CarrierFailed { .. })));
    assert_eq!(world.counters(server).sessions, 1);
}

#[test]
fn a_full_server_refuses_with_busy_and_keeps_those_it_has() {
    let mut world = World::new(15);
    let mut config = server_config();
    config.core = Arc::new(Config {
        sessions_max: 1,
        ..Config::default()
    });
    let server = world.server(CONTROL, config);
    world.client(named("first", UPSTREAM), Ok(token("a")));
    world.expect_sessions(server, 1);
    world.client(named("second", UPSTREAM), Ok(token("a")));
    world.run(SECOND * 3);
    let busy = |notice: &Notice| {
        matches!(
            notice,
            Notice::AttemptFailed {
                error: AttemptError::Handshake {
                    error: adit_core::HandshakeError::Refused {
                        code: Code::BUSY,
                        ..
                    },
                    ..
                },
                ..
            }
        )
    };
    assert!(world.noticed(busy), "{:#?}", world.notices);
    assert_eq!(world.counters(server).sessions, 1);
}

#[test]
fn a_flood_of_strangers_who_speak_keeps_no_honest_client_out() {
    let latency = SECOND / 20;
    let shape = Shape {
        latency,
        ..Shape::default()
    };
    let mut world = World::with_shape(21, shape);
    let mut config = server_config();
    config.core = Arc::new(Config {
        handshakes_max: 100,
        ..Config::default()
    });
    let server = world.server(CONTROL, config);
    let flood = |world: &mut World, count: usize| {
        for _ in 0..count {
            world.strangers(1, &[0x02, 0x7e]);
            world.run(SECOND / 100);
        }
    };
    flood(&mut world, 200);
    world.client(named("honest", UPSTREAM), Ok(token("a")));
    flood(&mut world, 100);
    assert_eq!(world.counters(server).sessions, 1, "it was kept out");
    assert!(!world.noticed(|notice| matches!(notice, Notice::AttemptFailed { .. })));
}
