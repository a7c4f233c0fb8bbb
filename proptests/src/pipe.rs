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
    /// Bytes that still come out before the rest is lost.
    deliverable: Option<usize>,
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
            deliverable: None,
        }
    }

    /// Breaks the pipe: `bytes` more come out, and nothing after them. A second break can only be earlier.
    pub fn cut_after(&mut self, bytes: usize) {
        self.deliverable = Some(self.deliverable.map_or(bytes, |earlier| earlier.min(bytes)));
    }

    /// Bytes that are under way, and will come out.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.deliverable
            .map_or(self.held, |left| left.min(self.held))
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
        let mut wanted = self.random.between(1, self.shape.piece_max.max(1));
        if let Some(left) = &mut self.deliverable {
            wanted = wanted.min(*left);
        }
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
        if let Some(left) = &mut self.deliverable {
            *left -= piece.len();
        }
        (!piece.is_empty()).then(|| piece.into())
    }

    /// Whether something under way, or to come, is lost.
    #[must_use]
    pub const fn is_cut(&self) -> bool {
        self.deliverable.is_some()
    }

    /// When the last byte that is under way arrives, if any does.
    #[must_use]
    pub fn last_due(&self) -> Option<Instant> {
        self.due()?;
        self.under_way.back().map(|(due, _)| *due)
    }

    /// When the next byte arrives.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        if self.deliverable == Some(0) {
            return None;
        }
        self.under_way.front().map(|(due, _)| *due)
    }
}
