//! Which ports a server opens, and what it says of those that it does not.

use std::sync::Arc;

use adit_core::Code;
use adit_proptests::scene::{self, CONTROL, client_config, server_config, token};
use adit_proptests::{Behaviour, World};
use adit_relay::Notice;
use adit_relay::server::{Ports, Tunnel, Tunnels};

use super::{SECOND, UPSTREAM};

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
