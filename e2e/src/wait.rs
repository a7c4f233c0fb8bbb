//! Waiting for something that can be observed, with a deadline.

use std::thread;
use std::time::{Duration, Instant};

/// How often an observation is repeated.
const EVERY: Duration = Duration::from_millis(20);

/// Repeats `observe` until it yields something, and says how long that took.
///
/// # Panics
///
/// When `limit` passes; the message names `what` was waited for.
pub fn until<T>(what: &str, limit: Duration, mut observe: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(seen) = observe() {
            return seen;
        }
        assert!(
            start.elapsed() < limit,
            "waited {} s in vain for: {what}",
            limit.as_secs()
        );
        thread::sleep(EVERY);
    }
}

/// Repeats `observe` for the whole of `span`.
///
/// # Panics
///
/// As soon as `observe` is false; the message names `what` should have held.
pub fn throughout(what: &str, span: Duration, mut observe: impl FnMut() -> bool) {
    let start = Instant::now();
    while start.elapsed() < span {
        assert!(
            observe(),
            "no longer true after {} ms: {what}",
            start.elapsed().as_millis()
        );
        thread::sleep(EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn until_returns_what_was_seen() {
        let mut tries = 0;
        let seen = until("the third try", Duration::from_secs(60), || {
            tries += 1;
            (tries == 3).then_some(tries)
        });
        assert_eq!(seen, 3);
    }

    #[test]
    #[should_panic(expected = "in vain for: nothing at all")]
    fn until_gives_up_at_its_limit() {
        until::<()>("nothing at all", Duration::ZERO, || None);
    }

    #[test]
    #[should_panic(expected = "no longer true after")]
    fn throughout_notices_a_change() {
        let mut left = 3;
        throughout("three times", Duration::from_secs(60), || {
            left -= 1;
            left > 0
        });
    }
}
