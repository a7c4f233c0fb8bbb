//! A session of the server on its carrier: visitors become streams, silence is noticed, and the end comes in order.

use std::net::SocketAddr;
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
use crate::sockets::Sockets;
use crate::streams::Streams;

/// What a socket of a peer is for.
pub(super) enum Role {
    Carrier,
    Visitor { stream: StreamId, from: SocketAddr },
}

/// The least time that a session gets to answer a ping before it counts as silent.
const ANSWER_MIN: Duration = Duration::from_secs(1);

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
        self.streams.insert(stream, Some(socket), Some(visitor));
        sockets.want_read(socket);
        Ok(socket)
    }

    /// The session has ended: visitors that have noticed nothing of it go elsewhere, the others are reset.
    pub(super) fn end_streams(&mut self, sockets: &mut Sockets<Role>) {
        self.streams.hand_on_all(&mut self.session, sockets);
        self.streams.abort_all(sockets);
    }

    /// Bytes came on the carrier: whoever doubted that the client is there knows now.
    pub(super) fn heard(&mut self, now: Instant) {
        self.session.handle_alive(now);
        self.challenged_until = None;
        if !self.answers() {
            self.pulse.answers.store(true, Ordering::Relaxed);
        }
    }

    fn answers(&self) -> bool {
        self.pulse.answers.load(Ordering::Relaxed)
    }

    /// How long an answer to a ping may take (spec/04-handshake.md, section 4.8).
    fn patience(&self) -> Duration {
        let rtt = self.session.rtt().unwrap_or_default();
        ANSWER_MIN.max(rtt.saturating_mul(3))
    }

    /// The same client has made another session: is it still at the end of this one?
    pub(super) fn challenge(&mut self, now: Instant) {
        self.session.ping(now);
        self.challenged_until.get_or_insert(now + self.patience());
    }

    /// No new streams; the end at the latest at `until`.
    pub(super) fn drain(&mut self, now: Instant, until: Instant, retry_after: Duration) {
        if self.drained_at.is_none() {
            self.leaving
                .begin(now, Code::SHUTDOWN, retry_after, &mut self.session);
        }
        self.drained_at = Some(self.drained_at.map_or(until, |earlier| earlier.min(until)));
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
            Event::Detached(error) | Event::Closed(error) => self.ended = Some(error),
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

    /// When nothing has arrived for so long, visitors had better go to another session.
    fn silent_at(&self) -> Option<Instant> {
        let wait = self.config.ping_after + self.patience();
        self.answers().then(|| self.session.last_received() + wait)
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
