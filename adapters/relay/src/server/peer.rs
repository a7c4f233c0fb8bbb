//! The server's side of one carrier: the link, the handshake, then the session.

mod moving;

use std::fmt::Display;
use std::io::{ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;

use adit_core::{Code, HandshakeError, Instant, Session, SessionError};
use adit_link::{Carrier, CarrierEvent};
use bytes::{Bytes, BytesMut};

use super::greeting::{Greeting, Next, RETRY_AFTER};
use super::serving::{Role, Serving};
use super::table::{Pulse, Table};
use super::{PeerId, Shared, Visitor};
use crate::counters::Count;
use crate::io::{Ask, Machine, SocketId, Told};
use crate::notice::{Notice, why_ended};
use crate::sockets::{Since, Sockets};
use crate::streams::Relayed;
use crate::wire::Wire;

/// One carrier of a server, from its first byte to its last; and the session that began on it, which may go on on others. A
/// [`Machine`].
pub struct Peer {
    shared: Arc<Shared>,
    id: PeerId,
    pulse: Arc<Pulse>,
    from: SocketAddr,
    accepted: Instant,
    spoke: bool,
    /// The carrier has ended or failed, and only what it brought before is still read.
    ending: bool,
    /// What happened since there was last nothing to ask.
    since: Since,
    sockets: Sockets<Role>,
    /// The carrier. None after it was handed over.
    wire: Option<Wire>,
    phase: Phase,
    /// Dropped without a session by then, whatever happens.
    deadline: Option<Instant>,
}

enum Phase {
    /// TLS and HTTP.
    Linking,
    /// The handshake of Adit.
    Greeting(Box<Greeting>),
    /// A session.
    Open(Box<Serving>),
    /// Nothing any more, but for the last frames of a session that ended.
    Over(Option<Box<Session>>),
}

impl Peer {
    /// The socket of the carrier, open from the start.
    pub const CARRIER: SocketId = SocketId(0);

    pub(super) fn new(
        now: Instant,
        shared: Arc<Shared>,
        id: PeerId,
        pulse: Arc<Pulse>,
        from: SocketAddr,
        setup: Arc<adit_link::ServerSetup>,
        seed: [u8; 32],
    ) -> Self {
        let mut sockets = Sockets::new();
        let socket = sockets.open(Role::Carrier).unwrap_or(Self::CARRIER);
        sockets.want_read(socket);
        let mut peer = Self {
            id,
            pulse,
            from,
            accepted: now,
            spoke: false,
            ending: false,
            since: Since::Stirred,
            sockets,
            wire: Some(Wire::new(
                now,
                Carrier::server(setup, from, seed, now),
                socket,
            )),
            phase: Phase::Linking,
            deadline: Some(now + shared.config.core.handshake_timeout),
            shared,
        };
        // A carrier without TLS and HTTP is ready from the start.
        peer.handle_carrier(now);
        peer
    }

    /// The peer's name towards the server.
    #[must_use]
    pub const fn id(&self) -> PeerId {
        self.id
    }

    /// The server's table wants something of this peer ([`ServerAsk::Wake`](super::ServerAsk::Wake)).
    pub fn handle_wake(&mut self, now: Instant) {
        self.since = Since::Stirred;
        let mail = self.shared.with(|table| table.fetch(self.id));
        if mail.displaced && !matches!(self.phase, Phase::Open(_)) {
            self.sockets
                .ask(Ask::Notice(Notice::Displaced { source: self.from }));
            self.cut();
            return self.over();
        }
        if let Phase::Greeting(greeting) = &mut self.phase {
            let serving = greeting.handle_listening(now, mail.ports, &mut self.sockets);
            self.serve(serving.map(Box::new));
        }
        if let Some(until) = mail.drain {
            self.drain(now, until);
        }
        if mail.challenged
            && let Phase::Open(serving) = &mut self.phase
        {
            serving.challenge(now);
        }
        if mail.given_up
            && let Phase::Open(serving) = &mut self.phase
            && !serving.session.is_attached()
        {
            serving.session.close(now, Code::BUSY);
        }
    }

    /// Ends the carrier at once.
    fn cut(&mut self) {
        if let Some(wire) = &mut self.wire {
            wire.cut(&mut self.sockets);
        }
    }

    /// Ends the carrier after everything queued has gone out.
    fn finish(&mut self, now: Instant) {
        if let Some(wire) = &mut self.wire {
            wire.finish(now);
        }
    }

    /// Takes a visitor: opens a stream for it, and names its socket.
    ///
    /// # Errors
    ///
    /// The visitor, if this session can't take it: it goes to [`Server::again`](super::Server::again).
    pub fn visitor(&mut self, now: Instant, visitor: Visitor) -> Result<SocketId, Visitor> {
        self.since = Since::Stirred;
        match &mut self.phase {
            Phase::Open(serving) => serving.visitor(now, visitor, &mut self.sockets),
            _ => Err(visitor.refused(Code::SESSION_LOST)),
        }
    }

    fn drain(&mut self, now: Instant, until: Instant) {
        match &mut self.phase {
            Phase::Linking => {
                self.finish(now);
                self.over();
            }
            Phase::Greeting(greeting) => {
                greeting
                    .handshake
                    .refuse(now, Code::SHUTTING_DOWN, RETRY_AFTER);
            }
            Phase::Open(serving) => serving.drain(now, until, RETRY_AFTER),
            Phase::Over(_) => {}
        }
    }

    /// Gives back everything that the server's table holds for this peer.
    fn over(&mut self) {
        let handshake = match std::mem::replace(&mut self.phase, Phase::Over(None)) {
            Phase::Greeting(greeting) => Some(greeting.handshake),
            Phase::Open(mut serving) => {
                serving.end_streams(&mut self.sockets);
                self.phase = Phase::Over(Some(Box::new(serving.session)));
                None
            }
            Phase::Over(session) => {
                self.phase = Phase::Over(session);
                return;
            }
            Phase::Linking => None,
        };
        self.deadline = None;
        self.shared.with(|table| table.gone(self.id, handshake));
    }

    /// The carrier failed, or the client gave it up: what it has left to say goes out, and no more.
    fn fail(&mut self, now: Instant, reason: &dyn Display) {
        // What the client said last counts for more than how its carrier ended.
        while self.handle_session(now) {}
        let reason = reason.to_string();
        match &mut self.phase {
            Phase::Linking | Phase::Greeting(_) => {
                let notice = Notice::CarrierFailed {
                    source: self.from,
                    reason,
                    spoke: self.spoke,
                };
                self.sockets.ask(Ask::Notice(notice));
                self.pull_into_carrier(now);
            }
            Phase::Open(serving) if serving.session.is_attached() => {
                return self.lose_carrier(now, &reason);
            }
            // It has been without for a while: this is how the old one ends.
            Phase::Open(_) => return self.finish(now),
            Phase::Over(_) => {}
        }
        self.finish(now);
        self.over();
    }

    /// Moves frames of the handshake into the carrier's output, where there is always room for them.
    fn pull_into_carrier(&mut self, now: Instant) {
        let (Phase::Greeting(greeting), Some(wire)) = (&mut self.phase, &mut self.wire) else {
            return;
        };
        let (carrier, handshake) = (&mut wire.carrier, &mut greeting.handshake);
        while carrier.send_space() > 0
            && carrier.send(|limit| handshake.poll_transmit(now, limit)) > 0
        {}
        if handshake.is_finished() {
            self.finish(now);
            self.over();
        }
    }

    /// Takes what the carrier has brought.
    fn handle_carrier(&mut self, now: Instant) {
        while let Some(event) = self.wire.as_mut().and_then(|it| it.carrier.poll_event()) {
            match event {
                CarrierEvent::Ready(ready) => self.greet(now, &ready),
                CarrierEvent::Answered { .. } => {
                    self.pulse.tally.add(Count::PlainAnswers, 1);
                    self.finish(now);
                    self.over();
                }
                CarrierEvent::PeerClosed(closed) => {
                    self.ending = true;
                    self.read_payload(now);
                    self.fail(now, &closed);
                }
            }
        }
        self.read_payload(now);
    }

    fn read_payload(&mut self, now: Instant) {
        while let Some(wire) = &mut self.wire
            && let Some(data) = wire.carrier.poll_payload()
        {
            let slab = wire.carrier.payload_slab();
            self.handle_payload(now, data, slab);
        }
    }

    fn handle_payload(&mut self, now: Instant, data: Bytes, slab: usize) {
        match &mut self.phase {
            Phase::Open(serving) => serving.session.handle_input(now, data, slab),
            Phase::Greeting(greeting) => {
                match greeting.handle_input(now, data, &mut self.sockets) {
                    Ok(Next::Wait) => {}
                    Ok(Next::Serve(serving)) => self.serve(Some(serving)),
                    // A carrier that has ended brings nothing back.
                    Ok(Next::HandOver(_)) if self.ending => {}
                    Ok(Next::HandOver(owner)) => self.hand_over(owner),
                    Err(error) => self.fail(now, &error),
                }
            }
            Phase::Linking | Phase::Over(_) => {}
        }
    }

    /// The carrier is ready: the server speaks first.
    fn greet(&mut self, now: Instant, ready: &adit_link::Ready) {
        let source = ready.source.unwrap_or(self.from.ip());
        let greeting = Greeting::new(
            now,
            self.shared.clone(),
            self.id,
            self.pulse.clone(),
            source,
            &ready.facts,
            self.accepted,
        );
        match greeting {
            Ok(greeting) => self.phase = Phase::Greeting(Box::new(greeting)),
            Err(limit) => self.fail(now, &limit),
        }
    }

    /// Follows a client that was let in.
    fn serve(&mut self, serving: Option<Box<Serving>>) {
        if let Some(serving) = serving {
            self.deadline = None;
            self.phase = Phase::Open(serving);
        }
    }

    /// Takes one thing that the session has to tell; `false` if there is none.
    fn handle_session(&mut self, now: Instant) -> bool {
        let Phase::Open(serving) = &mut self.phase else {
            return false;
        };
        let Some(event) = serving.session.poll_event() else {
            return serving.settle(now);
        };
        serving.handle_event(now, event, &mut self.sockets);
        if serving.leaves_ports() {
            self.shared.with(|table| table.leave_ports(self.id));
        }
        if let Some(error) = serving.lost.take() {
            self.lose_carrier(now, &why_ended(error));
            return true;
        }
        if let Some(error) = serving.ended {
            let who = serving.who.clone();
            let notice = match error {
                SessionError::Closed(Code::REPLACED) => Notice::SessionReplaced { who },
                error => Notice::SessionEnded {
                    who,
                    reason: why_ended(error),
                },
            };
            self.sockets.ask(Ask::Notice(notice));
            self.finish(now);
            self.over();
        }
        true
    }

    /// The stream of a visitor's socket.
    fn relayed(&mut self, socket: SocketId) -> Option<Relayed<'_, Role>> {
        match (self.sockets.role(socket), &mut self.phase) {
            (Some(&Role::Visitor { stream, .. }), Phase::Open(serving)) => Some(Relayed {
                id: stream,
                session: &mut serving.session,
                streams: &mut serving.streams,
                sockets: &mut self.sockets,
            }),
            _ => None,
        }
    }
}

impl Machine for Peer {
    fn poll_ask(&mut self, now: Instant) -> Option<Ask> {
        if self.since == Since::Nothing {
            return self.sockets.poll_ask();
        }
        loop {
            if let Some(ask) = self.sockets.poll_ask() {
                return Some(ask);
            }
            if !self.handle_session(now) {
                break;
            }
            self.since = Since::Stirred;
        }
        self.pull_into_carrier(now);
        let stirred = std::mem::take(&mut self.since) == Since::Stirred;
        let more = match &self.phase {
            Phase::Open(serving) => stirred && serving.session.has_output(),
            _ => false,
        };
        if let Some(wire) = &self.wire
            && wire.wants_write(more)
        {
            self.sockets.want_write(wire.socket);
        }
        self.sockets.poll_ask()
    }

    /// A peer asks nothing that has an answer.
    fn tell(&mut self, _now: Instant, _told: Told) {}

    fn read_limit(&self, socket: SocketId) -> usize {
        match (self.sockets.role(socket), &self.phase) {
            (Some(Role::Carrier), _) => self.wire.as_ref().map_or(0, |it| it.carrier.read_limit()),
            (Some(&Role::Visitor { stream, .. }), Phase::Open(serving)) => {
                serving.streams.read_limit(stream, &serving.session)
            }
            _ => 0,
        }
    }

    fn received(&mut self, now: Instant, socket: SocketId, data: BytesMut) {
        self.since = Since::Stirred;
        if let Some(relayed) = self.relayed(socket) {
            return relayed.received(data);
        }
        if !matches!(self.sockets.role(socket), Some(Role::Carrier))
            || !self.wire.as_ref().is_some_and(Wire::is_open)
        {
            return;
        }
        if !self.spoke {
            self.spoke = true;
            self.shared.with(|table| table.spoke(self.id));
        }
        // A TLS record may take longer than a silence may last.
        match &mut self.phase {
            Phase::Greeting(greeting) if !data.is_empty() => greeting.handshake.handle_alive(now),
            Phase::Open(serving) if !data.is_empty() => {
                serving.heard(now, &mut self.sockets);
                if let Some(wire) = &mut self.wire {
                    wire.answer_parts(now, &mut serving.session);
                }
            }
            _ => {}
        }
        let wire = self.wire.as_mut();
        let result = wire.map_or(Ok(()), |it| it.carrier.handle_input(now, data));
        self.ending |= result.is_err();
        self.handle_carrier(now);
        if let Err(error) = result {
            self.fail(now, &error);
        }
    }

    fn received_eof(&mut self, now: Instant, socket: SocketId) {
        self.since = Since::Stirred;
        if let Some(relayed) = self.relayed(socket) {
            return relayed.received_eof();
        }
        if matches!(self.sockets.role(socket), Some(Role::Carrier))
            && let Some(wire) = &mut self.wire
        {
            wire.handle_eof(&mut self.sockets);
            if wire.is_open() {
                wire.carrier.handle_eof(now);
                self.handle_carrier(now);
            }
        }
    }

    fn gather<'a>(&'a mut self, now: Instant, socket: SocketId, out: &mut [IoSlice<'a>]) -> usize {
        self.since.gathered();
        if !matches!(self.sockets.role(socket), Some(Role::Carrier)) {
            let relayed = self.relayed(socket);
            return relayed.map_or(0, |relayed| relayed.gather(socket, out));
        }
        let phase = &mut self.phase;
        let pull = |limit| match phase {
            Phase::Greeting(greeting) => greeting.handshake.poll_transmit(now, limit),
            Phase::Open(serving) => serving.session.poll_transmit(now, limit),
            Phase::Over(Some(session)) => session.poll_transmit(now, limit),
            Phase::Linking | Phase::Over(None) => None,
        };
        match &mut self.wire {
            Some(wire) => wire.gather(now, &mut self.sockets, pull, out),
            None => 0,
        }
    }

    fn written(&mut self, now: Instant, socket: SocketId, n: usize) {
        self.since = Since::Stirred;
        if let Some(relayed) = self.relayed(socket) {
            return relayed.written(now, n);
        }
        if matches!(self.sockets.role(socket), Some(Role::Carrier))
            && let Some(wire) = &mut self.wire
        {
            wire.written(now, n);
        }
    }

    fn failed(&mut self, now: Instant, socket: SocketId, error: ErrorKind) {
        self.since = Since::Stirred;
        if let Some(relayed) = self.relayed(socket) {
            return relayed.failed(error);
        }
        if matches!(self.sockets.role(socket), Some(Role::Carrier)) {
            self.fail(now, &error);
            self.cut();
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let phase = match &self.phase {
            Phase::Greeting(greeting) => greeting.handshake.poll_timeout(),
            Phase::Open(serving) => serving.poll_timeout(),
            Phase::Linking | Phase::Over(_) => None,
        };
        let wire = self.wire.as_ref().and_then(Wire::poll_timeout);
        [phase, self.deadline, wire].into_iter().flatten().min()
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.since = Since::Stirred;
        match &mut self.phase {
            Phase::Greeting(greeting) => {
                if let Err(error) = greeting.handshake.handle_timeout(now) {
                    self.fail(now, &error);
                } else if let Some(at) = greeting.answer_at() {
                    self.deadline = self.deadline.max(Some(at + RETRY_AFTER));
                }
            }
            Phase::Open(serving) => {
                serving.handle_timeout(now);
                if serving.became_suspect() {
                    self.send_on();
                }
            }
            Phase::Linking | Phase::Over(_) => {}
        }
        if let Some(wire) = &mut self.wire
            && let Err(error) = wire.handle_timeout(now, &mut self.sockets)
        {
            self.fail(now, &error);
        }
        if self.deadline.is_some_and(|deadline| now >= deadline) {
            self.fail(now, &HandshakeError::TimedOut);
        }
    }

    fn is_done(&self) -> bool {
        let over = matches!(self.phase, Phase::Over(_));
        over && self.wire.as_ref().is_none_or(Wire::is_ended) && self.sockets.is_done()
    }
}

/// However its task ends, a peer leaves nothing behind in the server's table.
impl Drop for Peer {
    fn drop(&mut self) {
        self.over();
        self.shared.with(Table::dropped);
    }
}
