//! The words of each notice. Advice names the flag that mends it, and whose flag it is.

use std::fmt;

use adit_core::{AdmitError, AuthFailure, Code, SessionError};

use super::Notice;

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
            Self::SessionDetached {
                who,
                reason,
                window,
            } => write!(
                f,
                "{who} lost its connection: {reason}; its session waits for {window:.0?}"
            ),
            Self::SessionResumed { who } => write!(f, "{who} came back, and its session goes on"),
            Self::Interrupted { reason, window } => write!(
                f,
                "connection lost: {reason}; the session goes on if the server is reached within {window:.0?}"
            ),
            Self::Resumed { after: Some(after) } => {
                write!(f, "connected again after {after:.1?}; the session goes on")
            }
            Self::Resumed { after: None } => {
                f.write_str("the session goes on on a second connection: the first had gone silent")
            }
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
                if let Some(detail) = detail {
                    write!(f, " ({detail})")?;
                }
                f.write_str(mend_port(*code))
            }
            Self::AuthFailed {
                source,
                tunnel,
                failure,
                delay,
            } => {
                if failure.is_about_resuming() {
                    return write!(f, "{source} can't resume a session: {}", meaning(*failure));
                }
                write!(f, "{source} was not let into tunnel ")?;
                match tunnel {
                    Some(tunnel) => write!(f, "{tunnel}")?,
                    None => f.write_str("(none named)")?,
                }
                write!(f, ": {}; answered ", meaning(*failure))?;
                if delay.is_zero() {
                    f.write_str("at once")
                } else {
                    write!(f, "after {delay:?}")
                }
            }
            Self::NotAdmitted {
                source,
                tunnel,
                error,
            } => {
                write!(f, "{source} was not let in: {error}")?;
                if let Some(tunnel) = tunnel {
                    write!(f, " (tunnel {tunnel})")?;
                }
                f.write_str(match error {
                    AdmitError::AtLimit => "; --max-sessions sets how many there may be",
                    AdmitError::GrantsTooLong => "; the client must offer fewer services",
                    AdmitError::NotAsked => "",
                })
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
            Self::Crowded { displaced, limit } => {
                write!(
                    f,
                    "{displaced} connections to the control plane were dropped before they had authenticated, because more than \
                     {limit} waited: if they are your own clients, raise --max-handshakes"
                )
            }
            Self::VisitorReset {
                tunnel,
                visitor,
                code,
            } => {
                write!(f, "visitor {visitor} of tunnel {tunnel} was reset: {code}")?;
                f.write_str(mend_visit(*code))
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

/// What a server's operator can do about a service that was not opened.
const fn mend_port(code: Code) -> &'static str {
    match code {
        Code::PORT_NOT_ALLOWED => "; --allow-ports sets what a tunnel may open",
        Code::PORT_IN_USE => {
            "; another tunnel or another program has it: end that one, or let the client ask for another port"
        }
        Code::BIND_FAILED => {
            "; see whether --data-addr is an address of this machine, and whether this user may open that port"
        }
        Code::TOO_MANY => "; the client must offer fewer services",
        Code::BAD_ADDRESS => {
            "; a client names the port alone, or an address that is --data-addr or of this machine only"
        }
        _ => "",
    }
}

/// What a server's operator can do about a visitor that was not served.
const fn mend_visit(code: Code) -> &'static str {
    match code {
        Code::STREAM_LIMIT => {
            "; the client's --max-streams sets how many, and a second client may share the port"
        }
        Code::DIAL_REFUSED | Code::DIAL_TIMEOUT | Code::DIAL_UNREACHABLE | Code::DIAL_NAME => {
            "; the client's log says which upstream"
        }
        _ => "",
    }
}

/// Why a session ended, for both sides' logs.
pub(crate) fn why_ended(error: SessionError) -> String {
    match error {
        SessionError::PeerClosed(Code::DONE) => {
            "the other side stopped, and nothing was left to do".to_owned()
        }
        SessionError::PeerClosed(Code::SHUTDOWN) => "the other side is shutting down".to_owned(),
        SessionError::Closed(Code::DONE) => {
            "this side stops, and nothing was left to do".to_owned()
        }
        SessionError::Closed(Code::SHUTDOWN) => "this side is shutting down".to_owned(),
        // Only a server ends a session for this, and only one that waits for a carrier.
        SessionError::Closed(Code::BUSY) => {
            "it waited for a connection longest, and others needed its place; --detached-memory and --max-detached set how much there is"
                .to_owned()
        }
        error => error.to_string(),
    }
}

/// Why a client was not let in, for the server's operator, who may know more than the client.
const fn meaning(failure: AuthFailure) -> &'static str {
    match failure {
        AuthFailure::Token => "its token is wrong, or there is no such tunnel",
        AuthFailure::UnknownSession => "it is not known (this server may have been restarted)",
        AuthFailure::Stale => "a later attempt came first",
        AuthFailure::Expired => "it was away for longer than its resume window, or has ended",
        AuthFailure::Gone => "what it lost with its last connection can't be sent again",
        AuthFailure::Revoked => {
            "the tunnel's token is another one by now, so its session can't be resumed"
        }
        AuthFailure::BindingRequired => {
            "its token is right, but its proof is not bound to the TLS connection"
        }
        AuthFailure::BindingMismatch => {
            "its token is right, but something between it and this server ends TLS: if that is meant to be, run the server \
             with --tls off behind it, or with --channel-binding off"
        }
        AuthFailure::Version => "it speaks another version of the protocol",
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
    use std::time::Duration;

    use adit_core::{ClientId, TunnelName};

    use super::*;
    use crate::address::HostPort;
    use crate::notice::{Level, Who};

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

    #[test]
    fn what_an_operator_can_mend_names_the_flag() {
        let tunnel = TunnelName::new("attic").unwrap();
        let who = Who {
            tunnel: tunnel.clone(),
            client_id: ClientId::new("host").unwrap(),
            source: [192, 0, 2, 1].into(),
        };
        let refused = |code| Notice::PortRefused {
            who: who.clone(),
            asked: "80".to_owned(),
            code,
            detail: None,
        };
        let reset = |code| Notice::VisitorReset {
            tunnel: tunnel.clone(),
            visitor: ([192, 0, 2, 1], 1).into(),
            code,
        };
        let full = Notice::NotAdmitted {
            source: who.source,
            tunnel: Some(tunnel.clone()),
            error: AdmitError::AtLimit,
        };
        let crowded = Notice::Crowded {
            displaced: 3,
            limit: 10,
        };
        let table = [
            (refused(Code::PORT_NOT_ALLOWED), "--allow-ports"),
            (refused(Code::BIND_FAILED), "--data-addr"),
            (refused(Code::BAD_ADDRESS), "--data-addr"),
            (refused(Code::PORT_IN_USE), "another port"),
            (refused(Code::TOO_MANY), "fewer services"),
            (reset(Code::STREAM_LIMIT), "--max-streams"),
            (reset(Code::DIAL_REFUSED), "client's log"),
            (full, "--max-sessions"),
            (crowded, "--max-handshakes"),
        ];
        for (notice, advice) in table {
            assert!(notice.to_string().contains(advice), "{notice}");
            assert_eq!(notice.level(), Level::Warn, "{notice}");
        }
    }

    #[test]
    fn an_end_that_was_asked_for_is_no_warning() {
        let ended = |retry_in| Notice::Disconnected {
            reason: why_ended(SessionError::Closed(Code::DONE)),
            retry_in,
        };
        assert_eq!(ended(None).level(), Level::Info);
        assert_eq!(
            ended(None).to_string(),
            "session ended: this side stops, and nothing was left to do"
        );
        assert_eq!(ended(Some(Duration::ZERO)).level(), Level::Warn);
    }
}
