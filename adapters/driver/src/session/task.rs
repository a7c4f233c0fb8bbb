//! The task of a session: moves bytes between its carrier and the core.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use adit_core::{Instant, Transmit};
use bytes::{Buf, Bytes, BytesMut};

use super::Carrier;
use super::handshake::{FRAME_MAX_BYTES, READ_BYTES};
use super::shared::Shared;
use crate::Timer;

/// Reads of one turn, before the runtime's other tasks get theirs.
const READS_MAX: usize = 16;

/// Runs a session until it has ended and its last frame is out.
pub(super) struct Task<C, T> {
    carrier: C,
    shared: Arc<Shared>,
    sending: Option<Sending>,
    /// Something was written since the last flush.
    unflushed: bool,
    carrier_ended: bool,
    timer: T,
    /// What the timer is set to.
    timer_at: Option<Instant>,
}

/// A frame on its way into the carrier.
struct Sending {
    head: Bytes,
    payload: Bytes,
}

impl<C: Carrier, T: Timer> Task<C, T> {
    pub(super) fn new(carrier: C, timer: T, shared: Arc<Shared>) -> Self {
        Self {
            carrier,
            shared,
            sending: None,
            unflushed: false,
            carrier_ended: false,
            timer,
            timer_at: None,
        }
    }

    /// One turn. Ready when there is nothing left to do.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.shared
            .with(|state| state.task = Some(context.waker().clone()));
        let mut more = self.read(context);
        self.handle_events();
        if let Poll::Ready(Err(_)) = self.write(context) {
            self.lose_carrier();
        }
        // What follows from it may have to be sent.
        more |= self.handle_events();
        let (ended, deadline) = self
            .shared
            .with(|state| (state.ended.is_some(), state.poll_timeout()));
        if ended {
            return self.finish(context);
        }
        if more {
            context.waker().wake_by_ref();
        }
        self.wait_until(deadline, context);
        Poll::Pending
    }

    /// Whether there may be more to read at once.
    fn read(&mut self, context: &mut Context<'_>) -> bool {
        for _ in 0..READS_MAX {
            if self.carrier_ended {
                return false;
            }
            let mut buffer = BytesMut::zeroed(READ_BYTES);
            match self.carrier.poll_read(context, &mut buffer) {
                Poll::Pending => return false,
                Poll::Ready(Ok(read @ 1..)) => {
                    buffer.truncate(read);
                    let now = self.shared.clock.now();
                    self.shared
                        .with(|state| state.session.handle_input(now, buffer.freeze(), READ_BYTES));
                }
                Poll::Ready(Ok(0) | Err(_)) => self.lose_carrier(),
            }
        }
        true
    }

    fn write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.carrier_ended {
            if self.sending.is_none() {
                let now = self.shared.clock.now();
                let next = |state: &mut super::shared::State| {
                    state.session.poll_transmit(now, FRAME_MAX_BYTES)
                };
                self.sending = self.shared.with(next).map(Sending::from);
            }
            let Some(sending) = &mut self.sending else {
                break;
            };
            let slices = [IoSlice::new(&sending.head), IoSlice::new(&sending.payload)];
            match ready!(self.carrier.poll_write(context, &slices))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => sending.advance(written),
            }
            self.unflushed = true;
            if sending.head.is_empty() && sending.payload.is_empty() {
                self.sending = None;
            }
        }
        if self.unflushed {
            ready!(self.carrier.poll_flush(context))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Sends the last frames, then ends the carrier. What can't be sent now is not waited for by anybody.
    fn finish(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Poll::Ready(Ok(())) = self.write(context) {
            let _ = self.carrier.poll_close(context);
        }
        Poll::Ready(())
    }

    fn lose_carrier(&mut self) {
        self.carrier_ended = true;
        let now = self.shared.clock.now();
        self.shared
            .with(|state| state.session.handle_carrier_lost(now));
    }

    /// Whether this side's leaving went on.
    fn handle_events(&mut self) -> bool {
        let now = self.shared.clock.now();
        let (news, settled) = self.shared.with(|state| {
            if state.session.poll_timeout().is_some_and(|at| at <= now) {
                state.session.handle_timeout(now);
            }
            let mut news = state.handle_events(now);
            let settled = state.leaving.settle(now, &mut state.session);
            if settled {
                news |= state.handle_events(now);
            }
            (news, settled)
        });
        if news {
            self.shared.opened.notify(usize::MAX);
        }
        settled
    }

    fn wait_until(&mut self, deadline: Option<Instant>, context: &mut Context<'_>) {
        let Some(deadline) = deadline else { return };
        if self.timer_at != Some(deadline) {
            self.timer_at = Some(deadline);
            self.timer.set(deadline - self.shared.clock.now());
        }
        if self.timer.poll(context).is_ready() {
            self.timer_at = None;
            context.waker().wake_by_ref();
        }
    }
}

impl From<Transmit> for Sending {
    fn from(frame: Transmit) -> Self {
        Self {
            head: Bytes::copy_from_slice(frame.head()),
            payload: frame.into_payload(),
        }
    }
}

impl Sending {
    fn advance(&mut self, written: usize) {
        let of_head = written.min(self.head.len());
        self.head.advance(of_head);
        self.payload
            .advance((written - of_head).min(self.payload.len()));
    }
}
