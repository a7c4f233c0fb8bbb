//! One direction of a path with a rate: what is sent waits its turn in a queue without end, is sent byte after byte, and arrives a while later.
//! Nothing is copied, so that a virtual second at a gigabit takes little of a real one.

use std::collections::VecDeque;
use std::time::Duration;

use adit_core::Instant;
use bytes::Bytes;

/// A path of a certain rate and latency.
#[derive(Debug)]
pub struct Rate {
    bytes_per_second: u64,
    latency: Duration,
    /// When the last byte of the queue has been sent, in nanoseconds: microseconds are too coarse for a gigabit.
    sent_at: u128,
    under_way: VecDeque<(Instant, Bytes)>,
}

impl Rate {
    /// An empty path.
    #[must_use]
    pub const fn new(bytes_per_second: u64, latency: Duration) -> Self {
        Self {
            bytes_per_second,
            latency,
            sent_at: 0,
            under_way: VecDeque::new(),
        }
    }

    /// From now on so many bytes go out in a second; those that wait keep the time that they were told.
    pub const fn set_rate(&mut self, bytes_per_second: u64) {
        self.bytes_per_second = bytes_per_second;
    }

    /// Takes bytes in, behind those that wait.
    pub fn push(&mut self, now: Instant, bytes: Bytes) {
        let now = u128::from(now.as_micros()) * 1_000;
        let takes = bytes.len() as u128 * 1_000_000_000 / u128::from(self.bytes_per_second);
        self.sent_at = self.sent_at.max(now) + takes;
        let sent_at = Instant::from_micros(u64::try_from(self.sent_at / 1_000).unwrap_or(u64::MAX));
        self.under_way.push_back((sent_at + self.latency, bytes));
    }

    /// What has arrived by `now`, as it was pushed.
    pub fn pop(&mut self, now: Instant) -> Option<Bytes> {
        let (due, _) = self.under_way.front()?;
        (*due <= now)
            .then(|| self.under_way.pop_front())?
            .map(|(_, bytes)| bytes)
    }

    /// When something arrives next.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.under_way.front().map(|(due, _)| *due)
    }

    /// Bytes that wait to be sent.
    #[must_use]
    pub fn queue(&self, now: Instant) -> u64 {
        let now = u128::from(now.as_micros()) * 1_000;
        let left = self.sent_at.saturating_sub(now) * u128::from(self.bytes_per_second);
        u64::try_from(left / 1_000_000_000).unwrap_or(u64::MAX)
    }
}
