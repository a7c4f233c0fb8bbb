//! Why an attempt to reach the server came to nothing.

use adit_core::HandshakeError;
use adit_link::LinkError;

use crate::address::HostPort;

/// Why an attempt to reach the server came to nothing. Each text says what to look at.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum AttemptError {
    /// The token could not be read.
    #[error("the token cannot be read: {}", .0.escape_default())]
    Token(String),
    /// No address was found.
    #[error("{host} has no address: {}", reason.escape_default())]
    Resolve {
        /// The server, or the proxy.
        host: HostPort,
        /// What the resolver says.
        reason: String,
    },
    /// Every address refused, or none answered in time.
    #[error("{host} can't be reached: {reason}")]
    Connect {
        /// The server, or the proxy.
        host: HostPort,
        /// The last failure of an address.
        reason: String,
    },
    /// The HTTP proxy did not connect us.
    #[error("proxy {proxy}: {error}")]
    Proxy {
        /// The proxy.
        proxy: HostPort,
        /// What it did.
        error: ProxyError,
    },
    /// TLS, HTTP or WebSocket failed.
    #[error("{0}")]
    Link(LinkError),
    /// The handshake of Adit failed.
    #[error("{0}")]
    Handshake(HandshakeError),
    /// The carrier ended before there was a session.
    #[error(
        "the connection ended before the server had answered: is an Adit server behind this address?"
    )]
    Ended,
}

/// What an HTTP proxy did instead of connecting us.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// 407, though it was given no credentials.
    #[error(
        "it wants a user name and a password (407): give them as in --proxy http://USER:PASSWORD@HOST:PORT"
    )]
    CredentialsNeeded,
    /// 407, with credentials.
    #[error("it does not accept the user name and password given (407)")]
    CredentialsRefused,
    /// 403.
    #[error("it does not allow a connection to {target} (403): its operator has to allow it")]
    Forbidden {
        /// The server.
        target: HostPort,
    },
    /// 5xx for a target that it can't reach.
    #[error("it can't reach {target} (status {status})")]
    Unreachable {
        /// The server.
        target: HostPort,
        /// The status.
        status: u16,
    },
    /// Any other status.
    #[error("it answered with status {0} instead of connecting")]
    Status(u16),
    /// What it said is not HTTP, or has too long a head.
    #[error("it does not answer as an HTTP proxy does: is this the right port?")]
    NotHttp,
    /// It said nothing.
    #[error("it did not answer in time")]
    Silent,
}
