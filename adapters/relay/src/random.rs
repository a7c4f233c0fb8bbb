//! Seeds for everything that is random below: one unpredictable seed goes in, as many as needed come out.

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng, SeedableRng};

/// A generator of seeds. Who knows some of them learns nothing of the others.
pub(crate) struct Seeds(ChaCha20Rng);

impl Seeds {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self(ChaCha20Rng::from_seed(seed))
    }

    /// The next `N` bytes.
    pub(crate) fn next<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill_bytes(&mut bytes);
        bytes
    }
}
