//! Servers and clients over what their carriers really are: TLS, HTTP and WebSocket, with everything that can go wrong there.

use std::sync::Arc;
use std::time::Duration;

use adit_core::HandshakeError;
use adit_link::{
    ClientSetup, ClientTls, ClientUpgrade, SelfSigned, ServerSetup, ServerTls, ServerUpgrade,
};
use adit_proptests::pipe::Shape;
use adit_proptests::scene::{CONTROL, client_config, server_config, token};
use adit_proptests::{Behaviour, ServerId, TaskId, World};
use adit_relay::Notice;
use adit_relay::client::AttemptError;

use super::{PORT, SECOND, UPSTREAM};

fn upgrade() -> ServerUpgrade {
    ServerUpgrade::new("/connect").expect("a path")
}

/// A server on its own certificate, and a client that trusts nobody unless `trusting`.
fn tls(world: &mut World, channel_binding: bool, trusting: bool) -> (ServerId, TaskId) {
    let own = SelfSigned::generate(["tunnel.example.com".to_owned()]).expect("a certificate");
    let other = SelfSigned::generate(["other.example.com".to_owned()]).expect("a certificate");
    let tls = ServerTls::from_pem(own.certificate.as_bytes(), own.key.as_bytes());
    let mut config = server_config();
    config.carrier = Arc::new(ServerSetup {
        tls: Some(tls.expect("what was just made")),
        upgrade: Some(upgrade()),
        ..ServerSetup::default()
    });
    config.channel_binding = channel_binding;
    let server = world.server(CONTROL, config);
    let ca = if trusting { own } else { other }.certificate;
    let mut config = client_config(&[("9090", UPSTREAM)]);
    config.carrier = ClientSetup {
        tls: Some(ClientTls::from_pem(Some(ca.as_bytes()), None).expect("a CA")),
        server_name: "tunnel.example.com".to_owned(),
        upgrade: Some(ClientUpgrade {
            host: "tunnel.example.com".to_owned(),
            path: "/connect".to_owned(),
            headers: Vec::new(),
        }),
        ..ClientSetup::default()
    };
    (server, world.client(config, Ok(token("a"))))
}

/// A server without TLS, as behind an ingress.
fn behind_ingress(world: &mut World) -> ServerId {
    let mut config = server_config();
    config.carrier = Arc::new(ServerSetup {
        upgrade: Some(upgrade()),
        ..ServerSetup::default()
    });
    world.server(CONTROL, config)
}

#[test]
fn an_echo_comes_back_whole_over_tls_and_websocket() {
    let mut world = World::new(1);
    let (server, _) = tls(&mut world, true, false);
    world.listen(UPSTREAM, Behaviour::Echo);
    world.expect_sessions(server, 1);
    assert!(world.noticed(|notice| matches!(notice, Notice::SessionOpened { bound: true, .. })));
    let visitor = world.visitor(PORT);
    let data: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 241) as u8).collect();
    world.say(visitor, &data);
    world.finish(visitor);
    world.expect_heard(visitor, &data);
    assert!(world.run_until(SECOND, |world| world.saw_fin(visitor)));
}

#[test]
fn a_certificate_that_cannot_be_checked_is_refused_without_binding_and_the_flag_is_named() {
    let mut world = World::new(2);
    let (server, _) = tls(&mut world, false, false);
    world.run(SECOND * 3);
    let told = |notice: &Notice| match notice {
        Notice::AttemptFailed {
            error:
                AttemptError::Handshake {
                    error: HandshakeError::CertificateUnchecked,
                    ..
                },
            ..
        } => notice.to_string().contains("--ca-file"),
        _ => false,
    };
    assert!(world.noticed(told), "{:#?}", world.notices);
    assert_eq!(
        world.counters(server).auth_failures_total,
        0,
        "a proof was sent"
    );
}

#[test]
fn a_certificate_that_was_checked_needs_no_binding() {
    let mut world = World::new(3);
    let (server, _) = tls(&mut world, false, true);
    world.expect_sessions(server, 1);
    assert!(world.noticed(|notice| matches!(notice, Notice::SessionOpened { bound: false, .. })));
}

#[test]
fn a_session_over_tls_ends_with_all_its_goodbyes_and_no_reset() {
    let mut world = World::new(4);
    let (server, client) = tls(&mut world, true, false);
    world.expect_sessions(server, 1);
    world.run(SECOND);
    world.drain_client(client, SECOND * 5);
    let began = world.now;
    assert!(world.run_until(SECOND * 5, |world| world.has_ended(client)));
    assert!(
        world.now - began < SECOND / 2,
        "somebody waited for a timeout"
    );
    world.run(SECOND);
    assert_eq!(world.counters(server).carriers, 0);
    assert!(!world.noticed(|notice| notice.to_string().contains("reset")));
    // The carrier ended in the same breath, and still the last frame counts.
    let reason = "the other side stopped, and nothing was left to do";
    assert!(world.noticed(|notice| {
        matches!(notice, Notice::SessionEnded { reason: told, .. } if told == reason)
    }));
}

#[test]
fn plain_http_is_answered_and_the_answer_arrives_whole() {
    let mut world = World::new(5);
    let server = behind_ingress(&mut world);
    for (path, status) in [
        ("/healthz", "200"),
        ("/nothing", "404"),
        ("/connect", "426"),
    ] {
        let visitor = world.visitor(CONTROL);
        world.say(
            visitor,
            format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes(),
        );
        assert!(
            world.run_until(SECOND, |world| world.saw_fin(visitor)),
            "{path}"
        );
        let heard = String::from_utf8_lossy(world.heard(visitor)).into_owned();
        assert!(heard.starts_with(&format!("HTTP/1.1 {status}")), "{heard}");
        world.finish(visitor);
        world.run(SECOND / 10);
        assert!(!world.was_reset(visitor));
    }
    assert_eq!(world.counters(server).plain_answers_total, 3);
    assert_eq!(world.counters(server).carriers, 0);
}

#[test]
fn a_peer_that_neither_reads_nor_leaves_is_gone_after_the_linger() {
    let mut world = World::new(6);
    let server = behind_ingress(&mut world);
    let visitor = world.visitor(CONTROL);
    world.say(visitor, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    world.plug(visitor, true);
    world.run(SECOND * 3);
    assert_eq!(world.counters(server).carriers, 0);
    assert!(world.tasks_of(server) == 0, "its task lives on");
}

#[test]
fn a_client_without_tls_at_a_tls_port_is_told_so_on_both_sides() {
    let mut world = World::new(7);
    let (server, client) = tls(&mut world, true, false);
    world.kill(client);
    let mut config = client_config(&[("9090", UPSTREAM)]);
    config.carrier = ClientSetup {
        upgrade: Some(ClientUpgrade {
            host: "tunnel.example.com".to_owned(),
            path: "/connect".to_owned(),
            headers: Vec::new(),
        }),
        ..ClientSetup::default()
    };
    world.client(config, Ok(token("a")));
    world.run(SECOND * 2);
    assert!(world.noticed(|notice| {
        matches!(
            notice,
            Notice::AttemptFailed {
                error: AttemptError::Link(_),
                ..
            }
        )
    }));
    assert!(world.noticed(|notice| matches!(notice, Notice::CarrierFailed { reason, .. } if reason.contains("speaks TLS"))));
    assert_eq!(world.counters(server).sessions, 0);
}

#[test]
fn a_silent_connection_to_a_tls_port_is_dropped() {
    let mut world = World::new(8);
    let (server, client) = tls(&mut world, true, false);
    world.kill(client);
    let silent = world.visitor(CONTROL);
    world.run(SECOND * 6);
    assert!(world.saw_fin(silent) || world.was_reset(silent));
    world.run(SECOND * 3);
    assert_eq!(world.counters(server).carriers, 0);
}

#[test]
fn a_carrier_of_two_and_a_half_kilobytes_a_second_stays_alive_though_a_record_takes_longer_than_silence_may()
 {
    let mut world = World::new(9);
    let slow = Shape {
        latency: SECOND * 2 / 5,
        capacity: 1_000,
        piece_max: 300,
    };
    world.shape(CONTROL, slow);
    let (server, client) = tls(&mut world, true, false);
    world.listen(UPSTREAM, Behaviour::Manual);
    assert!(world.run_until(SECOND * 10, |world| world.counters(server).sessions == 1));
    // What fills records in one direction, and then in the other.
    let visitors = [(); 4].map(|()| world.visitor(PORT));
    let question = [3; 8_000];
    for visitor in visitors {
        world.say(visitor, &question);
    }
    world.run(SECOND * 2);
    let upstreams = visitors.map(|_| world.accepted(UPSTREAM).expect("a dial for each"));
    let heard = |world: &mut World| upstreams.iter().all(|it| world.heard(*it) == question);
    let done = world.run_until(SECOND * 60, heard);
    assert!(done, "{:#?}", world.notices);
    let answer = vec![5; 60_000];
    for upstream in upstreams {
        world.say(upstream, &answer);
    }
    let began = world.now;
    let heard = |world: &mut World| visitors.iter().all(|it| world.heard(*it) == answer);
    assert!(world.run_until(SECOND * 150, heard));
    assert!(world.now - began > SECOND * 90, "the carrier was not slow");
    assert_eq!(world.counters(server).sessions_total, 1);
    let meter = world.meter(client).expect("it runs");
    assert_eq!(meter.counters().attempts_failed_total, 0);
}

#[test]
fn a_slow_carrier_with_a_short_round_trip_is_not_left_for_another_in_the_middle_of_each_record() {
    for (millis, capacity) in [(20, 80), (20, 140), (10, 60), (50, 125)] {
        let mut world = World::new(9);
        let slow = Shape {
            latency: Duration::from_millis(millis),
            capacity,
            piece_max: capacity,
        };
        world.shape(CONTROL, slow);
        let (server, _) = tls(&mut world, true, false);
        world.listen(UPSTREAM, Behaviour::Manual);
        assert!(world.run_until(SECOND * 20, |world| world.counters(server).sessions == 1));
        let visitors = [(); 4].map(|()| world.visitor(PORT));
        for visitor in visitors {
            world.say(visitor, b"question");
        }
        world.run(SECOND * 4);
        let answer = vec![5; 30_000];
        for _ in visitors {
            let upstream = world.accepted(UPSTREAM).expect("a dial for each");
            world.say(upstream, &answer);
        }
        let heard = |world: &mut World| visitors.iter().all(|it| world.heard(*it) == answer);
        assert!(world.run_until(SECOND * 100, heard), "{millis} ms");
        assert_eq!(world.counters(server).resumes_total, 0, "{millis} ms");
    }
}
