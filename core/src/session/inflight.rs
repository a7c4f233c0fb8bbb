//! How much may be on its way without being acknowledged: about delivery rate times round trip (spec/06-positions.md, section 6.6).
//!
//! Credit bounds memory, and a carrier takes what its buffers hold; both are far more than most paths need. What is sent beyond that need waits in a queue on the
//! path, in front of whatever is sent next. So the sender measures what is delivered and how quickly, in the manner of BBR: it keeps a little more than that
//! on its way, now and then more for a round, to find out whether the path carries it, and then less, so that the queue runs empty and the round trip is
//! seen as it is.

use alloc::collections::VecDeque;
use core::time::Duration;

use super::positions::{EARLY_MIN, EARLY_PER_TRIP};
use crate::time::Instant;

/// Units that may be under way whatever was measured: three frames, so that there is always one on the path while one is acknowledged.
const LEAST: u64 = 48 * 1024;

/// Units that may be under way before anything was measured.
const FIRST: u64 = 256 * 1024;

/// Round trips are taken as at least this: on shorter ones the machines at both ends take longer to come to their turn than the path does to carry.
const SHORTEST: Duration = Duration::from_millis(2);

/// Round trips are taken as at most this.
const LONGEST: Duration = Duration::from_secs(10);

/// How much is kept under way in a round, in percent of what was measured: one round asks for more, one lets the queue run empty, the others keep what is needed.
const GAINS: [u64; 8] = [120, DRAINING, 100, 100, 100, 100, 100, 100];

/// In the round in which the queue runs empty, what acknowledgements wait for counts as well.
const DRAINING: u64 = 90;

/// The same while the rate still doubles.
const STARTING: u64 = 300;

/// Rounds without a quarter more, after which the rate is no longer expected to double.
const PLATEAU: u32 = 3;

/// A rate that is less than this part of what was thought to be possible, behind a queue, may be that of a path that has become slower; and so many looks in a row
/// tell it from a path on which nothing moved for a moment.
const FALL: u64 = 4;
const FALLEN: u32 = 2;

/// Time between two looks, at least: in shorter ones a machine that was busy elsewhere would pass for a slow path. And in round trips.
const LOOK: Duration = Duration::from_millis(200);
const LOOK_TRIPS: u32 = 8;

/// Rounds for which a measurement counts.
const MEMORY: usize = 10;

/// Points of the way on which a round trip is measured at one time, at most.
const MARKS: usize = 32;

/// What goes out of turn although as much is under way as should be: a stream that sends little does not wait for those that send much.
pub(crate) const OUT_OF_TURN: u64 = 64 * 1024;

#[derive(Debug)]
pub(crate) struct Inflight {
    /// Position up to which the present carrier has taken units, and up to which they were acknowledged.
    carried: u64,
    acked: u64,
    limit: u64,
    /// Units per second, and the round trip, in each of the last rounds.
    rates: VecDeque<u64>,
    trips: VecDeque<Duration>,
    /// Positions, and when each was reached.
    marks: VecDeque<(u64, Instant)>,
    round: Round,
    /// Which of [`GAINS`] the present round has, once the rate has stopped doubling.
    turn: usize,
    startup: Option<Startup>,
    look: Look,
    /// Looks in a row that saw a path that is slower by far than before.
    fallen: u32,
}

/// From one acknowledgement to that of what was sent since.
#[derive(Debug)]
struct Round {
    began: Instant,
    acked: u64,
    /// It ends when this position is acknowledged.
    until: u64,
    /// There was nothing to send for a while, so the rate is the application's and not the path's.
    idle: bool,
    /// There would have been more, if the peer had granted more credit.
    pressed: bool,
    trip: Option<Duration>,
}

/// What was seen since the last look at whether the path has become slower: a round takes as long as the queue is, and may be too long to wait for.
#[derive(Debug)]
struct Look {
    began: Instant,
    acked: u64,
    idle: bool,
    trip: Option<Duration>,
}

#[derive(Debug)]
struct Startup {
    best: u64,
    /// The shortest round trip so far.
    trip: Duration,
    stalled: u32,
}

impl Inflight {
    /// A new carrier, on which the unit at `position` is the next one.
    pub(crate) const fn new(now: Instant, position: u64) -> Self {
        Self {
            carried: position,
            acked: position,
            limit: FIRST,
            rates: VecDeque::new(),
            trips: VecDeque::new(),
            marks: VecDeque::new(),
            round: Round {
                began: now,
                acked: position,
                until: position,
                idle: true,
                pressed: false,
                trip: None,
            },
            turn: 0,
            startup: Some(Startup {
                best: 0,
                trip: LONGEST,
                stalled: 0,
            }),
            look: Look {
                began: now,
                acked: position,
                idle: true,
                trip: None,
            },
            fallen: 0,
        }
    }

    /// The carrier took `units`, for the first time or again.
    pub(crate) fn sent(&mut self, now: Instant, units: u64) {
        if self.under_way() == 0 {
            self.begin_round(now);
            self.round.until = self.carried + units;
        }
        self.carried += units;
        let spacing = (self.limit / MARKS as u64).max(LEAST / 3);
        let due = self
            .marks
            .back()
            .is_none_or(|(at, _)| self.carried >= at + spacing);
        if due && self.marks.len() < MARKS {
            self.marks.push_back((self.carried, now));
        }
    }

    /// Everything before `position` was acknowledged.
    pub(crate) fn acknowledged(&mut self, now: Instant, position: u64) {
        self.acked = position;
        while let Some((at, sent)) = self.marks.front()
            && *at <= position
        {
            let trip = now - *sent;
            for least in [&mut self.round.trip, &mut self.look.trip] {
                *least = Some(least.map_or(trip, |least| least.min(trip)));
            }
            self.marks.pop_front();
        }
        let long_enough = now >= self.round.began + SHORTEST;
        if position >= self.round.until && long_enough {
            self.end_round(now);
            self.begin_round(now);
        }
        if now >= self.look.began + LOOK {
            self.look(now);
        }
    }

    /// Forgets the rate of a path that has become slower by far. Until it were forgotten in its turn, the queue would stand for ten times what it takes to get
    /// through it.
    fn look(&mut self, now: Instant) {
        let (Some(trip), Some(least)) = (self.look.trip, self.trips.iter().min().copied()) else {
            return;
        };
        let took = now - self.look.began;
        if took < least * LOOK_TRIPS {
            return;
        }
        let delivered = self.acked - self.look.acked;
        let rate = delivered.saturating_mul(1_000_000) / micros(took).max(1);
        let slower = !self.look.idle && queues(trip, least) && rate < self.rate() / FALL;
        self.fallen = if slower { self.fallen + 1 } else { 0 };
        self.look = Look {
            began: now,
            acked: self.acked,
            idle: false,
            trip: None,
        };
        if self.fallen == FALLEN {
            self.fallen = 0;
            self.rates.clear();
            remember(&mut self.rates, rate);
            self.startup = None;
            self.turn = 1;
            self.begin_round(now);
            self.set_limit(least);
        }
    }

    /// There was room, and nothing to send. That tells nothing of the path, unless it was the peer's credit that ran out: it grows with what the path
    /// delivers.
    pub(crate) const fn idle(&mut self) {
        self.round.idle = !self.round.pressed;
        self.look.idle |= self.round.idle;
    }

    /// Credit ran out: more would have been sent.
    pub(crate) const fn pressed(&mut self) {
        self.round.pressed = true;
        self.round.idle = false;
    }

    /// Units that are on their way.
    pub(crate) const fn under_way(&self) -> u64 {
        self.carried.saturating_sub(self.acked)
    }

    /// Whether another frame may go out; `more` units beyond what should be under way do not matter.
    pub(crate) fn has_room(&self, more: u64) -> bool {
        self.under_way() < self.limit + more
    }

    fn begin_round(&mut self, now: Instant) {
        self.round = Round {
            began: now,
            acked: self.acked,
            until: self.carried,
            idle: false,
            pressed: false,
            trip: None,
        };
    }

    fn end_round(&mut self, now: Instant) {
        let Some(trip) = self.round.trip else {
            return;
        };
        let delivered = self.acked - self.round.acked;
        // An exchange of little: its acknowledgement may have waited for company. Who has more to send keeps all of the limit but a frame under way; if that told
        // nothing, a limit that is at its least could never grow again.
        let little = match self.round.idle {
            true => LEAST,
            false => LEAST.min(self.limit * 2 / 3),
        };
        if delivered < little {
            return;
        }
        let took = micros(now - self.round.began).max(1);
        let rate = delivered.saturating_mul(1_000_000) / took;
        let least = self.trips.iter().min().copied().unwrap_or(trip);
        let queues = queues(trip, least);
        // What an application does not send tells nothing about the path, unless what it does send is more than was thought to be possible.
        let idle = self.round.idle;
        if !idle || rate > self.rate() {
            remember(&mut self.rates, rate);
            remember(&mut self.trips, trip);
        }
        let least = least.min(trip);
        self.turn = (self.turn + 1) % GAINS.len();
        if let Some(startup) = &mut self.startup
            && (startup.is_over(rate, trip, &self.round) || queues)
        {
            self.startup = None;
            // What was sent in excess drains first.
            self.turn = 1;
        }
        self.set_limit(least);
    }

    /// What is kept under way from now on; `least` is the shortest round trip that was seen.
    fn set_limit(&mut self, least: Duration) {
        let (gain, floor) = match self.startup {
            Some(_) => (STARTING, FIRST),
            None => (GAINS[self.turn], LEAST),
        };
        let trip = micros(least.clamp(SHORTEST, LONGEST));
        let needed = self.rate().saturating_mul(trip) / 1_000_000;
        // An acknowledgement waits for as much as the receiver lets come together (section 6.2).
        let early = (trip / u64::from(EARLY_PER_TRIP)).max(micros(EARLY_MIN));
        let unstated = self.rate().saturating_mul(early) / 1_000_000;
        let unstated = unstated.clamp(LEAST / 3, FIRST);
        let unstated = if gain == DRAINING { 0 } else { unstated };
        self.limit = (needed.saturating_mul(gain) / 100 + unstated).max(floor);
    }

    /// Units delivered per second, as far as was seen.
    pub(crate) fn rate(&self) -> u64 {
        self.rates.iter().max().copied().unwrap_or(0)
    }
}

impl Startup {
    /// Whether the rate, now `rate`, has stopped to double.
    fn is_over(&mut self, rate: u64, trip: Duration, round: &Round) -> bool {
        self.trip = self.trip.min(trip);
        // Credit that ran out says nothing of the path, unless what it allowed was too much already.
        let held_up = round.pressed && trip <= self.trip + self.trip / 4 + SHORTEST;
        if rate >= self.best.saturating_add(self.best / 4) {
            self.best = rate;
            self.stalled = 0;
        } else if !round.idle && !held_up {
            self.stalled += 1;
        }
        self.stalled >= PLATEAU
    }
}

/// Whether the round trip `trip` is that of a queue, on a path where it was `least`.
fn queues(trip: Duration, least: Duration) -> bool {
    trip > least * 2 + SHORTEST
}

fn remember<T>(of: &mut VecDeque<T>, what: T) {
    if of.len() == MEMORY {
        of.pop_front();
    }
    of.push_back(what);
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
