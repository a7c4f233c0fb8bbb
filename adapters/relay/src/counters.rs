//! What a server or a client counts, for `/metrics` and for tests.

use adit_core::Code;

/// The codes of RESET that are counted apart; others are counted together.
pub const RESET_CODES: [Code; 12] = [
    Code::CANCELLED,
    Code::DIAL_REFUSED,
    Code::DIAL_TIMEOUT,
    Code::DIAL_UNREACHABLE,
    Code::DIAL_NAME,
    Code::UNKNOWN_SERVICE,
    Code::UNSUPPORTED,
    Code::SESSION_LOST,
    Code::STREAM_LIMIT,
    Code::DRAINING,
    Code::LOCAL_ERROR,
    Code::REPLACED,
];

/// A snapshot of everything counted since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Carriers open now, authenticated or not.
    pub carriers: u64,
    /// Carriers accepted (server) or connected (client).
    pub carriers_total: u64,
    /// Sessions open now.
    pub sessions: u64,
    /// Sessions that were established.
    pub sessions_total: u64,
    /// Streams open now.
    pub streams: u64,
    /// Streams that were opened.
    pub streams_total: u64,
    /// Bytes from local sockets into tunnels.
    pub bytes_sent_total: u64,
    /// Bytes from tunnels into local sockets.
    pub bytes_received_total: u64,
    /// Streams that ended by a reset, whoever sent it: one figure for each of [`RESET_CODES`], and one for all other codes.
    pub resets_total: [u64; RESET_CODES.len() + 1],
    /// Handshakes that failed because of a wrong token, tunnel or channel binding. On a client: that its server refused.
    pub auth_failures_total: u64,
    /// Services that were asked for and refused.
    pub services_refused_total: u64,
    /// Carriers that were dropped before they had authenticated, to make room for newer ones.
    pub displaced_total: u64,
    /// Plain HTTP requests answered on the control port.
    pub plain_answers_total: u64,
    /// Visitors that could not be served, because no session was there or its streams were all in use.
    pub visitors_refused_total: u64,
    /// Attempts of a client to reach its server that failed.
    pub attempts_failed_total: u64,
}

/// Reads the counters of a machine that runs elsewhere. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Meter {}

impl Meter {
    /// A snapshot.
    #[must_use]
    pub fn counters(&self) -> Counters {
        unimplemented!()
    }
}
