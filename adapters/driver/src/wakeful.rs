//! Whether a machine that has nothing to do lets its thread sleep.
//!
//! To fall asleep and be woken takes a thread several times as long as a turn, and answers of what is near often come within that time. So a machine that just
//! had something to do looks a few times more whether something came. Once any machine of its thread has something to do, the thread does not sleep anyway, and
//! the others stop looking.
//!
//! Nobody gives way to other threads meanwhile: where the cores are busy, Linux lets a thread that yields wait for whole slices, milliseconds for each look.

use std::cell::Cell;

/// How often a machine looks: some 10 microseconds after each time that it had something to do.
const LOOKS: u32 = 8;

thread_local! {
    /// Turns with something to do, of all machines on this thread.
    static TURNS: Cell<u64> = const { Cell::new(0) };
}

/// How far one machine is with that.
#[derive(Default)]
pub(crate) struct Wakeful {
    left: u32,
    /// The thread's turns when this machine last had something to do.
    turn: u64,
}

impl Wakeful {
    /// The machine has something to do.
    pub(crate) fn begin(&mut self) {
        self.turn = TURNS.get().wrapping_add(1);
        TURNS.set(self.turn);
        self.left = LOOKS;
    }

    /// Whether the machine should look again before its thread sleeps.
    pub(crate) fn looks_again(&self) -> bool {
        self.left > 0 && self.turn == TURNS.get()
    }

    /// Looked once more, and nothing had come.
    pub(crate) fn looked(&mut self) {
        self.left = self.left.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_machine_looks_only_so_often() {
        let mut wakeful = Wakeful::default();
        assert!(!wakeful.looks_again(), "it had nothing to do yet");
        wakeful.begin();
        let mut looks = 0;
        while wakeful.looks_again() {
            wakeful.looked();
            looks += 1;
        }
        assert_eq!(looks, LOOKS);
    }

    #[test]
    fn nobody_looks_while_another_machine_of_the_thread_works() {
        let (mut one, mut other) = (Wakeful::default(), Wakeful::default());
        one.begin();
        other.begin();
        assert!(!one.looks_again());
        assert!(other.looks_again());
        let elsewhere = thread::spawn(|| Wakeful::default().begin());
        elsewhere.join().expect("it ends");
        assert!(other.looks_again(), "another thread's do not count");
    }
}
