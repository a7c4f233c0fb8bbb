//! What a carrier has to tell.

use std::{fmt, net::IpAddr};

use adit_core::CarrierFacts;

use crate::error::Phase;

/// What happened to a carrier.
#[derive(Clone, Debug)]
pub enum CarrierEvent {
    /// It carries bytes from now on.
    Ready(Ready),
    /// The peer wanted a plain HTTP answer and gets it: write it, then close the socket.
    Answered {
        /// The answer's HTTP status.
        status: u16,
    },
    /// The peer will send nothing more. All that it sent before can still be polled; write what is
    /// left, then close the socket.
    PeerClosed(PeerClosed),
}

/// What is known of a carrier that is ready.
#[derive(Clone)]
pub struct Ready {
    /// For the session's handshake.
    pub facts: CarrierFacts,
    /// Where the client is, as far as trusted proxies tell; `None` on clients.
    pub source: Option<IpAddr>,
    /// The `Host` that the client asked for, escaped; on servers with an upgrade.
    pub host: Option<String>,
    /// Why the server's certificate could not be checked; on clients with TLS.
    pub certificate_problem: Option<String>,
}

/// Without the exporter: it is no key, but nobody's business either.
impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ready")
            .field("tls", &self.facts.tls)
            .field("bindable", &self.facts.exporter.is_some())
            .field("source", &self.source)
            .field("host", &self.host)
            .field("certificate_problem", &self.certificate_problem)
            .finish()
    }
}

/// How a peer ended a carrier. Its `Display` says so in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerClosed {
    /// What was going on.
    pub phase: Phase,
    /// How it was ended.
    pub how: Ending,
}

/// The ways to end a carrier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// A WebSocket Close.
    WebSocket {
        /// Its code, if it had one.
        code: Option<u16>,
        /// Its reason, escaped.
        reason: String,
    },
    /// A TLS close_notify.
    Tls,
    /// The end of the byte stream, without either.
    Eof,
}

impl fmt::Display for PeerClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the other side closed the connection {}", self.phase)?;
        match &self.how {
            Ending::WebSocket {
                code: Some(code),
                reason,
            } if reason.is_empty() => {
                write!(f, " (WebSocket close code {code})")
            }
            Ending::WebSocket {
                code: Some(code),
                reason,
            } => {
                write!(f, " (WebSocket close code {code}, \"{reason}\")")
            }
            Ending::WebSocket { code: None, .. } => f.write_str(" (WebSocket close)"),
            Ending::Tls => f.write_str(" (TLS close_notify)"),
            Ending::Eof => Ok(()),
        }
    }
}
