//! Machines are safe to drive badly: calls in any order, for any socket, with any bytes, never panic, and what they hold stays bounded.

use std::io::{ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::time::Duration;

use adit_core::Instant;
use adit_proptests::Random;
use adit_proptests::scene::{CONTROL, client_config, server_config, token};
use adit_relay::client::Client;
use adit_relay::server::{ListenerId, Peer, Server, ServerAsk};
use adit_relay::{Ask, Machine, SocketId, Told};
use bytes::BytesMut;

/// One call, drawn at random.
fn call(machine: &mut dyn Machine, random: &mut Random, now: Instant) {
    let socket = SocketId(u32::try_from(random.between(0, 5)).unwrap_or(0));
    let query = u32::try_from(random.between(0, 5)).unwrap_or(0);
    match random.between(0, 11) {
        0 | 1 => {
            let len = random.between(0, 300);
            let bytes: BytesMut = (0..len).map(|_| random.next().to_be_bytes()[0]).collect();
            machine.received(now, socket, bytes);
        }
        2 => machine.received_eof(now, socket),
        3 => {
            let mut slices = [IoSlice::new(&[]); 4];
            machine.gather(now, socket, &mut slices);
        }
        4 => machine.written(now, socket, random.between(0, 100_000)),
        5 => machine.failed(now, socket, ErrorKind::ConnectionReset),
        6 => machine.handle_timeout(now),
        7 => machine.tell(now, Told::Connected { socket }),
        8 => machine.tell(
            now,
            Told::ConnectFailed {
                socket,
                kind: ErrorKind::TimedOut,
            },
        ),
        9 => machine.tell(
            now,
            Told::Token {
                query,
                result: Ok(token("a")),
            },
        ),
        10 => {
            let addrs = [CONTROL, "[2001:db8::1]:1"].map(|addr| addr.parse::<SocketAddr>());
            let result = Ok(addrs.into_iter().flatten().collect());
            machine.tell(now, Told::Resolved { query, result });
        }
        _ => {
            machine.read_limit(socket);
            machine.poll_timeout();
            machine.is_done();
        }
    }
}

/// Polls all asks; a machine that never stops asking fails the test.
fn drain_asks(machine: &mut dyn Machine, now: Instant) -> Vec<Ask> {
    let asks: Vec<Ask> = (0..1_000).map_while(|_| machine.poll_ask(now)).collect();
    assert!(asks.len() < 1_000, "it asks for ever");
    asks
}

#[test]
fn a_client_survives_calls_that_make_no_sense() {
    for seed in 0..500 {
        let mut random = Random::new(seed);
        let mut now = Instant::from_millis(1);
        let mut client = Client::new(client_config(&[("9090", "db:80")]), [7; 32], now);
        for step in 0..200 {
            call(&mut client, &mut random, now);
            if random.one_in(3) {
                drain_asks(&mut client, now);
            }
            if random.one_in(10) {
                now += Duration::from_millis(random.between(1, 4_000) as u64);
            }
            if step == 150 && random.one_in(2) {
                client.drain(now, Duration::from_secs(1));
            }
        }
    }
}

#[test]
fn a_peer_and_its_server_survive_calls_that_make_no_sense() {
    for seed in 0..500 {
        let mut random = Random::new(seed);
        let mut now = Instant::from_millis(1);
        let server = Server::new(server_config(), [7; 32]);
        let from: SocketAddr = "192.0.2.1:1".parse().unwrap();
        let mut peers: Vec<Peer> = (0..3)
            .filter_map(|_| server.accept(now, from).ok())
            .collect();
        assert_eq!(server.counters().carriers, 3);
        for _ in 0..200 {
            let which = random.between(0, peers.len() - 1);
            let peer = &mut peers[which];
            match random.between(0, 20) {
                0 => peer.handle_wake(now),
                1 => {
                    let listener = ListenerId(u32::try_from(random.between(0, 3)).unwrap());
                    server.told_listening(listener, Ok(from));
                    assert!(server.visitor(listener, from, from).is_none());
                }
                _ => call(peer, &mut random, now),
            }
            if random.one_in(3) {
                drain_asks(peer, now);
                while let Some(ask) = server.poll_ask() {
                    assert!(
                        !matches!(ask, ServerAsk::Listen { .. }),
                        "nobody proved anything"
                    );
                }
            }
            if random.one_in(10) {
                now += Duration::from_millis(random.between(1, 4_000) as u64);
            }
        }
        drop(peers);
        assert_eq!(
            server.counters().carriers,
            0,
            "a dropped peer left something behind"
        );
        server.drain(now, Duration::ZERO);
        while server.poll_ask().is_some() {}
        assert!(server.is_done());
    }
}
