//! What the application does with streams, and what their windows take of the pool.

use bytes::Bytes;

use super::Session;
use crate::code::Code;
use crate::error::{OpenError, SessionError, StreamError};
use crate::frame::Open;
use crate::ids::StreamId;
use crate::stream::{Chunks, Growth, Recv, Reset, Send, Stream};
use crate::time::Instant;

/// A stream is given at most this part of what is free in the pool to begin with.
const FIRST_SHARE: u64 = 16;

/// A growing window takes at most this part of what is free in the pool.
const GROWTH_SHARE: u64 = 2;

impl Session {
    /// Opens a stream; data may be written at once.
    ///
    /// # Errors
    ///
    /// [`OpenError`] when the peer's limit is reached or the session takes no new streams.
    pub fn open(&mut self, now: Instant, open: Open) -> Result<StreamId, OpenError> {
        let leaving = self.leaving.ours.is_some() || self.leaving.theirs.is_some();
        if self.closed.is_some() || leaving {
            return Err(OpenError::Ending);
        }
        if self.store.count(self.side) >= self.peer.streams {
            return Err(OpenError::StreamLimit);
        }
        let id = StreamId(self.next_stream);
        self.next_stream += 2;
        let extra = self.config.stream_window_first - self.config.stream_credit;
        let extra = self.take_from_pool(extra, FIRST_SHARE);
        let send = Send::new(self.peer.stream_credit, now);
        let recv = Recv::new(self.config.stream_credit + extra, now);
        let key = self.store.insert(Stream::new(id, send, recv, open));
        self.control.push(&mut self.store.slab, key);
        self.stats.streams_opened += 1;
        Ok(id)
    }

    /// Bytes that [`write`](Self::write) would take now: what an adapter should read from the local socket at most. None while the session is detached: who
    /// sends then feels it in the local socket, and nothing piles up here.
    #[must_use]
    pub fn write_space(&self, id: StreamId) -> usize {
        match self.store.by_id(id) {
            Some(stream) if stream.reset.is_none() && self.detached.is_none() => {
                let free = self.config.send_buffer_session.saturating_sub(self.queued);
                stream.send.space(self.config.send_buffer_stream, free)
            }
            _ => 0,
        }
    }

    /// Takes as much of the front of `data` as there is [space](Self::write_space) for, by reference; says how much.
    ///
    /// # Errors
    ///
    /// [`StreamError`] if the stream is gone or finished.
    pub fn write(&mut self, id: StreamId, data: &mut Bytes) -> Result<usize, StreamError> {
        let space = self.write_space(id);
        let (key, stream) = self.live(id)?;
        if !stream.send.is_open() {
            return Err(StreamError::Finished);
        }
        let taken = data.split_to(space.min(data.len()));
        let len = taken.len();
        if len > 0 {
            stream.send.push(taken);
            self.queued += len;
            self.schedule.activate(&mut self.store, key);
        }
        Ok(len)
    }

    /// Ends the sending half: FIN goes out behind what was written.
    ///
    /// # Errors
    ///
    /// [`StreamError`] if the stream is gone or finished.
    pub fn finish(&mut self, id: StreamId) -> Result<(), StreamError> {
        let (key, stream) = self.live(id)?;
        if !stream.send.finish() {
            return Err(StreamError::Finished);
        }
        if stream.send.is_fin_due() {
            self.control.push(&mut self.store.slab, key);
        }
        Ok(())
    }

    /// Resets a stream of the peer's that should not have been opened. It counts as a frame that did no work, so a peer can't do it for ever.
    pub fn refuse(&mut self, now: Instant, id: StreamId, code: Code) {
        match self.glitches.spend(now) {
            Ok(()) => self.reset(id, code),
            Err(error) => self.end(SessionError::Protocol(error)),
        }
    }

    /// Aborts both halves and releases the stream.
    pub fn reset(&mut self, id: StreamId, code: Code) {
        let Some(key) = self.store.key(id) else {
            return;
        };
        let side = self.side;
        let Some(stream) = self.store.get_mut(key) else {
            return;
        };
        stream.released = true;
        if !stream.is_over() && stream.reset.is_none() {
            // A stream of which the peer has not heard needs no RESET.
            let unheard = id.opener() == side && stream.open.is_some();
            stream.reset = Some(Reset {
                code,
                owed: !unheard,
            });
            self.drop_queued(key);
            self.control.push(&mut self.store.slab, key);
        }
        self.clean_up(key);
    }

    /// The bytes of `id` that were received and not taken, in order.
    #[must_use]
    pub fn chunks(&self, id: StreamId) -> Chunks<'_> {
        Chunks::of(self.store.by_id(id))
    }

    /// The local side took `n` bytes off the front of [`chunks`](Self::chunks): credit follows.
    pub fn consume(&mut self, now: Instant, id: StreamId, n: usize) {
        let Some(key) = self.store.key(id) else {
            return;
        };
        let growth = Growth {
            first: self.config.stream_window_first,
            max: self.config.stream_window_max,
            min_rtt: self.liveness.min_rtt(),
        };
        let Some(stream) = self.store.get_mut(key) else {
            return;
        };
        self.flow.consumed += stream.recv.consume(n, &mut self.pinned) as u64;
        let wanted = stream.recv.wanted_growth(now, &growth);
        let grown = self.take_from_pool(wanted, GROWTH_SHARE);
        if let Some(stream) = self.store.get_mut(key) {
            stream.recv.grow(grown);
            if stream.recv.credit_due().is_some() && stream.reset.is_none() {
                self.credit.push(&mut self.store.slab, key);
            }
        }
        self.clean_up(key);
    }

    /// FIN came and all bytes before it were consumed. Never so once the stream was reset, which drops what was not consumed.
    #[must_use]
    pub fn is_read_finished(&self, id: StreamId) -> bool {
        self.store
            .by_id(id)
            .is_some_and(|stream| stream.reset.is_none() && stream.recv.is_finished())
    }

    /// The local work for a stream has ended: its place may be used again. A stream whose halves are not both finished is reset
    /// with [`Code::CANCELLED`].
    pub fn release(&mut self, id: StreamId) {
        let Some(key) = self.store.key(id) else {
            return;
        };
        let Some(stream) = self.store.get_mut(key) else {
            return;
        };
        let cut_short = stream.send.is_open() || !stream.recv.is_finished();
        if stream.reset.is_none() && cut_short {
            self.reset(id, Code::CANCELLED);
        } else {
            stream.released = true;
            self.clean_up(key);
        }
    }

    fn live(&mut self, id: StreamId) -> Result<(usize, &mut Stream), StreamError> {
        let key = self.store.key(id).ok_or(StreamError::Unknown)?;
        match self.store.get_mut(key) {
            Some(stream) if stream.reset.is_none() => Ok((key, stream)),
            _ => Err(StreamError::Unknown),
        }
    }

    /// Takes up to `wanted` bytes of growth, at most the `share`th part of what is free in the pool, and at most half of what is
    /// free in the process.
    pub(super) fn take_from_pool(&mut self, wanted: u64, share: u64) -> u64 {
        let free = self.config.session_pool.saturating_sub(self.pool_used);
        let wanted = usize::try_from(wanted.min(free / share)).unwrap_or(usize::MAX);
        let took = self.config.budget.take(wanted) as u64;
        self.pool_used += took;
        took
    }

    pub(super) fn give_to_pool(&mut self, bytes: u64) {
        self.pool_used = self.pool_used.saturating_sub(bytes);
        self.config
            .budget
            .give(usize::try_from(bytes).unwrap_or(usize::MAX));
    }

    /// Drops what waits in either direction; what was received counts as taken.
    pub(super) fn drop_queued(&mut self, key: usize) {
        self.schedule.remove(&mut self.store, key);
        if let Some(stream) = self.store.get_mut(key) {
            self.queued -= stream.send.discard();
            self.flow.consumed += stream.recv.discard(&mut self.pinned) as u64;
        }
    }

    /// Forgets a stream that both the protocol and the application are done with.
    pub(super) fn clean_up(&mut self, key: usize) {
        let floor = self.config.stream_credit;
        let Some(stream) = self.store.get_mut(key) else {
            return;
        };
        if !(stream.released && stream.is_over()) {
            return;
        }
        let grown = stream.recv.grown(floor);
        self.drop_queued(key);
        self.give_to_pool(grown);
        for list in [&mut self.events, &mut self.control, &mut self.credit] {
            list.remove(&mut self.store.slab, key);
        }
        self.store.remove(key);
    }

    pub(super) fn give_idle_credit_back(&mut self, now: Instant) {
        let idle_since = Instant::from_micros(now.as_micros().saturating_sub(
            u64::try_from(self.config.stream_idle.as_micros()).unwrap_or(u64::MAX),
        ));
        let keep = self.peer.stream_credit;
        let mut idle = alloc::vec::Vec::new();
        for (key, stream) in &mut self.store.slab {
            // A statement that is under way would give again what is given back now.
            if stream.reset.is_none()
                && stream.give_back.is_none()
                && !stream.unstated
                && let Some(back) = stream.send.give_back(keep, idle_since)
            {
                stream.give_back = Some(back);
                idle.push(key);
            }
        }
        for key in idle {
            self.credit.push(&mut self.store.slab, key);
        }
    }
}
