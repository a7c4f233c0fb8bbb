//! What a server or a client counts, for `/metrics` and for tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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
    /// Sessions that are without a carrier now, and may be resumed.
    pub sessions_detached: u64,
    /// Times that a session went on on a new carrier.
    pub resumes_total: u64,
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

impl Counters {
    /// The field that a [`Count`] stands for.
    const fn field(&mut self, count: Count) -> &mut u64 {
        match count {
            Count::Carriers => &mut self.carriers,
            Count::CarriersTotal => &mut self.carriers_total,
            Count::Sessions => &mut self.sessions,
            Count::SessionsTotal => &mut self.sessions_total,
            Count::SessionsDetached => &mut self.sessions_detached,
            Count::ResumesTotal => &mut self.resumes_total,
            Count::Streams => &mut self.streams,
            Count::StreamsTotal => &mut self.streams_total,
            Count::BytesSent => &mut self.bytes_sent_total,
            Count::BytesReceived => &mut self.bytes_received_total,
            Count::AuthFailures => &mut self.auth_failures_total,
            Count::ServicesRefused => &mut self.services_refused_total,
            Count::Displaced => &mut self.displaced_total,
            Count::PlainAnswers => &mut self.plain_answers_total,
            Count::VisitorsRefused => &mut self.visitors_refused_total,
            Count::AttemptsFailed => &mut self.attempts_failed_total,
        }
    }
}

/// One figure of a [`Tally`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Count {
    Carriers,
    CarriersTotal,
    Sessions,
    SessionsTotal,
    SessionsDetached,
    ResumesTotal,
    Streams,
    StreamsTotal,
    BytesSent,
    BytesReceived,
    AuthFailures,
    ServicesRefused,
    Displaced,
    PlainAnswers,
    VisitorsRefused,
    AttemptsFailed,
}

impl Count {
    const ALL: [Self; 16] = [
        Self::Carriers,
        Self::CarriersTotal,
        Self::Sessions,
        Self::SessionsTotal,
        Self::SessionsDetached,
        Self::ResumesTotal,
        Self::Streams,
        Self::StreamsTotal,
        Self::BytesSent,
        Self::BytesReceived,
        Self::AuthFailures,
        Self::ServicesRefused,
        Self::Displaced,
        Self::PlainAnswers,
        Self::VisitorsRefused,
        Self::AttemptsFailed,
    ];
}

/// Counts that one task writes and any may read: no lock, and no line of cache shared between writers.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    counts: [AtomicU64; Count::ALL.len()],
    resets: [AtomicU64; RESET_CODES.len() + 1],
}

impl Tally {
    pub(crate) fn add(&self, count: Count, n: u64) {
        self.counts[count as usize].fetch_add(n, Ordering::Relaxed);
    }

    /// Takes one from a figure that tells how many there are now.
    pub(crate) fn less(&self, count: Count) {
        self.counts[count as usize].fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn reset(&self, code: Code) {
        let known = RESET_CODES.iter().position(|&known| known == code);
        self.resets[known.unwrap_or(RESET_CODES.len())].fetch_add(1, Ordering::Relaxed);
    }

    /// Adds what was counted here to `sum`.
    pub(crate) fn add_to(&self, sum: &mut Counters) {
        for count in Count::ALL {
            *sum.field(count) += self.counts[count as usize].load(Ordering::Relaxed);
        }
        for (sum, resets) in sum.resets_total.iter_mut().zip(&self.resets) {
            *sum += resets.load(Ordering::Relaxed);
        }
    }
}

/// Reads the counters of a machine that runs elsewhere. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Meter(pub(crate) Arc<Tally>);

impl Meter {
    /// A snapshot.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Self::sum(std::slice::from_ref(self))
    }

    /// A snapshot of several machines together.
    #[must_use]
    pub fn sum(meters: &[Self]) -> Counters {
        let mut counters = Counters::default();
        for meter in meters {
            meter.0.add_to(&mut counters);
        }
        counters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_count_has_a_place_and_a_field_of_its_own() {
        let tally = Arc::new(Tally::default());
        for (n, count) in (1..).zip(Count::ALL) {
            tally.add(count, n);
        }
        let mut counters = Meter(tally).counters();
        let figures: Vec<u64> = Count::ALL
            .iter()
            .map(|&count| *counters.field(count))
            .collect();
        assert_eq!(figures, (1..=16).collect::<Vec<_>>());
    }

    #[test]
    fn resets_are_counted_by_code_and_unknown_codes_together() {
        let tally = Tally::default();
        tally.reset(RESET_CODES[1]);
        tally.reset(Code(77));
        tally.reset(Code(78));
        let mut counters = Counters::default();
        tally.add_to(&mut counters);
        assert_eq!(counters.resets_total[1], 1);
        assert_eq!(counters.resets_total[RESET_CODES.len()], 2);
    }
}
