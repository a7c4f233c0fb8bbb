//! How a session ends so that nothing under way is lost.
//!
//! CLOSE drops what the other side has received and not yet read. So whoever leaves says GOAWAY; the other side, once it has
//! no stream left, answers with GOAWAY, and only then is CLOSE harmless. A side that doesn't answer is waited for, not for ever.

use std::time::Duration;

use adit_core::{Code, Instant, Session};

/// How long the side that leaves waits for the other to have read everything.
const PATIENCE: Duration = Duration::from_secs(2);

/// How far a session is with its end.
#[derive(Default)]
pub(super) struct Leaving {
    /// This side leaves.
    ours: bool,
    /// The session was closed by its owner: its streams are over.
    pub(super) closing: bool,
    /// The other side leaves, or has answered that it has no stream left.
    theirs: bool,
    /// This side has answered so.
    answered: bool,
    /// This side leaves, and has no stream left.
    drained: bool,
    close_at: Option<Instant>,
}

impl Leaving {
    /// This side leaves when its streams are done.
    pub(super) fn begin(&mut self, now: Instant, session: &mut Session) {
        if !self.ours {
            self.ours = true;
            session.go_away(now, Duration::ZERO);
        }
    }

    /// This side leaves now, whatever its streams are at.
    pub(super) fn close(&mut self, now: Instant, session: &mut Session) {
        self.begin(now, session);
        if !self.closing {
            self.closing = true;
            self.close_within(now + PATIENCE);
        }
    }

    pub(super) fn handle_go_away(&mut self, now: Instant) {
        self.theirs = true;
        if self.ours && self.drained {
            self.close_within(now);
        }
    }

    pub(super) fn handle_drained(&mut self, now: Instant) {
        self.drained = true;
        if self.ours {
            self.close_within(now + PATIENCE);
        }
    }

    fn close_within(&mut self, at: Instant) {
        self.close_at = Some(self.close_at.map_or(at, |known| known.min(at)));
    }

    /// Does what is due. Whether that was anything.
    pub(super) fn settle(&mut self, now: Instant, session: &mut Session) -> bool {
        if self.theirs && !self.ours && !self.answered && session.streams() == 0 {
            self.answered = true;
            session.go_away(now, Duration::ZERO);
            return true;
        }
        if self.close_at.take_if(|at| now >= *at).is_some() {
            session.close(now, Code::DONE);
            return true;
        }
        false
    }

    pub(super) const fn poll_timeout(&self) -> Option<Instant> {
        self.close_at
    }
}
