//! An open session: streams over one ordered carrier, with credit, turns, liveness and a graceful end.

mod glitches;
mod inflight;
mod input;
mod liveness;
mod output;
mod positions;
mod replay;
mod resume;
mod streams;

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::time::Duration;

use bytes::Bytes;
use glitches::Glitches;
use inflight::Inflight;
use liveness::Liveness;
pub use positions::Stated;
use positions::{EARLY_MIN, Pace, Positions};
use replay::Replay;

use crate::code::Code;
use crate::config::Config;
use crate::decode::Decoder;
use crate::error::SessionError;
use crate::frame::{Limits, Open};
use crate::ids::{Side, StreamId};
use crate::schedule::Schedule;
use crate::stream::{CREDIT_STEP_MAX, List, Pinned, Queue, Store, Stream};
use crate::time::Instant;

/// Something the application should see to. Events of a stream are coalesced: however much happened, one of each kind waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The peer opened a stream.
    Opened {
        /// The new stream.
        id: StreamId,
        /// What it leads to.
        open: Open,
    },
    /// [`Session::chunks`] has something new, or [`Session::is_read_finished`] became true.
    Readable(StreamId),
    /// [`Session::write_space`] may have risen.
    Writable(StreamId),
    /// The peer aborted the stream: abort the local connection, then [`release`](Session::release).
    Reset {
        /// The stream.
        id: StreamId,
        /// Why.
        code: Code,
    },
    /// The peer takes no new streams, and will end when the present ones are done.
    GoAway {
        /// Do not come back earlier than this.
        retry_after: Duration,
    },
    /// This side is [going away](Session::go_away), and the last stream is done.
    Drained,
    /// The carrier is of no more use: drop it. The session waits to be [attached](Session::attach) to another.
    Detached(SessionError),
    /// The session is over, and all its streams with it.
    Closed(SessionError),
}

/// What a session has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Payload bytes sent.
    pub bytes_sent: u64,
    /// Payload bytes received.
    pub bytes_received: u64,
    /// Streams that this side opened.
    pub streams_opened: u64,
    /// Streams that the peer opened and that were taken.
    pub streams_accepted: u64,
    /// Streams of the peer that were refused at a limit.
    pub streams_refused: u64,
    /// Times that the session went on on a new carrier.
    pub resumes: u64,
}

/// Credit of the session as a whole, in both directions.
#[derive(Debug)]
struct Flow {
    sent: u64,
    credit: u64,
    received: u64,
    consumed: u64,
    granted: u64,
    window: u64,
    /// A new carrier: credit must be stated again.
    restate: bool,
}

impl Flow {
    /// Worth a frame: a quarter of the window, or much, or half of what little credit is left. Streams that stall hold a part of the window for as long as they like,
    /// and the others must go on with what remains, however little that is.
    fn grant_due(&self) -> bool {
        let gain = self.consumed + self.window - self.granted;
        let left = self.granted - self.received;
        gain > 0 && gain >= (self.window / 4).min(CREDIT_STEP_MAX).min(left / 2)
    }
}

/// Where this side, or the peer, is on the way out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Leaving {
    /// How long to stay away, if this side is going.
    ours: Option<Duration>,
    ours_owed: bool,
    drained_told: bool,
    /// Likewise for the peer.
    theirs: Option<Duration>,
    theirs_told: bool,
}

/// An open session, either side of it.
///
/// Methods may be called in any order; a [`StreamId`] that is not known (any more) gives 0, `None` or an error.
#[derive(Debug)]
pub struct Session {
    config: Arc<Config>,
    side: Side,
    peer: Limits,
    decoder: Decoder,
    store: Store,
    events: List,
    control: List,
    credit: List,
    schedule: Schedule,
    /// Streams that were refused before they had a place in the store.
    refusals: VecDeque<(StreamId, Code)>,
    next_stream: u64,
    highest_of_peer: Option<StreamId>,
    positions: Positions,
    replay: Replay,
    inflight: Inflight,
    /// How long the session may be without a carrier; `None` if it ends with its first.
    resume_window: Option<Duration>,
    /// The attempt to resume that was accepted last.
    epoch: u64,
    /// Since when it is without a carrier.
    detached: Option<Instant>,
    /// The application has not been told why.
    detached_for: Option<SessionError>,
    flow: Flow,
    /// Bytes of all streams that wait to be sent.
    queued: usize,
    /// What windows hold of the pool.
    pool_used: u64,
    pinned: Pinned,
    liveness: Liveness,
    glitches: Glitches,
    /// What goes out before anything else: the answer that the handshake ended in.
    first: Bytes,
    pong: Option<[u8; 8]>,
    leaving: Leaving,
    sweep_at: Instant,
    closed: Option<SessionError>,
    close_owed: Option<Code>,
    close_told: bool,
    stats: Stats,
}

impl Session {
    /// A session that is open already: both sides are agreed on it, and `peer` is what the other side's limits are. This is what
    /// a handshake ends in; a program whose carrier is trusted otherwise may begin here.
    #[must_use]
    pub fn new(config: Arc<Config>, side: Side, peer: Limits, now: Instant) -> Self {
        let window = config.session_window();
        let ack_units = match peer.replay {
            0 => config.ack_units,
            replay => config.ack_units.min((replay / 4).max(1)),
        };
        Self {
            side,
            peer,
            decoder: Decoder::default(),
            store: Store::default(),
            events: List::new(Queue::Events),
            control: List::new(Queue::Control),
            credit: List::new(Queue::Credit),
            schedule: Schedule::default(),
            refusals: VecDeque::new(),
            next_stream: side.first_stream(),
            highest_of_peer: None,
            positions: Positions::new(Pace {
                units: ack_units,
                early_units: config.ack_early_units.min(ack_units),
                early: config.ack_delay.min(EARLY_MIN),
                delay: config.ack_delay,
            }),
            replay: Replay::off(),
            inflight: Inflight::new(now, 0),
            resume_window: None,
            epoch: 0,
            detached: None,
            detached_for: None,
            flow: Flow {
                sent: 0,
                credit: peer.session_credit,
                received: 0,
                consumed: 0,
                granted: window,
                window,
                restate: false,
            },
            queued: 0,
            pool_used: 0,
            pinned: Pinned::default(),
            liveness: Liveness::new(now),
            glitches: Glitches::new(&config, now),
            first: Bytes::new(),
            pong: None,
            leaving: Leaving::default(),
            sweep_at: now + config.stream_idle,
            closed: None,
            close_owed: None,
            close_told: false,
            stats: Stats::default(),
            config,
        }
    }

    /// Sends `frame`, encoded already, before anything else.
    pub(crate) fn send_first(&mut self, frame: Bytes) {
        self.first = frame;
    }

    /// Time passed. Spurious calls do nothing. Work is bounded by the number of open streams.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.closed.is_some() {
            return;
        }
        if self.detached.is_some() {
            return self.expire(now);
        }
        if self.liveness.handle_timeout(now, &self.config) {
            return self.lose_carrier(now, SessionError::Silent(self.config.dead_after));
        }
        self.positions.handle_timeout(now);
        if now >= self.sweep_at {
            self.sweep_at = now + self.config.stream_idle;
            self.give_idle_credit_back(now);
            self.replay.shrink();
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), or to poll for frames again, at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.closed.is_some() {
            return None;
        }
        if self.detached.is_some() {
            return self.expires_at();
        }
        let mut next = self.liveness.deadline(&self.config);
        if let Some(ack) = self.positions.deadline() {
            next = next.min(ack);
        }
        if self.store.len() > 0 || self.replay.is_idle() {
            next = next.min(self.sweep_at);
        }
        Some(next)
    }

    /// The next event, if any.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        if let Some(error) = self.closed {
            return (!core::mem::replace(&mut self.close_told, true))
                .then_some(Event::Closed(error));
        }
        if let Some(error) = self.detached_for.take() {
            return Some(Event::Detached(error));
        }
        if let Some(retry_after) = self.leaving.theirs
            && !self.leaving.theirs_told
        {
            self.leaving.theirs_told = true;
            return Some(Event::GoAway { retry_after });
        }
        while let Some(key) = self.events.front() {
            if let Some(event) = self.stream_event(key) {
                return Some(event);
            }
            self.events.remove(&mut self.store.slab, key);
        }
        if self.leaving.ours.is_some() && !self.leaving.drained_told && self.store.len() == 0 {
            self.leaving.drained_told = true;
            return Some(Event::Drained);
        }
        None
    }

    fn stream_event(&mut self, key: usize) -> Option<Event> {
        let stream = self.store.get_mut(key)?;
        let id = stream.id;
        let tell = &mut stream.tell;
        if core::mem::take(&mut tell.opened) {
            let open = stream.open.take()?;
            return Some(Event::Opened { id, open });
        }
        if core::mem::take(&mut tell.reset) {
            tell.readable = false;
            tell.writable = false;
            let code = stream.reset?.code;
            return Some(Event::Reset { id, code });
        }
        if core::mem::take(&mut tell.readable) {
            return Some(Event::Readable(id));
        }
        if core::mem::take(&mut tell.writable) {
            return Some(Event::Writable(id));
        }
        None
    }

    /// Takes no new streams from here on and asks the peer to open none; [`Event::Drained`] says when the last is done. The peer should not come
    /// back before `retry_after`.
    pub fn go_away(&mut self, _now: Instant, retry_after: Duration) {
        if self.leaving.ours.is_none() {
            self.leaving.ours = Some(retry_after);
            self.leaving.ours_owed = true;
        }
    }

    /// Ends the session for good; the peer is told `code`.
    pub fn close(&mut self, _now: Instant, code: Code) {
        self.end(SessionError::Closed(code));
    }

    /// Asks the peer for a sign of life now; see [`last_received`](Self::last_received).
    pub fn ping(&mut self, now: Instant) {
        self.liveness.ask_now(now);
    }

    /// Whether the session is over.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.closed.is_some()
    }

    /// Which side this is.
    #[must_use]
    pub const fn side(&self) -> Side {
        self.side
    }

    /// The round trip measured last.
    #[must_use]
    pub const fn rtt(&self) -> Option<Duration> {
        self.liveness.rtt()
    }

    /// When a byte was received last.
    #[must_use]
    pub const fn last_received(&self) -> Instant {
        self.liveness.last_received()
    }

    /// Whether the peer asked for no new streams, or this side did.
    #[must_use]
    pub const fn is_leaving(&self) -> bool {
        self.leaving.ours.is_some() || self.leaving.theirs.is_some()
    }

    /// Streams that are open.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.store.len()
    }

    /// Counters.
    #[must_use]
    pub const fn stats(&self) -> Stats {
        self.stats
    }

    /// Units sent, units of those acknowledged, and units received: the positions of spec/06-positions.md.
    #[must_use]
    pub const fn positions(&self) -> (u64, u64, u64) {
        let positions = &self.positions;
        (
            positions.sent_position(),
            positions.acked_position(),
            positions.received_position(),
        )
    }

    /// Bytes of memory that this session holds. Looks at every stream.
    ///
    /// On a carrier, slices that wait to be sent, or may have to be sent again, may keep more alive than themselves, [`SEND_HOLD_FACTOR`](crate::SEND_HOLD_FACTOR)
    /// times as much at most; [`Config::memory_bound`] allows for that. A detached session has copied them, and this is all.
    #[must_use]
    pub fn memory(&self) -> usize {
        let of = |(_, stream): (usize, &Stream)| {
            stream.recv.memory() + stream.send.memory() + crate::config::STREAM_COST
        };
        self.store.slab.iter().map(of).sum::<usize>()
            + self.decoder.memory()
            + self.refusals.capacity() * size_of::<(StreamId, Code)>()
            + self.replay.memory()
    }

    /// The end, for whatever reason; the first one counts.
    fn end(&mut self, error: SessionError) {
        if self.closed.is_some() {
            return;
        }
        self.close_owed = error.close_code();
        self.closed = Some(error);
        self.store = Store::default();
        self.events = List::new(Queue::Events);
        self.control = List::new(Queue::Control);
        self.credit = List::new(Queue::Credit);
        self.schedule = Schedule::default();
        self.refusals = VecDeque::new();
        self.replay = Replay::off();
        self.queued = 0;
        self.pinned = Pinned::default();
        let used = self.pool_used;
        self.give_to_pool(used);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let used = self.pool_used;
        self.give_to_pool(used);
    }
}
