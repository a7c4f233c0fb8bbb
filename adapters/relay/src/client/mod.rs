//! The client: one machine that keeps a session with its server, for ever, and connects the visitors who come
//! through it to the upstreams.

mod attempt;
mod config;

use std::time::Duration;

use adit_core::Instant;

pub use attempt::{AttemptError, ProxyError};
pub use config::{ClientConfig, Offer, Proxy};

use crate::counters::Meter;

/// A client. A [`Machine`](crate::io::Machine).
pub struct Client {}

impl Client {
    /// A client that begins its first attempt at once. The seed must be unpredictable: nonces and its instance come from it.
    #[must_use]
    pub fn new(config: ClientConfig, seed: [u8; 32], now: Instant) -> Self {
        unimplemented!()
    }

    /// Stops: tells the server to send no more visitors, lets running streams finish for as long as
    /// `grace`, then ends. A second call can only shorten the grace.
    pub fn drain(&mut self, now: Instant, grace: Duration) {
        unimplemented!()
    }

    /// What this client counts; stays readable from anywhere while the client runs in its task.
    #[must_use]
    pub fn meter(&self) -> Meter {
        unimplemented!()
    }
}
