//! Every limit and time of the protocol, in one place: units, defaults, and why.

use alloc::sync::Arc;
use core::time::Duration;

use thiserror::Error;

use crate::budget::Budget;
use crate::frame::{BODY_MAX, Limits};

/// Every limit of a session and of an endpoint.
///
/// The defaults carry thousands of streams per session; [`Config::memory_bound`] says what one session may cost at most.
#[derive(Clone, Debug)]
pub struct Config {
    /// A handshake that takes longer than this, from the carrier's start, is dropped. Long enough for a round trip to anywhere
    /// with a lost packet or two; short enough that nobody holds a place by sending a byte a second.
    pub handshake_timeout: Duration,
    /// A carrier from which nothing arrived for this long is dead, in every phase.
    pub dead_after: Duration,
    /// When nothing arrived for this long, a PING asks for a sign of life. Must be below [`dead_after`](Self::dead_after).
    pub ping_after: Duration,
    /// A busy session sends a PING this often to measure the round trip.
    pub rtt_probe_interval: Duration,
    /// An acknowledgement is sent at the latest this long after what it acknowledges.
    pub ack_delay: Duration,
    /// An acknowledgement is sent at the latest after this many units.
    pub ack_units: u64,
    /// After this many units, an acknowledgement is sent as soon as a sixteenth of a round trip has passed since the first of them came.
    pub ack_early_units: u64,

    /// Streams that the peer opened and that may be open at once.
    pub streams_max: u64,
    /// Bytes that every stream may always have under way: the first credit. Times [`streams_max`](Self::streams_max), it is
    /// set apart from the pool, so that nobody's growth can take it.
    pub stream_credit: u64,
    /// Bytes that a stream is given to begin with while the pool has plenty: an ordinary answer fits without a round trip.
    pub stream_window_first: u64,
    /// Bytes that the window of one stream grows to at most: 1.3 Gbit/s at 100 ms.
    pub stream_window_max: u64,
    /// Bytes by which the windows of all streams of a session together may exceed their first credit.
    pub session_pool: u64,
    /// What the windows of all sessions that share this configuration may take together beyond their first credit.
    pub budget: Arc<Budget>,
    /// A stream whose sender was idle for this long gives the credit back that it does not use.
    pub stream_idle: Duration,

    /// Bytes of one stream that wait to be sent.
    pub send_buffer_stream: usize,
    /// Bytes of all streams of a session that wait to be sent; a small share of each stream
    /// ([`SEND_FLOOR`]) comes on top.
    pub send_buffer_session: usize,
    /// Units that are kept to be sent again after a carrier was lost, and so what may be under way without being acknowledged: 1.3 Gbit/s at
    /// 100 ms. 0 switches resumption off, and nothing is kept.
    pub replay: u64,
    /// How long a session may be without a carrier and still be resumed. A server grants what is asked, up to its own.
    pub resume_window: Duration,
    /// Answers to refused streams that wait to be sent, before the peer is called a flooder.
    pub refusals_max: usize,
    /// Frames that did no work, before the peer is called a flooder (spec/05-streams.md, section 5.6).
    pub glitches_max: u32,
    /// Glitches forgiven per second.
    pub glitches_per_second: u32,

    /// Carriers of an endpoint that are in their handshake.
    pub handshakes_max: usize,
    /// Sessions of an endpoint.
    pub sessions_max: usize,
    /// Sessions of an endpoint that are without a carrier. Beyond it, the one that has been without for longest ends; likewise below.
    pub detached_max: usize,
    /// Such sessions of one tunnel. No less than of all by default: at the other two limits it is the tunnel with most that gives one up, so that no
    /// tunnel pushes another's out.
    pub detached_per_tunnel: usize,
    /// Bytes of memory that all such sessions hold. Beside it, a process has what its sessions on carriers hold, and itself.
    pub detached_bytes: usize,
}

/// Payload of one DATA frame that a session makes, in bytes, at most: with its head, an ACK and a credit it fills a TLS record. Who writes to streams in
/// multiples of it makes no frames of rests.
pub const DATA_FRAME_MAX: usize = 16_320;

/// Bytes that a stream may always have waiting to be sent, whatever the others do.
pub const SEND_FLOOR: usize = 4_096;

/// What a stream costs in memory beside its bytes, in bytes: its state and its places in the queues, rounded up.
pub const STREAM_COST: usize = 1_024;

/// What a received byte may cost to hold, in bytes: a chunk pins at most twice its length, and has a place in a queue.
pub const HOLD_FACTOR: u64 = 3;

/// What a byte that waits to be sent may cost to hold: whoever writes hands over slices that keep alive at most four times their
/// length, and small ones are merged.
pub const SEND_HOLD_FACTOR: u64 = 4;

impl Default for Config {
    fn default() -> Self {
        Self {
            handshake_timeout: Duration::from_secs(10),
            dead_after: Duration::from_secs(5),
            ping_after: Duration::from_secs(2),
            rtt_probe_interval: Duration::from_secs(10),
            ack_delay: Duration::from_millis(25),
            ack_units: 256 * 1024,
            ack_early_units: 16 * 1024,
            streams_max: 8_192,
            stream_credit: 8 * 1024,
            stream_window_first: 256 * 1024,
            stream_window_max: 16 * 1024 * 1024,
            session_pool: 64 * 1024 * 1024,
            budget: Arc::new(Budget::new(1024 * 1024 * 1024)),
            stream_idle: Duration::from_secs(10),
            send_buffer_stream: 256 * 1024,
            send_buffer_session: 16 * 1024 * 1024,
            replay: 16 * 1024 * 1024,
            resume_window: Duration::from_secs(60),
            refusals_max: 1_024,
            glitches_max: 5_000,
            glitches_per_second: 1_000,
            handshakes_max: 1_024,
            sessions_max: 1_024,
            detached_max: 1_024,
            detached_per_tunnel: 1_024,
            detached_bytes: 512 * 1024 * 1024,
        }
    }
}

/// A configuration that can't work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// A carrier would be called dead before it was asked for a sign of life.
    #[error("ping_after must be below dead_after")]
    PingAfterDead,
    /// A stream could never send.
    #[error("{0} must not be zero")]
    Zero(&'static str),
    /// A window would start above what it may grow to.
    #[error("stream_credit, stream_window_first and stream_window_max must not fall in this order")]
    Windows,
    /// The sum of all first credits does not fit the protocol's numbers.
    #[error("streams_max times stream_credit, plus session_pool, must stay below 2^62")]
    TooLarge,
}

impl Config {
    /// Checks that the limits fit each other.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the pair that does not.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.ping_after >= self.dead_after {
            return Err(ConfigError::PingAfterDead);
        }
        let numbers = [
            (self.streams_max, "streams_max"),
            (self.stream_credit, "stream_credit"),
            (self.send_buffer_stream as u64, "send_buffer_stream"),
            (self.ack_units, "ack_units"),
            (u64::from(self.glitches_max), "glitches_max"),
        ];
        if let Some((_, name)) = numbers.iter().find(|(number, _)| *number == 0) {
            return Err(ConfigError::Zero(name));
        }
        if self.stream_credit > self.stream_window_first
            || self.stream_window_first > self.stream_window_max
        {
            return Err(ConfigError::Windows);
        }
        let reserved = self.streams_max.checked_mul(self.stream_credit);
        match reserved.and_then(|reserved| reserved.checked_add(self.session_pool)) {
            Some(window) if window < 1 << 62 => Ok(()),
            _ => Err(ConfigError::TooLarge),
        }
    }

    /// Payload bytes of a session that the peer may have under way or unread: all first credits, and the pool.
    #[must_use]
    pub const fn session_window(&self) -> u64 {
        self.streams_max
            .saturating_mul(self.stream_credit)
            .saturating_add(self.session_pool)
    }

    /// Bytes of memory that one session can't exceed, whatever its peer does, while this side opens at most
    /// `streams_max` streams itself: what is received and not yet taken (each byte may cost [`HOLD_FACTOR`], and 4 MiB may lie in buffers of which little is left), what waits to be sent or may have to be sent again (each byte may cost [`SEND_HOLD_FACTOR`]), the state
    /// of streams, and one frame that was cut.
    #[must_use]
    pub const fn memory_bound(&self) -> u64 {
        let streams = self.streams_max.saturating_mul(2);
        let per_stream = STREAM_COST as u64 + SEND_FLOOR as u64 * SEND_HOLD_FACTOR;
        self.session_window()
            .saturating_mul(HOLD_FACTOR)
            .saturating_add((self.send_buffer_session as u64).saturating_mul(SEND_HOLD_FACTOR))
            .saturating_add(streams.saturating_mul(per_stream))
            .saturating_add(self.replay.saturating_mul(SEND_HOLD_FACTOR))
            .saturating_add(crate::stream::PINNED_MAX as u64)
            .saturating_add((self.refusals_max * 32) as u64)
            .saturating_add(2 * BODY_MAX)
    }

    /// Whether sessions are to outlive their carriers.
    #[must_use]
    pub const fn keeps(&self) -> bool {
        self.replay > 0 && !self.resume_window.is_zero()
    }

    /// The limits that this side states in the handshake.
    #[must_use]
    pub const fn limits(&self) -> Limits {
        Limits {
            stream_credit: self.stream_credit,
            session_credit: self.session_window(),
            streams: self.streams_max,
            replay: if self.keeps() { self.replay } else { 0 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_fit_each_other_and_their_bound_is_known() {
        let config = Config::default();
        assert_eq!(config.validate(), Ok(()));
        assert_eq!(config.session_window(), 128 << 20);
        assert!(
            config.memory_bound() < 800 << 20,
            "{}",
            config.memory_bound()
        );
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let with = |change: fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            config.validate()
        };
        assert_eq!(
            with(|c| c.ping_after = c.dead_after),
            Err(ConfigError::PingAfterDead)
        );
        assert_eq!(
            with(|c| c.streams_max = 0),
            Err(ConfigError::Zero("streams_max"))
        );
        assert_eq!(with(|c| c.stream_window_max = 1), Err(ConfigError::Windows));
        assert_eq!(
            with(|c| c.session_pool = u64::MAX),
            Err(ConfigError::TooLarge)
        );
    }
}
