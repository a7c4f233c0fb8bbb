//! Positions in the two sequence spaces, and when to acknowledge (spec/06-positions.md).

use core::time::Duration;

use crate::error::ProtocolError;
use crate::time::Instant;

/// What a side states of itself in RESUME or RESUMED (spec/06-positions.md, section 6.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stated {
    /// Units that it received: the other side goes on from there.
    pub received: u64,
    /// The first unit that it can send again.
    pub oldest: u64,
}

/// Acknowledgements in one round trip, if enough comes in.
pub(super) const EARLY_PER_TRIP: u32 = 16;

/// The least time between two acknowledgements that nothing else goes out with: what a timer can do.
pub(crate) const EARLY_MIN: Duration = Duration::from_millis(1);

#[derive(Debug)]
pub(crate) struct Positions {
    /// Units sent.
    sent: u64,
    /// Of those, how many the peer acknowledged.
    acked: u64,
    /// Units received.
    received: u64,
    /// Of those, how many were acknowledged.
    stated: u64,
    /// When the first unit came that is not acknowledged.
    since: Option<Instant>,
    /// When it must be.
    due: Option<Instant>,
    /// That time has passed; the ACK waits for the carrier to take it.
    overdue: bool,
    stated_at: Option<Instant>,
    /// Since when units are on their way of which nothing is known: an acknowledgement of some starts it anew.
    waiting_since: Option<Instant>,
    pace: Pace,
}

/// When to acknowledge what nothing else goes out with (spec/06-positions.md, section 6.2).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// At the latest after so many units.
    pub(crate) units: u64,
    /// After so many, as soon as `early` has passed since the first.
    pub(crate) early_units: u64,
    pub(crate) early: Duration,
    /// At the latest after this time.
    pub(crate) delay: Duration,
}

impl Positions {
    pub(crate) const fn new(pace: Pace) -> Self {
        Self {
            sent: 0,
            acked: 0,
            received: 0,
            stated: 0,
            since: None,
            due: None,
            overdue: false,
            stated_at: None,
            waiting_since: None,
            pace,
        }
    }

    pub(crate) fn sent(&mut self, now: Instant, units: u64) {
        self.sent += units;
        self.waiting_since.get_or_insert(now);
    }

    pub(crate) fn received(&mut self, now: Instant, units: u64) {
        self.received += units;
        if units == 0 || self.overdue {
            return;
        }
        let since = *self.since.get_or_insert(now);
        let early = self.received - self.stated >= self.pace.early_units;
        let delay = if early {
            self.pace.early
        } else {
            self.pace.delay
        };
        self.due = Some(since + delay);
    }

    /// The round trip is now known to be `min_rtt` at least. Acknowledgements come several times in each, so that whoever sends knows what is on its way.
    pub(crate) fn set_round_trip(&mut self, min_rtt: Duration) {
        self.pace.early =
            (min_rtt / EARLY_PER_TRIP).clamp(EARLY_MIN, self.pace.delay.max(EARLY_MIN));
    }

    /// Takes an ACK; how many units it acknowledged that were not before.
    pub(crate) fn acknowledged(
        &mut self,
        now: Instant,
        position: u64,
    ) -> Result<u64, ProtocolError> {
        if position > self.sent {
            return Err(ProtocolError::POSITION(
                "an acknowledgement of what was never sent",
            ));
        }
        let new = position.saturating_sub(self.acked);
        if new > 0 {
            self.acked = position;
            self.waiting_since = (self.acked < self.sent).then_some(now);
        }
        Ok(new)
    }

    /// Begins on a new carrier. Both sides have just said how far they got, so nothing is left to acknowledge; how many units the
    /// peer holds that it had not acknowledged, or `None` if what it says can't be.
    pub(crate) fn resumed(&mut self, now: Instant, stated: Stated) -> Option<u64> {
        let can_be = (self.acked..=self.sent).contains(&stated.received);
        if !can_be || stated.oldest > self.received {
            return None;
        }
        let new = stated.received - self.acked;
        self.acked = stated.received;
        self.waiting_since = (self.acked < self.sent).then_some(now);
        self.stated = self.received;
        self.since = None;
        self.due = None;
        self.overdue = false;
        Some(new)
    }

    /// What this side states in RESUME and RESUMED.
    pub(crate) const fn stated(&self) -> Stated {
        Stated {
            received: self.received,
            oldest: self.acked,
        }
    }

    /// Units that were sent and are not known to have arrived.
    pub(crate) const fn unacknowledged(&self) -> u64 {
        self.sent - self.acked
    }

    /// Since when nothing was heard of units that are on their way.
    pub(crate) const fn waiting_since(&self) -> Option<Instant> {
        self.waiting_since
    }

    /// The ACK to send: when it is due, or when something else goes out at `now` anyway (once per instant, which is once per
    /// batch).
    pub(crate) fn take_ack(&mut self, now: Instant, in_company: bool) -> Option<u64> {
        let company = in_company && self.stated_at != Some(now);
        if self.received == self.stated || !(self.is_due(now) || company) {
            return None;
        }
        self.stated = self.received;
        self.stated_at = Some(now);
        self.since = None;
        self.due = None;
        self.overdue = false;
        Some(self.received)
    }

    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.is_owed() || self.due.is_some_and(|due| now >= due)
    }

    /// Whether an acknowledgement should go out as soon as the carrier takes it, whatever the time.
    pub(crate) const fn is_owed(&self) -> bool {
        self.overdue || self.received - self.stated >= self.pace.units
    }

    /// Time passed: what is due then is no deadline any more, or a carrier that takes nothing would have its owner woken for
    /// ever.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.due.is_some_and(|due| now >= due) {
            self.due = None;
            self.overdue = true;
        }
    }

    /// When an acknowledgement is due if nothing else happens.
    pub(crate) const fn deadline(&self) -> Option<Instant> {
        self.due
    }

    pub(crate) const fn sent_position(&self) -> u64 {
        self.sent
    }

    pub(crate) const fn acked_position(&self) -> u64 {
        self.acked
    }

    pub(crate) const fn received_position(&self) -> u64 {
        self.received
    }
}
