//! A carrier on its socket, from the first byte to an end that loses nothing: what is queued goes out, then FIN, and the socket is
//! closed when the other side has seen it (or after [`LINGER`]).

use std::io::IoSlice;
use std::time::Duration;

use adit_core::{Instant, Session, Transmit};
use adit_link::{Carrier, CloseCode, LinkError};

use crate::io::SocketId;
use crate::sockets::Sockets;

/// How long the end of a carrier may take. Closing at once could destroy the last frame on its way: a socket that is closed
/// with unread input resets the connection.
pub(crate) const LINGER: Duration = Duration::from_secs(2);

/// Who receives and has said nothing for so long says something. With the way back it must stay below max(3 round trips, 2 s), after which the other
/// side, which has something under way, suspects the carrier and begins on another from the start of this very record, for ever.
const PARTS_AFTER: Duration = Duration::from_secs(1);

/// A carrier and the socket under it.
pub(crate) struct Wire {
    pub(crate) carrier: Carrier,
    pub(crate) socket: SocketId,
    state: State,
    eof: bool,
    /// When the socket last took a byte.
    said_at: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// Writing out what is left; the carrier's own goodbye is queued once `closed`.
    Flushing {
        until: Instant,
        closed: bool,
    },
    /// FIN is sent; waiting for the other side's.
    Lingering {
        until: Instant,
    },
    Ended,
}

impl Wire {
    pub(crate) const fn new(now: Instant, carrier: Carrier, socket: SocketId) -> Self {
        Self {
            carrier,
            socket,
            state: State::Open,
            eof: false,
            said_at: now,
        }
    }

    /// Whether it carries a session or may still get one.
    pub(crate) fn is_open(&self) -> bool {
        self.state == State::Open
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.state == State::Ended
    }

    /// The socket took `n` bytes.
    pub(crate) fn written(&mut self, now: Instant, n: usize) {
        self.said_at = now;
        self.carrier.written(n);
    }

    /// Bytes came. If they are a part of a record that takes the carrier many seconds, there is nothing in them to answer yet, and whoever
    /// sends them hears nothing meanwhile; its own PING waits behind that record. So this side says something by itself.
    pub(crate) fn answer_parts(&mut self, now: Instant, session: &mut Session) {
        if now >= self.said_at + PARTS_AFTER {
            self.said_at = now;
            session.ping(now);
        }
    }

    /// Ends it after everything queued has gone out. Input is ignored from now on.
    pub(crate) fn finish(&mut self, now: Instant) {
        if self.is_open() {
            self.state = State::Flushing {
                until: now + LINGER,
                closed: false,
            };
        }
    }

    /// Ends it at once: the other side is gone, or has broken its carrier.
    pub(crate) fn cut<R>(&mut self, sockets: &mut Sockets<R>) {
        if !self.is_ended() {
            self.state = State::Ended;
            sockets.abort(self.socket);
        }
    }

    /// The other side's FIN came.
    pub(crate) fn handle_eof<R>(&mut self, sockets: &mut Sockets<R>) {
        self.eof = true;
        if matches!(self.state, State::Lingering { .. }) {
            self.state = State::Ended;
            sockets.close(self.socket);
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Open => self.carrier.poll_timeout(),
            State::Ended => None,
            State::Flushing { until, .. } | State::Lingering { until } => Some(until),
        }
    }

    /// Time passed.
    pub(crate) fn handle_timeout<R>(
        &mut self,
        now: Instant,
        sockets: &mut Sockets<R>,
    ) -> Result<(), LinkError> {
        match self.state {
            State::Open => return self.carrier.handle_timeout(now),
            State::Lingering { until } if now >= until => {
                self.state = State::Ended;
                sockets.close(self.socket);
            }
            State::Flushing { until, .. } if now >= until => self.cut(sockets),
            _ => {}
        }
        Ok(())
    }

    /// Whether the socket should be written to; `more`: whether frames wait above the carrier.
    pub(crate) fn wants_write(&self, more: bool) -> bool {
        match self.state {
            State::Open => self.carrier.has_output() || (more && self.carrier.send_space() > 0),
            State::Flushing { .. } => true,
            State::Lingering { .. } | State::Ended => false,
        }
    }

    /// What the socket should take now: frames are made by `pull`, as late as this.
    pub(crate) fn gather<'a, R>(
        &'a mut self,
        now: Instant,
        sockets: &mut Sockets<R>,
        pull: impl FnMut(usize) -> Option<Transmit>,
        out: &mut [IoSlice<'a>],
    ) -> usize {
        if matches!(self.state, State::Open | State::Flushing { .. }) {
            self.carrier.send(pull);
        }
        if let State::Flushing { until, closed } = self.state
            && !self.carrier.has_output()
        {
            if !closed {
                self.state = State::Flushing {
                    until,
                    closed: true,
                };
                self.carrier.close(now, CloseCode::NORMAL);
            }
            if !self.carrier.has_output() {
                self.say_goodbye(until, sockets);
            }
        }
        if !self.carrier.has_output() {
            sockets.nothing_to_write(self.socket);
            return 0;
        }
        self.carrier.gather(out)
    }

    fn say_goodbye<R>(&mut self, until: Instant, sockets: &mut Sockets<R>) {
        if self.eof {
            self.state = State::Ended;
            sockets.close(self.socket);
        } else {
            self.state = State::Lingering { until };
            sockets.shutdown(self.socket);
        }
    }
}
