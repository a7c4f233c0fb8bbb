//! What a server decides: who comes in, who waits, which ports open, and how it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use adit_core::{Code, Config, Instant, Token};
use adit_proptests::pipe::Shape;
use adit_proptests::scene::{self, CONTROL, client_config, named, server_config, token};
use adit_proptests::{Behaviour, PuppetId, World};
use adit_relay::Notice;
use adit_relay::client::AttemptError;
use adit_relay::server::{Ports, Server, Tunnel, Tunnels};

const PORT: &str = "127.0.0.1:9090";
const UPSTREAM: &str = "10.0.0.1:80";
const SECOND: Duration = Duration::from_secs(1);

/// Connections to the control port that say nothing, or only `word`.
fn idlers(world: &mut World, count: usize, word: &[u8]) -> Vec<PuppetId> {
    let idler = |_| {
        let idler = world.visitor(CONTROL);
        world.say(idler, word);
        idler
    };
    (0..count).map(idler).collect()
}

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
fn another_tunnel_cannot_have_a_port_that_is_taken() {
    let (mut world, server, _) = World::tunnelled(4, &[("9090", UPSTREAM)]);
    let mut config = client_config(&[("9090", UPSTREAM), ("9091", UPSTREAM)]);
    config.tunnel = scene::tunnel("b");
    world.client(config, Ok(token("b")));
    world.expect_sessions(server, 2);
    world.run(SECOND);
    let in_use = |notice: &Notice| match notice {
        Notice::ServiceRefused {
            code: Code::PORT_IN_USE,
            ..
        } => notice.to_string().contains("--upstream 9091=10.0.0.1:80"),
        _ => false,
    };
    assert!(world.noticed(in_use), "{:#?}", world.notices);
    assert!(world.is_open("127.0.0.1:9091"), "the other service is open");
    assert_eq!(world.counters(server).services_refused_total, 1);
}

/// What a client that asks for these addresses is told about each.
fn grants(world: &mut World, addresses: &[&str]) -> Vec<Result<String, Code>> {
    let offers: Vec<_> = addresses
        .iter()
        .map(|address| (*address, UPSTREAM))
        .collect();
    world.client(client_config(&offers), Ok(token("a")));
    let told = |notice: &Notice| match notice {
        Notice::ServiceOpened { address, .. } => Some(Ok(address.clone())),
        Notice::ServiceRefused { code, .. } => Some(Err(*code)),
        _ => None,
    };
    let count = |world: &mut World| world.notices.iter().filter_map(|(_, n)| told(n)).count();
    world.run_until(SECOND * 5, |world| count(world) >= addresses.len());
    world
        .notices
        .iter()
        .filter_map(|(_, notice)| told(notice))
        .collect()
}

#[test]
fn each_address_asked_for_gets_its_own_answer() {
    let mut world = World::new(5);
    world.listen("127.0.0.1:7000", Behaviour::Echo);
    world.server(CONTROL, server_config());
    let asked = [
        "9090",
        "80",
        "7000",
        "127.0.0.1:9092",
        "[::1]:9093",
        "10.9.9.9:9094",
        "no address",
        "9090",
        "0",
    ];
    let told = grants(&mut world, &asked);
    let expected = [
        Ok("127.0.0.1:9090".to_owned()),
        Err(Code::PORT_NOT_ALLOWED),
        Err(Code::PORT_IN_USE),
        Ok("127.0.0.1:9092".to_owned()),
        Ok("[::1]:9093".to_owned()),
        Err(Code::BAD_ADDRESS),
        Err(Code::BAD_ADDRESS),
        Err(Code::PORT_IN_USE),
        Ok("127.0.0.1:40000".to_owned()),
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_session_may_not_ask_for_more_services_than_the_limit() {
    let mut world = World::new(6);
    let mut config = server_config();
    config.services_max = 2;
    world.server(CONTROL, config);
    let told = grants(&mut world, &["2001", "2002", "2003"]);
    assert_eq!(told[2], Err(Code::TOO_MANY));
    assert!(told[..2].iter().all(Result::is_ok));
}

#[test]
fn a_server_opens_no_more_ports_than_its_limit() {
    let mut world = World::new(7);
    let mut config = server_config();
    config.ports_max = 1;
    world.server(CONTROL, config);
    assert_eq!(
        grants(&mut world, &["2001", "2002"])[1],
        Err(Code::TOO_MANY)
    );
}

#[test]
fn a_port_that_the_system_chose_outside_of_the_grant_is_given_back() {
    let mut world = World::new(8);
    let mut config = server_config();
    let tunnel = Tunnel {
        verifier: adit_core::Verifier::new(&token("a"), &scene::tunnel("a")),
        ports: Ports::new([(2000, 3000)]),
    };
    config.tunnels = Arc::new(Tunnels::from_iter([(scene::tunnel("a"), tunnel)]));
    world.server(CONTROL, config);
    assert_eq!(grants(&mut world, &["0"]), [Err(Code::PORT_NOT_ALLOWED)]);
    world.run(SECOND / 10);
    assert!(!world.is_open("127.0.0.1:40000"));
}

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
    idlers(&mut world, 1_000, b"");
    world.run(SECOND / 10);
    assert!(
        world.counters(server).carriers <= 100,
        "the limit does not hold"
    );
    let began = world.now;
    world.client(named("speaker", UPSTREAM), Ok(token("a")));
    idlers(&mut world, 300, b"");
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
    let speaker = idlers(&mut world, 1, &[0x02])[0];
    world.run(SECOND / 10);
    let silent = idlers(&mut world, 20, b"");
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
    let idler = idlers(&mut world, 1, b"GET / HTTP/1.1\r\n\r\n")[0];
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
    idlers(&mut world, 3, b"");
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
    let mute = idlers(&mut world, 1, b"")[0];
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
    world.run(SECOND * 5);
    assert_eq!(world.counters(server).sessions, 0);
    assert!(world.counters(server).auth_failures_total > 0);
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
            idlers(world, 1, &[0x02, 0x7e]);
            world.run(SECOND / 100);
        }
    };
    flood(&mut world, 200);
    world.client(named("honest", UPSTREAM), Ok(token("a")));
    flood(&mut world, 100);
    assert_eq!(world.counters(server).sessions, 1, "it was kept out");
    assert!(!world.noticed(|notice| matches!(notice, Notice::AttemptFailed { .. })));
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
