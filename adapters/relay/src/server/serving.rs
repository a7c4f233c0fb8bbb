//! A session of the server on its carrier: visitors become streams, silence is noticed, and the end comes in order.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use adit_core::{
    Code, Config, Event, Instant, Open, OpenError, ServiceId, ServiceKind, Session, SessionError,
    StreamId,
};

use super::ListenerId;
use super::table::Pulse;
use super::visitor::{Visitor, Way, is_before_upstream};
use crate::io::{Ask, SocketId};
use crate::leaving::Leaving;
use crate::notice::{Notice, Who};
use crate::patience::patience;
use crate::sockets::Sockets;
use crate::streams::Streams;

/// What a socket of a peer is for.
pub(super) enum Role {
    Carrier,
    Visitor { stream: StreamId, from: SocketAddr },
}

/// Visitors that may wait for a session that has no carrier. None of them is read, so they cost little, but each is a connection that
/// nobody answers.
const HELD_MAX: usize = 256;

/// A session, and what is relayed through it.
pub(super) struct Serving {
    pub(super) session: Session,
    pub(super) streams: Streams,
    pub(super) who: Who,
    services: Vec<(ListenerId, ServiceId)>,
    pulse: Arc<Pulse>,
    config: Arc<Config>,
    /// The same client has made another session: this one is replaced then, unless a byte arrives.
    challenged_until: Option<Instant>,
    leaving: Leaving,
    /// The server drains: the session ends then, whatever still runs.
    drained_at: Option<Instant>,
    leaves_ports: bool,
    /// Visitors that are not read until the client gives a sign of life, so that they can go elsewhere if it does not.
    unconfirmed: Vec<StreamId>,
    /// The session has become suspect, and visitors were not sent on yet.
    suspect: bool,
    /// It is without a carrier, and everybody knows.
    pub(super) away: bool,
    /// The carrier was lost, and why.
    pub(super) lost: Option<SessionError>,
    /// The session ended, and why.
    pub(super) ended: Option<SessionError>,
}

impl Serving {
    pub(super) fn new(
        session: Session,
        who: Who,
        services: Vec<(ListenerId, ServiceId)>,
        pulse: Arc<Pulse>,
        config: Arc<Config>,
    ) -> Self {
        let streams = Streams::new(pulse.tally.clone());
        Self {
            session,
            streams,
            who,
            services,
            pulse,
            config,
            challenged_until: None,
            leaving: Leaving::default(),
            drained_at: None,
            leaves_ports: false,
            unconfirmed: Vec::new(),
            suspect: false,
            away: false,
            lost: None,
            ended: None,
        }
    }

    pub(super) fn visitor(
        &mut self,
        now: Instant,
        visitor: Visitor,
        sockets: &mut Sockets<Role>,
    ) -> Result<SocketId, Visitor> {
        let Way {
            listener, from, at, ..
        } = *visitor.0;
        let service = self.services.iter().find(|(open, _)| *open == listener);
        let Some((_, service)) = service else {
            return Err(visitor.refused(Code::UNKNOWN_SERVICE));
        };
        let away = !self.session.is_attached();
        if visitor.0.others && (away || !self.answers()) {
            // It was this session's turn before its carrier was lost.
            return Err(visitor.refused(Code::SESSION_LOST));
        }
        if away && self.streams.untouched() >= HELD_MAX {
            return Err(visitor.refused(Code::BUSY));
        }
        let open = Open {
            kind: ServiceKind::Tcp,
            service: *service,
            visitor: Some(from.to_string()),
            dialled: Some(at.to_string()),
        };
        let stream = match self.session.open(now, open) {
            Ok(stream) => stream,
            Err(OpenError::StreamLimit) => return Err(visitor.refused(Code::STREAM_LIMIT)),
            Err(OpenError::Ending) => return Err(visitor.refused(Code::DRAINING)),
        };
        let Some(socket) = sockets.open(Role::Visitor { stream, from }) else {
            self.session.release(stream);
            return Err(visitor.refused(Code::BUSY));
        };
        let others = visitor.0.others;
        self.streams.insert(stream, Some(socket), Some(visitor));
        // However lately the client was heard, it may have stopped since; and what was read from a visitor can't go to another client.
        if others {
            self.streams.hold(stream);
            self.unconfirmed.push(stream);
            self.session.ping(now);
        } else {
            sockets.want_read(socket);
        }
        Ok(socket)
    }

    /// The session has ended: visitors that have noticed nothing of it go elsewhere, the others are reset.
    pub(super) fn end_streams(&mut self, sockets: &mut Sockets<Role>) {
        self.streams
            .hand_on_all(|_| true, &mut self.session, sockets);
        self.streams.abort_all(sockets);
    }

    /// The session is without a carrier, or suspect: visitors that have noticed nothing of it, and whose port others serve, go there.
    pub(super) fn send_on(
        &mut self,
        others: impl Fn(ListenerId) -> bool,
        sockets: &mut Sockets<Role>,
    ) {
        let elsewhere = |visitor: &Visitor| others(visitor.0.listener);
        self.streams
            .hand_on_all(elsewhere, &mut self.session, sockets);
        self.read_unconfirmed(sockets);
    }

    /// Reads visitors that were held until the client gave a sign of life.
    fn read_unconfirmed(&mut self, sockets: &mut Sockets<Role>) {
        self.streams
            .release_held(self.unconfirmed.drain(..), sockets);
    }

    /// Whether the session has become suspect since this was last asked.
    pub(super) const fn became_suspect(&mut self) -> bool {
        std::mem::replace(&mut self.suspect, false)
    }

    /// Bytes came on the carrier: whoever doubted that the client is there knows now.
    pub(super) fn heard(&mut self, now: Instant, sockets: &mut Sockets<Role>) {
        self.session.handle_alive(now);
        self.challenged_until = None;
        self.read_unconfirmed(sockets);
        if !self.answers() {
            self.pulse.answers.store(true, Ordering::Relaxed);
        }
    }

    fn answers(&self) -> bool {
        self.pulse.answers.load(Ordering::Relaxed)
    }

    /// How long an answer to a ping may take.
    fn patience(&self) -> Duration {
        patience(self.session.rtt())
    }

    /// The session has no carrier: visitors go elsewhere, if they can.
    pub(super) fn detached(&mut self) {
        self.pulse.answers.store(false, Ordering::Relaxed);
    }

    /// The session went on on a carrier from `source`.
    pub(super) fn resumed(&mut self, source: IpAddr, sockets: &mut Sockets<Role>) {
        self.who.source = source;
        self.away = false;
        self.read_unconfirmed(sockets);
        self.challenged_until = None;
        self.pulse.answers.store(true, Ordering::Relaxed);
    }

    /// The same client has made another session: is it still at the end of this one? Without a carrier it is not.
    pub(super) fn challenge(&mut self, now: Instant) {
        if !self.session.is_attached() {
            return self.session.close(now, Code::REPLACED);
        }
        self.session.ping(now);
        self.challenged_until.get_or_insert(now + self.patience());
    }

    /// No new streams; the end at the latest at `until`. Without a carrier at once: no new one is accepted any more.
    pub(super) fn drain(&mut self, now: Instant, until: Instant, retry_after: Duration) {
        if !self.session.is_attached() {
            return self.session.close(now, Code::SHUTDOWN);
        }
        if self.drained_at.is_none() {
            self.leaving
                .begin(now, Code::SHUTDOWN, retry_after, &mut self.session);
        }
        self.drained_at = Some(self.drained_at.map_or(until, |earlier| earlier.min(until)));
    }

    /// Whether the server drains.
    pub(super) const fn is_draining(&self) -> bool {
        self.drained_at.is_some()
    }

    /// Whether the session takes no more visitors, once.
    pub(super) fn leaves_ports(&mut self) -> bool {
        std::mem::take(&mut self.leaves_ports)
    }

    pub(super) fn handle_event(&mut self, now: Instant, event: Event, sockets: &mut Sockets<Role>) {
        let Self {
            session, streams, ..
        } = self;
        match event {
            // Clients offer services; they don't use any, yet.
            Event::Opened { id, .. } => {
                session.refuse(now, id, Code::UNSUPPORTED);
            }
            Event::Readable(id) => streams.handle_readable(id, session, sockets),
            Event::Writable(id) => streams.handle_writable(id, session, sockets),
            Event::Reset { id, code }
                if is_before_upstream(code) && streams.hand_on(id, code, session, sockets) => {}
            Event::Reset { id, code } => {
                self.report_reset(id, code, sockets);
                self.streams
                    .handle_reset(id, code, &mut self.session, sockets);
            }
            Event::GoAway { .. } => {
                self.leaving.handle_go_away(now);
                self.leaves_ports = true;
            }
            Event::Drained => self.leaving.handle_drained(now),
            Event::Detached(error) => self.lost = Some(error),
            Event::Closed(error) => self.ended = Some(error),
        }
    }

    /// Does what the end of the session asks for now. Whether that was anything.
    pub(super) fn settle(&mut self, now: Instant) -> bool {
        self.leaving.settle(now, &mut self.session)
    }

    /// Why a visitor was reset, unless the upstream did just that.
    fn report_reset(&self, id: StreamId, code: Code, sockets: &mut Sockets<Role>) {
        let role = self
            .streams
            .socket(id)
            .and_then(|socket| sockets.role(socket));
        if code != Code::CANCELLED
            && let Some(&Role::Visitor { from, .. }) = role
        {
            let tunnel = self.who.tunnel.clone();
            sockets.ask(Ask::Notice(Notice::VisitorReset {
                tunnel,
                visitor: from,
                code,
            }));
        }
    }

    /// When nothing has arrived for so long, visitors had better go to another session: not even an answer to what is on its way.
    fn silent_at(&self) -> Option<Instant> {
        if !self.answers() {
            return None;
        }
        let asked = self.session.last_received() + self.config.ping_after;
        let waiting = self.session.waiting_since().unwrap_or(asked);
        Some(waiting.min(asked) + self.patience())
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        [
            self.session.poll_timeout(),
            self.silent_at(),
            self.challenged_until,
            self.drained_at,
            self.leaving.poll_timeout(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.session.handle_timeout(now);
        if self.silent_at().is_some_and(|at| now >= at) {
            self.pulse.answers.store(false, Ordering::Relaxed);
            self.suspect = true;
        }
        if self
            .challenged_until
            .take_if(|until| now >= *until)
            .is_some()
        {
            self.session.close(now, Code::REPLACED);
        }
        if self.drained_at.take_if(|until| now >= *until).is_some() {
            self.session.close(now, Code::SHUTDOWN);
        }
    }
}
