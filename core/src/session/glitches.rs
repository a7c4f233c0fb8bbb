//! A budget for frames that did no work. Work refills it, and so does time, so frames in proportion to work never empty it
//! (spec/05-streams.md, section 5.6).

use core::time::Duration;

use crate::config::Config;
use crate::error::ProtocolError;
use crate::time::Instant;

/// Payload bytes that pay for one glitch.
const BYTES_PER_GLITCH: u64 = 1_024;

#[derive(Debug)]
pub(crate) struct Glitches {
    left: u64,
    max: u64,
    interval: Duration,
    refilled_at: Instant,
    bytes: u64,
    /// Frames that say again what was said, as they must after a resume.
    expected: u64,
}

impl Glitches {
    pub(crate) fn new(config: &Config, now: Instant) -> Self {
        let max = u64::from(config.glitches_max);
        let interval = Duration::from_secs(1) / config.glitches_per_second.max(1);
        Self {
            left: max,
            max,
            interval,
            refilled_at: now,
            bytes: 0,
            expected: 0,
        }
    }

    /// A resume: `frames` that do no work by themselves are to be expected.
    pub(crate) const fn expect(&mut self, frames: u64) {
        self.expected = frames;
    }

    pub(crate) fn work(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        if self.bytes >= BYTES_PER_GLITCH {
            self.left = self.max.min(self.left + self.bytes / BYTES_PER_GLITCH);
            self.bytes %= BYTES_PER_GLITCH;
        }
    }

    pub(crate) fn spend(&mut self, now: Instant) -> Result<(), ProtocolError> {
        let passed = (now - self.refilled_at).as_micros() / self.interval.as_micros().max(1);
        if passed > 0 {
            let passed = u64::try_from(passed).unwrap_or(u64::MAX);
            self.left = self.max.min(self.left.saturating_add(passed));
            self.refilled_at = now;
        }
        if let Some(expected) = self.expected.checked_sub(1) {
            self.expected = expected;
            return Ok(());
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(ProtocolError::FLOOD("too many frames that did no work")),
        }
    }
}
