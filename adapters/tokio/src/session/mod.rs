//! Sessions of the protocol over any byte stream, for programs of their own.
//!
//! [`serve`](crate::serve) and [`run_client`](crate::run_client) are whole programs: ports, upstreams, TLS,
//! reconnecting. This module is the opposite: one [`Session`] over whatever carries bytes in both
//! directions (a pipe, a Unix socket, a TLS stream), and [`Stream`]s that are read and written as usual.
//! Both sides prove that they know the token, and either may open streams. A session ends with its byte stream: there is nobody to ask for another.
//!
//! ```
//! use adit_core::{CarrierFacts, ClientId, Token, TunnelName};
//! use adit_tokio::session::{Client, Host};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let token = Token::new(b"3q2-7wEjRWeJq83vEjRWeA")?;
//! let tunnel = TunnelName::new("attic")?;
//! let host = Host::new(Default::default())?.with_tunnel(&tunnel, &token);
//! let client = Client::new(token, tunnel, ClientId::new("kitchen")?);
//!
//! // Any AsyncRead + AsyncWrite will do; here it is a pipe in memory.
//! let (near, far) = tokio::io::duplex(16 * 1024);
//! let facts = CarrierFacts { exporter: None, tls: false, certificate_checked: false };
//! let (server, client) = tokio::join!(host.accept(near, None), client.connect(far, facts));
//! let (server, client) = (server?, client?);
//!
//! let mut visitor = server.open()?;
//! visitor.write_all(b"who is there?").await?;
//! visitor.shutdown().await?;
//!
//! let mut request = String::new();
//! let mut service = client.accept().await.ok_or("the session ended")?;
//! service.read_to_string(&mut request).await?;
//! assert_eq!(request, "who is there?");
//! service.write_all(b"kitchen").await?;
//! service.shutdown().await?;
//!
//! let mut answer = String::new();
//! visitor.read_to_string(&mut answer).await?;
//! assert_eq!(answer, "kitchen");
//! # Ok(())
//! # }
//! ```

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

#[cfg(test)]
mod tests;
