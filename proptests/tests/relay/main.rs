//! Whole servers and clients on a virtual clock: what visitors, upstreams and operators see of them, whatever happens to their carriers.

mod carriers;
mod chaos;
mod client;
mod hostile;
mod intake;
mod nonsense;
mod ports;
mod resume;
mod retries;
mod server;
mod streams;
mod turns;

use std::time::Duration;

/// Where visitors come in, in a scene with one port.
const PORT: &str = "127.0.0.1:9090";

/// What that port leads to.
const UPSTREAM: &str = "10.0.0.1:80";

const SECOND: Duration = Duration::from_secs(1);

/// So many bytes, none of which looks like its neighbours.
fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n % 251) as u8).collect()
}
