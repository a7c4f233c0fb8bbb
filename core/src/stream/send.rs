//! The sending half of a stream: what waits to be sent, and how much may be.

use alloc::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::PLACES_KEPT;
use crate::config::{DATA_FRAME_MAX, SEND_FLOOR};
use crate::time::Instant;

/// A chunk that is shorter than this, and has others in front of it, is copied behind them: a visitor that sends byte by byte must
/// not fill memory with what each byte costs to keep.
const MERGE_BELOW: usize = 2_048;

#[derive(Debug)]
pub(crate) struct Send {
    /// In front of `tail`.
    queue: VecDeque<Bytes>,
    /// Small chunks, merged.
    tail: BytesMut,
    queued: usize,
    /// Payload bytes sent since the stream began.
    sent: u64,
    /// The credit that the peer stated.
    credit: u64,
    /// When payload was sent last, for giving idle credit back.
    last_sent: Instant,
    fin: Fin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fin {
    Open,
    Asked,
    Sent,
}

impl Send {
    pub(crate) fn new(credit: u64, now: Instant) -> Self {
        Self {
            queue: VecDeque::new(),
            tail: BytesMut::new(),
            queued: 0,
            sent: 0,
            credit,
            last_sent: now,
            fin: Fin::Open,
        }
    }

    /// Bytes that may be queued now: never more than could be sent at once, so that data without credit stays in the local
    /// socket. A floor of its own keeps every stream going whatever `session_free` says.
    pub(crate) fn space(&self, stream_max: usize, session_free: usize) -> usize {
        if self.fin != Fin::Open {
            return 0;
        }
        let share = (session_free / 2).max(SEND_FLOOR).min(stream_max);
        let credit = usize::try_from(self.credit - self.sent).unwrap_or(usize::MAX);
        let space = credit.min(share).saturating_sub(self.queued);
        // A rest that is no whole frame waits until there is more room, or nothing else to send: it would be a read and a frame for next to nothing.
        if self.queued > 0 && space < DATA_FRAME_MAX {
            return 0;
        }
        space
    }

    pub(crate) fn push(&mut self, data: Bytes) {
        let first = self.queued == 0;
        self.queued += data.len();
        if data.len() < MERGE_BELOW && !first {
            self.tail.extend_from_slice(&data);
            return;
        }
        if !self.tail.is_empty() {
            self.queue.push_back(self.tail.split().freeze());
        }
        self.queue.push_back(data);
    }

    pub(crate) fn finish(&mut self) -> bool {
        let first = self.fin == Fin::Open;
        if first {
            self.fin = Fin::Asked;
        }
        first
    }

    pub(crate) const fn is_open(&self) -> bool {
        matches!(self.fin, Fin::Open)
    }

    pub(crate) const fn is_finished(&self) -> bool {
        matches!(self.fin, Fin::Sent)
    }

    pub(crate) const fn queued(&self) -> usize {
        self.queued
    }

    pub(crate) const fn sent(&self) -> u64 {
        self.sent
    }

    /// Takes the peer's statement of credit. `None` if it raises nothing; otherwise whether there was none left before.
    pub(crate) fn raise(&mut self, credit: u64) -> Option<bool> {
        if credit <= self.credit {
            return None;
        }
        let starved = self.sent + self.queued as u64 >= self.credit;
        self.credit = credit;
        Some(starved)
    }

    /// What can be sent now, at most `limit` bytes: payload of one chunk.
    pub(crate) fn take(&mut self, limit: u64, now: Instant) -> Option<Bytes> {
        let room = usize::try_from(limit.min(self.credit - self.sent)).unwrap_or(usize::MAX);
        if room == 0 || self.queued == 0 {
            return None;
        }
        let chunk = match self.queue.front_mut() {
            Some(front) => {
                let chunk = front.split_to(front.len().min(room));
                if front.is_empty() {
                    self.queue.pop_front();
                }
                chunk
            }
            None => self.tail.split_to(self.tail.len().min(room)).freeze(),
        };
        self.queued -= chunk.len();
        if self.queued == 0 {
            self.rest();
        }
        self.sent += chunk.len() as u64;
        self.last_sent = now;
        Some(chunk)
    }

    /// Whether all credit was used.
    pub(crate) const fn is_starved(&self) -> bool {
        self.sent >= self.credit
    }

    /// Whether payload could go out now, as far as this stream is concerned.
    pub(crate) const fn is_ready(&self) -> bool {
        self.queued > 0 && self.sent < self.credit
    }

    pub(crate) fn is_fin_due(&self) -> bool {
        self.fin == Fin::Asked && self.queued == 0
    }

    pub(crate) const fn fin_sent(&mut self) {
        self.fin = Fin::Sent;
    }

    /// Credit beyond `keep` unused bytes that an idle stream can give back: the credit seen, and what it becomes.
    pub(crate) fn give_back(&mut self, keep: u64, idle_since: Instant) -> Option<(u64, u64)> {
        if self.queued > 0 || self.last_sent > idle_since {
            return None;
        }
        let offset = self.sent.checked_add(keep)?;
        if offset >= self.credit {
            return None;
        }
        self.queue = VecDeque::new();
        let seen = self.credit;
        self.credit = offset;
        Some((seen, offset))
    }

    /// Drops what is queued; says how many bytes.
    pub(crate) fn discard(&mut self) -> usize {
        self.drop_buffers();
        core::mem::take(&mut self.queued)
    }

    /// Memory held for queued bytes, if each chunk keeps alive no more than itself.
    pub(crate) fn memory(&self) -> usize {
        let entries = self.queue.capacity() * size_of::<Bytes>();
        let chunks: usize = self.queue.iter().map(Bytes::len).sum();
        entries + chunks + self.tail.capacity()
    }

    /// Copies what is queued into memory of its own size, so that it keeps nothing else alive.
    pub(crate) fn compact(&mut self) {
        for chunk in &mut self.queue {
            *chunk = Bytes::copy_from_slice(chunk);
        }
        self.queue.shrink_to_fit();
        self.tail = BytesMut::from(&self.tail[..]);
    }

    /// An idle stream holds no buffer, and few places for some.
    fn rest(&mut self) {
        if self.queue.capacity() > PLACES_KEPT {
            self.queue = VecDeque::new();
        }
        self.tail = BytesMut::new();
    }

    fn drop_buffers(&mut self) {
        self.queue = VecDeque::new();
        self.tail = BytesMut::new();
    }
}
