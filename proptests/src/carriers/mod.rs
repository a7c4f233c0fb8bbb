//! A client and a server with any number of carriers between them, one after the other or beside each other. Each may be cut at any byte, go silent in one
//! direction or both, or be slow; the session goes on on the next.
//!
//! The handshakes, the endpoint and both sessions are the real ones. What is played here is what their owners do: dial, route bytes, and drop a carrier that
//! ended. An owner may be late to drop an old carrier, so its bytes still come to the session for a while.

mod carrier;
mod time;

use std::collections::VecDeque;
use std::sync::Arc;

use adit_core::{
    CarrierFacts, ClientHandshake, ClientHello, ClientId, Config, Endpoint, Established, Event,
    HandshakeError, HandshakeEvent, Instance, Instant, Resumption, ServerFacts, Session, Side,
    Token, Transmit, TunnelName, Verifier,
};
use bytes::Bytes;
pub use carrier::Cut;
use carrier::{Carrier, ClientEnd, ServerEnd};

use crate::pipe::{Pipe, Shape};
use crate::random::Random;

/// A client, a server, and the carriers between them.
pub struct Carriers {
    /// The present.
    pub now: Instant,
    /// The client's session, once it is open.
    pub client: Option<Session>,
    /// The server's session.
    pub server: Option<Session>,
    /// What each was told and has not looked at.
    pub events: [Vec<Event>; 2],
    /// Why attempts failed, in order.
    pub failures: Vec<HandshakeError>,
    /// Whether the client dials by itself when it has no carrier and no attempt is under way.
    pub redials: bool,
    carriers: VecDeque<Carrier>,
    /// The carriers that are dialled next are cut after so many bytes, towards the client and the server.
    doomed: VecDeque<(usize, usize)>,
    /// Carriers that are gone.
    dropped: usize,
    /// Which carrier each side's session is on, counted from the first.
    current: [Option<usize>; 2],
    endpoint: Endpoint,
    config: Arc<Config>,
    shape: Shape,
    resumption: Option<Resumption>,
    token: Token,
    random: Random,
}

fn tunnel() -> TunnelName {
    TunnelName::new("default").unwrap_or_else(|_| unreachable!("a name"))
}

impl Carriers {
    /// Two programs that have not met yet; the client dials at once if [`redials`](Self::redials) stays set. Both sides have the same limits.
    ///
    /// # Panics
    ///
    /// Never: the names and the token here are good.
    #[must_use]
    pub fn new(config: &Arc<Config>, shape: Shape, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let token = Token::new(b"a token for simulations").unwrap_or_else(|_| unreachable!("long"));
        Self {
            now: Instant::from_millis(1),
            client: None,
            server: None,
            events: [Vec::new(), Vec::new()],
            failures: Vec::new(),
            redials: true,
            carriers: VecDeque::new(),
            doomed: VecDeque::new(),
            dropped: 0,
            current: [None, None],
            endpoint: Endpoint::new(config.clone(), seed_of(&mut random)),
            config: config.clone(),
            shape,
            resumption: None,
            token,
            random,
        }
    }

    /// The session of `side`, if there is one.
    pub const fn session(&mut self, side: Side) -> Option<&mut Session> {
        match side {
            Side::Client => self.client.as_mut(),
            Side::Server => self.server.as_mut(),
        }
    }

    /// What `side` was told since the last call.
    pub fn take_events(&mut self, side: Side) -> Vec<Event> {
        std::mem::take(&mut self.events[side as usize])
    }

    /// Carriers that were dialled.
    #[must_use]
    pub fn dialled(&self) -> usize {
        self.dropped + self.carriers.len()
    }

    /// What the endpoint knows.
    #[must_use]
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Whether both sides' sessions are on one carrier that works, as far as they know.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        self.current[0].is_some() && self.current[0] == self.current[1]
    }

    /// Dials a new carrier beside those that are there: for the first session, or to go on with it.
    pub fn dial(&mut self) {
        let facts = CarrierFacts {
            exporter: None,
            tls: false,
            certificate_checked: false,
        };
        let (config, seed, now) = (self.config.clone(), seed_of(&mut self.random), self.now);
        let client = match &mut self.resumption {
            Some(resumption) => {
                resumption.epoch += 1;
                ClientHandshake::resume(config, resumption.clone(), facts, seed, now)
            }
            None => {
                let hello = ClientHello {
                    tunnel: tunnel(),
                    client_id: ClientId::new("host").unwrap_or_else(|_| unreachable!("a name")),
                    instance: Instance([1; 16]),
                    services: Vec::new(),
                    labels: Vec::new(),
                    software: String::new(),
                };
                ClientHandshake::new(config, &self.token, hello, facts, seed, now)
            }
        };
        let facts = ServerFacts {
            exporter: None,
            tls_here: false,
            binding: false,
            server_name: String::new(),
            software: String::new(),
        };
        let server = self.endpoint.accept(now, facts).ok();
        let salt = self.random.next();
        self.carriers.push_back(Carrier {
            up: Pipe::new(self.shape, salt),
            down: Pipe::new(self.shape, salt ^ 1),
            client: Some(ClientEnd::Handshake(Box::new(client))),
            server: server.map(|server| ServerEnd::Handshake(Box::new(server))),
            client_learns: None,
            server_learns: None,
        });
        if let Some((down, up)) = self.doomed.pop_front() {
            self.cut_when(down, up);
        }
    }

    /// Ends the newest carrier.
    pub fn cut(&mut self, how: Cut) {
        let now = self.now;
        let Some(carrier) = self.carriers.back_mut() else {
            return;
        };
        match how {
            Cut::Reset => carrier.cut(now, 0, 0),
            Cut::After { down, up } => carrier.cut(now, down, up),
            Cut::Silence => {
                carrier.up.cut_after(0);
                carrier.down.cut_after(0);
            }
            Cut::UpStalls => carrier.up.cut_after(0),
            Cut::DownStalls => carrier.down.cut_after(0),
        }
    }

    /// Ends the newest carrier when so many bytes more have come through in each direction: what was not sent yet counts.
    pub fn cut_when(&mut self, down: usize, up: usize) {
        if let Some(carrier) = self.carriers.back_mut() {
            carrier.up.cut_after(up);
            carrier.down.cut_after(down);
        }
    }

    /// Likewise for the next carrier that is dialled for which it was not said yet.
    pub fn cut_next_when(&mut self, down: usize, up: usize) {
        self.doomed.push_back((down, up));
    }

    /// Whether the newest carrier is cut, or gone.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.carriers
            .back()
            .is_none_or(|it| it.up.is_cut() || it.down.is_cut())
    }

    /// Bytes that may still come out of the newest carrier: towards the client, and the server.
    #[must_use]
    pub fn under_way(&self) -> (usize, usize) {
        self.carriers
            .back()
            .map_or((0, 0), |it| (it.down.under_way(), it.up.under_way()))
    }

    /// Moves what can be moved at this instant; whether anything moved.
    pub fn exchange(&mut self) -> bool {
        let mut moved = self.redial();
        for index in 0..self.carriers.len() {
            moved |= self.send(index);
            moved |= self.receive(index);
            moved |= self.learn(index);
        }
        moved |= self.collect();
        while let Some(Carrier {
            client: None,
            server: None,
            ..
        }) = self.carriers.front()
        {
            self.carriers.pop_front();
            self.dropped += 1;
        }
        moved
    }

    fn redial(&mut self) -> bool {
        let trying = |it: &Carrier| matches!(it.client, Some(ClientEnd::Handshake(_)));
        let over = self.client.as_ref().is_some_and(Session::is_closed);
        let needed = self.current[0].is_none() && !over && !self.carriers.iter().any(trying);
        if needed && self.redials {
            self.dial();
        }
        needed && self.redials
    }

    fn send(&mut self, index: usize) -> bool {
        let (number, now) = (index + self.dropped, self.now);
        let limit = self.random.between(512, 16_384);
        let Self {
            carriers,
            client,
            server,
            current,
            ..
        } = self;
        let carrier = &mut carriers[index];
        let mut moved = false;
        while carrier.up.room() >= limit {
            let frame = match (&mut carrier.client, &mut *client) {
                (Some(ClientEnd::Handshake(handshake)), _) => handshake.poll_transmit(now, limit),
                (Some(ClientEnd::Session), Some(session)) if current[0] == Some(number) => {
                    session.poll_transmit(now, limit)
                }
                _ => None,
            };
            let Some(frame) = frame else { break };
            carrier.up.push(now, bytes_of(&frame));
            moved = true;
        }
        while carrier.down.room() >= limit {
            let frame = match (&mut carrier.server, &mut *server) {
                (Some(ServerEnd::Handshake(handshake)), _) => handshake.poll_transmit(now, limit),
                (Some(ServerEnd::Session), Some(session)) if current[1] == Some(number) => {
                    session.poll_transmit(now, limit)
                }
                _ => None,
            };
            let Some(frame) = frame else { break };
            carrier.down.push(now, bytes_of(&frame));
            moved = true;
        }
        moved
    }

    fn receive(&mut self, index: usize) -> bool {
        let now = self.now;
        let mut moved = false;
        while let Some(bytes) = self.carriers[index].up.pop(now) {
            self.server_takes(index, bytes);
            moved = true;
        }
        while let Some(bytes) = self.carriers[index].down.pop(now) {
            self.client_takes(index, bytes);
            moved = true;
        }
        moved
    }

    fn client_takes(&mut self, index: usize, bytes: Bytes) {
        let (number, now) = (index + self.dropped, self.now);
        let carrier = &mut self.carriers[index];
        let handshake = match &mut carrier.client {
            Some(ClientEnd::Handshake(handshake)) => handshake,
            Some(ClientEnd::Session) => {
                // Until another carrier has the session, whatever comes is handed on: the session knows what to take.
                if self.current[0].is_none_or(|current| current <= number)
                    && let Some(session) = &mut self.client
                {
                    let slab = bytes.len();
                    session.handle_input(now, bytes, slab);
                }
                return;
            }
            None => return,
        };
        if let Err(error) = handshake.handle_input(now, bytes) {
            self.failures.push(error);
            carrier.drop_client(now);
            return;
        }
        if let Some(established) = handshake.poll_established(now) {
            let Established {
                session,
                id,
                resume_key,
                bound,
                ..
            } = established;
            self.client = Some(session);
            self.current[0] = Some(number);
            self.resumption = Some(Resumption {
                id,
                key: resume_key,
                bound,
                epoch: 0,
            });
            carrier.client = Some(ClientEnd::Session);
            return;
        }
        let Some(session) = &mut self.client else {
            return;
        };
        if handshake.wants_position() {
            if let Err(error) = handshake.state_position(now, session) {
                self.failures.push(error);
                return carrier.drop_client(now);
            }
            self.current[0] = None;
            return self.drop_other_attempts(index);
        }
        if let Some(attached) = handshake.attach(now, session) {
            if attached.is_ok() {
                carrier.client = Some(ClientEnd::Session);
                self.current[0] = Some(number);
                self.drop_older(Side::Client, index);
            } else {
                carrier.drop_client(now);
            }
        }
    }

    fn server_takes(&mut self, index: usize, bytes: Bytes) {
        let (number, now) = (index + self.dropped, self.now);
        let carrier = &mut self.carriers[index];
        let handshake = match &mut carrier.server {
            Some(ServerEnd::Handshake(handshake)) => handshake,
            Some(ServerEnd::Session) => {
                if self.current[1].is_none_or(|current| current <= number)
                    && let Some(session) = &mut self.server
                {
                    let slab = bytes.len();
                    session.handle_input(now, bytes, slab);
                }
                return;
            }
            None => return,
        };
        if handshake.handle_input(now, bytes).is_err() {
            carrier.drop_server(now);
            return;
        }
        let verifier = Verifier::new(&self.token, &tunnel());
        while let Some(event) = handshake.poll_event() {
            match event {
                HandshakeEvent::Authenticate { .. } => {
                    handshake.authenticate(now, Some(&verifier));
                }
                HandshakeEvent::Admit(_) => {
                    if let Ok(established) = self.endpoint.admit(now, handshake, Vec::new()) {
                        self.server = Some(established.session);
                        self.current[1] = Some(number);
                        carrier.server = Some(ServerEnd::Session);
                        return;
                    }
                }
                HandshakeEvent::Resume { .. } => {
                    let found = self.endpoint.find(now, handshake, Some(&verifier));
                    if let (Some(id), Some(session)) = (found, &mut self.server)
                        && handshake.attach(now, session).is_ok()
                    {
                        self.endpoint.attached(now, id);
                        self.current[1] = Some(number);
                        carrier.server = Some(ServerEnd::Session);
                        return self.drop_older(Side::Server, index);
                    }
                }
                HandshakeEvent::Failed(_) => {}
            }
        }
        if handshake.is_finished() {
            carrier.drop_server(now);
        }
    }

    /// One RESUME is outstanding at most.
    fn drop_other_attempts(&mut self, index: usize) {
        let now = self.now;
        for (other, carrier) in self.carriers.iter_mut().enumerate() {
            if other != index && matches!(carrier.client, Some(ClientEnd::Handshake(_))) {
                carrier.drop_client(now);
            }
        }
    }

    /// A side's session is on carrier `index`: it gives up those before.
    fn drop_older(&mut self, side: Side, index: usize) {
        let now = self.now;
        for older in self.carriers.range_mut(..index) {
            match side {
                Side::Client => older.drop_client(now),
                Side::Server => older.drop_server(now),
            }
        }
    }

    /// Fetches events, and does what owners do about them.
    fn collect(&mut self) -> bool {
        let mut moved = false;
        for side in [Side::Client, Side::Server] {
            let at = side as usize;
            while let Some(event) = self.session(side).and_then(Session::poll_event) {
                moved = true;
                if let Event::Detached(_) | Event::Closed(_) = event
                    && let Some(number) = self.current[at].take()
                {
                    let now = self.now;
                    let carrier = number
                        .checked_sub(self.dropped)
                        .and_then(|index| self.carriers.get_mut(index));
                    if let Some(carrier) = carrier {
                        match side {
                            Side::Client => carrier.drop_client(now),
                            Side::Server => carrier.drop_server(now),
                        }
                    }
                }
                self.events[at].push(event);
            }
        }
        moved
    }
}

fn bytes_of(frame: &Transmit) -> Bytes {
    [frame.head(), frame.payload()].concat().into()
}

fn seed_of(random: &mut Random) -> [u8; 32] {
    let mut seed = [0; 32];
    for chunk in seed.chunks_mut(8) {
        chunk.copy_from_slice(&random.next().to_le_bytes());
    }
    seed
}
