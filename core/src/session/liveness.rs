//! Whether the peer still lives, and how long a round trip takes. Any byte received is a sign of life; silence is asked about by
//! PING, and called death after a while (spec/07-liveness.md).

use core::time::Duration;

use crate::config::Config;
use crate::time::Instant;

/// Minimum round trips are remembered for one to two of these.
const RTT_WINDOW: Duration = Duration::from_secs(15);

#[derive(Debug)]
pub(crate) struct Liveness {
    last_received: Instant,
    /// When the present silence was asked about. Not the time of the PING itself: a carrier that takes no bytes is as
    /// suspect as one that gives none.
    asked_at: Option<Instant>,
    /// A PING is to be sent.
    wanted: bool,
    /// The PING that was not answered yet.
    outstanding: Option<(u64, Instant)>,
    probed_at: Instant,
    counter: u64,
    rtt: Option<Duration>,
    min_rtt: MinRtt,
}

#[derive(Debug)]
struct MinRtt {
    current: Option<Duration>,
    previous: Option<Duration>,
    since: Instant,
}

impl Liveness {
    /// The first PING goes out at once: a round trip measured before there is bulk data is an honest one.
    pub(crate) const fn new(now: Instant) -> Self {
        Self {
            last_received: now,
            asked_at: None,
            wanted: true,
            outstanding: None,
            probed_at: now,
            counter: 0,
            rtt: None,
            min_rtt: MinRtt {
                current: None,
                previous: None,
                since: now,
            },
        }
    }

    /// Begins anew on another carrier. PINGs that were under way are forgotten; what the round trip was stays known until it is measured, but its
    /// minimum belongs to the path that is gone.
    pub(crate) fn restart(&mut self, now: Instant) {
        let (counter, rtt) = (self.counter, self.rtt);
        *self = Self {
            counter,
            rtt,
            ..Self::new(now)
        };
    }

    pub(crate) fn received(&mut self, now: Instant) {
        self.last_received = now;
        self.asked_at = None;
    }

    pub(crate) fn pong(&mut self, now: Instant, opaque: [u8; 8]) {
        let Some((counter, sent)) = self.outstanding else {
            return;
        };
        if counter.to_be_bytes() != opaque {
            return;
        }
        self.outstanding = None;
        let sample = now - sent;
        self.rtt = Some(sample);
        self.min_rtt.sample(now, sample);
    }

    /// Asks for a PING, also while another is under way: it may wait for long behind a record that a slow carrier is still bringing.
    pub(crate) fn ask_now(&mut self, now: Instant) {
        self.wanted = true;
        self.probed_at = now;
    }

    /// Asks for a PING, unless one is under way.
    pub(crate) fn ask(&mut self, now: Instant) {
        self.wanted = self.outstanding.is_none();
        self.probed_at = now;
    }

    /// The PING to send now, if any.
    pub(crate) fn take_ping(&mut self, now: Instant) -> Option<[u8; 8]> {
        if !self.wanted {
            return None;
        }
        self.wanted = false;
        self.counter += 1;
        self.outstanding = Some((self.counter, now));
        Some(self.counter.to_be_bytes())
    }

    pub(crate) const fn wants_ping(&self) -> bool {
        self.wanted
    }

    /// Whether the peer must be called dead; asks for PINGs on the way there.
    ///
    /// A process that was suspended finds all its deadlines passed at once: the first call then asks, and only a later one
    /// can say that nobody answered.
    pub(crate) fn handle_timeout(&mut self, now: Instant, config: &Config) -> bool {
        match self.asked_at {
            Some(_) if now >= self.dead_at(config) => return true,
            Some(_) => (),
            None if now >= self.last_received + config.ping_after => {
                self.asked_at = Some(now);
                self.ask(now);
            }
            None => (),
        }
        if now >= self.probed_at + config.rtt_probe_interval {
            self.ask(now);
        }
        false
    }

    pub(crate) fn deadline(&self, config: &Config) -> Instant {
        let silence = match self.asked_at {
            Some(_) => self.dead_at(config),
            None => self.last_received + config.ping_after,
        };
        silence.min(self.probed_at + config.rtt_probe_interval)
    }

    /// When the present silence was asked about, if it was.
    pub(crate) const fn asked_at(&self) -> Option<Instant> {
        self.asked_at
    }

    pub(crate) const fn last_received(&self) -> Instant {
        self.last_received
    }

    pub(crate) const fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    /// The least round trip of the last 15 to 30 seconds.
    pub(crate) fn min_rtt(&self) -> Option<Duration> {
        match (self.min_rtt.current, self.min_rtt.previous) {
            (Some(current), Some(previous)) => Some(current.min(previous)),
            (current, previous) => current.or(previous),
        }
    }

    fn dead_at(&self, config: &Config) -> Instant {
        let grace = config.dead_after.saturating_sub(config.ping_after);
        let asked = self.asked_at.unwrap_or(self.last_received);
        (self.last_received + config.dead_after).max(asked + grace)
    }
}

impl MinRtt {
    fn sample(&mut self, now: Instant, sample: Duration) {
        if now - self.since > RTT_WINDOW {
            self.previous = self.current.take();
            self.since = now;
        }
        self.current = Some(self.current.map_or(sample, |least| least.min(sample)));
    }
}
