//! What other tasks leave for the task of one session: visitors, up to a limit, and a sign that its machine is wanted.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::ready::Board;

/// The inbox of one task, which is woken by whatever is left there.
pub(crate) struct Inbox<T> {
    pub(crate) board: Arc<Board>,
    /// `None` once the task has ended.
    items: Mutex<Option<VecDeque<T>>>,
    items_max: usize,
    woken: AtomicBool,
}

impl<T> Inbox<T> {
    pub(crate) fn new(items_max: usize) -> Self {
        Self {
            board: Arc::default(),
            items: Mutex::new(Some(VecDeque::new())),
            items_max,
            woken: AtomicBool::new(false),
        }
    }

    /// Gives back what is beyond the limit, and everything once the inbox is closed.
    pub(crate) fn push(&self, item: T) -> Option<T> {
        match self.items().as_mut() {
            Some(items) if items.len() < self.items_max => items.push_back(item),
            _ => return Some(item),
        }
        self.board.nudge();
        None
    }

    /// Leaves an item in front of all others, also beyond the limit: for what must not wait behind them. Gives it back once the inbox is
    /// closed.
    pub(crate) fn push_first(&self, item: T) -> Option<T> {
        match self.items().as_mut() {
            Some(items) => items.push_front(item),
            None => return Some(item),
        }
        self.board.nudge();
        None
    }

    /// The oldest item.
    pub(crate) fn next(&self) -> Option<T> {
        self.items().as_mut()?.pop_front()
    }

    /// Takes no more items; those that were left.
    pub(crate) fn close(&self) -> VecDeque<T> {
        self.items().take().unwrap_or_default()
    }

    /// The machine of the task is wanted.
    pub(crate) fn wake(&self) {
        self.woken.store(true, Ordering::Release);
        self.board.nudge();
    }

    /// Whether its machine was wanted since this was last asked.
    pub(crate) fn was_woken(&self) -> bool {
        self.woken.swap(false, Ordering::AcqRel)
    }

    /// What somebody panicked over is still a queue.
    fn items(&self) -> MutexGuard<'_, Option<VecDeque<T>>> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beyond_the_limit_comes_back_and_what_was_before_it_waits() {
        let inbox = Inbox::new(2);
        assert_eq!(
            [1, 2, 3].map(|item| inbox.push(item)),
            [None, None, Some(3)]
        );
        assert_eq!([(); 3].map(|()| inbox.next()), [Some(1), Some(2), None]);
        assert_eq!(inbox.push(4), None);
    }

    #[test]
    fn a_closed_inbox_gives_up_what_it_holds_and_takes_no_more() {
        let inbox = Inbox::new(2);
        inbox.push(1);
        assert_eq!(inbox.close(), [1]);
        assert_eq!(inbox.push(2), Some(2));
        assert_eq!(inbox.next(), None);
    }
}
