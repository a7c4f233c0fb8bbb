//! What happened, for people: typed, so that tests can match it, and with a `Display` (in `words`) that says what was wrong, where,
//! and what to do. Adapters and binaries print it; nothing here can hold a token or a key.

mod words;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use adit_core::{AdmitError, AuthFailure, ClientId, Code, SessionId, TunnelName};

use crate::address::HostPort;
use crate::client::{AttemptError, DialError};
pub(crate) use words::why_ended;

/// How much a notice matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Of use when something is being looked into.
    Debug,
    /// The course of things: sessions and ports come and go.
    Info,
    /// Something does not work, and somebody may want to mend it.
    Warn,
}

/// Who is at the other end of a server's session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// The tunnel.
    pub tunnel: TunnelName,
    /// The client.
    pub client_id: ClientId,
    /// Where the client's carrier comes from: behind a trusted proxy, what that proxy says.
    pub source: IpAddr,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "client {} of tunnel {} at {}",
            self.client_id, self.tunnel, self.source
        )
    }
}

/// Something that happened, for people.
///
/// Texts that came from a peer or a resolver are escaped when they are displayed.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Notice {
    /// Server: a client proved itself and has a session.
    SessionOpened {
        /// Who it is.
        who: Who,
        /// The session.
        session: SessionId,
        /// The client's program, as it says.
        software: Option<String>,
        /// Whether the proof was bound to the TLS connection.
        bound: bool,
    },
    /// Server: a session ended.
    SessionEnded {
        /// Whose it was.
        who: Who,
        /// Why, in words.
        reason: String,
    },
    /// Server: a session lost its carrier, and waits for its client to come back.
    SessionDetached {
        /// Whose it is.
        who: Who,
        /// How the carrier was lost, in words.
        reason: String,
        /// How long it waits.
        window: Duration,
    },
    /// Server: a client came back on a new carrier, and its session goes on.
    SessionResumed {
        /// Who it is.
        who: Who,
    },
    /// Server: a new instance of the same client took over from a session that did not answer.
    SessionReplaced {
        /// Whose session was replaced.
        who: Who,
    },
    /// Server: visitors can connect to this address now.
    PortOpened {
        /// The tunnel it leads into.
        tunnel: TunnelName,
        /// The address bound.
        addr: SocketAddr,
    },
    /// Server: nobody listens on this address any more.
    PortClosed {
        /// The tunnel it led into.
        tunnel: TunnelName,
        /// The address.
        addr: SocketAddr,
    },
    /// Server: a service was not opened.
    PortRefused {
        /// Who asked.
        who: Who,
        /// The address asked for.
        asked: String,
        /// Why, as the client is told.
        code: Code,
        /// Why, as the operating system says, if it was asked.
        detail: Option<String>,
    },
    /// Server: somebody did not prove to know a tunnel's token.
    AuthFailed {
        /// Where the carrier comes from: behind a trusted proxy, what that proxy says.
        source: IpAddr,
        /// The tunnel named.
        tunnel: Option<TunnelName>,
        /// What was wrong.
        failure: AuthFailure,
        /// How long the answer is held back.
        delay: Duration,
    },
    /// Server: a client proved itself, and there was no room for its session.
    NotAdmitted {
        /// Where the carrier comes from.
        source: IpAddr,
        /// The tunnel.
        tunnel: Option<TunnelName>,
        /// Why.
        error: AdmitError,
    },
    /// Server: a carrier came to nothing before it had a session: garbage, silence, another protocol.
    CarrierFailed {
        /// Where it comes from.
        source: SocketAddr,
        /// What was wrong.
        reason: String,
        /// Whether it had said anything: load balancers that look whether a port is open don't.
        spoke: bool,
    },
    /// Server: a carrier that had not authenticated was dropped, because newer ones came at the limit.
    Displaced {
        /// Where it comes from.
        source: SocketAddr,
    },
    /// Server: carriers that had not authenticated were dropped, because newer ones came at the limit. Said at once, and then at most once
    /// a minute.
    Crowded {
        /// How many were dropped since this was said last.
        displaced: u64,
        /// The limit.
        limit: usize,
    },
    /// Server: a visitor's connection was reset, and this is why.
    VisitorReset {
        /// The tunnel.
        tunnel: TunnelName,
        /// The visitor.
        visitor: SocketAddr,
        /// The client's reason.
        code: Code,
    },
    /// Client: the server took us; these services follow as [`Notice::ServiceOpened`] or [`Notice::ServiceRefused`].
    Connected {
        /// The server, as configured.
        server: HostPort,
        /// Which of several replicas it is, if it says.
        server_name: Option<String>,
        /// The session.
        session: SessionId,
    },
    /// Client: visitors can reach the upstream at this address of the server.
    ServiceOpened {
        /// The address that the server bound.
        address: String,
        /// Where its connections lead.
        upstream: HostPort,
    },
    /// Client: the server refused a service.
    ServiceRefused {
        /// The address asked for.
        address: String,
        /// The upstream meant.
        upstream: HostPort,
        /// Why.
        code: Code,
    },
    /// Client: an attempt to reach the server failed; the next one follows.
    AttemptFailed {
        /// The server, as configured.
        server: HostPort,
        /// Why.
        error: AttemptError,
        /// When the next attempt begins.
        retry_in: Duration,
    },
    /// Client: a session ended.
    Disconnected {
        /// Why, in words.
        reason: String,
        /// When the next attempt begins; `None` if none is needed.
        retry_in: Option<Duration>,
    },
    /// Client: the carrier was lost; the session goes on when a new one is there.
    Interrupted {
        /// How the carrier was lost, in words.
        reason: String,
        /// How long the server keeps the session.
        window: Duration,
    },
    /// Client: the session goes on on a new carrier; no connection through it was lost.
    Resumed {
        /// How long it was without one; `None` if the new one came first.
        after: Option<Duration>,
    },
    /// Client: the server will go away; a new session is made beside the old one, whose streams run on.
    ServerGoingAway {
        /// The server's wish for how long to wait.
        retry_after: Duration,
    },
    /// Client: a visitor could not be connected to the upstream.
    UpstreamFailed {
        /// The upstream.
        upstream: HostPort,
        /// Why. The visitor's side is told so by a code.
        error: DialError,
    },
}

impl Notice {
    /// How much it matters.
    #[must_use]
    pub const fn level(&self) -> Level {
        match self {
            Self::CarrierFailed { spoke: false, .. } | Self::Displaced { .. } => Level::Debug,
            Self::CarrierFailed { .. }
            | Self::SessionOpened { .. }
            | Self::SessionEnded { .. }
            | Self::SessionReplaced { .. }
            | Self::SessionDetached { .. }
            | Self::SessionResumed { .. }
            | Self::Interrupted { .. }
            | Self::Resumed { .. }
            | Self::PortOpened { .. }
            | Self::PortClosed { .. }
            | Self::Connected { .. }
            | Self::ServiceOpened { .. }
            | Self::ServerGoingAway { .. }
            | Self::Disconnected { retry_in: None, .. } => Level::Info,
            Self::AuthFailed { failure, .. } if failure.is_about_resuming() => Level::Info,
            Self::PortRefused { .. }
            | Self::AuthFailed { .. }
            | Self::NotAdmitted { .. }
            | Self::Crowded { .. }
            | Self::VisitorReset { .. }
            | Self::ServiceRefused { .. }
            | Self::AttemptFailed { .. }
            | Self::Disconnected { .. }
            | Self::UpstreamFailed { .. } => Level::Warn,
        }
    }
}
