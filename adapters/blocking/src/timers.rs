//! The timers of one thread.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::event_loop;

/// Wakers by the time at which they are due; the number tells those of one time apart.
#[derive(Default)]
pub(crate) struct Timers {
    waiting: BTreeMap<(Instant, u64), Waker>,
    numbered: u64,
}

impl Timers {
    /// How long until the next one is due.
    pub(crate) fn next(&self) -> Option<Duration> {
        let ((at, _), _) = self.waiting.first_key_value()?;
        Some(at.saturating_duration_since(Instant::now()))
    }

    /// Wakes those that are due.
    pub(crate) fn fire(timers: &Rc<RefCell<Self>>) {
        let now = Instant::now();
        loop {
            let mut own = timers.borrow_mut();
            let due = own
                .waiting
                .first_entry()
                .filter(|first| first.key().0 <= now);
            let Some(due) = due else { return };
            let waker = due.remove();
            drop(own);
            waker.wake();
        }
    }

    fn insert(&mut self, at: Instant, waker: Waker) -> u64 {
        self.numbered += 1;
        self.waiting.insert((at, self.numbered), waker);
        self.numbered
    }

    fn remove(&mut self, at: Instant, number: u64) {
        self.waiting.remove(&(at, number));
    }
}

/// A timer of one task, on the thread that polls it.
#[derive(Debug, Default)]
pub struct Timer {
    at: Option<Instant>,
    /// Its number among the thread's timers.
    waiting: Option<u64>,
}

impl Timer {
    fn stop(&mut self) {
        if let (Some(at), Some(number)) = (self.at, self.waiting.take()) {
            event_loop::with_timers(|timers| timers.remove(at, number));
        }
    }
}

impl adit_driver::Timer for Timer {
    fn set(&mut self, after: Duration) {
        self.stop();
        self.at = Instant::now().checked_add(after);
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.at else {
            return Poll::Pending;
        };
        if at <= Instant::now() {
            self.stop();
            self.at = None;
            return Poll::Ready(());
        }
        if self.waiting.is_none() {
            let waker = context.waker().clone();
            self.waiting = event_loop::with_timers(|timers| timers.insert(at, waker));
        }
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.stop();
    }
}
