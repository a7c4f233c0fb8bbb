//! Why there is no session.

use std::io;

use adit_core::{AuthFailure, ConfigError, HandshakeError};

/// Why a client has no session.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The limits do not fit each other.
    #[error("the configuration does not work: {0}")]
    Config(#[from] ConfigError),
    /// The handshake failed.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// The carrier failed.
    #[error("the carrier failed: {0}")]
    Carrier(#[from] io::Error),
    /// The carrier ended before there was a session.
    #[error("the carrier ended before there was a session")]
    Ended,
    /// The system gives no random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(#[from] getrandom::Error),
}

/// Why a host took no session from a carrier.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// As many handshakes are under way as [`Config::handshakes_max`](adit_core::Config::handshakes_max) allows.
    #[error("too many handshakes are under way")]
    Busy,
    /// The client did not prove itself; it was told so.
    #[error("the client was not let in: {}", .0.code())]
    Refused(AuthFailure),
    /// As many sessions are open as [`Config::sessions_max`](adit_core::Config::sessions_max) allows; the client was told
    /// so.
    #[error("as many sessions are open as the limit allows")]
    AtLimit,
    /// The handshake failed.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// The carrier failed.
    #[error("the carrier failed: {0}")]
    Carrier(#[from] io::Error),
    /// The carrier ended before there was a session.
    #[error("the carrier ended before there was a session")]
    Ended,
}
