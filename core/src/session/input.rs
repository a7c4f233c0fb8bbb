//! What each frame of the peer means to an open session.

use core::time::Duration;

use bytes::Bytes;

use super::Session;
use crate::code::Code;
use crate::decode::Piece;
use crate::error::{ProtocolError, SessionError};
use crate::frame::{Frame, Open, ServiceKind};
use crate::ids::{Side, StreamId};
use crate::stream::{Recv, Reset, Send, Stream};
use crate::time::Instant;

impl Session {
    /// Takes bytes from the carrier, in order, cut anywhere. What the peer does wrong ends the session: it becomes
    /// [`Event::Closed`](crate::Event::Closed), and the CLOSE to send is ready.
    ///
    /// `slab` is the size of the buffer that `data` is a slice of, in bytes: payload that is kept keeps all of it alive. What would cost more than twice its
    /// length is copied, so an honest number bounds memory, and `usize::MAX` copies everything.
    ///
    /// While the session is detached nothing is taken: what an old carrier still brings would come again on the next.
    pub fn handle_input(&mut self, now: Instant, mut data: Bytes, slab: usize) {
        if self.closed.is_some() || self.detached.is_some() || data.is_empty() {
            return;
        }
        self.liveness.received(now);
        while self.closed.is_none() {
            let handled = match self.decoder.decode(&mut data) {
                Ok(None) => return,
                Ok(Some(Piece::Payload { stream, chunk })) => {
                    self.payload(now, stream, chunk, slab)
                }
                Ok(Some(piece @ Piece::Body { kind, .. })) => {
                    Frame::parse(kind, piece.body()).and_then(|frame| self.frame(now, frame))
                }
                Err(error) => Err(error),
            };
            if let Err(error) = handled {
                self.end(SessionError::Protocol(error));
            }
        }
    }

    /// Bytes came in on the carrier, whatever they are: a sign of life. A carrier that brings a frame, or the record around it, in
    /// small parts over many seconds is slow and not dead.
    pub fn handle_alive(&mut self, now: Instant) {
        if self.detached.is_none() {
            self.liveness.received(now);
        }
    }

    fn payload(
        &mut self,
        now: Instant,
        id: StreamId,
        chunk: Bytes,
        slab: usize,
    ) -> Result<(), ProtocolError> {
        let len = chunk.len();
        if len == 0 {
            self.glitches.spend(now)?;
        }
        self.glitches.work(len);
        self.flow.received += len as u64;
        if self.flow.received > self.flow.granted {
            return Err(ProtocolError::FLOW_CONTROL(
                "payload beyond the session's credit",
            ));
        }
        self.positions.received(now, len as u64);
        self.stats.bytes_received += len as u64;
        let key = self.known(id)?;
        let stream = key.and_then(|key| self.store.get_mut(key));
        match (key, stream) {
            (Some(key), Some(stream)) if stream.reset.is_none() => {
                stream.recv.push(chunk, slab, &mut self.pinned)?;
                stream.tell.readable |= len > 0;
                self.events.push(&mut self.store.slab, key);
            }
            // The stream is gone: nobody will take these bytes, so they count as taken.
            _ => self.flow.consumed += len as u64,
        }
        Ok(())
    }

    fn frame(&mut self, now: Instant, frame: Frame) -> Result<(), ProtocolError> {
        match frame {
            Frame::Ack { position } => match self.positions.acknowledged(now, position)? {
                0 => self.glitches.spend(now)?,
                units => {
                    self.replay.acknowledged(units);
                    self.inflight.acknowledged(now, position);
                }
            },
            Frame::Credit { stream, offset } => self.credited(now, stream, offset)?,
            Frame::SessionCredit { offset } => {
                if offset <= self.flow.credit {
                    self.glitches.spend(now)?;
                }
                self.flow.credit = self.flow.credit.max(offset);
            }
            Frame::CreditReturn {
                stream,
                seen,
                offset,
            } => {
                self.credit_returned(now, stream, seen, offset)?;
            }
            Frame::Ping(opaque) => {
                self.glitches.spend(now)?;
                // Only the latest is answered: a peer that never reads can't make answers pile up.
                self.pong = Some(opaque);
            }
            Frame::Pong(opaque) => {
                self.liveness.pong(now, opaque);
                if let Some(min_rtt) = self.liveness.min_rtt() {
                    self.positions.set_round_trip(min_rtt);
                }
            }
            Frame::Open {
                stream,
                credit,
                open,
            } => self.opened(now, stream, credit, open)?,
            Frame::Fin { stream } => self.finished(now, stream)?,
            Frame::Reset { stream, code } => self.was_reset(now, stream, code)?,
            Frame::GoAway { retry_after_ms, .. } => {
                if self.leaving.theirs.is_some() {
                    self.glitches.spend(now)?;
                }
                self.leaving.theirs = Some(Duration::from_millis(retry_after_ms));
            }
            Frame::Close { code, .. } => self.end(SessionError::PeerClosed(code)),
            Frame::ServerHello(_)
            | Frame::Auth(_)
            | Frame::Welcome(_)
            | Frame::Resume(_)
            | Frame::Resumed(_)
            | Frame::Refuse { .. } => {
                return Err(ProtocolError::UNEXPECTED_FRAME(
                    "a handshake's frame in an open session",
                ));
            }
            Frame::Offer { .. }
            | Frame::Offered { .. }
            | Frame::Withdraw { .. }
            | Frame::Grant { .. }
            | Frame::Challenge { .. }
            | Frame::Reauth { .. }
            | Frame::Datagram { .. } => {
                return Err(ProtocolError::UNEXPECTED_FRAME(
                    "a frame of a feature that was not agreed on",
                ));
            }
        }
        Ok(())
    }

    fn opened(
        &mut self,
        now: Instant,
        id: StreamId,
        credit: u64,
        open: Open,
    ) -> Result<(), ProtocolError> {
        self.positions.received(now, 1);
        let peer = self.side.peer();
        if id.opener() != peer || self.highest_of_peer.is_some_and(|highest| id <= highest) {
            return Err(ProtocolError::STREAM_STATE("an id that can't be opened"));
        }
        self.highest_of_peer = Some(id);
        let refusal = if open.kind != ServiceKind::Tcp {
            Some(Code::UNSUPPORTED)
        } else if self.store.count(peer) >= self.config.streams_max {
            Some(Code::STREAM_LIMIT)
        } else {
            None
        };
        if let Some(code) = refusal {
            return self.turn_away(now, id, code);
        }
        let recv = Recv::new(self.config.stream_credit, now);
        let mut stream = Stream::new(id, Send::new(credit, now), recv, open);
        stream.tell.opened = true;
        stream.tell.writable = credit > 0;
        let key = self.store.insert(stream);
        self.events.push(&mut self.store.slab, key);
        self.stats.streams_accepted += 1;
        Ok(())
    }

    fn turn_away(&mut self, now: Instant, id: StreamId, code: Code) -> Result<(), ProtocolError> {
        self.glitches.spend(now)?;
        self.stats.streams_refused += 1;
        if self.refusals.len() >= self.config.refusals_max {
            return Err(ProtocolError::FLOOD(
                "streams are opened faster than refusals are read",
            ));
        }
        self.refusals.push_back((id, code));
        Ok(())
    }

    fn finished(&mut self, now: Instant, id: StreamId) -> Result<(), ProtocolError> {
        self.positions.received(now, 1);
        let Some(key) = self.known(id)? else {
            return Ok(());
        };
        if let Some(stream) = self.store.get_mut(key)
            && stream.reset.is_none()
        {
            stream.recv.finish()?;
            stream.tell.readable = true;
            self.events.push(&mut self.store.slab, key);
        }
        Ok(())
    }

    fn was_reset(&mut self, now: Instant, id: StreamId, code: Code) -> Result<(), ProtocolError> {
        self.positions.received(now, 1);
        let Some(key) = self.known(id)? else {
            return Ok(());
        };
        // Visitors decide how many streams a server opens and gives up at once, and no peer may end a session for what visitors do.
        let by_client = id.opener() == Side::Client && self.side == Side::Server;
        let Some(stream) = self.store.get_mut(key) else {
            return Ok(());
        };
        let idle = stream.send.sent() == 0 && stream.recv.is_untouched();
        // Both sides reset at once: neither owes the other anything more.
        stream.reset = Some(Reset { code, owed: false });
        stream.tell.reset = true;
        let released = stream.released;
        self.drop_queued(key);
        if released {
            self.clean_up(key);
        } else {
            self.events.push(&mut self.store.slab, key);
        }
        if by_client && idle {
            self.glitches.spend(now)?;
        }
        Ok(())
    }

    fn credited(&mut self, now: Instant, id: StreamId, offset: u64) -> Result<(), ProtocolError> {
        let Some(key) = self.known(id)? else {
            return Ok(());
        };
        let Some(stream) = self.store.get_mut(key) else {
            return Ok(());
        };
        stream.unstated = false;
        match stream.send.raise(offset) {
            None => self.glitches.spend(now)?,
            Some(starved) => {
                let (live, ready) = (stream.reset.is_none(), stream.send.is_ready());
                stream.tell.writable |= starved && live;
                if starved && live {
                    self.events.push(&mut self.store.slab, key);
                }
                if live && ready {
                    self.schedule.activate(&mut self.store, key);
                }
            }
        }
        Ok(())
    }

    fn credit_returned(
        &mut self,
        now: Instant,
        id: StreamId,
        seen: u64,
        offset: u64,
    ) -> Result<(), ProtocolError> {
        let floor = self.config.stream_credit;
        let freed = match self.known(id)?.and_then(|key| self.store.get_mut(key)) {
            Some(stream) => stream.recv.give_back(seen, offset, floor),
            None => 0,
        };
        if freed == 0 {
            self.glitches.spend(now)?;
        }
        self.give_to_pool(freed);
        Ok(())
    }

    /// The key of a stream that was opened; `None` if it is gone.
    fn known(&self, id: StreamId) -> Result<Option<usize>, ProtocolError> {
        let was_opened = if id.opener() == self.side {
            id.as_u64() < self.next_stream
        } else {
            self.highest_of_peer.is_some_and(|highest| id <= highest)
        };
        if was_opened {
            Ok(self.store.key(id))
        } else {
            Err(ProtocolError::STREAM_STATE(
                "a stream that was never opened",
            ))
        }
    }
}
