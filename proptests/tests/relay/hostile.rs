//! Peers that break the rules, at default limits, beside a tunnel that minds its own business: each costs its own carrier, is told why in
//! the log, and the other tunnel notices nothing.

use std::sync::Arc;
use std::time::Duration;

use adit_core::{
    CarrierFacts, ClientHandshake, ClientHello, ClientId, Established, Instance, Service,
    ServiceId, ServiceKind, Transmit,
};
use adit_proptests::scene::{self, CONTROL, client_config, server_config, token};
use adit_proptests::wire::{data, varint};
use adit_proptests::{Behaviour, PuppetId, ServerId, World};
use adit_relay::{Counters, Notice};
use bytes::Bytes;

const TENTH: Duration = Duration::from_millis(100);

/// The port of the tunnel that must notice nothing, and its upstream.
const PORT: &str = "127.0.0.1:9091";
const UPSTREAM: &str = "10.0.0.2:80";

/// A server with a client of tunnel `b`, whose visitor talks to an echo all the time.
struct Scene {
    world: World,
    server: ServerId,
    visitor: PuppetId,
    said: Vec<u8>,
}

impl Scene {
    fn new(seed: u64) -> Self {
        let mut world = World::new(seed);
        let server = world.server(CONTROL, server_config());
        let mut config = client_config(&[("9091", UPSTREAM)]);
        config.tunnel = scene::tunnel("b");
        world.client(config, Ok(token("b")));
        world.listen(UPSTREAM, Behaviour::Echo);
        world.expect_sessions(server, 1);
        let visitor = world.visitor(PORT);
        Self {
            world,
            server,
            visitor,
            said: Vec::new(),
        }
    }

    /// A tenth of a second, in which the old visitor and a new one have their echo.
    fn pass(&mut self) {
        let end = self.world.now + TENTH;
        let new = self.world.visitor(PORT);
        self.world.say(new, b"new");
        self.world.finish(new);
        self.world.say(self.visitor, b"old");
        self.said.extend_from_slice(b"old");
        let (visitor, said) = (self.visitor, self.said.clone());
        let served = |world: &mut World| world.heard(visitor) == said && world.saw_fin(new);
        assert!(
            self.world.run_until(TENTH, served),
            "the other tunnel noticed"
        );
        assert_eq!(self.world.heard(new), b"new");
        self.world.run(end - self.world.now);
    }

    fn counters(&self) -> Counters {
        self.world.counters(self.server)
    }

    /// Why a session of tunnel `a` ended.
    fn ended(&self) -> Option<&str> {
        let mut notices = self.world.notices.iter();
        notices.find_map(|(_, notice)| match notice {
            Notice::SessionEnded { who, reason } if who.tunnel == scene::tunnel("a") => {
                Some(reason.as_str())
            }
            _ => None,
        })
    }

    /// What is said of carriers that came to nothing.
    fn failed(&self) -> Vec<&str> {
        let notices = self.world.notices.iter();
        let failed = notices.filter_map(|(_, notice)| match notice {
            Notice::CarrierFailed { reason, .. } => Some(reason.as_str()),
            _ => None,
        });
        failed.collect()
    }

    /// A client of tunnel `a` made of core alone, which serves port 9090: where it speaks, and what it made of its handshake.
    fn rogue(&mut self) -> (PuppetId, Established) {
        let puppet = self.world.visitor(CONTROL);
        let hello = ClientHello {
            tunnel: scene::tunnel("a"),
            client_id: ClientId::new("rogue").expect("a client's id"),
            instance: Instance([9; 16]),
            services: vec![Service {
                id: ServiceId(0),
                kind: ServiceKind::Tcp,
                address: "9090".to_owned(),
            }],
            labels: Vec::new(),
            software: String::new(),
        };
        let facts = CarrierFacts {
            exporter: None,
            tls: false,
            certificate_checked: false,
        };
        let now = self.world.now;
        let mut handshake =
            ClientHandshake::new(Arc::default(), &token("a"), hello, facts, [4; 32], now);
        let mut read = 0;
        for _ in 0..20 {
            let heard = Bytes::copy_from_slice(&self.world.heard(puppet)[read..]);
            read += heard.len();
            handshake
                .handle_input(self.world.now, heard)
                .expect("an honest server");
            if let Some(established) = handshake.poll_established(self.world.now) {
                return (puppet, established);
            }
            while let Some(frame) = handshake.poll_transmit(self.world.now, 16_000) {
                self.world.say(puppet, &bytes_of(&frame));
            }
            self.pass();
        }
        panic!("no session: {:#?}", self.world.notices);
    }
}

fn bytes_of(frame: &Transmit) -> Vec<u8> {
    [frame.head(), &frame.payload()[..]].concat()
}

#[test]
fn a_client_that_ignores_credit_loses_its_session_and_its_visitor_sees_a_reset() {
    let mut scene = Scene::new(1);
    let (rogue, _) = scene.rogue();
    let visitor = scene.world.visitor("127.0.0.1:9090");
    scene.world.plug(visitor, true);
    scene.pass();
    // The server's first stream; nothing that is sent on it is ever taken.
    for _ in 0..100 {
        scene.world.say(rogue, &data(1, 60_000));
        scene.pass();
        if scene.ended().is_some() {
            break;
        }
    }
    let reason = scene.ended().expect("it was ended");
    assert!(reason.contains("FLOW_CONTROL"), "{reason}");
    scene.world.plug(visitor, false);
    scene.pass();
    assert!(scene.world.was_reset(visitor) && !scene.world.saw_fin(visitor));
    assert_eq!(scene.counters().sessions, 1);
}

#[test]
fn an_oversized_frame_of_a_client_ends_its_session() {
    let mut scene = Scene::new(2);
    let (rogue, _) = scene.rogue();
    scene.world.visitor("127.0.0.1:9090");
    scene.pass();
    let head = [&[adit_core::kind::DATA][..], &varint(1), &varint(65_537)].concat();
    scene.world.say(rogue, &head);
    scene.pass();
    let reason = scene.ended().expect("it was ended");
    assert!(reason.contains("FRAME_TOO_LARGE"), "{reason}");
    assert_eq!(scene.counters().sessions, 1);
}

#[test]
fn an_oversized_frame_of_a_stranger_ends_its_carrier_before_it_is_sent() {
    let mut scene = Scene::new(3);
    let head = [&[adit_core::kind::AUTH][..], &varint(1 << 30)].concat();
    let stranger = scene.world.strangers(1, &head)[0];
    scene.pass();
    scene.pass();
    assert!(scene.world.saw_fin(stranger) || scene.world.was_reset(stranger));
    let failed = scene.failed();
    assert!(failed[0].contains("FRAME_TOO_LARGE"), "{failed:?}");
    assert_eq!(scene.counters().sessions, 1);
}

#[test]
fn a_flood_of_garbage_ends_carrier_by_carrier() {
    let mut scene = Scene::new(4);
    for word in [
        &[0; 70_000][..],
        b"SSH-2.0-x\r\n",
        &[0xff; 3],
        &[0x16; 20_000],
    ] {
        for stranger in scene.world.strangers(20, word) {
            scene.world.finish(stranger);
        }
        scene.pass();
    }
    for _ in 0..30 {
        scene.pass();
    }
    assert_eq!(scene.counters().carriers, 1, "a carrier was kept");
    assert_eq!(scene.failed().len(), 80, "not each is told of");
}

#[test]
fn handshakes_of_a_byte_a_second_end_after_ten_seconds() {
    let mut scene = Scene::new(5);
    let strangers = scene.world.strangers(50, &[0x02, 0x7e, 0x80]);
    for second in 0..11 {
        for _ in 0..10 {
            scene.pass();
        }
        let kept = scene.counters().carriers - 1;
        assert_eq!(kept, if second < 9 { 50 } else { 0 }, "after {second} s");
        for stranger in &strangers {
            scene.world.say(*stranger, b"x");
        }
    }
    assert_eq!(scene.counters().sessions, 1);
}
