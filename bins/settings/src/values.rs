//! The kinds of value a setting can hold: each is read from text, checked once, and printed
//! in a form that reads back as the same value.

mod amount;
mod header;
mod host;
mod names;
mod networks;
mod ports;
mod proxy;
mod service;
#[cfg(test)]
mod testing;
mod token;
mod url;

pub use amount::{ByteSize, format_duration, parse_duration};
pub use header::Header;
pub use host::{Host, HostPort};
pub use names::{ClientId, ControlPath, MAX_CLIENT_ID, MAX_TUNNEL_NAME, TunnelName};
pub use networks::Networks;
pub(crate) use networks::network;
pub use ports::{PortRange, PortRanges};
pub(crate) use proxy::ProxyChoice;
pub use proxy::{Proxy, ProxyRules};
pub use service::{Service, Upstream};
pub use token::{MAX_TOKEN_BYTES, MIN_TOKEN_BYTES, Secret, TokenError, TokenSource};
pub use url::{DEFAULT_PATH, ServerUrl};

/// Why a text is not a value of the kind asked for, and what would be.
///
/// The message never repeats the text as it was given: whoever reports it decides whether the
/// text may be shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Invalid {
    reason: String,
}

impl Invalid {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
        }
    }
}

/// Reads a decimal number made of digits only; `str::parse` alone would take a `+` too.
pub(crate) fn digits<T: std::str::FromStr>(text: &str) -> Option<T> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// Reads a TCP port from 1 to 65535.
pub(crate) fn port(text: &str) -> Result<u16, Invalid> {
    match digits(text) {
        Some(port) if port > 0 => Ok(port),
        _ => Err(Invalid::new("a port is a number from 1 to 65535")),
    }
}
