//! Memory that all sessions of a process may take together for growing windows.

use core::sync::atomic::{AtomicUsize, Ordering};

/// A process-wide allowance for growth, shared by sessions. It is touched when a window grows or shrinks, never per byte.
#[derive(Debug)]
pub struct Budget {
    free: AtomicUsize,
}

impl Budget {
    /// An allowance of `bytes`.
    #[must_use]
    pub const fn new(bytes: usize) -> Self {
        Self {
            free: AtomicUsize::new(bytes),
        }
    }

    /// Bytes that nobody has taken.
    #[must_use]
    pub fn free(&self) -> usize {
        self.free.load(Ordering::Relaxed)
    }

    /// Takes up to `wanted` bytes, but at most half of what is free; says how many.
    pub(crate) fn take(&self, wanted: usize) -> usize {
        let mut took = 0;
        let update = self
            .free
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| {
                took = wanted.min(free / 2);
                Some(free - took)
            });
        debug_assert!(update.is_ok());
        took
    }

    pub(crate) fn give(&self, bytes: usize) {
        self.free.fetch_add(bytes, Ordering::Relaxed);
    }
}
