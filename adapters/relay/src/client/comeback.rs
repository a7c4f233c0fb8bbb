//! Bringing a session back that lost its carrier, or is about to: when to dial, and which attempt may say how far the session got.
//!
//! Attempts overlap, because one may be held up by a packet that was lost in silence; the first to reach the server takes the session. At most one
//! RESUME is outstanding (spec/04-handshake.md, section 4.7): another attempt that gets as far waits for its answer, but not for longer
//! than an answer may take.

use std::time::Duration;

use adit_core::{Backoff, Instant, Resumption};

use crate::patience::patience;

/// The first attempt begins within this after a carrier was lost. Not at once, because a server that ends all its carriers would meet all its clients
/// at one moment.
const FIRST: Duration = Duration::from_millis(100);

/// Attempts follow each other so quickly at first.
const QUICK: Duration = Duration::from_millis(500);

/// How long that goes on.
const QUICK_FOR: Duration = Duration::from_secs(15);

/// Later they are at most so far apart: the session does not wait for ever.
const SLOW: Duration = Duration::from_secs(5);

/// Failures are told so often at most, beside the first: many attempts fail in one outage.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// What brings one session back.
pub(super) struct Comeback {
    resumption: Resumption,
    /// Since when the session has no carrier, or one that is suspect.
    since: Option<Instant>,
    /// Likewise, only without one.
    lost_at: Option<Instant>,
    dial_at: Option<Instant>,
    backoff: Backoff,
    /// The attempt that sent RESUME, and until when no other may.
    stated: Option<(usize, Instant)>,
    told_at: Option<Instant>,
}

impl Comeback {
    pub(super) fn new(resumption: Resumption, seed: [u8; 32]) -> Self {
        Self {
            resumption,
            since: None,
            lost_at: None,
            dial_at: None,
            backoff: Backoff::new(Duration::ZERO, SLOW, seed),
            stated: None,
            told_at: None,
        }
    }

    /// The carrier is gone. Whether that is new.
    pub(super) fn lost(&mut self, now: Instant) -> bool {
        let new = self.lost_at.is_none();
        self.lost_at.get_or_insert(now);
        if self.since.is_none() {
            self.since = Some(now);
            self.backoff.reset();
            // The backoff's shortest delays are those of a new beginning.
            let wait = self.backoff.next().min(FIRST);
            self.dial_at = Some(now + wait);
        }
        new
    }

    /// The carrier is suspect: another is dialled beside it.
    pub(super) fn suspect(&mut self, now: Instant) {
        if self.since.is_none() {
            self.since = Some(now);
            self.backoff.reset();
            self.dial_at = Some(now);
        }
    }

    /// The carrier that was suspect has brought something. Whether attempts that are under way had better end.
    pub(super) fn calm(&mut self) -> bool {
        let doubted = self.lost_at.is_none() && self.stated.is_none() && self.since.is_some();
        if doubted {
            self.since = None;
            self.dial_at = None;
        }
        doubted
    }

    /// The session goes on on a new carrier. For how long it had none; `None` if the new one came before the old was lost.
    pub(super) fn back(&mut self, now: Instant) -> Option<Duration> {
        let away = self.lost_at.take().map(|lost_at| now - lost_at);
        self.since = None;
        self.dial_at = None;
        self.stated = None;
        self.told_at = None;
        away
    }

    /// Whether the session is on its way back.
    pub(super) const fn is_under_way(&self) -> bool {
        self.since.is_some()
    }

    /// When the next attempt begins.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.dial_at
    }

    /// Begins an attempt, if it is time and there is a use for it: its right to the session.
    pub(super) fn begin(&mut self, now: Instant) -> Option<Resumption> {
        self.dial_at.take_if(|at| now >= *at)?;
        let since = self.since?;
        if let Some((_, until)) = self.stated
            && now < until
        {
            self.dial_at = Some(until);
            return None;
        }
        let wait = if now < since + QUICK_FOR {
            QUICK
        } else {
            self.backoff.next().max(QUICK)
        };
        self.dial_at = Some(now + wait);
        self.resumption.epoch += 1;
        Some(self.resumption.clone())
    }

    /// Whether that attempt may send RESUME now; if not, it may when the next one begins. `rtt`: the session's last round trip.
    pub(super) fn may_state(
        &mut self,
        now: Instant,
        attempt: usize,
        rtt: Option<Duration>,
    ) -> bool {
        if self.stated.is_some_and(|(_, until)| now < until) {
            return false;
        }
        self.stated = Some((attempt, now + patience(rtt)));
        true
    }

    /// The server asked not to be tried again before then.
    pub(super) fn stay_away(&mut self, until: Instant) {
        self.dial_at = self.dial_at.map(|at| at.max(until));
    }

    /// An attempt came to nothing. Whether to tell it.
    pub(super) fn failed(&mut self, now: Instant, attempt: usize) -> bool {
        self.stated.take_if(|(stated, _)| *stated == attempt);
        let tell = self.told_at.is_none_or(|at| now >= at + TOLD_EVERY);
        if tell {
            self.told_at = Some(now);
        }
        tell
    }
}

#[cfg(test)]
mod tests {
    use adit_core::SessionId;
    use adit_core::auth::{Keys, Transcript};
    use adit_core::{Token, TunnelName};

    use super::*;

    fn comeback() -> Comeback {
        let token = Token::new(b"a token of some length").expect("long enough");
        let tunnel = TunnelName::new("default").expect("a name");
        let key = Keys::new(&token, &tunnel).resume_key(&Transcript::auth(b"", b""));
        let resumption = Resumption {
            id: SessionId([0; 16]),
            key,
            bound: false,
            epoch: 0,
        };
        Comeback::new(resumption, [7; 32])
    }

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn the_first_attempt_comes_within_100_ms_and_others_every_500_ms_for_15_s() {
        let mut comeback = comeback();
        assert!(comeback.lost(at(1_000)));
        let mut last = at(1_000);
        let mut epoch = 0;
        while last < at(16_000) {
            let next = comeback.poll_timeout().expect("under way");
            let most = if epoch == 0 { FIRST } else { QUICK };
            assert!(next - last <= most, "{next} after {last}");
            let resumption = comeback.begin(next).expect("it is time");
            epoch += 1;
            assert_eq!(resumption.epoch, epoch);
            last = next;
        }
        let slow = comeback.poll_timeout().expect("still under way") - last;
        assert!(slow <= SLOW);
    }

    //= spec/04-handshake.md
    //# A client MUST have at most one RESUME outstanding for a session, and adds 1 to the epoch for each.
    #[test]
    fn a_second_resume_waits_for_the_answer_to_the_first_but_not_for_ever() {
        let mut comeback = comeback();
        comeback.lost(at(0));
        let rtt = Some(Duration::from_millis(600));
        assert!(comeback.may_state(at(100), 1, rtt));
        assert!(!comeback.may_state(at(600), 2, rtt));
        assert!(comeback.begin(at(600)).is_none(), "nor is another dialled");
        assert_eq!(comeback.poll_timeout(), Some(at(1_900)));
        assert!(comeback.may_state(at(1_900), 2, rtt));
        comeback.failed(at(2_000), 2);
        assert!(comeback.may_state(at(2_001), 3, rtt));
    }

    #[test]
    fn a_carrier_that_was_suspect_and_lives_ends_the_matter_unless_resume_was_sent() {
        let mut comeback = comeback();
        comeback.suspect(at(0));
        assert!(comeback.begin(at(0)).is_some());
        assert!(comeback.calm());
        assert_eq!(comeback.poll_timeout(), None);
        comeback.suspect(at(10));
        assert!(comeback.may_state(at(20), 1, None));
        assert!(!comeback.calm());
        assert_eq!(comeback.back(at(30)), None);
        comeback.lost(at(50));
        assert_eq!(comeback.back(at(80)), Some(Duration::from_millis(30)));
    }

    #[test]
    fn one_outage_is_told_once_in_a_while() {
        let mut comeback = comeback();
        comeback.lost(at(0));
        let told = (0..60).filter(|n| comeback.failed(at(n * 500), 1)).count();
        assert_eq!(told, 3);
    }
}
