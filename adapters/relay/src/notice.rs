//! What happened, for people: typed, so that tests can match it, and with a `Display` that says what was wrong, where,
//! and what to do. Adapters and binaries print it; nothing here can hold a token or a key.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use adit_core::{AdmitError, AuthFailure, ClientId, Code, SessionId, TunnelName};

use crate::address::HostPort;
use crate::client::{AttemptError, DialError};

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
            | Self::PortOpened { .. }
            | Self::PortClosed { .. }
            | Self::Connected { .. }
            | Self::ServiceOpened { .. }
            | Self::ServerGoingAway { .. } => Level::Info,
            Self::PortRefused { .. }
            | Self::AuthFailed { .. }
            | Self::NotAdmitted { .. }
            | Self::VisitorReset { .. }
            | Self::ServiceRefused { .. }
            | Self::AttemptFailed { .. }
            | Self::Disconnected { .. }
            | Self::UpstreamFailed { .. } => Level::Warn,
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SessionOpened {
                who,
                session,
                software,
                bound,
            } => {
                write!(f, "{who} connected, session {session}")?;
                if let Some(software) = software {
                    write!(f, ", {}", software.escape_default())?;
                }
                f.write_str(if *bound { ", bound to TLS" } else { "" })
            }
            Self::SessionEnded { who, reason } => write!(f, "{who} left: {reason}"),
            Self::SessionReplaced { who } => {
                write!(
                    f,
                    "{who} did not answer and was replaced by its new instance"
                )
            }
            Self::PortOpened { tunnel, addr } => write!(f, "tunnel {tunnel} is served on {addr}"),
            Self::PortClosed { tunnel, addr } => {
                write!(
                    f,
                    "tunnel {tunnel} is no longer served on {addr}: its last session ended"
                )
            }
            Self::PortRefused {
                who,
                asked,
                code,
                detail,
            } => {
                write!(
                    f,
                    "{who} asked for {} and did not get it: {code}",
                    asked.escape_default()
                )?;
                match detail {
                    Some(detail) => write!(f, " ({detail})"),
                    None => Ok(()),
                }
            }
            Self::AuthFailed {
                source,
                tunnel,
                failure,
                delay,
            } => {
                write!(f, "{source} was not let into tunnel ")?;
                match tunnel {
                    Some(tunnel) => write!(f, "{tunnel}")?,
                    None => f.write_str("(none named)")?,
                }
                write!(f, ": {}; answered after {delay:?}", meaning(*failure))
            }
            Self::NotAdmitted {
                source,
                tunnel,
                error,
            } => {
                write!(f, "{source} was not let in: {error}")?;
                match tunnel {
                    Some(tunnel) => write!(f, " (tunnel {tunnel})"),
                    None => Ok(()),
                }
            }
            Self::CarrierFailed { source, reason, .. } => {
                write!(f, "{source} did not become a client: {reason}")
            }
            Self::Displaced { source } => {
                write!(
                    f,
                    "{source} was dropped before it had authenticated: too many others wait"
                )
            }
            Self::VisitorReset {
                tunnel,
                visitor,
                code,
            } => {
                write!(f, "visitor {visitor} of tunnel {tunnel} was reset: {code}")
            }
            Self::Connected {
                server,
                server_name,
                session,
            } => {
                write!(f, "connected to {server}, session {session}")?;
                match server_name {
                    Some(name) => write!(f, ", server {}", name.escape_default()),
                    None => Ok(()),
                }
            }
            Self::ServiceOpened { address, upstream } => {
                write!(
                    f,
                    "{} of the server leads to {upstream}",
                    address.escape_default()
                )
            }
            Self::ServiceRefused {
                address,
                upstream,
                code,
            } => {
                write!(
                    f,
                    "the server refused {} for {upstream}: {code}",
                    address.escape_default()
                )?;
                match *code {
                    Code::PORT_IN_USE => write!(
                        f,
                        "; choose another port of the server in front of the upstream, as in --upstream {}={upstream}",
                        another_port(address)
                    ),
                    Code::PORT_NOT_ALLOWED => f.write_str(
                        "; the server's operator sets what a tunnel may open with --allow-ports",
                    ),
                    Code::BAD_ADDRESS => f.write_str("; name the port alone"),
                    _ => Ok(()),
                }
            }
            Self::AttemptFailed {
                server,
                error,
                retry_in,
            } => {
                write!(
                    f,
                    "no session with {server}: {error}; next attempt in {retry_in:.1?}"
                )
            }
            Self::Disconnected { reason, retry_in } => {
                write!(f, "session ended: {reason}")?;
                match retry_in {
                    Some(wait) => write!(f, "; next attempt in {wait:.1?}"),
                    None => Ok(()),
                }
            }
            Self::ServerGoingAway { retry_after } => {
                write!(
                    f,
                    "the server goes away; a new session is made in {retry_after:.1?}, running connections go on"
                )
            }
            Self::UpstreamFailed { upstream, error } => {
                write!(f, "upstream {upstream} can't be reached: {error}")
            }
        }
    }
}

/// Why a client was not let in, for the server's operator, who may know more than the client.
const fn meaning(failure: AuthFailure) -> &'static str {
    match failure {
        AuthFailure::Token => "its token is wrong, or there is no such tunnel",
        AuthFailure::UnknownSession => "the session that it wants to resume is not known",
        AuthFailure::BindingRequired => {
            "its token is right, but its proof is not bound to the TLS connection"
        }
        AuthFailure::BindingMismatch => {
            "its token is right, but something between it and this server ends TLS: if that is meant to be, run the server \
             with --tls off behind it, or with --channel-binding off"
        }
        AuthFailure::Version => "it speaks another version of the protocol",
        AuthFailure::Stale => "a later attempt to resume its session came first",
        AuthFailure::Expired => {
            "the session that it wants to resume was away for longer than its resume window"
        }
        AuthFailure::Gone => "what its session lost with the last connection can't be sent again",
        AuthFailure::Revoked => {
            "the tunnel's token is another one by now, so its session can't be resumed"
        }
    }
}

/// A port beside the one in `address`, for an example.
fn another_port(address: &str) -> u16 {
    let port = address
        .rsplit(':')
        .next()
        .and_then(|port| port.parse::<u16>().ok());
    port.and_then(|port| port.checked_add(1)).unwrap_or(9091)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_comes_with_an_example_of_another() {
        let refused = |address: &str| {
            let notice = Notice::ServiceRefused {
                address: address.to_owned(),
                upstream: HostPort::new("prometheus", 9090),
                code: Code::PORT_IN_USE,
            };
            notice.to_string()
        };
        assert!(
            refused("9090").ends_with("--upstream 9091=prometheus:9090"),
            "{}",
            refused("9090")
        );
        assert!(refused("127.0.0.1:7000").ends_with("--upstream 7001=prometheus:9090"));
        assert!(refused("65535").ends_with("--upstream 9091=prometheus:9090"));
    }

    #[test]
    fn what_a_peer_wrote_cannot_break_a_line() {
        let notice = Notice::ServiceOpened {
            address: "1\n2\u{1b}[31m".to_owned(),
            upstream: HostPort::new("a", 1),
        };
        assert_eq!(
            notice.to_string(),
            "1\\n2\\u{1b}[31m of the server leads to a:1"
        );
    }
}
