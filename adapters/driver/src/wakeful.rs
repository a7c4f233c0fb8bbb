//! Whether a machine that has nothing to do lets its thread sleep.
//!
//! To fall asleep and be woken takes a thread several times as long as a turn, most of all on a virtual machine, and answers of what is near often come within
//! that time. So a machine that just had something to do looks a few more times whether something came. Where that would have been enough, its thread looks
//! longer the next time; after a longer wait, and after bulk, whose bytes come in batches that are worth a sleep, it looks as briefly as it can. What looking
//! costs so stays near what sleeping would cost.
//!
//! Once any machine of the thread has something to do, the thread does not sleep anyway, and the others stop looking.
//!
//! Before each look the thread gives way to others, among which may be those that it waits for. But where the cores are busy with others' work, Linux lets a
//! thread that yields wait for whole slices, milliseconds each: a thread that has seen that yields no more for a while, and looks briefly.

use std::cell::Cell;
use std::thread;
use std::time::Duration;

use adit_core::Instant;

use crate::clock::Clock;

/// How often a machine looks: each time takes some 2 microseconds, if nobody else wants the core.
const LOOKS: u32 = 2;

/// How often at most, where that pays.
const LOOKS_MAX: u32 = 64;

/// Looking for longer pays where a wait was shorter than that.
const NEAR: Duration = Duration::from_micros(100);

/// A turn that moved more bytes was one of bulk.
const BULK_BYTES: usize = 16 * 1024;

/// The cores are busy if a yield takes longer.
const SLOW: Duration = Duration::from_micros(500);

/// For how long a thread then does not yield: one slow yield a second is lost among the other waits of a busy machine.
const BUSY_FOR: Duration = Duration::from_secs(1);

thread_local! {
    static THREAD: Cell<Thread> = const { Cell::new(Thread::new()) };
}

/// What all machines of one thread have in common.
#[derive(Clone, Copy)]
struct Thread {
    /// Turns with something to do.
    turns: u64,
    /// When the last of them ended.
    ended: Instant,
    /// How often is looked after the next of them.
    looks: u32,
    busy_until: Instant,
}

impl Thread {
    const fn new() -> Self {
        Self {
            turns: 0,
            ended: Instant::ORIGIN,
            looks: LOOKS,
            busy_until: Instant::ORIGIN,
        }
    }

    fn begin(&mut self, now: Instant) {
        self.turns = self.turns.wrapping_add(1);
        self.looks = if now - self.ended <= NEAR && !self.is_busy(now) {
            self.looks.saturating_mul(2).min(LOOKS_MAX)
        } else {
            LOOKS
        };
    }

    fn end(&mut self, now: Instant, moved: usize) {
        self.ended = now;
        if moved > BULK_BYTES {
            self.looks = LOOKS;
        }
    }

    fn is_busy(&self, now: Instant) -> bool {
        now < self.busy_until
    }

    fn yielded(&mut self, begin: Instant, end: Instant) {
        if end - begin > SLOW {
            self.busy_until = end + BUSY_FOR;
            self.looks = LOOKS;
        }
    }
}

/// How far one machine is with that.
pub(crate) struct Wakeful {
    /// Its runtime looks at sockets between two turns. Where it does so only now and then, a longer look would only take longer.
    sees: bool,
    left: u32,
    /// The thread's turns when this machine last had something to do.
    turn: u64,
}

impl Wakeful {
    /// `sees`: what [`Runtime::looks_between_turns`](crate::Runtime::looks_between_turns) says.
    pub(crate) const fn new(sees: bool) -> Self {
        Self {
            sees,
            left: 0,
            turn: 0,
        }
    }

    /// The machine has something to do.
    pub(crate) fn begin(&mut self, now: Instant) {
        let mut thread = THREAD.get();
        thread.begin(now);
        self.turn = thread.turns;
        THREAD.set(thread);
    }

    /// It has done that, and read and wrote so many bytes.
    pub(crate) fn end(&mut self, now: Instant, moved: usize) {
        let mut thread = THREAD.get();
        thread.end(now, moved);
        self.left = if self.sees { thread.looks } else { LOOKS };
        THREAD.set(thread);
    }

    /// Whether the machine should look again before its thread sleeps.
    pub(crate) fn looks_again(&self) -> bool {
        self.left > 0 && self.turn == THREAD.get().turns
    }

    /// Looked, and nothing had come.
    pub(crate) fn looked(&mut self, clock: &Clock) {
        self.left = self.left.saturating_sub(1);
        let mut thread = THREAD.get();
        let begin = clock.now();
        if !thread.is_busy(begin) {
            thread::yield_now();
            thread.yielded(begin, clock.now());
            self.left = self.left.min(thread.looks);
            THREAD.set(thread);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A turn that begins so long after the last one, and takes no time. How often is looked then.
    fn turn(thread: &mut Thread, wait: Duration, moved: usize) -> u32 {
        let now = thread.ended + wait;
        thread.begin(now);
        thread.end(now, moved);
        thread.looks
    }

    #[test]
    fn a_thread_looks_longer_where_that_pays_and_briefly_where_it_does_not() {
        let mut thread = Thread::new();
        let mut looks = LOOKS;
        while looks < LOOKS_MAX {
            let more = turn(&mut thread, NEAR, BULK_BYTES);
            assert!(more > looks);
            looks = more;
        }
        assert_eq!(turn(&mut thread, NEAR, BULK_BYTES), LOOKS_MAX);
        let far = NEAR + Duration::from_micros(1);
        assert_eq!(turn(&mut thread, far, 1), LOOKS);

        assert!(turn(&mut thread, NEAR, 1) > LOOKS);
        assert_eq!(turn(&mut thread, NEAR, BULK_BYTES + 1), LOOKS);
    }

    #[test]
    fn a_thread_that_came_back_late_yields_no_more_for_a_while_and_looks_briefly() {
        let mut thread = Thread::new();
        turn(&mut thread, NEAR, 1);
        let longer = thread.looks;
        let begin = thread.ended;
        thread.yielded(begin, begin + SLOW);
        assert!(!thread.is_busy(begin + SLOW), "that was soon enough");
        assert_eq!(thread.looks, longer);

        let late = begin + SLOW + Duration::from_micros(1);
        thread.yielded(begin, late);
        assert!(thread.is_busy(late));
        assert_eq!(turn(&mut thread, NEAR, 1), LOOKS);
        assert!(thread.is_busy(late + (BUSY_FOR - Duration::from_micros(1))));
        assert!(!thread.is_busy(late + BUSY_FOR));
    }

    #[test]
    fn a_machine_looks_only_so_often() {
        let clock = Clock::start();
        let mut wakeful = Wakeful::new(true);
        assert!(!wakeful.looks_again(), "it had nothing to do yet");
        wakeful.begin(clock.now());
        wakeful.end(clock.now(), 1);
        let mut looks = 0;
        while wakeful.looks_again() {
            wakeful.looked(&clock);
            looks += 1;
        }
        assert!((LOOKS..=LOOKS_MAX).contains(&looks), "{looks}");
    }

    #[test]
    fn a_machine_looks_briefly_if_its_runtime_does_not_look_at_each_turn() {
        let mut wakeful = Wakeful::new(false);
        for _ in 0..10 {
            wakeful.begin(Instant::ORIGIN);
            wakeful.end(Instant::ORIGIN, 1);
        }
        assert_eq!(THREAD.get().looks, LOOKS_MAX);
        assert_eq!(wakeful.left, LOOKS);
    }

    #[test]
    fn nobody_looks_while_another_machine_of_the_thread_works() {
        let (mut one, mut other) = (Wakeful::new(true), Wakeful::new(true));
        for machine in [&mut one, &mut other] {
            machine.begin(Instant::ORIGIN);
            machine.end(Instant::ORIGIN, 1);
        }
        assert!(!one.looks_again());
        assert!(other.looks_again());
        let elsewhere = thread::spawn(|| Wakeful::new(true).begin(Instant::ORIGIN));
        elsewhere.join().expect("it ends");
        assert!(other.looks_again(), "another thread's do not count");
    }
}
