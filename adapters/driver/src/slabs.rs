//! The buffers that sockets are read into, made once and used again.
//!
//! What is read is handed on by reference, and keeps its buffer alive until it was written, or acknowledged. A buffer that nobody holds any more is read into
//! again: to give it back to the allocator and ask for another costs more than the read, because the system clears what it hands out.

use std::time::Duration;

use adit_core::Instant;
use bytes::BytesMut;

/// Buffers that were not read into for so long are given back.
const KEEP_FOR: Duration = Duration::from_secs(10);

/// Bytes of a buffer.
const SLAB: usize = 128 * 1024;

/// Buffers of one sort that a thread keeps for later, at most: what was sent is held until it is acknowledged.
const SPARE_MAX: usize = 64;

/// A shorter read of a carrier is copied into memory of its own. Who holds slices of a buffer knows how large that is
/// ([`LinkConfig::read_size`](adit_link::LinkConfig::read_size)), so any but tiny reads may share it.
pub(crate) const CARRIER_SHARE_MIN: usize = 4 * 1024;

/// The same of a visitor or an upstream. What is held may be held for long and is counted by its length, so it must not keep more alive than four times that
/// ([`SEND_HOLD_FACTOR`](adit_core::SEND_HOLD_FACTOR)).
pub(crate) const LOCAL_SHARE_MIN: usize = SLAB / 4;

/// The buffers of one sort on one thread.
#[derive(Debug)]
pub(crate) struct Slabs {
    /// A shorter read is copied.
    share_min: usize,
    /// What is left of the buffer in use: empty, with room.
    current: BytesMut,
    begun: bool,
    /// Used up, the last one at the end; some may be free again.
    spare: Vec<BytesMut>,
    /// Whether one was read into since [`rest`](Self::rest) was last called, and when that was seen.
    used: bool,
    used_at: Instant,
}

impl Slabs {
    pub(crate) fn new(share_min: usize) -> Self {
        Self {
            share_min,
            current: BytesMut::new(),
            begun: false,
            spare: Vec::new(),
            used: false,
            used_at: Instant::ORIGIN,
        }
    }

    /// Where to read `wanted` bytes to, or as many as it says, which are at least half a buffer.
    pub(crate) fn room(&mut self, wanted: usize) -> (&mut BytesMut, usize) {
        self.used = true;
        if self.current.capacity() < wanted.min(SLAB / 2) {
            self.next();
        }
        let limit = wanted.min(self.current.capacity());
        (&mut self.current, limit)
    }

    /// Takes the free buffer that was used last, which may still be in a cache: to go through all of them in turn would, after a burst that took many, mean to
    /// read into memory that is in none.
    fn next(&mut self) {
        let used_up = std::mem::take(&mut self.current);
        // The first one is none yet. One that is full to the brim has no capacity, and is worth keeping all the same.
        if std::mem::replace(&mut self.begun, true) && self.spare.len() < SPARE_MAX {
            self.spare.push(used_up);
        }
        let free = self.spare.iter_mut().rposition(|slab| {
            slab.clear();
            slab.try_reclaim(SLAB)
        });
        self.current = match free {
            Some(index) => self.spare.remove(index),
            None => BytesMut::with_capacity(SLAB),
        };
    }

    /// Gives buffers back if they have been of no use for a while.
    pub(crate) fn rest(&mut self, now: Instant) {
        if std::mem::take(&mut self.used) {
            self.used_at = now;
        } else if now - self.used_at > KEEP_FOR {
            self.spare = Vec::new();
            self.current = BytesMut::new();
            self.begun = false;
        }
    }

    /// Takes what was read.
    pub(crate) fn hand_over(&mut self) -> BytesMut {
        if self.current.len() >= self.share_min {
            return self.current.split();
        }
        let data = BytesMut::from(&self.current[..]);
        self.current.clear();
        data
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    fn read(slabs: &mut Slabs, len: usize) -> BytesMut {
        let (room, limit) = slabs.room(len);
        assert_eq!(limit, len);
        assert!(room.is_empty());
        room.resize(len, 1);
        slabs.hand_over()
    }

    #[test]
    fn after_a_burst_the_same_few_buffers_are_used_again() {
        let mut slabs = Slabs::new(CARRIER_SHARE_MIN);
        let burst: Vec<BytesMut> = (0..SPARE_MAX).map(|_| read(&mut slabs, SLAB)).collect();
        drop(burst);
        let mut starts = Vec::new();
        let mut held = VecDeque::new();
        for _ in 0..50 {
            let data = read(&mut slabs, SLAB);
            starts.push(data.as_ptr());
            held.push_back(data);
            if held.len() > 2 {
                held.pop_front();
            }
        }
        starts.sort_unstable();
        starts.dedup();
        assert!(starts.len() <= 5, "{}", starts.len());
    }

    #[test]
    fn a_buffer_that_nobody_holds_is_read_into_again() {
        let mut slabs = Slabs::new(LOCAL_SHARE_MIN);
        // Something else takes the place of what is given back to the allocator.
        let mut others = Vec::new();
        let mut starts = Vec::new();
        for _ in 0..50 {
            let data = read(&mut slabs, SLAB);
            starts.push(data.as_ptr());
            drop(data);
            others.push(vec![1_u8; SLAB]);
        }
        starts.sort_unstable();
        starts.dedup();
        assert!(starts.len() <= 3, "{}", starts.len());
    }

    #[test]
    fn buffers_that_are_held_are_left_alone_and_few_are_kept_for_later() {
        let mut slabs = Slabs::new(LOCAL_SHARE_MIN);
        let held: Vec<_> = (0..200_u8)
            .map(|at| {
                let mut data = read(&mut slabs, SLAB);
                data.fill(at);
                data
            })
            .collect();
        assert!(
            held.iter()
                .zip(0..)
                .all(|(data, at)| data.iter().all(|byte| *byte == at))
        );
        assert!(slabs.spare.len() <= SPARE_MAX);
    }

    #[test]
    fn buffers_are_given_back_when_nothing_was_read_for_a_while() {
        let mut slabs = Slabs::new(LOCAL_SHARE_MIN);
        for second in 0..30 {
            drop(read(&mut slabs, LOCAL_SHARE_MIN));
            slabs.rest(Instant::from_millis(second * 1_000));
        }
        slabs.rest(Instant::from_millis(39_000));
        assert!(slabs.current.capacity() > 0);
        slabs.rest(Instant::from_millis(39_001));
        assert_eq!(slabs.spare.len() + slabs.current.capacity(), 0);
    }

    #[test]
    fn a_read_that_is_handed_on_keeps_little_more_alive_than_itself() {
        let mut slabs = Slabs::new(LOCAL_SHARE_MIN);
        for len in [1, 100, LOCAL_SHARE_MIN - 1, LOCAL_SHARE_MIN, SLAB] {
            slabs.next();
            let free = slabs.current.capacity();
            let data = read(&mut slabs, len);
            assert_eq!(data.len(), len);
            // Either the buffer gave part of itself away, or it is as free as before.
            let given = free - slabs.current.capacity();
            assert!(
                given == 0 || given == len && len * 4 >= SLAB,
                "{len}: {given}"
            );
        }
    }

    #[test]
    fn links_know_the_size_of_a_read_buffer() {
        assert_eq!(adit_link::LinkConfig::default().read_size, SLAB);
    }
}
