//! Carriers that have not authenticated: how many there may be, which of them makes room for a newcomer, and what is said of it.

use std::collections::BTreeSet;
use std::time::Duration;

use adit_core::Instant;

use super::PeerId;
use crate::notice::Notice;

/// How often it is said at most that carriers were dropped to make room. For each of them would be a second flood.
const CROWDED_EVERY: Duration = Duration::from_secs(60);

/// The carriers of a server that have not authenticated.
pub(super) struct Waiting {
    limit: usize,
    /// By whether they spoke, the oldest first.
    peers: BTreeSet<(bool, PeerId)>,
    /// How many of them have not spoken.
    silent: usize,
    /// Dropped since it was said last.
    displaced: u64,
    quiet_until: Option<Instant>,
}

impl Waiting {
    /// Nobody yet, and at least one at a time.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit: limit.max(1),
            peers: BTreeSet::new(),
            silent: 0,
            displaced: 0,
            quiet_until: None,
        }
    }

    /// Who has to go before one more may come: the oldest of the silent or of those who spoke, whichever are more. So neither a flood of
    /// silence nor one of words takes more than half of the places from the other, and a newcomer keeps its place for as long as half of
    /// them take to fill.
    pub(super) fn displace(&mut self) -> Option<PeerId> {
        if self.peers.len() < self.limit {
            return None;
        }
        let spoke = self.peers.len() - self.silent > self.silent;
        let (_, peer) = *self.peers.range((spoke, PeerId(0))..).next()?;
        self.remove(peer);
        self.displaced += 1;
        Some(peer)
    }

    /// What is to be said now of those who were dropped, if anything.
    pub(super) fn report(&mut self, now: Instant) -> Option<Notice> {
        if self.displaced == 0 || self.quiet_until.is_some_and(|until| now < until) {
            return None;
        }
        self.quiet_until = Some(now + CROWDED_EVERY);
        Some(Notice::Crowded {
            displaced: std::mem::take(&mut self.displaced),
            limit: self.limit,
        })
    }

    /// A newcomer, silent as yet.
    pub(super) fn insert(&mut self, peer: PeerId) {
        self.silent += usize::from(self.peers.insert((false, peer)));
    }

    /// It sent its first bytes.
    pub(super) fn spoke(&mut self, peer: PeerId) {
        if self.peers.remove(&(false, peer)) {
            self.silent -= 1;
            self.peers.insert((true, peer));
        }
    }

    /// It authenticated, or is gone.
    pub(super) fn remove(&mut self, peer: PeerId) {
        self.silent -= usize::from(self.peers.remove(&(false, peer)));
        self.peers.remove(&(true, peer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_reported_at_once_and_then_once_a_minute() {
        let mut waiting = Waiting::new(1);
        let mut told = Vec::new();
        for n in 0..1_300_u64 {
            let now = Instant::from_millis(n * 100);
            waiting.displace();
            waiting.insert(PeerId(n));
            if let Some(Notice::Crowded { displaced, limit }) = waiting.report(now) {
                told.push((now.as_micros() / 1_000, displaced, limit));
            }
        }
        assert_eq!(
            told,
            [(100, 1, 1), (60_100, 600, 1), (120_100, 600, 1)],
            "when, how many, and the limit"
        );
    }
}
