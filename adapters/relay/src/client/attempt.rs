//! Why an attempt to reach the server came to nothing, and what to do about it.

use std::fmt;
use std::io::ErrorKind;
use std::time::Duration;

use adit_core::{Code, HandshakeError};
use adit_link::{LinkError, PeerClosed};

use super::dial::DialError;
use crate::address::HostPort;

/// Why an attempt to reach the server came to nothing. Each text says what to look at.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum AttemptError {
    /// The token could not be read.
    #[error("the token can't be read: {}", .0.escape_default())]
    Token(String),
    /// No connection to the server, or to the proxy.
    #[error(
        "{host} can't be reached: {error}; check that it runs, and that --url, or --proxy, names it rightly"
    )]
    Connect {
        /// The server, or the proxy.
        host: HostPort,
        /// Why.
        error: DialError,
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
    #[error("{}", Advice { error, certificate_problem: certificate_problem.as_deref() })]
    Handshake {
        /// What failed.
        error: HandshakeError,
        /// Why the server's certificate could not be checked, if it could not.
        certificate_problem: Option<String>,
    },
    /// The other side ended the carrier.
    #[error("{0}")]
    PeerClosed(PeerClosed),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Lost(ErrorKind),
}

impl AttemptError {
    /// Whether the server has said, in answer to RESUME, that the session can't go on.
    pub(super) const fn loses_session(&self) -> bool {
        let Self::Handshake { error, .. } = self else {
            return false;
        };
        match error {
            HandshakeError::BindingMismatch | HandshakeError::SessionOver => true,
            HandshakeError::Refused { code, .. } => matches!(
                *code,
                Code::UNKNOWN_SESSION
                    | Code::EXPIRED
                    | Code::GONE
                    | Code::UNAUTHORIZED
                    | Code::BINDING_REQUIRED
            ),
            _ => false,
        }
    }

    /// How long the server asked not to be tried again.
    pub(super) const fn retry_after(&self) -> Duration {
        match self {
            Self::Handshake {
                error: HandshakeError::Refused { retry_after, .. },
                ..
            } => *retry_after,
            _ => Duration::ZERO,
        }
    }
}

/// A failed handshake in words, with the flag that mends it where there is one.
struct Advice<'a> {
    error: &'a HandshakeError,
    certificate_problem: Option<&'a str>,
}

impl fmt::Display for Advice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.error)?;
        if let (HandshakeError::CertificateUnchecked, Some(problem)) =
            (self.error, self.certificate_problem)
        {
            write!(f, " ({problem})")?;
        }
        f.write_str(match self.error {
            HandshakeError::CertificateUnchecked => {
                "; give the certificate's CA with --ca-file FILE. (Without one, a self-signed certificate is safe only where \
                 adit-server itself ends TLS, with --channel-binding on.)"
            }
            HandshakeError::BindingMismatch => {
                "; if something between is meant to end TLS, run the server with --tls off behind it, or with \
                 --channel-binding off; if not, somebody listens in"
            }
            HandshakeError::BindingImpossible
            | HandshakeError::Refused { code: Code::BINDING_REQUIRED, .. } => {
                "; dial the server with wss:// and TLS 1.3, or run it with --tls off behind what ends TLS, or with \
                 --channel-binding off"
            }
            HandshakeError::Refused { code: Code::UNAUTHORIZED, .. } => {
                "; compare --tunnel and --token-file with the server's"
            }
            HandshakeError::Refused { code: Code::BUSY, .. } => {
                "; the server's operator sets with --max-sessions how many clients it takes"
            }
            HandshakeError::Refused { code: Code::SHUTTING_DOWN, .. } => "; it may come back",
            HandshakeError::Refused { code: Code::UNKNOWN_SESSION, .. } => {
                "; a server that was restarted knows no session any more"
            }
            HandshakeError::Refused { .. } | HandshakeError::PeerClosed(_) => "; see the server's log",
            HandshakeError::ServerProofWrong => {
                "; something else answers in the server's place, or the token there is another: compare --url, --tunnel and \
                 --token-file with the server's"
            }
            HandshakeError::NotAdit => "; check host, port and path of --url",
            HandshakeError::Protocol(_) => "; if --url is right, bring client and server to the same version",
            HandshakeError::VersionMismatch { .. } => "; bring client and server to the same version",
            HandshakeError::Silent | HandshakeError::TimedOut => {
                "; see whether --url leads to an Adit server, and whether a proxy in between passes WebSocket on"
            }
            // The one says what to do itself; after the other there is nothing to do.
            HandshakeError::HelloTooLarge | HandshakeError::SessionOver => "",
        })
    }
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
    #[error(
        "it does not accept the user name and password given (407): correct them in --proxy, or in HTTPS_PROXY"
    )]
    CredentialsRefused,
    /// 403.
    #[error("it does not allow a connection to {target} (403): its operator has to allow it")]
    Forbidden {
        /// The server.
        target: HostPort,
    },
    /// 5xx for a target that it can't reach.
    #[error(
        "it can't reach {target} (status {status}): check host and port of --url, and whether the proxy may go there"
    )]
    Unreachable {
        /// The server.
        target: HostPort,
        /// The status.
        status: u16,
    },
    /// Any other status.
    #[error(
        "it answered with status {0} instead of connecting: check that --proxy names an HTTP proxy that allows CONNECT"
    )]
    Status(u16),
    /// What it said is not HTTP, or has too long a head.
    #[error("it does not answer as an HTTP proxy does: check the host and port of --proxy")]
    NotHttp,
    /// It closed the connection.
    #[error(
        "it closed the connection without an answer: check the host and port of --proxy, and the proxy's log"
    )]
    Closed,
    /// It said nothing.
    #[error(
        "it did not answer in time: check the host and port of --proxy, or give it longer with --connect-timeout"
    )]
    Silent,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failed_handshake_says_what_to_look_at() {
        let refused = |code| HandshakeError::Refused {
            code,
            retry_after: Duration::ZERO,
        };
        let table = [
            (HandshakeError::NotAdit, "--url"),
            (
                HandshakeError::VersionMismatch {
                    lowest: 2,
                    highest: 3,
                },
                "same version",
            ),
            (HandshakeError::CertificateUnchecked, "--ca-file"),
            (HandshakeError::BindingImpossible, "wss://"),
            (HandshakeError::BindingMismatch, "--tls off"),
            (HandshakeError::HelloTooLarge, "fewer services"),
            (HandshakeError::ServerProofWrong, "--token-file"),
            (refused(Code::UNAUTHORIZED), "--token-file"),
            (refused(Code::BINDING_REQUIRED), "--channel-binding"),
            (refused(Code::BUSY), "--max-sessions"),
            (refused(Code::SHUTTING_DOWN), "come back"),
            (refused(Code::INTERNAL), "server's log"),
            (HandshakeError::PeerClosed(Code::MALFORMED), "server's log"),
            (HandshakeError::Silent, "--url"),
            (HandshakeError::TimedOut, "--url"),
        ];
        for (error, advice) in table {
            let text = AttemptError::Handshake {
                error,
                certificate_problem: None,
            };
            assert!(text.to_string().contains(advice), "{text}");
        }
    }

    #[test]
    fn every_proxy_that_does_not_connect_us_says_what_to_look_at() {
        let target = HostPort::new("tunnel.example.com", 443);
        let table = [
            (ProxyError::CredentialsNeeded, "--proxy"),
            (ProxyError::CredentialsRefused, "--proxy"),
            (
                ProxyError::Forbidden {
                    target: target.clone(),
                },
                "operator",
            ),
            (
                ProxyError::Unreachable {
                    target,
                    status: 502,
                },
                "--url",
            ),
            (ProxyError::Status(302), "--proxy"),
            (ProxyError::NotHttp, "--proxy"),
            (ProxyError::Closed, "--proxy"),
            (ProxyError::Silent, "--connect-timeout"),
        ];
        for (error, advice) in table {
            assert!(error.to_string().contains(advice), "{error}");
        }
    }
}
