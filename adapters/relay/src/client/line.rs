//! One way to the server, from the token to the end of its session: reach, link, prove, relay.
//!
//! A client has one line at a time, and a second one beside it while the first runs out.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use adit_core::{
    ClientHandshake, ClientHello, Code, Event, HandshakeError, Instant, Open, Service, ServiceId,
    ServiceKind, Session, SessionError, StreamId, Token, Transmit,
};
use adit_link::{Carrier, CarrierEvent};
use bytes::{Bytes, BytesMut};

use super::attempt::AttemptError;
use super::dial::{Dial, Step};
use super::proxy::Asking;
use super::{Query, Role, Shared};
use crate::address::HostPort;
use crate::counters::Count;
use crate::io::{Ask, SocketId};
use crate::notice::Notice;
use crate::streams::Streams;
use crate::wire::Wire;

/// One way to the server.
pub(super) struct Line {
    key: usize,
    pub(super) phase: Phase,
    /// The carrier, once there is a connection for it.
    pub(super) wire: Option<Wire>,
    /// When reaching the server, or the proxy's answer, has taken too long.
    deadline: Option<Instant>,
    certificate_problem: Option<String>,
    /// What the client has to be told.
    pub(super) news: Option<News>,
}

pub(super) enum Phase {
    /// The token is being read.
    Token { query: u32 },
    /// The server, or the proxy before it, is being dialled.
    Dialling {
        token: Token,
        dial: Dial,
        query: Option<u32>,
    },
    /// The proxy is asked for a way through.
    Asking {
        token: Token,
        asking: Asking,
        socket: SocketId,
    },
    /// TLS and HTTP.
    Linking { token: Token },
    /// The handshake of Adit.
    Greeting(Box<ClientHandshake>),
    /// A session.
    Open(Box<Relaying>),
    /// Nothing any more, but for the last frames of a session that ended.
    Over(Option<Box<Session>>),
}

/// A session and what is relayed through it.
pub(super) struct Relaying {
    pub(super) session: Session,
    pub(super) streams: Streams,
    /// Streams whose upstream is being dialled, and the dial.
    pub(super) dials: HashMap<StreamId, usize>,
    since: Instant,
    /// No service was accepted: the session is of no use.
    useless: bool,
}

/// What a line tells its client, once for each.
pub(super) enum News {
    /// No session came of it.
    Failed(AttemptError),
    /// The session ended.
    Ended { reason: String, lived: Duration },
    /// The server goes away; running streams go on.
    GoingAway { retry_after: Duration },
    /// A visitor came.
    Opened { id: StreamId, open: Open },
    /// A visitor whose upstream is being dialled has gone.
    Cancelled { dial: usize },
}

impl Line {
    /// Begins with the token.
    pub(super) fn new(now: Instant, key: usize, shared: &mut Shared) -> Self {
        let query = shared.query(Query::Token(key));
        shared.sockets.ask(Ask::ReadToken { query });
        Self {
            key,
            phase: Phase::Token { query },
            wire: None,
            deadline: Some(now + shared.config.connect_timeout),
            certificate_problem: None,
            news: None,
        }
    }

    /// The token was read: on to the server.
    pub(super) fn handle_token(
        &mut self,
        now: Instant,
        result: Result<Token, String>,
        rotate: usize,
        shared: &mut Shared,
    ) {
        if !matches!(self.phase, Phase::Token { .. }) {
            return;
        }
        match result {
            Ok(token) => {
                let limit = shared.config.connect_timeout;
                let dial = Dial::new(now, first_hop(shared), limit, rotate);
                self.deadline = None;
                self.phase = Phase::Dialling {
                    token,
                    dial,
                    query: None,
                };
                self.dial(now, shared);
            }
            Err(reason) => self.fail(now, AttemptError::Token(reason), shared),
        }
    }

    pub(super) fn handle_resolved(
        &mut self,
        now: Instant,
        result: Result<Vec<SocketAddr>, String>,
        shared: &mut Shared,
    ) {
        if let Phase::Dialling { dial, query, .. } = &mut self.phase {
            *query = None;
            dial.resolved(result);
            self.dial(now, shared);
        }
    }

    pub(super) fn handle_connect_failed(
        &mut self,
        now: Instant,
        socket: SocketId,
        kind: ErrorKind,
        shared: &mut Shared,
    ) {
        shared.sockets.abort(socket);
        if let Phase::Dialling { dial, .. } = &mut self.phase {
            dial.failed(now, socket, kind);
            self.dial(now, shared);
        }
    }

    /// Does what dialling the server wants done now.
    fn dial(&mut self, now: Instant, shared: &mut Shared) {
        let limit = shared.config.connect_timeout;
        while let Phase::Dialling { dial, query, .. } = &mut self.phase {
            match dial.next(now, limit) {
                None => return,
                Some(Step::Resolve(target)) => {
                    *query = Some(shared.resolve(Query::Server(self.key), target));
                }
                Some(Step::Connect(addr)) => {
                    if let Some(socket) = shared.connect(Role::Reaching(self.key), addr) {
                        dial.started(socket);
                    }
                }
                Some(Step::Failed(error)) => {
                    let host = first_hop(shared);
                    self.fail(now, AttemptError::Connect { host, error }, shared);
                }
            }
        }
    }

    /// A connection to the server, or to the proxy before it.
    pub(super) fn handle_connected(&mut self, now: Instant, socket: SocketId, shared: &mut Shared) {
        let nothing = Phase::Over(None);
        let (token, mut dial, query) = match std::mem::replace(&mut self.phase, nothing) {
            Phase::Dialling { token, dial, query } => (token, dial, query),
            other => {
                self.phase = other;
                return shared.sockets.abort(socket);
            }
        };
        if let Some(query) = query {
            shared.queries.remove(&query);
        }
        for attempt in dial.take_attempts() {
            if attempt != socket {
                shared.sockets.abort(attempt);
            }
        }
        if let Some(role) = shared.sockets.role_mut(socket) {
            *role = Role::Carrier(self.key);
        }
        shared.sockets.want_read(socket);
        shared.tally.add(Count::Carriers, 1);
        shared.tally.add(Count::CarriersTotal, 1);
        match &shared.config.proxy {
            Some(proxy) => {
                let asking = Asking::new(proxy, &shared.config.server);
                self.deadline = Some(now + shared.config.connect_timeout);
                self.phase = Phase::Asking {
                    token,
                    asking,
                    socket,
                };
            }
            None => self.link(now, socket, token, shared),
        }
    }

    /// The connection reaches the server: TLS, HTTP, WebSocket.
    fn link(&mut self, now: Instant, socket: SocketId, token: Token, shared: &mut Shared) {
        self.deadline = None;
        let seed = shared.seeds.next();
        match Carrier::client(shared.config.carrier.clone(), seed, now) {
            Ok(carrier) => {
                self.wire = Some(Wire::new(carrier, socket));
                self.phase = Phase::Linking { token };
                self.handle_carrier(now, shared);
            }
            Err(error) => {
                self.close_unlinked(socket, shared);
                self.fail(now, AttemptError::Link(error), shared);
            }
        }
    }

    fn close_unlinked(&self, socket: SocketId, shared: &mut Shared) {
        shared.tally.less(Count::Carriers);
        shared.sockets.abort(socket);
    }

    /// Bytes from the server, or from the proxy before it.
    pub(super) fn received(&mut self, now: Instant, data: BytesMut, shared: &mut Shared) {
        if let Phase::Asking { asking, .. } = &mut self.phase {
            match asking.handle_input(&data) {
                Ok(None) => {}
                Ok(Some(rest)) => self.handle_way_through(now, rest, shared),
                Err(error) => self.fail(now, proxy_error(error, shared), shared),
            }
            return;
        }
        let Some(wire) = self.wire.as_mut().filter(|wire| wire.is_open()) else {
            return;
        };
        let result = wire.carrier.handle_input(now, data);
        self.handle_carrier(now, shared);
        if let Err(error) = result {
            self.fail(now, AttemptError::Link(error), shared);
        }
    }

    fn handle_way_through(&mut self, now: Instant, rest: BytesMut, shared: &mut Shared) {
        match std::mem::replace(&mut self.phase, Phase::Over(None)) {
            Phase::Asking { token, socket, .. } => self.link(now, socket, token, shared),
            other => self.phase = other,
        }
        if !rest.is_empty() {
            self.received(now, rest, shared);
        }
    }

    pub(super) fn received_eof(&mut self, now: Instant, shared: &mut Shared) {
        if let Some(wire) = &mut self.wire {
            wire.handle_eof(&mut shared.sockets);
            if wire.is_open() {
                wire.carrier.handle_eof(now);
                self.handle_carrier(now, shared);
            }
        } else {
            self.fail(now, proxy_error(super::ProxyError::Closed, shared), shared);
        }
    }

    pub(super) fn failed(&mut self, now: Instant, kind: ErrorKind, shared: &mut Shared) {
        self.fail(now, AttemptError::Lost(kind), shared);
        if let Some(wire) = &mut self.wire {
            wire.cut(&mut shared.sockets);
        }
    }

    /// Takes what the carrier has brought.
    fn handle_carrier(&mut self, now: Instant, shared: &mut Shared) {
        while let Some(event) = self
            .wire
            .as_mut()
            .and_then(|wire| wire.carrier.poll_event())
        {
            match event {
                CarrierEvent::Ready(ready) => self.greet(now, ready, shared),
                CarrierEvent::PeerClosed(closed) => {
                    self.read_payload(now, shared);
                    self.fail(now, AttemptError::PeerClosed(closed), shared);
                }
                // Only servers answer.
                CarrierEvent::Answered { .. } => {}
            }
        }
        self.read_payload(now, shared);
    }

    fn read_payload(&mut self, now: Instant, shared: &mut Shared) {
        while let Some(data) = self
            .wire
            .as_mut()
            .and_then(|wire| wire.carrier.poll_payload())
        {
            self.handle_payload(now, data, shared);
        }
    }

    fn handle_payload(&mut self, now: Instant, data: Bytes, shared: &mut Shared) {
        match &mut self.phase {
            Phase::Open(relaying) => relaying.session.handle_input(now, data),
            Phase::Greeting(handshake) => match handshake.handle_input(now, data) {
                Ok(()) => self.open_if_established(now, shared),
                Err(error) => self.fail_handshake(now, error, shared),
            },
            _ => {}
        }
    }

    /// The carrier is ready: wait for the server's hello.
    fn greet(&mut self, now: Instant, ready: adit_link::Ready, shared: &mut Shared) {
        let Phase::Linking { token } = &self.phase else {
            return;
        };
        self.certificate_problem = ready.certificate_problem;
        let config = &shared.config;
        let hello = ClientHello {
            tunnel: config.tunnel.clone(),
            client_id: config.client_id.clone(),
            instance: shared.instance,
            services: services(config),
            labels: config.labels.clone(),
            software: config.software.clone(),
        };
        let core = config.core.clone();
        let seed = shared.seeds.next();
        let handshake = ClientHandshake::new(core, token, hello, ready.facts, seed, now);
        self.phase = Phase::Greeting(Box::new(handshake));
    }

    fn open_if_established(&mut self, now: Instant, shared: &mut Shared) {
        let Phase::Greeting(handshake) = &mut self.phase else {
            return;
        };
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
            since: now,
            useless,
        }));
    }

    fn fail_handshake(&mut self, now: Instant, error: HandshakeError, shared: &mut Shared) {
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

    /// It came to nothing, or to an end: what is left to say goes out, and no more.
    fn fail(&mut self, now: Instant, error: AttemptError, shared: &mut Shared) {
        self.pull_handshake(now);
        if let Phase::Open(relaying) = &mut self.phase {
            // What the server said last counts for more than how its carrier ended.
            if !relaying.session.is_closed() {
                relaying.session.handle_carrier_lost(now);
                let lived = now - relaying.since;
                self.end_session(
                    now,
                    News::Ended {
                        reason: error.to_string(),
                        lived,
                    },
                    shared,
                );
            }
        } else if !matches!(self.phase, Phase::Over(_)) {
            self.news = Some(News::Failed(error));
            self.over(now, shared);
        }
    }

    fn end_session(&mut self, now: Instant, news: News, shared: &mut Shared) {
        shared.tally.less(Count::Sessions);
        self.news = Some(news);
        self.over(now, shared);
    }

    /// Ends whatever is under way, and lets the carrier run out.
    fn over(&mut self, now: Instant, shared: &mut Shared) {
        self.deadline = None;
        match std::mem::replace(&mut self.phase, Phase::Over(None)) {
            Phase::Token { query } => {
                shared.queries.remove(&query);
            }
            Phase::Dialling {
                mut dial, query, ..
            } => {
                if let Some(query) = query {
                    shared.queries.remove(&query);
                }
                dial.take_attempts()
                    .into_iter()
                    .for_each(|socket| shared.sockets.abort(socket));
            }
            Phase::Asking { socket, .. } => self.close_unlinked(socket, shared),
            Phase::Open(mut relaying) => {
                relaying.streams.abort_all(&mut shared.sockets);
                shared.cancelled.extend(relaying.dials.into_values());
                self.phase = Phase::Over(Some(Box::new(relaying.session)));
            }
            Phase::Over(session) => self.phase = Phase::Over(session),
            Phase::Linking { .. } | Phase::Greeting(_) => {}
        }
        if let Some(wire) = &mut self.wire {
            wire.finish(now);
        }
    }

    /// Ends the line from this side: `SHUTDOWN` for a session.
    pub(super) fn stop(&mut self, now: Instant, shared: &mut Shared) {
        match &mut self.phase {
            Phase::Open(relaying) => relaying.session.close(now, Code::SHUTDOWN),
            _ => self.over(now, shared),
        }
    }

    /// Lets running streams finish and takes no new ones; without a session, ends.
    pub(super) fn drain(&mut self, now: Instant, shared: &mut Shared) {
        match &mut self.phase {
            Phase::Open(relaying) => relaying.session.go_away(now, Duration::ZERO),
            _ => self.over(now, shared),
        }
    }

    /// Takes one thing that the session has to tell; `false` if there is none.
    pub(super) fn handle_session(&mut self, now: Instant, shared: &mut Shared) -> bool {
        let Phase::Open(relaying) = &mut self.phase else {
            return false;
        };
        let Some(event) = relaying.session.poll_event() else {
            return false;
        };
        let Relaying {
            session,
            streams,
            dials,
            ..
        } = &mut **relaying;
        let sockets = &mut shared.sockets;
        match event {
            Event::Opened { id, open } => {
                streams.insert(id, None);
                self.news = Some(News::Opened { id, open });
            }
            Event::Readable(id) => streams.handle_readable(id, session, sockets),
            Event::Writable(id) => streams.handle_writable(id, session, sockets),
            Event::Reset { id, code } => {
                streams.handle_reset(id, code, session, sockets);
                self.news = dials.remove(&id).map(|dial| News::Cancelled { dial });
            }
            Event::GoAway { retry_after } => self.news = Some(News::GoingAway { retry_after }),
            Event::Drained => session.close(now, Code::DONE),
            Event::Closed(error) => {
                let lived = if relaying.useless {
                    Duration::ZERO
                } else {
                    now - relaying.since
                };
                let reason = reason(relaying.useless, error);
                self.end_session(now, News::Ended { reason, lived }, shared);
            }
        }
        true
    }

    /// Moves frames of the handshake into the carrier's output, where there is always room for them.
    pub(super) fn pull_handshake(&mut self, now: Instant) {
        let (Phase::Greeting(handshake), Some(wire)) = (&mut self.phase, &mut self.wire) else {
            return;
        };
        let carrier = &mut wire.carrier;
        while carrier.send_space() > 0
            && carrier.send(|limit| handshake.poll_transmit(now, limit)) > 0
        {}
    }

    /// Whether the carrier's socket should be written to, and which it is. `stirred`: the session may have something new to send.
    pub(super) fn wants_write(&self, stirred: bool) -> Option<SocketId> {
        match (&self.phase, &self.wire) {
            (Phase::Asking { asking, socket, .. }, _) => asking.has_output().then_some(*socket),
            (phase, Some(wire)) => {
                let open = matches!(phase, Phase::Open(_));
                wire.wants_write(open && stirred).then_some(wire.socket)
            }
            _ => None,
        }
    }

    /// The next frame for the carrier.
    pub(super) fn pull(phase: &mut Phase, now: Instant, limit: usize) -> Option<Transmit> {
        match phase {
            Phase::Greeting(handshake) => handshake.poll_transmit(now, limit),
            Phase::Open(relaying) => relaying.session.poll_transmit(now, limit),
            Phase::Over(Some(session)) => session.poll_transmit(now, limit),
            _ => None,
        }
    }

    pub(super) fn read_limit(&self) -> usize {
        match (&self.phase, &self.wire) {
            (Phase::Asking { asking, .. }, _) => asking.read_limit(),
            (_, Some(wire)) => wire.carrier.read_limit(),
            _ => 0,
        }
    }

    pub(super) fn written(&mut self, n: usize) {
        match (&mut self.phase, &mut self.wire) {
            (Phase::Asking { asking, .. }, _) => asking.written(n),
            (_, Some(wire)) => wire.carrier.written(n),
            _ => {}
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let phase = match &self.phase {
            Phase::Dialling { dial, .. } => dial.poll_timeout(),
            Phase::Greeting(handshake) => handshake.poll_timeout(),
            Phase::Open(relaying) => relaying.session.poll_timeout(),
            _ => None,
        };
        let wire = self.wire.as_ref().and_then(Wire::poll_timeout);
        [phase, wire, self.deadline].into_iter().flatten().min()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, shared: &mut Shared) {
        match &mut self.phase {
            Phase::Dialling { .. } => self.dial(now, shared),
            Phase::Greeting(handshake) => {
                if let Err(error) = handshake.handle_timeout(now) {
                    self.fail_handshake(now, error, shared);
                }
            }
            Phase::Open(relaying) => relaying.session.handle_timeout(now),
            _ => {}
        }
        if let Some(wire) = &mut self.wire
            && let Err(error) = wire.handle_timeout(now, &mut shared.sockets)
        {
            self.fail(now, AttemptError::Link(error), shared);
        }
        if self.deadline.is_some_and(|deadline| now >= deadline) {
            let error = match self.phase {
                Phase::Asking { .. } => proxy_error(super::ProxyError::Silent, shared),
                _ => AttemptError::Token("it was not read in time".to_owned()),
            };
            self.fail(now, error, shared);
        }
    }

    /// Whether nothing is left of the line.
    pub(super) fn is_done(&self) -> bool {
        let over = matches!(self.phase, Phase::Over(_));
        over && self.news.is_none() && self.wire.as_ref().is_none_or(Wire::is_ended)
    }
}

/// Where the first connection goes: to the proxy, if there is one.
fn first_hop(shared: &Shared) -> HostPort {
    match &shared.config.proxy {
        Some(proxy) => proxy.at.clone(),
        None => shared.config.server.clone(),
    }
}

fn proxy_error(error: super::ProxyError, shared: &Shared) -> AttemptError {
    AttemptError::Proxy {
        proxy: first_hop(shared),
        error,
    }
}

/// What the server is asked to open: ids are places in the list of offers.
fn services(config: &super::ClientConfig) -> Vec<Service> {
    let service = |(id, offer): (u64, &super::Offer)| Service {
        id: ServiceId(id),
        kind: ServiceKind::Tcp,
        address: offer.address.clone(),
    };
    (0..).zip(&config.offers).map(service).collect()
}

fn reason(useless: bool, error: SessionError) -> String {
    if useless {
        "the server refused every service (see above); it is asked again later".to_owned()
    } else {
        error.to_string()
    }
}
