//! Every limit of a carrier: its unit, its default, and why.

use std::time::Duration;

/// The limits of one carrier.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkConfig {
    /// How long the whole way to [`Ready`](crate::CarrierEvent::Ready) may take: TLS and the
    /// upgrade. Default 10 s: many times what the slowest honest peer needs, and what a peer that
    /// sends a byte a second gets at most.
    pub handshake_timeout: Duration,
    /// How long nothing at all may arrive before [`Ready`](crate::CarrierEvent::Ready).
    /// Default 5 s: a dead path is noticed as fast during the handshake as afterwards, when the
    /// session takes over the watch.
    pub silent_after: Duration,
    /// How long the last words (a Close, an HTTP answer, a TLS alert) may wait for a peer that
    /// does not read them. Default 2 s: they are a courtesy.
    pub closing_timeout: Duration,
    /// The longest HTTP head, in bytes. Default 8 KiB, which is what common proxies pass on.
    pub head_max: usize,
    /// Unsent bytes from which on no more frames are taken. Default 64 KiB: enough to keep a
    /// socket busy, little enough that the session's scheduler, not this queue, decides what
    /// goes next. One batch (16 KiB) may go beyond it.
    pub unsent_max: usize,
    /// Bytes that [`poll_payload`](crate::Carrier::poll_payload) may have in store. Default
    /// 256 KiB: two of the largest reads. A caller that polls after each read never meets it.
    pub unread_max: usize,
    /// What one read should ask for at most, and the size of the buffer that it goes into, in bytes. Default 128 KiB: eight TLS records.
    pub read_size: usize,
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            handshake_timeout: Duration::from_secs(10),
            silent_after: Duration::from_secs(5),
            closing_timeout: Duration::from_secs(2),
            head_max: 8 * 1024,
            unsent_max: 64 * 1024,
            unread_max: 256 * 1024,
            read_size: 128 * 1024,
        }
    }
}

/// The most headers that an HTTP head may have. A constant, since the parser's table is an array.
pub(crate) const HEADERS_MAX: usize = 64;
