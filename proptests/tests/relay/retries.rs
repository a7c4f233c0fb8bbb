//! How long a client stays away because its server asks for it: a server that is wrong, or no server at all, can't send it away for ever.

use std::sync::Arc;
use std::time::Duration;

use adit_core::{
    Code, Endpoint, Grant, HandshakeEvent, ServerFacts, ServerHandshake, Session, Transmit,
    Verifier,
};
use adit_proptests::scene::{CONTROL, client_config, token, tunnel};
use adit_proptests::{Behaviour, PuppetId, World};
use adit_relay::Notice;
use bytes::Bytes;

use super::SECOND;

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// A server made of core alone, on a puppet. It lets the client of a scene in, unless it is to refuse.
struct HandMade {
    puppet: PuppetId,
    /// Bytes of what the puppet heard that were read.
    read: usize,
    endpoint: Endpoint,
    handshake: ServerHandshake,
    refuse: Option<Duration>,
    session: Option<Session>,
}

impl HandMade {
    /// Waits for a client.
    fn accept(world: &mut World, refuse: Option<Duration>) -> Self {
        world.listen(CONTROL, Behaviour::Manual);
        let mut puppet = None;
        world.run_until(SECOND, |world| {
            puppet = world.accepted(CONTROL);
            puppet.is_some()
        });
        let mut endpoint = Endpoint::new(Arc::default(), [3; 32]);
        let facts = ServerFacts {
            exporter: None,
            tls_here: false,
            binding: false,
            server_name: String::new(),
            software: String::new(),
        };
        Self {
            puppet: puppet.expect("a client"),
            read: 0,
            handshake: endpoint.accept(world.now, facts).expect("room"),
            endpoint,
            refuse,
            session: None,
        }
    }

    /// Reads, decides, and says what there is to say, for a while.
    fn serve(&mut self, world: &mut World) {
        for _ in 0..20 {
            let heard = Bytes::copy_from_slice(&world.heard(self.puppet)[self.read..]);
            self.read += heard.len();
            match &mut self.session {
                Some(session) => session.handle_input(world.now, heard, usize::MAX),
                None => self.greet(world, heard),
            }
            while let Some(frame) = self.next_frame(world) {
                world.say(self.puppet, &bytes_of(frame));
            }
            world.run(SECOND / 100);
        }
    }

    fn greet(&mut self, world: &World, heard: Bytes) {
        self.handshake
            .handle_input(world.now, heard)
            .expect("an honest client");
        while let Some(event) = self.handshake.poll_event() {
            match (event, self.refuse) {
                (HandshakeEvent::Authenticate { .. }, _) => {
                    let verifier = Verifier::new(&token("a"), &tunnel("a"));
                    self.handshake.authenticate(world.now, Some(&verifier));
                }
                (HandshakeEvent::Admit(_), Some(retry_after)) => {
                    self.handshake.refuse(world.now, Code::BUSY, retry_after);
                }
                (HandshakeEvent::Admit(request), None) => {
                    let grant = |service: &adit_core::Service| Grant {
                        id: service.id,
                        result: Ok(service.address.clone()),
                    };
                    let grants = request.services.iter().map(grant).collect();
                    let admitted = self.endpoint.admit(world.now, &mut self.handshake, grants);
                    self.session = Some(admitted.expect("room").session);
                }
                (event, _) => panic!("{event:?}"),
            }
        }
    }

    fn next_frame(&mut self, world: &World) -> Option<Transmit> {
        let said = self.handshake.poll_transmit(world.now, 16_000);
        said.or_else(|| self.session.as_mut()?.poll_transmit(world.now, 16_000))
    }
}

fn bytes_of(frame: Transmit) -> Vec<u8> {
    [frame.head(), &frame.payload()[..]].concat()
}

#[test]
fn a_refusal_keeps_a_client_away_for_no_longer_than_its_longest_backoff() {
    let mut world = World::new(1);
    let config = client_config(&[("9090", "10.0.0.1:80")]);
    let longest = config.reconnect_max;
    world.listen(CONTROL, Behaviour::Manual);
    world.client(config, Ok(token("a")));
    HandMade::accept(&mut world, Some(YEAR)).serve(&mut world);
    let wait = world.notices.iter().find_map(|(_, notice)| match notice {
        Notice::AttemptFailed { retry_in, .. } => Some(*retry_in),
        _ => None,
    });
    assert_eq!(wait, Some(longest), "{:#?}", world.notices);
}

#[test]
fn a_server_that_goes_away_keeps_its_clients_away_for_five_minutes_at_most() {
    let mut world = World::new(2);
    world.listen(CONTROL, Behaviour::Manual);
    world.client(client_config(&[("9090", "10.0.0.1:80")]), Ok(token("a")));
    let mut server = HandMade::accept(&mut world, None);
    server.serve(&mut world);
    let session = server.session.as_mut().expect("a session");
    session.go_away(world.now, YEAR);
    server.serve(&mut world);
    let wait = world.notices.iter().find_map(|(_, notice)| match notice {
        Notice::ServerGoingAway { retry_after } => Some(*retry_after),
        _ => None,
    });
    assert_eq!(wait, Some(SECOND * 300), "{:#?}", world.notices);
    world.notices.clear();
    world.run(SECOND * 301);
    assert!(world.accepted(CONTROL).is_some(), "it did not come back");
}
