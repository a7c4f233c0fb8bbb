//! Entropy: a generator that is seeded once from outside and then makes nonces, ids and jitter.
//!
//! ChaCha20 as in RFC 8439: whoever sees any number of its values learns neither the others nor the
//! seed. The same seed gives the same values, which is what makes tests and simulations repeat.

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng, SeedableRng};

/// A seeded generator. Not `Clone`: two copies would give out the same nonces.
pub(crate) struct Random(ChaCha20Rng);

impl Random {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self(ChaCha20Rng::from_seed(seed))
    }

    /// The next `N` bytes.
    pub(crate) fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill_bytes(&mut bytes);
        bytes
    }

    /// A number from 0 to `max`, both included.
    ///
    /// A 64-bit draw scaled by multiplication: its bias is below `max / 2^64`.
    pub(crate) fn up_to(&mut self, max: u64) -> u64 {
        let wide = u128::from(self.0.next_u64()) * (u128::from(max) + 1);
        // The upper half of a product of 64 and at most 65 bits.
        u64::try_from(wide >> 64).unwrap_or(max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_one_sequence_and_another_seed_another() {
        let draw = |seed| {
            let mut random = Random::new([seed; 32]);
            (random.array::<32>(), random.array::<32>())
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert_ne!(draw(1).0, draw(1).1);
    }

    #[test]
    fn a_draw_stays_within_its_bounds_and_reaches_both() {
        let mut random = Random::new([7; 32]);
        let draws: alloc::vec::Vec<u64> = (0..200).map(|_| random.up_to(3)).collect();
        for value in 0..=3 {
            assert!(draws.contains(&value));
        }
        assert!(draws.iter().all(|&value| value <= 3));
        assert_eq!(random.up_to(0), 0);
        // The whole range does not overflow.
        random.up_to(u64::MAX);
    }
}
