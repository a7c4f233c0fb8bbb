//! What goes out next: control first, then streams in turn (spec/05-streams.md, section 5.5).

use bytes::Bytes;

use super::Session;
use super::inflight::OUT_OF_TURN;
use super::replay::data;
use crate::config::DATA_FRAME_MAX;
use crate::frame::Frame;
use crate::ids::StreamId;
use crate::schedule::quantum;
use crate::time::Instant;
use crate::transmit::Transmit;

/// The longest head of DATA: a type, a stream id, a length of at most [`PAYLOAD_MAX`](crate::PAYLOAD_MAX).
const DATA_HEAD_MAX: usize = 1 + 8 + 4;

/// The longest control frame that is made without looking at its length first: a type, a length, three numbers.
const CONTROL_MAX: usize = 2 + 3 * 8;

impl Session {
    /// One frame of at most `limit` bytes, or `None` when there is nothing to send (or only something longer: offer at least 512
    /// bytes to be sure).
    #[must_use]
    pub fn poll_transmit(&mut self, now: Instant, limit: usize) -> Option<Transmit> {
        if limit < CONTROL_MAX {
            return None;
        }
        if !self.first.is_empty() {
            // It may be longer than `limit`; a carrier is a byte stream, so its parts do as well.
            return Some(Transmit::raw(
                self.first.split_to(limit.min(self.first.len())),
            ));
        }
        if self.closed.is_some() {
            let code = self.close_owed.take()?;
            return Some(Frame::Close { code, detail: None }.encode());
        }
        if self.detached.is_some() {
            return None;
        }
        if let Some(position) = self.positions.take_ack(now, self.has_company()) {
            return Some(Frame::Ack { position }.encode());
        }
        if let Some(frame) = self.credit_frame() {
            return Some(frame.encode());
        }
        if let Some(opaque) = self.pong.take() {
            return Some(Frame::Pong(opaque).encode());
        }
        if let Some(opaque) = self.liveness.take_ping(now) {
            return Some(Frame::Ping(opaque).encode());
        }
        if core::mem::take(&mut self.leaving.ours_owed) {
            let retry_after = self.leaving.ours.unwrap_or_default();
            let retry_after_ms = u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX);
            let others = alloc::vec::Vec::new();
            return Some(
                Frame::GoAway {
                    retry_after_ms,
                    others,
                }
                .encode(),
            );
        }
        if self.replay.is_behind() {
            return self.frame_again(now, limit);
        }
        if self.replay.room(self.positions.unacknowledged()) == 0 {
            return None;
        }
        if let Some(frame) = self.control_frame(now, limit) {
            return frame;
        }
        self.data_frame(now, limit)
    }

    /// Whether [`poll_transmit`](Self::poll_transmit) may have something. It may still say `None`: an acknowledgement that can wait, or a
    /// stream without credit.
    #[must_use]
    pub fn has_output(&self) -> bool {
        if !self.first.is_empty() {
            return true;
        }
        if self.closed.is_some() {
            return self.close_owed.is_some();
        }
        let attached = self.detached.is_none();
        attached && (self.has_company() || self.flow.grant_due() || self.positions.is_owed())
    }

    /// What an earlier carrier has carried in vain.
    fn frame_again(&mut self, now: Instant, limit: usize) -> Option<Transmit> {
        if !self.inflight.has_room(0) {
            return None;
        }
        let (frame, units) = self.replay.next(limit, DATA_HEAD_MAX, DATA_FRAME_MAX)?;
        self.inflight.sent(now, units);
        Some(frame)
    }

    fn has_company(&self) -> bool {
        self.pong.is_some()
            || self.leaving.ours_owed
            || self.liveness.wants_ping()
            || self.flow.restate
            || !self.credit.is_empty()
            || (self.replay.is_behind() && self.inflight.has_room(0))
            || (self.has_units() && self.replay.room(self.positions.unacknowledged()) > 0)
    }

    fn has_units(&self) -> bool {
        !self.control.is_empty()
            || !self.refusals.is_empty()
            || (!self.schedule.is_empty()
                && self.flow.sent < self.flow.credit
                && self.has_room_for_data())
    }

    /// Whether the stream whose turn it is may send: bulk within what should be under way, a stream that sends little some beyond.
    fn has_room_for_data(&self) -> bool {
        let beyond = if self.schedule.is_sparse() {
            OUT_OF_TURN
        } else {
            0
        };
        self.inflight.has_room(beyond)
    }

    fn credit_frame(&mut self) -> Option<Frame> {
        if core::mem::take(&mut self.flow.restate) || self.flow.grant_due() {
            self.flow.granted = self.flow.consumed + self.flow.window;
            return Some(Frame::SessionCredit {
                offset: self.flow.granted,
            });
        }
        while let Some(key) = self.credit.front() {
            if let Some(frame) = self.credit_of(key) {
                return Some(frame);
            }
            self.credit.remove(&mut self.store.slab, key);
        }
        None
    }

    fn credit_of(&mut self, key: usize) -> Option<Frame> {
        let stream = self.store.get_mut(key)?;
        if stream.reset.is_some() {
            return None;
        }
        if let Some((seen, offset)) = stream.give_back.take() {
            return Some(Frame::CreditReturn {
                stream: stream.id,
                seen,
                offset,
            });
        }
        let restated = core::mem::take(&mut stream.restate).then(|| stream.recv.credit());
        let offset = stream.recv.credit_due().or(restated)?;
        stream.recv.granted(offset);
        Some(Frame::Credit {
            stream: stream.id,
            offset,
        })
    }

    /// An OPEN or RESET, or the FIN of a stream whose payload is all sent. `Some(None)` when the next one does not fit `limit`.
    fn control_frame(&mut self, now: Instant, limit: usize) -> Option<Option<Transmit>> {
        if let Some((stream, code)) = self.refusals.pop_front() {
            let frame = Frame::Reset { stream, code }.encode();
            self.control_sent(now, &frame);
            return Some(Some(frame));
        }
        while let Some(key) = self.control.front() {
            match self.control_of(key, limit) {
                None => {
                    self.control.remove(&mut self.store.slab, key);
                    self.clean_up(key);
                }
                Some(None) => return Some(None),
                Some(Some(frame)) => {
                    self.control_sent(now, &frame);
                    self.clean_up(key);
                    return Some(Some(frame));
                }
            }
        }
        None
    }

    fn control_sent(&mut self, now: Instant, frame: &Transmit) {
        self.positions.sent(now, 1);
        self.inflight.sent(now, 1);
        self.replay.keep_control(frame);
    }

    fn control_of(&mut self, key: usize, limit: usize) -> Option<Option<Transmit>> {
        let (side, position) = (self.side, self.positions.sent_position());
        let stream = self.store.get_mut(key)?;
        let id = stream.id;
        if let Some(reset) = &mut stream.reset {
            return core::mem::take(&mut reset.owed).then(|| {
                Some(
                    Frame::Reset {
                        stream: id,
                        code: reset.code,
                    }
                    .encode(),
                )
            });
        }
        if id.opener() == side
            && let Some(open) = stream.open.clone()
        {
            let credit = stream.recv.credit();
            let frame = Frame::Open {
                stream: id,
                credit,
                open,
            }
            .encode();
            if frame.len() > limit {
                return Some(None);
            }
            stream.open = None;
            stream.opened_at = Some(position);
            return Some(Some(frame));
        }
        stream.send.is_fin_due().then(|| {
            stream.send.fin_sent();
            Some(Frame::Fin { stream: id }.encode())
        })
    }

    fn data_frame(&mut self, now: Instant, limit: usize) -> Option<Transmit> {
        if self.schedule.is_empty() {
            self.inflight.idle();
            return None;
        }
        let replay_room = self.replay.room(self.positions.unacknowledged());
        let quantum = quantum(self.inflight.rate());
        loop {
            let session_credit = self.flow.credit - self.flow.sent;
            let Some((key, turn)) = self.schedule.next(&mut self.store, quantum) else {
                self.inflight.idle();
                return None;
            };
            if !self.has_room_for_data() {
                return None;
            }
            let room = (limit.checked_sub(DATA_HEAD_MAX)? as u64)
                .min(turn)
                .min(session_credit)
                .min(replay_room)
                .min(DATA_FRAME_MAX as u64);
            let Some(stream) = self.store.get_mut(key) else {
                self.schedule.pass(&mut self.store, key);
                continue;
            };
            let id = stream.id;
            if let Some(chunk) = stream.send.take(room, now) {
                if stream.send.is_starved() {
                    self.inflight.pressed();
                }
                let drained = stream.send.queued() <= self.config.send_buffer_stream / 2;
                if drained && stream.send.is_open() {
                    stream.tell.writable = true;
                    self.events.push(&mut self.store.slab, key);
                } else if stream.send.is_fin_due() {
                    self.control.push(&mut self.store.slab, key);
                }
                return Some(self.data(now, key, id, chunk));
            }
            if session_credit == 0 {
                // Not this stream's fault: it keeps its place.
                self.inflight.pressed();
                return None;
            }
            self.schedule.pass(&mut self.store, key);
        }
    }

    fn data(&mut self, now: Instant, key: usize, id: StreamId, chunk: Bytes) -> Transmit {
        let len = chunk.len();
        self.queued -= len;
        self.flow.sent += len as u64;
        self.positions.sent(now, len as u64);
        self.inflight.sent(now, len as u64);
        self.replay.keep_data(id, &chunk);
        self.stats.bytes_sent += len as u64;
        self.schedule.sent(&mut self.store, key, len);
        data(id, chunk)
    }
}
