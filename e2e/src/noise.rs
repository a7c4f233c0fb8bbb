//! Bytes that repeat nowhere near, from a seed, quickly made.

use sha2::{Digest, Sha256};
use std::io::{self, Read, Write};

/// Noise is made and read by such pieces.
pub const MIB: usize = 1 << 20;

/// A generator (xorshift64): no two seeds but 0 and itself are alike.
#[derive(Clone, Copy, Debug)]
pub struct Noise(u64);

impl Noise {
    /// From a seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed ^ 0x9e37_79b9_7f4a_7c15)
    }

    /// The next number.
    pub const fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `limit`, which is not 0.
    pub const fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// Mixes a list.
    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for i in (1..list.len()).rev() {
            let j = usize::try_from(self.below(i as u64 + 1)).unwrap_or(i);
            list.swap(i, j);
        }
    }
}

/// Writes so many MiB of noise; returns their SHA-256.
///
/// # Errors
///
/// The writer's.
pub fn send(seed: u64, mib: usize, mut to: impl Write) -> io::Result<[u8; 32]> {
    let mut noise = Noise::new(seed);
    let mut block: Vec<u8> = (0..MIB / 8)
        .flat_map(|_| noise.next().to_le_bytes())
        .collect();
    let mut sum = Sha256::new();
    for _ in 0..mib {
        // One block, shifted by a different mask each time: cheap, and no two alike.
        let mask = noise.next().to_le_bytes();
        for eight in block.chunks_exact_mut(8) {
            for (byte, mask) in eight.iter_mut().zip(mask) {
                *byte ^= mask;
            }
        }
        sum.update(&block);
        to.write_all(&block)?;
    }
    Ok(sum.finalize().into())
}

/// Reads to the end; returns how many bytes came, and their SHA-256.
///
/// # Errors
///
/// The reader's.
pub fn receive(mut from: impl Read) -> io::Result<(usize, [u8; 32])> {
    let mut sum = Sha256::new();
    let mut block = vec![0; MIB];
    let mut all = 0;
    loop {
        let n = from.read(&mut block)?;
        if n == 0 {
            return Ok((all, sum.finalize().into()));
        }
        sum.update(block.get(..n).unwrap_or_default());
        all += n;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_has_the_sum_of_what_is_received() {
        let mut sent = Vec::new();
        let sum = send(1, 2, &mut sent).expect("memory");
        assert_ne!(sent[..MIB], sent[MIB..]);
        assert_eq!(receive(sent.as_slice()).expect("memory"), (2 * MIB, sum));
        sent[MIB + 7] ^= 1;
        assert_ne!(receive(sent.as_slice()).expect("memory").1, sum);
    }

    #[test]
    fn a_mixed_list_has_the_same_entries_in_another_order() {
        let mut list: Vec<u8> = (0..100).collect();
        Noise::new(1).shuffle(&mut list);
        assert!(!list.is_sorted());
        list.sort_unstable();
        assert!(list.iter().copied().eq(0..100));
    }
}
