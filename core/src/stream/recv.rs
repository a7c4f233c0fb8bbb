//! The receiving half of a stream: what arrived and was not taken yet, and how much more may come.

use alloc::collections::{VecDeque, vec_deque};
use alloc::vec::Vec;
use core::time::Duration;

use bytes::{Buf, Bytes};

use super::PLACES_KEPT;
use crate::error::ProtocolError;
use crate::time::Instant;

/// A chunk that is shorter than this is copied behind its forerunner rather than kept as a slice of its own.
const MERGE_BELOW: usize = 2_048;

/// Room that a merged chunk is given at most, in bytes.
const MERGED_MAX: usize = 16 * 1024;

/// A window does not grow in answer to round trips shorter than this: below it, scheduling is what takes the time.
const GROWTH_INTERVAL_MIN: Duration = Duration::from_millis(4);

/// Credit is stated at the latest after so many bytes were taken: what is granted at once may be sent at once, and waits in a queue in front of the path.
pub(crate) const CREDIT_STEP_MAX: u64 = 1024 * 1024;

/// What a receiver holds: slices of what the carrier delivered, and small chunks merged.
#[derive(Debug)]
pub(crate) enum Held {
    /// A slice, the size of the buffer that it keeps alive, and whether all of that was taken from [`Pinned`].
    Slice {
        bytes: Bytes,
        slab: usize,
        pinned: bool,
    },
    Merged {
        bytes: Vec<u8>,
        at: usize,
    },
}

/// Bytes of buffers that a session's slices may keep alive although they are less than half of them.
///
/// A buffer that was read into holds parts of several frames. While their readers keep up, a copy of each would be in vain; only what stays for long is worth
/// one. So the first such slices are kept as they are, each for the whole size of its buffer, and others are copied.
#[derive(Debug, Default)]
pub(crate) struct Pinned(usize);

/// The most that all slices of a session may keep alive in that way, in bytes.
pub(crate) const PINNED_MAX: usize = 4 * 1024 * 1024;

impl Pinned {
    fn take(&mut self, slab: usize) -> bool {
        let fits = self.0.saturating_add(slab) <= PINNED_MAX;
        if fits {
            self.0 += slab;
        }
        fits
    }

    const fn give(&mut self, slab: usize) {
        self.0 = self.0.saturating_sub(slab);
    }
}

impl Held {
    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Slice { bytes, .. } => bytes,
            Self::Merged { bytes, at } => &bytes[*at..],
        }
    }

    /// Drops `n` bytes from the front. What is left is copied once it is less than half of what it keeps alive, so that a slow
    /// reader does not pin whole buffers by their last bytes.
    fn advance(&mut self, n: usize) {
        let rest = match self {
            Self::Slice {
                bytes,
                slab,
                pinned,
            } => {
                bytes.advance(n);
                (!*pinned && bytes.len() * 2 < *slab).then_some(&bytes[..])
            }
            Self::Merged { bytes, at } => {
                *at += n;
                (*at * 2 > bytes.len()).then_some(&bytes[*at..])
            }
        };
        if let Some(rest) = rest {
            *self = Self::Merged {
                bytes: rest.to_vec(),
                at: 0,
            };
        }
    }

    fn memory(&self) -> usize {
        match self {
            Self::Slice { bytes, slab, .. } => (*slab).max(bytes.len()),
            Self::Merged { bytes, .. } => bytes.capacity(),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Recv {
    queue: VecDeque<Held>,
    queued: usize,
    /// Payload bytes that arrived since the stream began.
    received: u64,
    /// Of those, how many the application took.
    consumed: u64,
    /// The credit that was stated last.
    granted: u64,
    /// How far `granted` should stay ahead of `consumed`.
    window: u64,
    /// Bytes taken since `epoch`, for the growth of the window.
    epoch_bytes: u64,
    epoch: Instant,
    finished: bool,
}

/// The numbers by which a window grows.
pub(crate) struct Growth {
    pub(crate) first: u64,
    pub(crate) max: u64,
    pub(crate) min_rtt: Option<Duration>,
}

impl Recv {
    /// A half whose peer may send `credit` bytes.
    pub(crate) fn new(credit: u64, now: Instant) -> Self {
        Self {
            queue: VecDeque::new(),
            queued: 0,
            received: 0,
            consumed: 0,
            granted: credit,
            window: credit,
            epoch_bytes: 0,
            epoch: now,
            finished: false,
        }
    }

    /// Takes in payload. `slab` is the size of the buffer that `chunk` keeps alive.
    ///
    /// This is the one place where received payload is held against credit.
    pub(crate) fn push(
        &mut self,
        chunk: Bytes,
        slab: usize,
        pinned: &mut Pinned,
    ) -> Result<(), ProtocolError> {
        if self.finished {
            return Err(ProtocolError::STREAM_STATE("payload behind FIN"));
        }
        let received = self.received + chunk.len() as u64;
        if received > self.granted {
            return Err(ProtocolError::FLOW_CONTROL(
                "payload beyond the stream's credit",
            ));
        }
        self.received = received;
        self.queued += chunk.len();
        self.hold(chunk, slab, pinned);
        Ok(())
    }

    /// Keeps a chunk such that memory stays within [`HOLD_FACTOR`](crate::HOLD_FACTOR) of the bytes held: a slice that would
    /// pin more than twice itself, beyond what the session may pin, or that is tiny, is copied.
    fn hold(&mut self, chunk: Bytes, slab: usize, pinned: &mut Pinned) {
        if chunk.is_empty() {
            return;
        }
        let large = chunk.len() * 2 >= slab;
        if chunk.len() >= MERGE_BELOW && (large || pinned.take(slab)) {
            self.queue.push_back(Held::Slice {
                bytes: chunk,
                slab,
                pinned: !large,
            });
            return;
        }
        let mut rest = &chunk[..];
        if let Some(Held::Merged { bytes, .. }) = self.queue.back_mut() {
            let room = MERGED_MAX.saturating_sub(bytes.len()).min(rest.len());
            bytes.extend_from_slice(&rest[..room]);
            rest = &rest[room..];
        }
        if !rest.is_empty() {
            self.queue.push_back(Held::Merged {
                bytes: rest.to_vec(),
                at: 0,
            });
        }
    }

    pub(crate) fn finish(&mut self) -> Result<(), ProtocolError> {
        if self.finished {
            return Err(ProtocolError::STREAM_STATE("a second FIN"));
        }
        self.finished = true;
        Ok(())
    }

    pub(crate) fn held(&self) -> vec_deque::Iter<'_, Held> {
        self.queue.iter()
    }

    /// Drops `n` bytes (at most what is queued) from the front; says how many.
    pub(crate) fn consume(&mut self, n: usize, pinned: &mut Pinned) -> usize {
        let n = n.min(self.queued);
        let mut left = n;
        while left > 0 {
            let Some(front) = self.queue.front_mut() else {
                break;
            };
            let len = front.as_slice().len();
            if len > left {
                front.advance(left);
                break;
            }
            left -= len;
            if let Some(Held::Slice {
                slab, pinned: true, ..
            }) = self.queue.pop_front()
            {
                pinned.give(slab);
            }
        }
        if self.queue.is_empty() && self.queue.capacity() > PLACES_KEPT {
            // An idle stream holds no buffer, and few places for some.
            self.queue = VecDeque::new();
        }
        self.queued -= n;
        self.consumed += n as u64;
        self.epoch_bytes += n as u64;
        n
    }

    /// How much the window should grow by now, having been used up quickly; 0 for not at all.
    ///
    /// A window is worth doubling when it was taken at a rate of half a window per round trip, or more: the sender is then held up by
    /// credit, not by the network or the application. So growth ends between two and four times the bandwidth-delay product. A rate, and not the time
    /// that half a window took, because a reader may take a whole window at once.
    pub(crate) fn wanted_growth(&mut self, now: Instant, growth: &Growth) -> u64 {
        if self.epoch_bytes < self.window / 2 {
            return 0;
        }
        let interval = growth.min_rtt.unwrap_or_default().max(GROWTH_INTERVAL_MIN);
        let could_take = u128::from(self.epoch_bytes) * interval.as_micros();
        let quick = could_take > u128::from(self.window / 2) * (now - self.epoch).as_micros();
        self.epoch_bytes = 0;
        self.epoch = now;
        if !quick || self.finished {
            return 0;
        }
        let target = (self.window * 2).max(growth.first).min(growth.max);
        target.saturating_sub(self.window)
    }

    pub(crate) const fn grow(&mut self, bytes: u64) {
        self.window += bytes;
    }

    /// The credit to state now, if it is worth a frame: a quarter of the window (or much) was taken, or the window grew.
    pub(crate) fn credit_due(&self) -> Option<u64> {
        let credit = self.consumed + self.window;
        let worth =
            credit.saturating_sub(self.granted) >= (self.window / 4).clamp(1, CREDIT_STEP_MAX);
        (worth && !self.finished).then_some(credit)
    }

    /// The credit that was stated last.
    pub(crate) const fn credit(&self) -> u64 {
        self.granted
    }

    /// Nothing ever arrived.
    pub(crate) const fn is_untouched(&self) -> bool {
        self.received == 0
    }

    pub(crate) const fn granted(&mut self, credit: u64) {
        self.granted = credit;
    }

    /// The sender gives back what is above `offset` of the credit `seen`. Says by how much the window shrinks; a return that crossed newer
    /// credit is void.
    pub(crate) fn give_back(&mut self, seen: u64, offset: u64, floor: u64) -> u64 {
        if seen != self.granted || offset < self.received || offset >= self.granted {
            return 0;
        }
        if self.queue.is_empty() {
            self.queue = VecDeque::new();
        }
        self.granted = offset;
        let window = offset
            .saturating_sub(self.consumed)
            .max(floor)
            .min(self.window);
        let freed = self.window - window;
        self.window = window;
        freed
    }

    /// How far the window exceeds `floor`: what it holds of the session's pool.
    pub(crate) const fn grown(&self, floor: u64) -> u64 {
        self.window.saturating_sub(floor)
    }

    /// FIN came and everything before it was taken.
    pub(crate) const fn is_finished(&self) -> bool {
        self.finished && self.queued == 0
    }

    /// Drops what is queued; says how many bytes.
    pub(crate) fn discard(&mut self, pinned: &mut Pinned) -> usize {
        let queued = self.queued;
        self.consume(queued, pinned)
    }

    /// Memory held for queued bytes.
    pub(crate) fn memory(&self) -> usize {
        let entries = self.queue.capacity() * size_of::<Held>();
        entries + self.queue.iter().map(Held::memory).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_of_larger_buffers_are_kept_up_to_a_bound_and_copied_beyond() {
        const CHUNK: usize = 16 * 1024;
        const SLAB: usize = 8 * CHUNK;
        let mut recv = Recv::new(1 << 30, Instant::ORIGIN);
        let mut pinned = Pinned::default();
        for at in 0..100 {
            let chunk = Bytes::from(alloc::vec![at as u8; CHUNK]);
            let start = chunk.as_ptr();
            recv.push(chunk, SLAB, &mut pinned).unwrap();
            let kept = recv.held().any(|held| held.as_slice().as_ptr() == start);
            assert_eq!(kept, at < PINNED_MAX / SLAB, "{at}");
        }
        assert!(recv.memory() <= PINNED_MAX + 100 * CHUNK * 3 / 2);
        // A part that is taken changes nothing; what is taken makes room for others.
        recv.consume(CHUNK / 2, &mut pinned);
        assert_eq!(pinned.0, PINNED_MAX);
        recv.consume(CHUNK / 2, &mut pinned);
        assert_eq!(pinned.0, PINNED_MAX - SLAB);
        recv.discard(&mut pinned);
        assert_eq!(pinned.0, 0);
    }
}
