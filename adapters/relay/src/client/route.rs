//! Whether the way to the server is still the one that the carrier took: a laptop joins another network, a VPN comes up, an address is withdrawn. The carrier then often
//! hears nothing any more, and silence would take seconds to tell.

use std::net::IpAddr;
use std::time::Duration;

use adit_core::Instant;

/// How often the system is asked for the way. It answers from its tables, without sending anything.
const EVERY: Duration = Duration::from_secs(1);

/// The way that a carrier takes.
#[derive(Debug)]
pub(super) struct Route {
    /// This machine's address on it, once it is known.
    local: Option<IpAddr>,
    ask_at: Instant,
}

impl Route {
    /// That of a new carrier.
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            local: None,
            ask_at: now,
        }
    }

    /// When the system should be asked.
    pub(super) const fn poll_timeout(&self) -> Instant {
        self.ask_at
    }

    /// Whether it should be asked now.
    pub(super) fn ask(&mut self, now: Instant) -> bool {
        let due = now >= self.ask_at;
        if due {
            self.ask_at = now + EVERY;
        }
        due
    }

    /// The system would take `local` for a connection that began now; nothing while there is no way at all. Whether that is news: a network that was gone and
    /// is back with the same address is none.
    pub(super) fn is(&mut self, local: Option<IpAddr>) -> bool {
        let Some(local) = local else {
            return false;
        };
        let before = self.local.replace(local);
        before.is_some_and(|before| before != local)
    }
}
