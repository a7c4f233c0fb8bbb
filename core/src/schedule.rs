//! Whose data goes out next: deficit round robin over two lists, as FQ-CoDel treats flows (RFC 8290, section 4.1).
//!
//! A stream that becomes active enters the *new* list with a full quantum, and *new* is served before *old*: so whoever sends little now and
//! then waits for nobody's bulk. A stream that runs empty, or out of credit, moves to the old list with the deficit it has; it is
//! new again only after a whole round in which it sent nothing.

use crate::config::DATA_FRAME_MAX;
use crate::stream::{List, Queue, Store};

/// Bytes that a stream may send in its first turn, and in every turn on a path that is slow: one frame that fills a TLS record.
pub(crate) const QUANTUM: i64 = DATA_FRAME_MAX as i64;

/// Bytes that a stream may send per turn at most.
const QUANTUM_MAX: i64 = 4 * QUANTUM;

/// The share of a second that a turn may take, beyond [`QUANTUM`].
const TURNS_PER_SECOND: u64 = 1_000;

/// Bytes that a stream may send per turn, where `rate` bytes are delivered in a second: longer turns are fewer writes and fewer wake-ups at the other end, and
/// on a fast path nobody notices them.
pub(crate) fn quantum(rate: u64) -> i64 {
    let carried = i64::try_from(rate / TURNS_PER_SECOND).unwrap_or(i64::MAX);
    carried.clamp(QUANTUM, QUANTUM_MAX)
}

/// What the scheduler keeps per stream.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Turn {
    deficit: i64,
    in_new: bool,
}

#[derive(Debug)]
pub(crate) struct Schedule {
    new: List,
    old: List,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            new: List::new(Queue::Schedule),
            old: List::new(Queue::Schedule),
        }
    }
}

impl Schedule {
    /// A stream has something to send.
    pub(crate) fn activate(&mut self, store: &mut Store, key: usize) {
        if self.new.push(&mut store.slab, key)
            && let Some(stream) = store.get_mut(key)
        {
            stream.turn = Turn {
                deficit: QUANTUM,
                in_new: true,
            };
        }
    }

    /// The stream whose turn it is, and how many bytes it may send, when everybody's next turn is of `quantum` bytes. The caller sends and calls [`sent`](Self::sent), or finds that it
    /// can't and calls [`pass`](Self::pass).
    pub(crate) fn next(&mut self, store: &mut Store, quantum: i64) -> Option<(usize, u64)> {
        loop {
            let key = self.new.front().or_else(|| self.old.front())?;
            let stream = store.get_mut(key)?;
            if stream.turn.deficit > 0 {
                return Some((key, stream.turn.deficit.unsigned_abs()));
            }
            stream.turn.deficit += quantum;
            self.move_to_old(store, key);
        }
    }

    /// `key` sent `bytes`.
    pub(crate) fn sent(&mut self, store: &mut Store, key: usize, bytes: usize) {
        if let Some(stream) = store.get_mut(key) {
            stream.turn.deficit -= i64::try_from(bytes).unwrap_or(i64::MAX);
        }
    }

    /// `key` has nothing that it can send.
    pub(crate) fn pass(&mut self, store: &mut Store, key: usize) {
        if store.get_mut(key).is_some_and(|stream| stream.turn.in_new) {
            self.move_to_old(store, key);
        } else {
            self.old.remove(&mut store.slab, key);
        }
    }

    /// `key` is about to go.
    pub(crate) fn remove(&mut self, store: &mut Store, key: usize) {
        if store.get_mut(key).is_some_and(|stream| stream.turn.in_new) {
            self.new.remove(&mut store.slab, key);
        } else {
            self.old.remove(&mut store.slab, key);
        }
    }

    /// Whether it is the turn of a stream that has sent little lately.
    pub(crate) const fn is_sparse(&self) -> bool {
        !self.new.is_empty()
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.new.is_empty() && self.old.is_empty()
    }

    fn move_to_old(&mut self, store: &mut Store, key: usize) {
        self.remove(store, key);
        if let Some(stream) = store.get_mut(key) {
            stream.turn.in_new = false;
        }
        self.old.push(&mut store.slab, key);
    }
}
