//! How long to wait before the next attempt: exponential, with full jitter, pure.
//!
//! Full jitter because many clients lose one server at the same moment: delays drawn from the whole
//! range spread their return, where a fixed schedule would bring them back together.

use core::fmt;
use core::time::Duration;

use crate::random::Random;

/// A sequence of delays: each is drawn evenly from `min` up to a ceiling that doubles with every
/// attempt, from twice `min` to `max`.
pub struct Backoff {
    min: Duration,
    max: Duration,
    ceiling: Duration,
    random: Random,
}

impl Backoff {
    /// Delays between `min` and `max`. A `max` below `min` counts as `min`.
    #[must_use]
    pub fn new(min: Duration, max: Duration, seed: [u8; 32]) -> Self {
        let max = max.max(min);
        Self {
            min,
            max,
            ceiling: first_ceiling(min, max),
            random: Random::new(seed),
        }
    }

    /// The delay before the next attempt.
    #[allow(
        clippy::should_implement_trait,
        reason = "it never ends, so it is no iterator"
    )]
    pub fn next(&mut self) -> Duration {
        let range = self.ceiling.saturating_sub(self.min);
        let range = u64::try_from(range.as_micros()).unwrap_or(u64::MAX);
        let delay = self
            .min
            .saturating_add(Duration::from_micros(self.random.up_to(range)));
        self.ceiling = self.ceiling.saturating_mul(2).min(self.max);
        delay
    }

    /// Starts over: the last attempt made progress.
    pub fn reset(&mut self) {
        self.ceiling = first_ceiling(self.min, self.max);
    }
}

fn first_ceiling(min: Duration, max: Duration) -> Duration {
    min.saturating_mul(2).min(max)
}

impl fmt::Debug for Backoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backoff")
            .field("min", &self.min)
            .field("max", &self.max)
            .field("ceiling", &self.ceiling)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    const MIN: Duration = Duration::from_millis(100);
    const MAX: Duration = Duration::from_secs(30);

    #[test]
    fn every_delay_lies_between_the_minimum_and_a_ceiling_that_doubles() {
        for seed in 0..50 {
            let mut backoff = Backoff::new(MIN, MAX, [seed; 32]);
            let mut ceiling = MIN * 2;
            for _ in 0..12 {
                let delay = backoff.next();
                assert!(
                    delay >= MIN && delay <= ceiling,
                    "{delay:?} above {ceiling:?}"
                );
                ceiling = (ceiling * 2).min(MAX);
            }
        }
    }

    #[test]
    fn two_clients_with_different_seeds_do_not_come_back_together() {
        let delays = |seed| {
            let mut backoff = Backoff::new(MIN, MAX, [seed; 32]);
            (0..8).map(|_| backoff.next()).collect::<Vec<_>>()
        };
        assert_ne!(delays(1), delays(2));
        assert_eq!(delays(1), delays(1));
    }

    #[test]
    fn late_delays_use_the_whole_range() {
        let mut backoff = Backoff::new(MIN, MAX, [3; 32]);
        let late: Vec<_> = (0..300).map(|_| backoff.next()).skip(20).collect();
        assert!(late.iter().any(|&delay| delay < MAX / 8));
        assert!(late.iter().any(|&delay| delay > MAX / 8 * 7));
    }

    #[test]
    fn a_reset_starts_over_at_the_shortest_ceiling() {
        let mut backoff = Backoff::new(MIN, MAX, [4; 32]);
        for _ in 0..20 {
            backoff.next();
        }
        backoff.reset();
        assert!(backoff.next() <= MIN * 2);
    }

    #[test]
    fn odd_bounds_never_overflow() {
        let mut backoff = Backoff::new(Duration::MAX, Duration::ZERO, [5; 32]);
        assert_eq!(backoff.next(), Duration::MAX);
        let mut backoff = Backoff::new(Duration::ZERO, Duration::MAX, [5; 32]);
        for _ in 0..200 {
            backoff.next();
        }
        let mut backoff = Backoff::new(MIN, Duration::ZERO, [5; 32]);
        assert_eq!(backoff.next(), MIN);
    }
}
