//! The clock that every machine of one process is told: microseconds since the program started.
//!
//! On Linux it goes on while the computer sleeps, so that a laptop that wakes up finds its carriers
//! silent for too long and dials again at once, instead of waiting out timers that stood still.
//! Timers of the runtime do stand still in a sleep; that costs a few seconds at most, because a live
//! session always has a timer that near.

use std::time::Duration;

use adit_core::Instant;

/// A monotonic clock with its origin. All machines that talk to each other need the same one.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Reading,
}

impl Clock {
    /// A clock whose [`Instant::ORIGIN`] is now.
    #[must_use]
    pub fn start() -> Self {
        Self {
            origin: Reading::now(),
        }
    }

    /// The time since the start.
    #[must_use]
    pub fn now(&self) -> Instant {
        Instant::ORIGIN + Reading::now().since(self.origin)
    }
}

#[cfg(any(target_os = "android", target_os = "linux"))]
#[derive(Clone, Copy, Debug)]
struct Reading(Duration);

#[cfg(any(target_os = "android", target_os = "linux"))]
impl Reading {
    fn now() -> Self {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
        Self(Duration::new(seconds, nanos))
    }

    fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

#[cfg(not(any(target_os = "android", target_os = "linux")))]
#[derive(Clone, Copy, Debug)]
struct Reading(std::time::Instant);

#[cfg(not(any(target_os = "android", target_os = "linux")))]
impl Reading {
    fn now() -> Self {
        Self(std::time::Instant::now())
    }

    fn since(self, earlier: Self) -> Duration {
        self.0.saturating_duration_since(earlier.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_never_goes_back() {
        let clock = Clock::start();
        let mut last = clock.now();
        for _ in 0..10_000 {
            let now = clock.now();
            assert!(now >= last);
            last = now;
        }
    }
}
