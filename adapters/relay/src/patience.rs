//! How long the other side may take to answer before another is tried (spec/04-handshake.md, section 4.8, and spec/06-positions.md, section 6.5).

use std::time::Duration;

/// The least, whatever the round trip.
const ANSWER_MIN: Duration = Duration::from_secs(1);

/// max(1 s, 3 round trips); `rtt` is the one measured last.
pub(crate) fn patience(rtt: Option<Duration>) -> Duration {
    ANSWER_MIN.max(rtt.unwrap_or_default().saturating_mul(3))
}
