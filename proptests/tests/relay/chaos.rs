//! Everything fails, at random: servers and clients are killed, drained, cut off and started again while visitors come and go. Whatever
//! happens, a visitor gets what the upstream sent, in order; a FIN only behind the last byte; and in the end nothing is left behind.

use std::time::Duration;

use adit_core::ClientId;
use adit_proptests::network::Break;
use adit_proptests::scene::{CONTROL, client_config, server_config, token};
use adit_proptests::{Behaviour, PuppetId, Random, ServerId, TaskId, World};

use super::{PORT, SECOND, UPSTREAM};

struct Visitor {
    puppet: PuppetId,
    said: Vec<u8>,
    finished: bool,
}

struct Chaos {
    world: World,
    random: Random,
    servers: Vec<ServerId>,
    clients: Vec<TaskId>,
    visitors: Vec<Visitor>,
}

impl Chaos {
    fn new(seed: u64) -> Self {
        let mut world = World::new(seed);
        world.listen(UPSTREAM, Behaviour::Echo);
        let servers = vec![world.server(CONTROL, server_config())];
        let random = Random::new(seed);
        let mut chaos = Self {
            world,
            random,
            servers,
            clients: Vec::new(),
            visitors: Vec::new(),
        };
        for _ in 0..3 {
            chaos.start_client();
        }
        chaos
    }

    fn start_client(&mut self) {
        let mut config = client_config(&[("9090", UPSTREAM)]);
        // Sometimes two of them have one name.
        let name = format!("client-{}", self.random.between(0, 3));
        config.client_id = ClientId::new(&name).expect("a client id");
        config.reconnect_max = SECOND;
        self.clients.push(self.world.client(config, Ok(token("a"))));
    }

    fn start_server(&mut self) {
        self.servers
            .push(self.world.server(CONTROL, server_config()));
    }

    fn step(&mut self) {
        let server = *self.servers.last().expect("there is always one");
        match self.random.between(0, 43) {
            0 => {
                self.world.kill_server(server);
                self.start_server();
            }
            1 => {
                self.world.drain_server(server, SECOND * 3);
                self.start_server();
            }
            kind @ 2..=4 => {
                let which = self.random.between(0, self.clients.len() - 1);
                let client = self.clients.swap_remove(which);
                match kind {
                    2 => self.world.kill(client),
                    3 => self.world.freeze(client),
                    _ => self.world.drain_client(client, SECOND * 3),
                }
                self.start_client();
            }
            5..=14 => {
                if let Some(puppet) = self.world.visit(PORT) {
                    self.visitors.push(Visitor {
                        puppet,
                        said: Vec::new(),
                        finished: false,
                    });
                }
            }
            kind @ 15..=34 if !self.visitors.is_empty() => {
                let which = self.random.between(0, self.visitors.len() - 1);
                self.move_visitor(which, kind);
            }
            35..=38 => {
                let breaks = [Break::Reset, Break::Fin, Break::Silence, Break::Stall];
                self.world.break_carriers(breaks[self.random.between(0, 3)]);
            }
            _ => {}
        }
        let pause = self.random.between(1, 60) as u64;
        self.world.run(Duration::from_millis(pause));
    }

    fn move_visitor(&mut self, which: usize, kind: usize) {
        let visitor = &mut self.visitors[which];
        match kind {
            15 => {
                self.world.abort(visitor.puppet);
                self.visitors.swap_remove(which);
            }
            16..=19 => {
                visitor.finished = true;
                self.world.finish(visitor.puppet);
            }
            _ if !visitor.finished => {
                let len = self.random.between(1, 60_000);
                let start = visitor.said.len();
                visitor
                    .said
                    .extend((start..start + len).map(|n| (n % 253) as u8));
                self.world.say(visitor.puppet, &visitor.said[start..]);
            }
            _ => {}
        }
    }

    /// What holds at any time.
    fn check(&self) {
        for Visitor {
            puppet,
            said,
            finished,
        } in &self.visitors
        {
            let heard = self.world.heard(*puppet);
            assert!(
                said.starts_with(heard),
                "bytes came that were not sent, or out of order"
            );
            if self.world.saw_fin(*puppet) {
                assert!(
                    *finished && heard == said,
                    "a FIN in front of the last byte"
                );
            }
        }
    }

    /// The end: all visitors finish, and get everything or a reset.
    fn settle(&mut self) {
        for visitor in &mut self.visitors {
            visitor.finished = true;
            self.world.finish(visitor.puppet);
        }
        // Visitors of a client that was killed wait for as long as it might come back.
        self.world.run(SECOND * 70);
        self.check();
        for visitor in &self.visitors {
            let ended = self.world.saw_fin(visitor.puppet) || self.world.was_reset(visitor.puppet);
            assert!(ended, "a visitor hangs");
        }
        for server in &self.servers {
            assert_eq!(
                self.world.counters(*server).streams,
                0,
                "a stream was left behind"
            );
        }
        for client in &self.clients {
            let meter = self.world.meter(*client).expect("it runs");
            assert_eq!(meter.counters().streams, 0, "a stream was left behind");
            assert_eq!(meter.counters().carriers, 1, "a carrier was left behind");
        }
        let server = *self.servers.last().expect("there is always one");
        assert_eq!(
            self.world.counters(server).sessions,
            self.clients.len() as u64
        );
    }
}

#[test]
fn whatever_fails_visitors_get_the_truth_or_a_reset_and_nothing_is_left_behind() {
    let mut all_served = 0;
    for seed in 0..30 {
        let mut chaos = Chaos::new(seed);
        for _ in 0..400 {
            chaos.step();
            chaos.check();
        }
        chaos.settle();
        let served = chaos
            .visitors
            .iter()
            .filter(|v| chaos.world.saw_fin(v.puppet))
            .count();
        all_served += served;
    }
    // Servers are killed every second or two, so most visitors are reset.
    assert!(all_served > 100, "only {all_served} were served");
}
