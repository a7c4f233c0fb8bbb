//! One way to the server, from the token to the end of its session: reach, link, prove, relay.
//!
//! A client has one line with a session, others beside it that run out, and lines that are to bring the session of another back.

mod coming_back;
mod opening;

use std::collections::HashMap;
use std::io::{ErrorKind, IoSlice};
use std::time::Duration;

use adit_core::{
    ClientHandshake, Code, Event, Instant, Open, Resumption, Session, SessionError, StreamId,
    Token, Transmit,
};
use adit_link::CarrierEvent;
use bytes::{Bytes, BytesMut};

use super::Shared;
use super::attempt::AttemptError;
use super::comeback::Comeback;
use super::reach::{Found, Reach};
use super::route::Route;
use crate::counters::Count;
use crate::io::{Ask, SocketId};
use crate::leaving::Leaving;
use crate::notice::why_ended;
use crate::streams::Streams;
use crate::wire::Wire;

/// One way to the server.
pub(super) struct Line {
    pub(super) phase: Phase,
    /// The carrier, once there is a connection for it.
    pub(super) wire: Option<Wire>,
    certificate_problem: Option<String>,
    /// The line whose session this one is to bring back, and the right to it.
    pub(super) brings_back: Option<(usize, Resumption)>,
    /// What the client has to be told.
    pub(super) news: Option<News>,
}

pub(super) enum Phase {
    /// A connection to the server is being made.
    Reaching(Box<Reach>),
    /// TLS and HTTP.
    Linking { token: Token, since: Instant },
    /// The handshake of Adit.
    Greeting(Box<ClientHandshake>),
    /// A session.
    Open(Box<Relaying>),
    /// Nothing any more, but for the last frames of a session that ended.
    Over(Option<Box<Session>>),
}

impl Phase {
    /// The next frame for the carrier.
    fn pull(&mut self, now: Instant, limit: usize) -> Option<Transmit> {
        match self {
            Self::Greeting(handshake) => handshake.poll_transmit(now, limit),
            Self::Open(relaying) => relaying.session.poll_transmit(now, limit),
            Self::Over(Some(session)) => session.poll_transmit(now, limit),
            _ => None,
        }
    }
}

/// A session and what is relayed through it.
pub(super) struct Relaying {
    pub(super) session: Session,
    pub(super) streams: Streams,
    /// Streams whose upstream is being dialled, and the dial.
    pub(super) dials: HashMap<StreamId, usize>,
    leaving: Leaving,
    since: Instant,
    /// No service was accepted: the session is of no use.
    useless: bool,
    /// How it outlives its carriers, if it can.
    pub(super) comeback: Option<Comeback>,
    /// The way that its carrier takes.
    pub(super) route: Route,
    /// When something happened after which nobody knows whether the carrier still works.
    questioned_at: Option<Instant>,
    /// Why it can't go on, as the server said.
    given_up: Option<String>,
}

impl Relaying {
    /// How long the session has been of use.
    fn lived(&self, now: Instant) -> Duration {
        if self.useless {
            Duration::ZERO
        } else {
            now - self.since
        }
    }
}

/// What a line tells its client, once for each.
pub(super) enum News {
    /// No session came of it.
    Failed(AttemptError),
    /// The session ended.
    Ended { reason: String, lived: Duration },
    /// The server goes away; running streams go on.
    GoingAway {
        retry_after: Duration,
        lived: Duration,
    },
    /// The server answered RESUME: the session that the line was to bring back can go on here.
    Resumed,
    /// A visitor came.
    Opened { id: StreamId, open: Open },
    /// A visitor whose upstream is being dialled has gone.
    Cancelled { dial: usize },
}

impl Line {
    /// Begins to reach the server, for a session of its own, or to bring back that of another line.
    pub(super) fn new(
        now: Instant,
        key: usize,
        brings_back: Option<(usize, Resumption)>,
        shared: &mut Shared,
    ) -> Self {
        Self {
            phase: Phase::Reaching(Box::new(Reach::new(now, key, shared))),
            wire: None,
            certificate_problem: None,
            brings_back,
            news: None,
        }
    }

    /// What reaching the server has come to by a `step`.
    pub(super) fn reach(
        &mut self,
        now: Instant,
        shared: &mut Shared,
        step: impl FnOnce(&mut Reach, &mut Shared) -> Found,
    ) {
        let Phase::Reaching(reach) = &mut self.phase else {
            return;
        };
        match step(reach, shared) {
            Ok(Some(way)) => self.link(now, way, shared),
            Ok(None) => {}
            Err(error) => self.fail(now, error, shared),
        }
    }

    /// Bytes from the server, or from the proxy before it.
    pub(super) fn received(&mut self, now: Instant, data: BytesMut, shared: &mut Shared) {
        if matches!(self.phase, Phase::Reaching(_)) {
            return self.reach(now, shared, |reach, shared| reach.received(&data, shared));
        }
        let Some(wire) = self.wire.as_mut().filter(|wire| wire.is_open()) else {
            return;
        };
        // A TLS record may take longer than a silence may last.
        match &mut self.phase {
            Phase::Greeting(handshake) if !data.is_empty() => handshake.handle_alive(now),
            Phase::Open(relaying) if !data.is_empty() => {
                relaying.session.handle_alive(now);
                wire.answer_parts(now, &mut relaying.session);
            }
            _ => {}
        }
        let result = wire.carrier.handle_input(now, data);
        self.handle_carrier(now, shared);
        if let Err(error) = result {
            self.fail(now, AttemptError::Link(error), shared);
        }
    }

    pub(super) fn received_eof(&mut self, now: Instant, shared: &mut Shared) {
        if matches!(self.phase, Phase::Reaching(_)) {
            return self.reach(now, shared, |reach, shared| reach.received_eof(shared));
        }
        let Some(wire) = &mut self.wire else { return };
        wire.handle_eof(&mut shared.sockets);
        if wire.is_open() {
            wire.carrier.handle_eof(now);
            self.handle_carrier(now, shared);
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
        while let Some(wire) = &mut self.wire
            && let Some(data) = wire.carrier.poll_payload()
        {
            let slab = wire.carrier.payload_slab();
            self.handle_payload(now, data, slab, shared);
        }
    }

    fn handle_payload(&mut self, now: Instant, data: Bytes, slab: usize, shared: &mut Shared) {
        match &mut self.phase {
            Phase::Open(relaying) => relaying.session.handle_input(now, data, slab),
            Phase::Greeting(handshake) => match handshake.handle_input(now, data) {
                Ok(()) => self.open_if_established(now, shared),
                Err(error) => self.fail_handshake(now, error, shared),
            },
            _ => {}
        }
    }

    /// It came to nothing, or to an end: what is left to say goes out, and no more.
    fn fail(&mut self, now: Instant, error: AttemptError, shared: &mut Shared) {
        self.pull_handshake(now);
        if let Phase::Open(relaying) = &mut self.phase {
            // What the server said last counts for more than how its carrier ended.
            if !relaying.session.is_closed() {
                relaying.session.handle_carrier_lost(now);
                if !relaying.session.is_closed() {
                    return self.interrupted(now, error.to_string(), shared);
                }
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
        if let Phase::Open(relaying) = &mut self.phase
            && let Some(comeback) = &mut relaying.comeback
            && comeback.back(now).is_some()
        {
            shared.tally.less(Count::SessionsDetached);
        }
        self.news = Some(news);
        self.over(now, shared);
    }

    /// Ends whatever is under way, and lets the carrier run out.
    fn over(&mut self, now: Instant, shared: &mut Shared) {
        match std::mem::replace(&mut self.phase, Phase::Over(None)) {
            Phase::Reaching(mut reach) => reach.give_up(shared),
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
            Phase::Open(relaying) => {
                let Relaying {
                    session, leaving, ..
                } = &mut **relaying;
                leaving.begin(now, Code::DONE, Duration::ZERO, session);
            }
            _ => self.over(now, shared),
        }
    }

    /// Takes one thing that the session has to tell; `false` if there is none.
    pub(super) fn handle_session(&mut self, now: Instant, shared: &mut Shared) -> bool {
        let Phase::Open(relaying) = &mut self.phase else {
            return false;
        };
        let Relaying {
            session,
            streams,
            dials,
            leaving,
            ..
        } = &mut **relaying;
        let Some(event) = session.poll_event() else {
            return leaving.settle(now, session);
        };
        let sockets = &mut shared.sockets;
        match event {
            Event::Opened { id, open } => {
                streams.insert(id, None, None);
                self.news = Some(News::Opened { id, open });
            }
            Event::Readable(id) => streams.handle_readable(id, session, sockets),
            Event::Writable(id) => streams.handle_writable(id, session, sockets),
            Event::Reset { id, code } => {
                streams.handle_reset(id, code, session, sockets);
                self.news = dials.remove(&id).map(|dial| News::Cancelled { dial });
            }
            Event::GoAway { retry_after } => {
                leaving.handle_go_away(now);
                let lived = relaying.lived(now);
                self.news = Some(News::GoingAway { retry_after, lived });
            }
            Event::Drained => leaving.handle_drained(now),
            Event::Detached(error) => self.interrupted(now, why_ended(error), shared),
            Event::Closed(error) => {
                let lived = relaying.lived(now);
                let given_up = relaying.given_up.take();
                let reason = given_up.unwrap_or_else(|| reason(relaying.useless, error));
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
            (Phase::Reaching(reach), _) => {
                let (asking, socket) = reach.asking()?;
                asking.has_output().then_some(socket)
            }
            (phase, Some(wire)) => {
                let more = match phase {
                    Phase::Open(relaying) => stirred && relaying.session.has_output(),
                    _ => false,
                };
                wire.wants_write(more).then_some(wire.socket)
            }
            _ => None,
        }
    }

    /// What the carrier's socket should take now.
    pub(super) fn gather<'a>(
        &'a mut self,
        now: Instant,
        socket: SocketId,
        shared: &mut Shared,
        out: &mut [IoSlice<'a>],
    ) -> usize {
        match (&mut self.phase, &mut self.wire) {
            (Phase::Reaching(reach), _) => {
                let asking = reach.asking();
                if asking.is_none_or(|(asking, _)| !asking.has_output()) {
                    shared.sockets.nothing_to_write(socket);
                }
                reach.gather(out)
            }
            (phase, Some(wire)) => {
                let pull = |limit| phase.pull(now, limit);
                wire.gather(now, &mut shared.sockets, pull, out)
            }
            _ => 0,
        }
    }

    pub(super) fn read_limit(&self) -> usize {
        match (&self.phase, &self.wire) {
            (Phase::Reaching(reach), _) => {
                reach.asking().map_or(0, |(asking, _)| asking.read_limit())
            }
            (_, Some(wire)) => wire.carrier.read_limit(),
            _ => 0,
        }
    }

    pub(super) fn written(&mut self, now: Instant, n: usize) {
        match (&mut self.phase, &mut self.wire) {
            (Phase::Reaching(reach), _) => reach.written(n),
            (_, Some(wire)) => wire.written(now, n),
            _ => {}
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let phase = match &self.phase {
            Phase::Reaching(reach) => reach.poll_timeout(),
            Phase::Greeting(handshake) => handshake.poll_timeout(),
            Phase::Open(relaying) => [
                relaying.session.poll_timeout(),
                relaying.leaving.poll_timeout(),
                relaying.comes_back_at(),
                relaying.asks_for_route_at(),
            ]
            .into_iter()
            .flatten()
            .min(),
            Phase::Linking { .. } | Phase::Over(_) => None,
        };
        phase
            .into_iter()
            .chain(self.wire.as_ref().and_then(Wire::poll_timeout))
            .min()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, shared: &mut Shared) {
        self.reach(now, shared, |reach, shared| {
            reach.handle_timeout(now, shared)
        });
        match &mut self.phase {
            Phase::Greeting(handshake) => {
                if let Err(error) = handshake.handle_timeout(now) {
                    self.fail_handshake(now, error, shared);
                }
            }
            Phase::Open(relaying) => {
                relaying.session.handle_timeout(now);
                relaying.doubt(now);
                if relaying.asks_for_route_at().is_some()
                    && relaying.route.ask(now)
                    && let Some(wire) = &self.wire
                {
                    let socket = wire.socket;
                    shared.sockets.ask(Ask::Route { socket });
                }
            }
            _ => {}
        }
        if let Some(wire) = &mut self.wire
            && let Err(error) = wire.handle_timeout(now, &mut shared.sockets)
        {
            self.fail(now, AttemptError::Link(error), shared);
        }
    }

    /// Whether nothing is left of the line.
    pub(super) fn is_done(&self) -> bool {
        let over = matches!(self.phase, Phase::Over(_));
        over && self.news.is_none() && self.wire.as_ref().is_none_or(Wire::is_ended)
    }
}

fn reason(useless: bool, error: SessionError) -> String {
    if useless {
        "the server refused every service (see above); it is asked again later".to_owned()
    } else {
        why_ended(error)
    }
}
