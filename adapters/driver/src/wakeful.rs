//! Whether a machine that has nothing to do lets its thread sleep.
//!
//! To fall asleep and be woken takes a thread several times as long as a turn, most of all on a virtual machine, and answers of what is near often come within
//! that time. So a machine that just had something to do looks a few more times whether something came: twice, and twice as often after each wait that was short,
//! for no longer than it would cost to sleep a few times. After a longer wait, after a look as long as that which was in vain, and after bulk, whose bytes come in
//! batches that are worth a sleep, it begins with two again; after much of it, it does not look.
//!
//! Once any machine of the thread has something to do, the thread does not sleep anyway, and the others stop looking.
//!
//! Before each look the thread gives way to others, among which may be those that it waits for. But where the cores are busy with others' work, Linux lets a
//! thread that yields wait for whole slices, milliseconds each: a thread that has seen that yields no more for a while, and looks briefly.

use std::cell::Cell;
use std::thread;
use std::time::{Duration, Instant};

/// How often a machine looks at least, each time for some 2 microseconds, if nobody else wants the core.
const LOOKS: u32 = 2;

/// How often where the runtime looks at sockets only now and then: for what other threads see meanwhile, and to have more to do at once.
const LOOKS_BLIND: u32 = 8;

/// A wait that was no longer is worth looking for.
const NEAR: Duration = Duration::from_micros(100);

/// For how long a machine looks at most, without the time in which others had the core: what it costs to sleep a few times.
const WORTH: Duration = Duration::from_micros(50);

/// And with the time in which others had it: timers wait meanwhile.
const LONG: Duration = Duration::from_millis(1);

/// A turn that read and wrote more bytes was one of bulk.
const BULK_BYTES: usize = 16 * 1024;

/// After a turn that read and wrote more nobody looks: more of it comes together while the thread sleeps.
const MUCH_BYTES: usize = 64 * 1024;

/// The cores are busy if a yield takes longer. Who is just woken and has little to do takes less, who wants all of a core takes a slice.
const SLOW: Duration = Duration::from_micros(500);

/// For how long a thread then does not yield: one slow yield a second is lost among the other waits of a busy machine.
const BUSY_FOR: Duration = Duration::from_secs(1);

thread_local! {
    static THREAD: Cell<Thread> = const { Cell::new(Thread::new()) };
}

/// What all machines of one thread have in common. Their own clocks may differ, so the time is the system's.
#[derive(Clone, Copy)]
struct Thread {
    /// Turns with something to do.
    turns: u64,
    /// When the last of them ended.
    ended: Option<Instant>,
    /// How often is looked after it.
    looks: u32,
    /// When it ended, or the thread last came back from a yield.
    since: Option<Instant>,
    /// What was spent on looks after it.
    spent: Duration,
    /// That was as much as it is worth, and nothing came.
    vain: bool,
    busy_until: Option<Instant>,
}

impl Thread {
    const fn new() -> Self {
        Self {
            turns: 0,
            ended: None,
            looks: LOOKS,
            since: None,
            spent: Duration::ZERO,
            vain: false,
            busy_until: None,
        }
    }

    /// How long nobody has had anything to do.
    fn waits(&self, now: Instant) -> Duration {
        self.ended.map_or(Duration::MAX, |ended| now - ended)
    }

    /// A turn begins, after a wait if `waited`.
    fn begin(&mut self, now: Instant, waited: bool) {
        self.turns = self.turns.wrapping_add(1);
        if self.waits(now) > NEAR || self.is_busy(now) || self.vain {
            self.looks = LOOKS;
        } else if waited {
            self.looks = self.looks.saturating_mul(2);
        }
    }

    fn end(&mut self, now: Instant, moved: usize) {
        self.ended = Some(now);
        self.since = Some(now);
        self.spent = Duration::ZERO;
        self.vain = false;
        if moved > BULK_BYTES {
            self.looks = LOOKS;
        }
    }

    fn is_busy(&self, now: Instant) -> bool {
        self.busy_until.is_some_and(|until| now < until)
    }

    /// Looked until now. Whether that was as long as it is worth.
    fn looked(&mut self, now: Instant) -> bool {
        self.spent += self.since.map_or(Duration::ZERO, |since| now - since);
        self.since = Some(now);
        self.vain = self.spent > WORTH || self.waits(now) > LONG;
        self.vain
    }

    fn yielded(&mut self, begin: Instant, end: Instant) {
        self.since = Some(end);
        if end - begin > SLOW {
            self.busy_until = Some(end + BUSY_FOR);
        }
    }
}

/// How far one machine is with that.
pub(crate) struct Wakeful {
    /// Its runtime looks at sockets between two turns.
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

    /// The machine has something to do, for which it `waited`: it was not left over from its last turn.
    pub(crate) fn begin(&mut self, waited: bool) {
        self.begin_at(Instant::now(), waited);
    }

    fn begin_at(&mut self, now: Instant, waited: bool) {
        let mut thread = THREAD.get();
        thread.begin(now, waited);
        self.turn = thread.turns;
        THREAD.set(thread);
    }

    /// It has done that, and read and wrote so many bytes.
    pub(crate) fn end(&mut self, moved: usize) {
        self.end_at(Instant::now(), moved);
    }

    fn end_at(&mut self, now: Instant, moved: usize) {
        let mut thread = THREAD.get();
        thread.end(now, moved);
        self.left = if !self.sees {
            LOOKS_BLIND
        } else if moved > MUCH_BYTES {
            0
        } else {
            thread.looks
        };
        THREAD.set(thread);
    }

    /// Whether the machine should look again before its thread sleeps.
    pub(crate) fn looks_again(&self) -> bool {
        self.left > 0 && self.turn == THREAD.get().turns
    }

    /// Looked, and nothing had come.
    pub(crate) fn looked(&mut self) {
        self.looked_at(Instant::now(), || {
            thread::yield_now();
            Instant::now()
        });
    }

    /// `give_way` tells when the thread came back.
    fn looked_at(&mut self, now: Instant, give_way: impl FnOnce() -> Instant) {
        let mut thread = THREAD.get();
        self.left = self.left.saturating_sub(1);
        if thread.looked(now) {
            self.left = 0;
        } else if self.left > 0 && self.sees && !thread.is_busy(now) {
            thread.yielded(now, give_way());
        }
        THREAD.set(thread);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NANO: Duration = Duration::from_nanos(1);
    const FAR: Duration = NEAR.saturating_add(NANO);

    /// Makes a turn of no length after a wait, which moves so many bytes. How often is looked then.
    fn turn(machine: &mut Wakeful, now: &mut Instant, wait: Duration, moved: usize) -> u32 {
        *now += wait;
        machine.begin_at(*now, true);
        machine.end_at(*now, moved);
        machine.left
    }

    #[test]
    fn a_machine_looks_more_often_where_waits_are_short_and_twice_where_they_are_not() {
        let (mut machine, mut now) = (Wakeful::new(true), Instant::now());
        assert!(!machine.looks_again(), "it had nothing to do yet");
        assert_eq!(turn(&mut machine, &mut now, NEAR, 1), 2);
        for looks in [4, 8, 16, 32, 64, 128] {
            assert_eq!(turn(&mut machine, &mut now, NEAR, BULK_BYTES), looks);
        }
        assert_eq!(turn(&mut machine, &mut now, FAR, 1), 2);
        assert_eq!(turn(&mut machine, &mut now, NEAR, 1), 4);
        assert_eq!(turn(&mut machine, &mut now, NEAR, BULK_BYTES + 1), 2);
        assert_eq!(turn(&mut machine, &mut now, NEAR, MUCH_BYTES + 1), 0);
    }

    #[test]
    fn what_was_left_over_from_a_turn_is_no_wait() {
        let (mut machine, mut now) = (Wakeful::new(true), Instant::now());
        turn(&mut machine, &mut now, NEAR, 1);
        for _ in 0..10 {
            machine.begin_at(now, false);
            machine.end_at(now, 1);
        }
        assert_eq!(machine.left, LOOKS);
    }

    #[test]
    fn a_machine_looks_so_often_and_gives_way_before_each_further_look() {
        let (mut machine, mut now) = (Wakeful::new(true), Instant::now());
        turn(&mut machine, &mut now, FAR, 1);
        turn(&mut machine, &mut now, NEAR, 1);
        let (mut looks, mut yields) = (0, 0);
        while machine.looks_again() {
            looks += 1;
            machine.looked_at(now, || {
                yields += 1;
                now
            });
        }
        assert_eq!((looks, yields), (4, 3));
    }

    #[test]
    fn a_machine_looks_no_longer_than_it_is_worth_and_then_briefly() {
        let (mut machine, mut now) = (Wakeful::new(true), Instant::now());
        turn(&mut machine, &mut now, FAR, 1);
        for _ in 0..3 {
            turn(&mut machine, &mut now, NEAR, 1);
        }
        // What others do meanwhile costs nobody anything.
        let back = now + WORTH / 2 + NEAR;
        machine.looked_at(now + WORTH / 2, || back);
        machine.looked_at(back + WORTH / 2, || back + WORTH / 2);
        assert!(machine.looks_again());
        machine.looked_at(back + WORTH / 2 + NANO, || unreachable!("it sleeps"));
        assert!(!machine.looks_again());
        assert_eq!(turn(&mut machine, &mut now, NEAR, 1), 2, "that was in vain");
        assert_eq!(turn(&mut machine, &mut now, NEAR, 1), 4);
    }

    #[test]
    fn a_thread_that_came_back_late_yields_no_more_for_a_while_and_looks_briefly() {
        let (mut machine, mut now) = (Wakeful::new(true), Instant::now());
        turn(&mut machine, &mut now, FAR, 1);
        machine.looked_at(now, || now + SLOW);
        assert_eq!(turn(&mut machine, &mut now, NEAR, 1), 4, "soon enough");
        let late = now + SLOW + NANO;
        machine.looked_at(now, || late);
        assert_eq!(turn(&mut machine, &mut now, NEAR, 1), 2);
        machine.looked_at(now, || unreachable!("it does not yield"));
        assert_eq!(machine.left, 1, "it looks all the same");

        let again = late + BUSY_FOR;
        now = again - FAR - NANO;
        assert_eq!(turn(&mut machine, &mut now, NEAR, 1), 2);
        assert_eq!(turn(&mut machine, &mut now, NEAR, 1), 4);
    }

    #[test]
    fn a_machine_looks_briefly_and_does_not_yield_if_its_runtime_does_not_look_at_each_turn() {
        let (mut machine, mut now) = (Wakeful::new(false), Instant::now());
        for _ in 0..10 {
            turn(&mut machine, &mut now, NEAR, 1);
        }
        assert_eq!(machine.left, LOOKS_BLIND);
        machine.looked_at(now, || {
            unreachable!("other tasks of the thread may want it")
        });
    }

    #[test]
    fn nobody_looks_while_another_machine_of_the_thread_works() {
        let (mut one, mut other) = (Wakeful::new(true), Wakeful::new(true));
        let mut now = Instant::now();
        turn(&mut one, &mut now, NEAR, 1);
        turn(&mut other, &mut now, NEAR, 1);
        assert!(!one.looks_again());
        assert!(other.looks_again());
        let elsewhere = thread::spawn(|| Wakeful::new(true).begin(true));
        elsewhere.join().expect("it ends");
        assert!(other.looks_again(), "another thread's do not count");
    }

    #[test]
    fn threads_sleep_in_the_end() {
        let (mut machine, mut now) = (Wakeful::new(true), Instant::now());
        turn(&mut machine, &mut now, NEAR, 1);
        while machine.looks_again() {
            machine.looked();
        }
    }
}
