//! A session without a carrier, and how it goes on on the next one (spec/06-positions.md).

use core::time::Duration;

use super::inflight::Inflight;
use super::replay::Replay;
use super::{Session, Stated};
use crate::error::SessionError;
use crate::time::Instant;

/// The least that a peer may keep what was sent to itself before it is suspected, whatever the round trip.
const SUSPECT_MIN: Duration = Duration::from_secs(2);

/// Likewise for the answer to a question.
const ANSWER_MIN: Duration = Duration::from_secs(1);

/// Round trips without an answer before a carrier is suspected.
const SUSPECT_RTTS: u32 = 3;

/// Frames that repeat what was said in any resume, beside one for each stream: session credit and GOAWAY.
const REPEATED: u64 = 2;

impl Session {
    /// Lets the session outlive its carriers: for as long as `window` it may be without one, and what was sent is kept until it is acknowledged, up to
    /// [`Config::replay`](crate::Config::replay) units. Both sides must have agreed on it. To be called before the first frame is polled.
    #[must_use]
    pub fn resumable(mut self, window: Duration) -> Self {
        self.resume_window = Some(window);
        self.replay = Replay::on(self.config.replay);
        self
    }

    /// The carrier ended. The session is detached, if it is [resumable](Self::resumable), or ends.
    pub fn handle_carrier_lost(&mut self, now: Instant) {
        self.lose_carrier(now, SessionError::CarrierLost);
    }

    /// Leaves the carrier, if there is one, and says how far each direction got: what RESUME and RESUMED state. From here on nothing is taken from an
    /// old carrier. `None` if the session has ended or can't be resumed.
    pub fn state_position(&mut self, now: Instant) -> Option<Stated> {
        if self.closed.is_some() || self.resume_window.is_none() {
            return None;
        }
        if self.detached.is_none() {
            self.detach(now);
        }
        self.detached_for = None;
        Some(self.positions.stated())
    }

    /// Goes on on a new carrier, at the attempt `epoch`, with a peer that stated how far it got. This side's position must have been
    /// [stated](Self::state_position) to that carrier. What the peer lacks is sent again, in front of everything new.
    ///
    /// # Errors
    ///
    /// [`SessionError::Gone`] if the positions do not fit, which ends the session; or why it had ended.
    pub fn attach(&mut self, now: Instant, epoch: u64, peer: Stated) -> Result<(), SessionError> {
        if let Some(error) = self.closed {
            return Err(error);
        }
        let agreed = self.resume_window.is_some();
        let Some(units) = self.positions.resumed(now, peer).filter(|_| agreed) else {
            self.end(SessionError::Gone);
            return Err(SessionError::Gone);
        };
        self.replay.acknowledged(units);
        self.replay.rewind();
        self.inflight = Inflight::new(now, peer.received);
        self.epoch = epoch;
        self.detached = None;
        self.detached_for = None;
        self.liveness.restart(now);
        self.stats.resumes += 1;
        self.restate(peer.received);
        Ok(())
    }

    /// The attempt to resume that was accepted last; 0 before the first.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether the session has a carrier, as far as is known.
    #[must_use]
    pub const fn is_attached(&self) -> bool {
        self.detached.is_none()
    }

    /// How long the session may be without a carrier; `None` if it ends with its first.
    #[must_use]
    pub const fn resume_window(&self) -> Option<Duration> {
        self.resume_window
    }

    /// When the carrier becomes suspect, if nothing comes from the peer until then: something is on its way to it, and max(3 round trips, 2 s) passed without
    /// a sign of life; or it was asked for one, and max(3 round trips, 1 s) passed since. Time to dial another carrier beside it. `None` while neither
    /// is so, or there is no carrier.
    #[must_use]
    pub fn suspect_at(&self) -> Option<Instant> {
        let patience = self.rtt().unwrap_or_default().saturating_mul(SUSPECT_RTTS);
        let waiting = self
            .waiting_since()
            .map(|since| since + SUSPECT_MIN.max(patience));
        let asked = self
            .liveness
            .asked_at()
            .filter(|_| self.closed.is_none() && self.detached.is_none());
        let asked = asked.map(|at| at + ANSWER_MIN.max(patience));
        waiting.into_iter().chain(asked).min()
    }

    /// Since when something is on its way to the peer and there was no sign of life. `None` while nothing is on its way, or there is
    /// no carrier.
    #[must_use]
    pub fn waiting_since(&self) -> Option<Instant> {
        if self.closed.is_some() || self.detached.is_some() {
            return None;
        }
        Some(self.positions.waiting_since()?.max(self.last_received()))
    }

    /// The carrier is gone, for a reason that the application does not know yet.
    pub(super) fn lose_carrier(&mut self, now: Instant, error: SessionError) {
        if self.closed.is_some() || self.detached.is_some() {
            return;
        }
        if self.resume_window.is_none() {
            return self.end(error);
        }
        self.detach(now);
        self.detached_for = Some(error);
    }

    fn detach(&mut self, now: Instant) {
        self.detached = Some(now);
        // Half a frame, and what answered the dead carrier, have no meaning on another.
        self.decoder = crate::decode::Decoder::default();
        self.first = bytes::Bytes::new();
        self.pong = None;
        // What is held may be held for long now, and is counted against a limit.
        self.replay.compact();
        for (_, stream) in &mut self.store.slab {
            stream.send.compact();
        }
    }

    pub(super) fn expires_at(&self) -> Option<Instant> {
        Some(self.detached? + self.resume_window?)
    }

    /// Ends the session if it has been without a carrier for too long.
    pub(super) fn expire(&mut self, now: Instant) {
        if self.expires_at().is_some_and(|at| now >= at) {
            self.end(SessionError::Expired(
                self.resume_window.unwrap_or_default(),
            ));
        }
    }

    /// Says again what holds, because nobody knows whether it was heard: all credit, and that this side is leaving. A stream whose OPEN the
    /// peer, at position `received`, has not got yet is left out: OPEN carries its credit.
    fn restate(&mut self, received: u64) {
        self.flow.restate = true;
        self.leaving.ours_owed = self.leaving.ours.is_some();
        self.glitches.expect(self.store.len() as u64 + REPEATED);
        let side = self.side;
        let mut known = alloc::vec::Vec::new();
        let mut live = alloc::vec::Vec::new();
        for (key, stream) in &mut self.store.slab {
            // Credit that was to be given back may have been granted anew by what the peer says now.
            stream.give_back = None;
            if stream.reset.is_some() {
                continue;
            }
            if stream.id.opener() != side || stream.opened_at.is_some_and(|at| at < received) {
                stream.restate = true;
                stream.unstated = true;
                known.push(key);
            }
            if stream.send.is_open() {
                stream.tell.writable = true;
                live.push(key);
            }
        }
        for key in known {
            self.credit.push(&mut self.store.slab, key);
        }
        for key in live {
            self.events.push(&mut self.store.slab, key);
        }
    }
}
