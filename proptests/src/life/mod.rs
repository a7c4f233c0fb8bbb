//! The life of a session as a list of operations: what applications do, and what happens to carriers; then peace, in which everything must arrive.
//!
//! Operations name streams by their place among those that they could mean, so that a list makes sense with any part of it left out: a failure
//! [shrinks](crate::shrink) to a few operations, and [`Life::trace`] tells them with their times.

mod op;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use adit_core::{Code, Config, Event, Session, Side, StreamId};

use crate::carriers::{Carriers, Cut};
use crate::ledger::Ledger;
use crate::pair::any_open;
use crate::pipe::Shape;
use crate::random::Random;
pub use op::{Counts, Op};

/// Virtual time that peace may take: a silent carrier must be noticed, and the next one found.
const PEACE: Duration = Duration::from_secs(120);

/// Moments of peace at which something happens, at most: more is a session that is busy for nothing.
const PEACE_STEPS: usize = 200_000;

/// What both sides know of a stream.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// By side: whether it has heard of it, finished its half, and given it back.
    heard: [bool; 2],
    finished: [bool; 2],
    released: [bool; 2],
    reset: bool,
}

impl Known {
    /// A stream that only `opener` knows.
    fn opened_by(opener: Side) -> Self {
        let mut known = Self::default();
        known.heard[opener as usize] = true;
        known
    }

    const fn has(&self, side: Side) -> bool {
        self.heard[side as usize] && !self.released[side as usize]
    }
}

/// A client and a server, and what happened to them so far.
pub struct Life {
    /// The two, and the carriers between them.
    pub carriers: Carriers,
    /// What happened.
    pub counts: Counts,
    config: Arc<Config>,
    ledger: Ledger,
    /// Streams that some side still has.
    streams: BTreeMap<StreamId, Known>,
    leaving: [bool; 2],
    told_leaving: [bool; 2],
}

impl Life {
    /// Two that are about to meet. `seed` chooses their limits, too small ones among them, and the shape of their carriers.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let config = Arc::new(Config {
            replay: [300, 20_000, 1 << 20][random.between(0, 2)],
            streams_max: 6,
            stream_credit: 512,
            stream_window_first: 4_096,
            stream_window_max: 64 * 1024,
            session_pool: 100 * 1024,
            send_buffer_stream: 20_000,
            send_buffer_session: 60_000,
            stream_idle: Duration::from_millis(300),
            ..Config::default()
        });
        let shape = Shape {
            latency: Duration::from_millis(random.between(0, 40) as u64),
            capacity: random.between(20_000, 200_000),
            piece_max: [1, 20, 60, 400, 2_000, 20_000][random.between(0, 5)],
        };
        let mut carriers = Carriers::new(&config, shape, random.next());
        carriers.run(Duration::from_millis(500));
        assert!(carriers.is_attached(), "{:?}", carriers.failures);
        Self {
            carriers,
            counts: Counts::default(),
            config,
            ledger: Ledger::default(),
            streams: BTreeMap::new(),
            leaving: [false; 2],
            told_leaving: [false; 2],
        }
    }

    /// The operations of the life of `seed`, `len` of them.
    #[must_use]
    pub fn ops(seed: u64, len: usize) -> Vec<Op> {
        let mut random = Random::new(seed ^ 0x6c69_6665);
        (0..len).map(|_| Op::random(&mut random)).collect()
    }

    /// Lives through `ops` and then in peace.
    ///
    /// # Panics
    ///
    /// If something is wrong with the session.
    pub fn live(&mut self, ops: &[Op]) {
        for op in ops {
            self.act(op);
        }
        self.peace();
    }

    /// What happens in a life with `ops`, each with its time and what came of it, up to what is wrong.
    #[must_use]
    pub fn trace(seed: u64, ops: &[Op]) -> String {
        let mut life = Self::new(seed);
        let mut trace = String::new();
        let died = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for op in ops {
                let _ = write!(trace, "{:>12}  {op:?}", life.carriers.now.to_string());
                let before = life.counts;
                life.act(op);
                let did = life.counts.moved() + life.counts.cuts > before.moved() + before.cuts;
                let _ = writeln!(trace, "{}", if did { "" } else { ": nothing" });
            }
            let _ = writeln!(trace, "{:>12}  peace", life.carriers.now.to_string());
            life.peace();
        }));
        let at = life.carriers.now;
        match died {
            Ok(()) => trace.push_str("nothing is wrong\n"),
            Err(cause) => {
                let _ = write!(trace, "\n{:>12}  wrong: {}", at.to_string(), told(&*cause));
            }
        }
        trace
    }

    /// One operation.
    ///
    /// # Panics
    ///
    /// If something is wrong with the session.
    pub fn act(&mut self, op: &Op) {
        let now = self.carriers.now;
        match *op {
            Op::Open(side) => {
                let session = self.carriers.session(side);
                if let Some(id) = session.and_then(|it| it.open(now, any_open()).ok()) {
                    self.streams.insert(id, Known::opened_by(side));
                    self.counts.opened += 1;
                }
            }
            Op::Write { side, pick, len } => {
                let space = |session: &Session, id| session.write_space(id) > 0;
                if let Some(id) = self.pick(side, pick, space) {
                    self.write(side, id, len);
                }
            }
            Op::Read { side, pick, len } => {
                let any = |session: &Session, id| session.chunks(id).next().is_some();
                if let Some(id) = self.pick(side, pick, any) {
                    self.read(side, id, len);
                }
            }
            Op::Finish { side, pick } => {
                if let Some(id) = self.pick(side, pick, |_, _| true) {
                    self.finish(side, id);
                }
            }
            Op::Reset { side, pick } => {
                if let Some(id) = self.pick(side, pick, |_, _| true) {
                    self.reset(side, id);
                    self.counts.reset += 1;
                }
            }
            Op::GoAway(side) => {
                if let Some(session) = self.carriers.session(side) {
                    session.go_away(now, Duration::ZERO);
                    self.leaving[side as usize] = true;
                }
            }
            Op::Nonsense { side, pick } => self.nonsense(side, pick),
            Op::Cut { way, down, up } => self.cut(way, down, up),
            Op::Dial => self.carriers.dial(),
            Op::Exchange => drop(self.carriers.exchange()),
            Op::Run(micros) => self.carriers.run(Duration::from_micros(micros.into())),
        }
        self.hear();
        self.check();
    }

    /// One of the streams that `side` has and that fit.
    fn pick(
        &mut self,
        side: Side,
        pick: usize,
        fits: impl Fn(&Session, StreamId) -> bool,
    ) -> Option<StreamId> {
        let session = self.carriers.session(side)?;
        let known = self.streams.iter().filter(|(_, it)| it.has(side));
        let fitting = known.map(|(id, _)| *id).filter(|id| fits(session, *id));
        let fitting: Vec<StreamId> = fitting.collect();
        (!fitting.is_empty()).then(|| fitting[pick % fitting.len()])
    }

    fn write(&mut self, side: Side, id: StreamId, len: usize) {
        let Some(session) = self.carriers.session(side) else {
            return;
        };
        let len = len.min(session.write_space(id));
        let mut data = self.ledger.next_bytes(id, side, len);
        let wrote = session.write(id, &mut data).unwrap_or(0);
        self.ledger.wrote(id, side, wrote);
        self.counts.written += u64::from(wrote > 0);
    }

    fn read(&mut self, side: Side, id: StreamId, most: usize) {
        let now = self.carriers.now;
        let Some(session) = self.carriers.session(side) else {
            return;
        };
        let mut bytes = Vec::new();
        for chunk in session.chunks(id) {
            bytes.extend_from_slice(&chunk[..chunk.len().min(most - bytes.len())]);
            if bytes.len() == most {
                break;
            }
        }
        session.consume(now, id, bytes.len());
        self.ledger.took(id, side.peer(), &bytes);
        self.counts.read += u64::from(!bytes.is_empty());
        self.counts.bytes += bytes.len() as u64;
        self.close_if_done(side, id);
    }

    fn finish(&mut self, side: Side, id: StreamId) {
        let finished = self
            .carriers
            .session(side)
            .is_some_and(|it| it.finish(id).is_ok());
        if finished {
            self.ledger.entry(id, side).finished = true;
            self.counts.finished += 1;
            if let Some(known) = self.streams.get_mut(&id) {
                known.finished[side as usize] = true;
            }
            self.close_if_done(side, id);
        }
    }

    /// Gives a stream back that `side` finished, and of which it read everything.
    fn close_if_done(&mut self, side: Side, id: StreamId) {
        let at = side as usize;
        let (Some(session), Some(known)) = (self.carriers.session(side), self.streams.get_mut(&id))
        else {
            return;
        };
        if !session.is_read_finished(id) {
            return;
        }
        let theirs = self.ledger.entry(id, side.peer());
        assert!(
            theirs.finished && theirs.taken == theirs.written,
            "{id} ended early for {side:?}: {theirs:?}"
        );
        if known.finished[at] && !known.released[at] {
            session.release(id);
            known.released[at] = true;
            self.counts.released += 1;
            self.forget_if_gone(id);
        }
    }

    fn reset(&mut self, side: Side, id: StreamId) {
        let Some(session) = self.carriers.session(side) else {
            return;
        };
        session.reset(id, Code::CANCELLED);
        self.ledger.reset(id);
        if let Some(known) = self.streams.get_mut(&id) {
            known.reset = true;
            known.released[side as usize] = true;
            if !known.heard[side.peer() as usize] {
                // It may never hear of it, or of its end in the same breath.
                known.released[side.peer() as usize] = true;
            }
        }
        self.forget_if_gone(id);
    }

    fn forget_if_gone(&mut self, id: StreamId) {
        if self
            .streams
            .get(&id)
            .is_some_and(|it| it.released == [true; 2])
        {
            self.streams.remove(&id);
        }
    }

    /// What no application should do.
    fn nonsense(&mut self, side: Side, pick: usize) {
        let now = self.carriers.now;
        let gone = self.ledger.iter().map(|(id, ..)| id).nth(pick);
        let gone = gone.filter(|id| !self.streams.contains_key(id));
        let Some(session) = self.carriers.session(side) else {
            return;
        };
        session.handle_timeout(now);
        session.handle_alive(now);
        session.ping(now);
        assert!(session.poll_transmit(now, 0).is_none());
        if let Some(id) = gone {
            session.consume(now, id, 1);
            session.release(id);
            session.reset(id, Code::CANCELLED);
            assert_eq!(session.write_space(id), 0);
            assert!(session.finish(id).is_err() && !session.is_read_finished(id));
        }
        if let Some(id) = self.pick(side, pick, |_, _| true)
            && let Some(session) = self.carriers.session(side)
        {
            session.consume(now, id, 0);
            assert_eq!(session.write(id, &mut bytes::Bytes::new()).unwrap_or(0), 0);
        }
    }

    fn cut(&mut self, way: u8, down: u16, up: u16) {
        if self.carriers.is_cut() {
            return;
        }
        let (all_down, all_up) = self.carriers.under_way();
        let part = |all: usize, part: u16| (all * usize::from(part)) >> 16;
        self.counts.cuts += 1;
        self.carriers.cut(match way {
            0 => Cut::Reset,
            1 => Cut::After {
                down: part(all_down, down),
                up: part(all_up, up),
            },
            2 => Cut::Silence,
            3 => Cut::UpStalls,
            _ => Cut::DownStalls,
        });
    }

    /// Takes what the sessions tell: resets and goodbyes, and never an end.
    fn hear(&mut self) {
        for side in [Side::Client, Side::Server] {
            for event in self.carriers.take_events(side) {
                match event {
                    Event::Opened { id, .. } => {
                        let reset = self.ledger.entry(id, side).reset;
                        let known = self.streams.entry(id).or_insert_with(|| {
                            let mut known = Known::opened_by(side.peer());
                            known.released[side.peer() as usize] = true;
                            known.reset = true;
                            known
                        });
                        assert_eq!(known.reset, reset, "{id} came out of nowhere");
                        known.heard[side as usize] = true;
                    }
                    Event::Reset { id, code } => {
                        let reset = self.ledger.entry(id, side).reset;
                        // The other side may still hold one that was reset: then there is no room for this one.
                        let refused = code == Code::STREAM_LIMIT;
                        assert!(reset || refused, "{id} was reset by nobody: {code}");
                        self.reset(side, id);
                    }
                    Event::Readable(id) => self.close_if_done(side, id),
                    Event::GoAway { .. } => {
                        let at = side.peer() as usize;
                        assert!(self.leaving[at] && !self.told_leaving[at]);
                        self.told_leaving[at] = true;
                    }
                    Event::Closed(error) => panic!("{side:?}'s session ended: {error}"),
                    _ => {}
                }
            }
        }
    }

    /// The limits hold at every moment.
    fn check(&mut self) {
        let (bound, replay) = (self.config.memory_bound(), self.config.replay);
        for side in [Side::Client, Side::Server] {
            if let Some(session) = self.carriers.session(side) {
                let memory = session.memory() as u64;
                assert!(
                    memory <= bound,
                    "{side:?} holds {memory} of at most {bound}"
                );
                let (sent, acked, _) = session.positions();
                let kept = sent - acked;
                assert!(kept <= replay, "{side:?} keeps {kept} of at most {replay}");
            }
        }
    }

    /// Nothing is cut any more: everything that was written arrives, every stream ends, and nothing is held for those that are gone.
    fn peace(&mut self) {
        // A carrier that is broken in silence is noticed in its time.
        let end = self.carriers.now + PEACE;
        let mut steps = 0;
        loop {
            self.carriers.settle();
            self.hear();
            for id in self.streams.keys().copied().collect::<Vec<_>>() {
                for side in [Side::Client, Side::Server] {
                    self.finish(side, id);
                    self.read(side, id, usize::MAX);
                }
            }
            self.check();
            let unread = self
                .ledger
                .iter()
                .find(|(_, _, it)| !it.reset && it.taken < it.written);
            let left = [Side::Client, Side::Server]
                .map(|side| self.carriers.session(side).map_or(0, |it| it.streams()));
            if unread.is_none()
                && left == [0, 0]
                && self.streams.is_empty()
                && self.leaving == self.told_leaving
                && self.carriers.is_attached()
            {
                break;
            }
            steps += 1;
            assert!(
                self.carriers.now < end && steps < PEACE_STEPS,
                "a stall: unread {unread:?}, streams {left:?}, of which known {:?}; failures {:?}",
                self.streams,
                self.carriers.failures
            );
            self.carriers.advance(Duration::from_secs(1));
        }
        for side in [Side::Client, Side::Server] {
            let resumes = self
                .carriers
                .session(side)
                .map_or(0, |it| it.stats().resumes);
            self.counts.resumes += resumes;
        }
    }
}

/// What a panic said.
#[must_use]
pub fn told(cause: &(dyn std::any::Any + Send)) -> String {
    let text = cause.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| cause.downcast_ref::<String>().cloned())
        .unwrap_or_default()
}
