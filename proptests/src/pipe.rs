//! One direction of a carrier: an ordered byte stream with latency and limited room, delivered in pieces of any size.

use std::collections::VecDeque;
use std::time::Duration;

use adit_core::Instant;
use bytes::Bytes;

use crate::random::Random;

/// How a [`Pipe`] behaves.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// From push to delivery.
    pub latency: Duration,
    /// Bytes that may be under way; more waits at the sender.
    pub capacity: usize,
    /// Pieces are between 1 and this many bytes.
    pub piece_max: usize,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(10),
            capacity: 64 * 1024,
            piece_max: 20_000,
        }
    }
}

/// A seeded byte stream.
#[derive(Debug)]
pub struct Pipe {
    shape: Shape,
    random: Random,
    under_way: VecDeque<(Instant, Bytes)>,
    held: usize,
}

impl Pipe {
    /// A pipe of a shape; `seed` decides where it cuts.
    #[must_use]
    pub const fn new(shape: Shape, seed: u64) -> Self {
        Self {
            shape,
            random: Random::new(seed),
            under_way: VecDeque::new(),
            held: 0,
        }
    }

    /// Bytes that it would take now.
    #[must_use]
    pub const fn room(&self) -> usize {
        self.shape.capacity.saturating_sub(self.held)
    }

    /// Takes bytes in.
    pub fn push(&mut self, now: Instant, bytes: Bytes) {
        if !bytes.is_empty() {
            self.held += bytes.len();
            self.under_way.push_back((now + self.shape.latency, bytes));
        }
    }

    /// The next piece that has arrived by `now`. Pieces may span what was pushed apart.
    pub fn pop(&mut self, now: Instant) -> Option<Bytes> {
        let wanted = self.random.between(1, self.shape.piece_max.max(1));
        let mut piece = Vec::new();
        while piece.len() < wanted {
            match self.under_way.front_mut() {
                Some((due, bytes)) if *due <= now => {
                    let part = bytes.split_to(bytes.len().min(wanted - piece.len()));
                    piece.extend_from_slice(&part);
                    if bytes.is_empty() {
                        self.under_way.pop_front();
                    }
                }
                _ => break,
            }
        }
        self.held -= piece.len();
        (!piece.is_empty()).then(|| piece.into())
    }

    /// When the next byte arrives.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.under_way.front().map(|(due, _)| *due)
    }
}
