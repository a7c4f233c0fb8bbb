//! How a line comes to its session: the carrier on a connection that reaches the server, the proof on the carrier, and what the server
//! granted.

use std::collections::HashMap;

use adit_core::{
    ClientHandshake, ClientHello, Code, HandshakeError, Instant, Resumption, Service, ServiceId,
    ServiceKind,
};
use adit_link::Carrier;

use super::{Line, News, Phase, Relaying};
use crate::client::attempt::AttemptError;
use crate::client::comeback::Comeback;
use crate::client::reach::Way;
use crate::client::route::Route;
use crate::client::{ClientConfig, Offer, Shared};
use crate::counters::Count;
use crate::io::Ask;
use crate::leaving::Leaving;
use crate::notice::Notice;
use crate::streams::Streams;
use crate::wire::Wire;

impl Line {
    /// The connection reaches the server: TLS, HTTP, WebSocket.
    pub(super) fn link(&mut self, now: Instant, way: Way, shared: &mut Shared) {
        let Way {
            token,
            socket,
            said,
        } = way;
        self.phase = Phase::Linking { token, since: now };
        match Carrier::client(shared.config.carrier.clone(), shared.seeds.next(), now) {
            Ok(carrier) => self.wire = Some(Wire::new(now, carrier, socket)),
            Err(error) => {
                shared.tally.less(Count::Carriers);
                shared.sockets.abort(socket);
                return self.fail(now, AttemptError::Link(error), shared);
            }
        }
        self.handle_carrier(now, shared);
        if !said.is_empty() {
            self.received(now, said, shared);
        }
    }

    /// The carrier is ready: wait for the server's hello.
    pub(super) fn greet(&mut self, now: Instant, ready: adit_link::Ready, shared: &mut Shared) {
        let Phase::Linking { token, since } = &self.phase else {
            return;
        };
        self.certificate_problem = ready.certificate_problem;
        let config = &shared.config;
        let core = config.core.clone();
        if let Some((_, resumption)) = &self.brings_back {
            let (right, seed) = (resumption.clone(), shared.seeds.next());
            let mut handshake = ClientHandshake::resume(core, right, ready.facts, seed, now);
            handshake.count_from(*since);
            self.phase = Phase::Greeting(Box::new(handshake));
            return;
        }
        let hello = ClientHello {
            tunnel: config.tunnel.clone(),
            client_id: config.client_id.clone(),
            instance: shared.instance,
            services: services(config),
            labels: config.labels.clone(),
            software: config.software.clone(),
        };
        let seed = shared.seeds.next();
        let mut handshake = ClientHandshake::new(core, token, hello, ready.facts, seed, now);
        handshake.count_from(*since);
        self.phase = Phase::Greeting(Box::new(handshake));
    }

    pub(super) fn open_if_established(&mut self, now: Instant, shared: &mut Shared) {
        let Phase::Greeting(handshake) = &mut self.phase else {
            return;
        };
        if handshake.is_resumed() {
            self.news = Some(News::Resumed);
            return;
        }
        let Some(established) = handshake.poll_established(now) else {
            return;
        };
        let config = shared.config.clone();
        shared.tally.add(Count::Sessions, 1);
        shared.tally.add(Count::SessionsTotal, 1);
        shared.sockets.ask(Ask::Notice(Notice::Connected {
            server: config.server.clone(),
            server_name: established.server_name,
            session: established.id,
        }));
        let mut session = established.session;
        let comeback = session.resume_window().map(|_| {
            let resumption = Resumption {
                id: established.id,
                key: established.resume_key,
                bound: established.bound,
                epoch: 0,
            };
            Comeback::new(resumption, shared.seeds.next())
        });
        let mut accepted = 0;
        for (offer, grant) in config.offers.iter().zip(established.grants) {
            let upstream = offer.upstream.clone();
            let notice = match grant.result {
                Ok(address) => {
                    accepted += 1;
                    Notice::ServiceOpened { address, upstream }
                }
                Err(code) => {
                    shared.tally.add(Count::ServicesRefused, 1);
                    Notice::ServiceRefused {
                        address: offer.address.clone(),
                        upstream,
                        code,
                    }
                }
            };
            shared.sockets.ask(Ask::Notice(notice));
        }
        let useless = accepted == 0 && !config.offers.is_empty();
        if useless {
            session.close(now, Code::DONE);
        }
        self.phase = Phase::Open(Box::new(Relaying {
            session,
            streams: Streams::new(shared.tally.clone()),
            dials: HashMap::new(),
            leaving: Leaving::default(),
            since: now,
            useless,
            comeback,
            route: Route::new(now),
            questioned_at: None,
            given_up: None,
        }));
    }

    pub(super) fn fail_handshake(
        &mut self,
        now: Instant,
        error: HandshakeError,
        shared: &mut Shared,
    ) {
        let certificate_problem = self.certificate_problem.take();
        if matches!(
            error,
            HandshakeError::Refused {
                code: Code::UNAUTHORIZED,
                ..
            }
        ) {
            shared.tally.add(Count::AuthFailures, 1);
        }
        self.fail(
            now,
            AttemptError::Handshake {
                error,
                certificate_problem,
            },
            shared,
        );
    }
}

/// What the server is asked to open: ids are places in the list of offers.
fn services(config: &ClientConfig) -> Vec<Service> {
    let service = |(id, offer): (u64, &Offer)| Service {
        id: ServiceId(id),
        kind: ServiceKind::Tcp,
        address: offer.address.clone(),
    };
    (0..).zip(&config.offers).map(service).collect()
}
