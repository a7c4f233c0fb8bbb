//! Who has news: the readiness of one task's sockets, each found in constant time.
//!
//! A task that drives thousands of sockets must not ask each of them after every wake-up. So every
//! socket gets a waker of its own, a [`Bell`]. The runtime rings it when the socket is ready; it puts
//! the socket's index on the task's [`Board`], at most once, and wakes the task, which then serves the
//! sockets on the board and nothing else.

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

/// The sockets, by the index that the machine chose, whose bells rang since the task last looked; and how to wake that task.
#[derive(Debug, Default)]
pub(crate) struct Board {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    rung: Vec<u32>,
    /// Something outside the sockets wants the task's attention (a visitor in its inbox, the answer to a question).
    nudged: bool,
    task: Option<Waker>,
}

impl Board {
    /// Says which task to wake from now on; gives the sockets rung for so far in exchange for the empty `seen`. Whether something else wants attention.
    pub(crate) fn take(&self, task: &Waker, seen: &mut Vec<u32>) -> bool {
        seen.clear();
        let mut state = self.lock();
        mem::swap(&mut state.rung, seen);
        match &mut state.task {
            Some(known) => known.clone_from(task),
            none => *none = Some(task.clone()),
        }
        mem::take(&mut state.nudged)
    }

    /// Wakes the task for something that has no bell.
    pub(crate) fn nudge(&self) {
        let mut state = self.lock();
        if !mem::replace(&mut state.nudged, true) {
            Self::wake(state);
        }
    }

    fn ring(&self, socket: u32) {
        let mut state = self.lock();
        state.rung.push(socket);
        Self::wake(state);
    }

    /// Wakes without holding the lock: the task may run at once, on another thread.
    fn wake(state: MutexGuard<'_, State>) {
        let task = state.task.clone();
        drop(state);
        if let Some(task) = task {
            task.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock can leave the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The waker of one socket.
#[derive(Debug)]
pub(crate) struct Bell {
    socket: u32,
    /// On the board already.
    rung: AtomicBool,
    board: Arc<Board>,
}

impl Bell {
    pub(crate) fn new(socket: u32, board: Arc<Board>) -> Arc<Self> {
        Arc::new(Self {
            socket,
            rung: AtomicBool::new(false),
            board,
        })
    }

    /// Call this before looking at the socket: what happens after it rings again.
    pub(crate) fn quieten(&self) {
        self.rung.store(false, Ordering::Release);
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            self.board.ring(self.socket);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn board() -> (Arc<Board>, Arc<Wakes>) {
        let board = Arc::new(Board::default());
        let wakes = Arc::new(Wakes::default());
        board.take(&Waker::from(Arc::clone(&wakes)), &mut Vec::new());
        (board, wakes)
    }

    #[test]
    fn a_bell_rung_twice_is_on_the_board_once() {
        let (board, wakes) = board();
        let bell = Bell::new(7, Arc::clone(&board));
        let waker = Waker::from(Arc::clone(&bell));
        waker.wake_by_ref();
        waker.wake_by_ref();
        let mut seen = Vec::new();
        board.take(&Waker::from(Arc::clone(&wakes)), &mut seen);
        assert_eq!(seen, [7]);
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_quietened_bell_rings_again() {
        let (board, wakes) = board();
        let bell = Bell::new(1, Arc::clone(&board));
        let waker = Waker::from(Arc::clone(&bell));
        let mut seen = Vec::new();
        for _ in 0..3 {
            waker.wake_by_ref();
            board.take(&Waker::from(Arc::clone(&wakes)), &mut seen);
            assert_eq!(seen, [1]);
            bell.quieten();
        }
        assert_eq!(wakes.0.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn nudges_between_two_looks_wake_the_task_once() {
        let (board, wakes) = board();
        board.nudge();
        board.nudge();
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
        board.take(&Waker::from(Arc::clone(&wakes)), &mut Vec::new());
        board.nudge();
        assert_eq!(wakes.0.load(Ordering::Relaxed), 2);
    }
}
