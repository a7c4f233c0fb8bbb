//! How a session ends so that nothing under way is lost.
//!
//! CLOSE drops what the other side has received and not yet handed on. So whoever goes away says GOAWAY, and the other side, once its own
//! last stream has ended, answers with GOAWAY: only then is CLOSE harmless.

use std::time::Duration;

use adit_core::{Code, Instant, Session};

/// How long a side that is done waits if it can't tell whether the other is, because that had said GOAWAY before.
const DOUBT: Duration = Duration::from_secs(1);

/// How far a session is with its end.
#[derive(Default)]
pub(crate) struct Leaving {
    /// This side goes away; the session is closed with this code.
    ours: Option<Code>,
    /// The other side said GOAWAY.
    theirs: bool,
    /// This side has said, in answer, that it has no streams left.
    answered: bool,
    /// This side goes away, and has no streams left.
    drained: bool,
    close_at: Option<Instant>,
}

impl Leaving {
    /// Begins to go away.
    pub(crate) fn begin(
        &mut self,
        now: Instant,
        code: Code,
        retry_after: Duration,
        session: &mut Session,
    ) {
        self.ours.get_or_insert(code);
        session.go_away(now, retry_after);
    }

    /// Whether this side goes away and has nothing to wait for: no stream runs, and there is no carrier to say so on.
    pub(crate) fn is_needless(&self, session: &Session) -> bool {
        self.ours.is_some() && !session.is_attached() && session.streams() == 0
    }

    /// The other side goes away, or answers.
    pub(crate) fn handle_go_away(&mut self, now: Instant) {
        self.theirs = true;
        if self.drained {
            self.close_at = Some(now);
        }
    }

    /// [`Event::Drained`](adit_core::Event::Drained).
    pub(crate) fn handle_drained(&mut self, now: Instant) {
        if self.ours.is_some() {
            self.drained = true;
            if self.theirs {
                self.close_at = Some(now + DOUBT);
            }
        }
    }

    /// Does what is due. Whether that was anything.
    pub(crate) fn settle(&mut self, now: Instant, session: &mut Session) -> bool {
        if self.theirs && self.ours.is_none() && !self.answered && session.streams() == 0 {
            self.answered = true;
            session.go_away(now, Duration::ZERO);
            return true;
        }
        if let Some(code) = self.ours.filter(|_| self.is_needless(session)) {
            session.close(now, code);
            return true;
        }
        match self.ours {
            Some(code) if self.close_at.take_if(|at| now >= *at).is_some() => {
                session.close(now, code);
                true
            }
            _ => false,
        }
    }

    pub(crate) const fn poll_timeout(&self) -> Option<Instant> {
        self.close_at
    }
}
