//! Sessions of the protocol over any byte stream, for programs of their own.
//!
//! [`serve`](crate::serve) and [`run_client`](crate::run_client) are whole programs: ports, upstreams, TLS,
//! reconnecting. This module is the opposite: one [`Session`] over whatever carries bytes in both
//! directions (a pipe, a Unix socket, a TLS stream), and [`Stream`]s that are read and written.
//! Both sides prove that they know the token, and either may open streams. A session ends with its byte stream: there is nobody to ask for another.
//!
//! An adapter gives these the traits of its runtime; `adit_tokio::session` has an example.

mod carrier;
mod client;
mod error;
mod handle;
mod handshake;
mod host;
mod leaving;
mod shared;
mod stream;
mod task;

use std::sync::Arc;

use adit_core::Config;

pub use carrier::Carrier;
pub use client::Client;
pub use error::{AcceptError, ConnectError};
pub use handle::Session;
pub use host::Host;
pub use stream::Stream;

/// Whoever brings the byte stream here can't be asked for another, so a session ends with it.
fn on_one_carrier(config: &Config) -> Arc<Config> {
    Arc::new(Config {
        replay: 0,
        ..config.clone()
    })
}
