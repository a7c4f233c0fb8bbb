//! What can go wrong with a carrier, in words for the person who has to put it right.

use std::{fmt, time::Duration};

use crate::escape::Escaped;

/// The part of the way to a usable carrier that was under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The TLS handshake.
    Tls,
    /// The HTTP request and its answer.
    Upgrade,
    /// Frames were passing.
    Open,
    /// The last words were being said.
    Closing,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls => "during the TLS handshake",
            Self::Upgrade => "during the WebSocket upgrade",
            Self::Open => "while the carrier was open",
            Self::Closing => "while the carrier was closing",
        })
    }
}

/// Why a carrier failed. Each is final: write what [`gather`](crate::Carrier::gather) still gives,
/// then close the socket.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// Nothing arrived for [`silent_after`](crate::LinkConfig::silent_after).
    #[error("the other side sent nothing for {limit:?} {phase}")]
    Silent {
        /// What was waited for.
        phase: Phase,
        /// The limit that was reached.
        limit: Duration,
    },
    /// The carrier took longer than [`handshake_timeout`](crate::LinkConfig::handshake_timeout) to
    /// get ready, or [`closing_timeout`](crate::LinkConfig::closing_timeout) to close.
    #[error("not done after {limit:?} {phase}")]
    TimedOut {
        /// What was waited for.
        phase: Phase,
        /// The limit that was reached.
        limit: Duration,
    },

    /// A server that ends no TLS was greeted with a TLS handshake.
    #[error(
        "the client speaks TLS, but this port does not: start the server with TLS on \
         (--tls auto or --tls files), or let the client dial ws:// instead of wss://"
    )]
    TlsOnPlainPort,
    /// A server that ends TLS was sent an HTTP request in the clear.
    #[error(
        "the client speaks plain HTTP, but this port speaks TLS: let the client dial wss:// \
         instead of ws://; behind an ingress that ends TLS, start the server with --tls off"
    )]
    HttpOnTlsPort,
    /// A server that ends TLS was sent something else.
    #[error("the client sent no TLS handshake; its first byte was {first:#04x}")]
    NotTls {
        /// The first byte of what came.
        first: u8,
    },
    /// A client that asked for TLS was answered in plain HTTP.
    #[error(
        "the server answered in plain HTTP, without TLS: check the port of the URL, or use ws:// \
         if TLS is meant to be off"
    )]
    ServerWithoutTls,
    /// A client that asked for plain HTTP was answered in TLS.
    #[error("the server speaks TLS: use wss:// instead of ws:// in the URL")]
    ServerSpeaksTls,
    /// A client was answered by something that is neither TLS nor HTTP.
    #[error(
        "what answers there is no Adit server: it began with \"{start}\"; check host and port of \
         the URL"
    )]
    NotAServer {
        /// How the answer began, escaped.
        start: String,
    },
    /// TLS failed.
    #[error("TLS failed {phase}: {problem}")]
    Tls {
        /// When.
        phase: Phase,
        /// What was wrong, escaped.
        problem: String,
    },
    /// The server, or a proxy before it, asked for the client's certificate and turned it away.
    #[error("{} (it answered with {answer})", OwnCertificate(*.shown))]
    ClientCertificate {
        /// Whether the client has a certificate and showed it.
        shown: bool,
        /// How it was turned away: an HTTP status or a TLS alert.
        answer: String,
    },
    /// The certificate could not be checked, and the request has headers of the user's, which may
    /// be passwords.
    #[error(
        "the server's certificate can't be checked ({problem}), so the extra HTTP headers are not \
         sent to it: give the certificate's CA (--ca-file), or leave the headers out"
    )]
    HeadersUnchecked {
        /// Why the certificate could not be checked, escaped.
        problem: String,
    },

    /// The request was no HTTP/1.1.
    #[error("the client sent no HTTP/1.1 request: {problem}")]
    NotHttp {
        /// What was wrong with it.
        problem: &'static str,
    },
    /// The HTTP head was longer than [`head_max`](crate::LinkConfig::head_max), or had more than 64
    /// headers.
    #[error("the HTTP head is too large: at most {limit} bytes and 64 headers are taken")]
    HeadTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The server's answer was HTTP, but not one that makes sense.
    #[error("the server's answer to the upgrade makes no sense: {problem}")]
    BadAnswer {
        /// What was wrong with it.
        problem: &'static str,
    },
    /// The server, or a proxy before it, answered with a status other than 101.
    #[error("{}", Refusal(*.status, .location.as_deref()))]
    Status {
        /// The HTTP status.
        status: u16,
        /// Where a redirect leads, escaped.
        location: Option<String>,
    },

    /// The carrier can't be set up as asked.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The peer broke RFC 6455.
    #[error("the other side broke the WebSocket protocol: {0}")]
    WebSocket(#[from] adit_websocket::Error),
    /// The caller did not poll payload. A fault of this program's.
    #[error("more than {limit} bytes of payload were not polled: a bug in this program")]
    Unread {
        /// The limit in bytes.
        limit: usize,
    },
}

impl LinkError {
    /// For text that came from the peer, or from a library that may quote the peer.
    pub(crate) fn tls(phase: Phase, problem: impl fmt::Display) -> Self {
        Self::Tls {
            phase,
            problem: escape(&problem.to_string()),
        }
    }
}

/// Text that may hold a peer's words, for an error.
pub(crate) fn escape(text: &str) -> String {
    Escaped::new(text.as_bytes(), 300).to_string()
}

/// What is the matter with the client's own certificate.
struct OwnCertificate(bool);

impl fmt::Display for OwnCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(shown) = *self;
        f.write_str(if shown {
            "the server asked for this client's certificate and turned it away: see whether the one in --client-cert is \
             still valid, and whether the server trusts the CA that signed it"
        } else {
            "the server asks for a client certificate, and this client has none: give one that the server trusts with \
             --client-cert and --client-key"
        })
    }
}

/// A status other than 101, and what to look at.
struct Refusal<'a>(u16, Option<&'a str>);

impl fmt::Display for Refusal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(status, location) = self;
        write!(
            f,
            "the server answered the upgrade with HTTP status {status}"
        )?;
        if let (300..=399, Some(location)) = (status, location) {
            return write!(
                f,
                ", a redirect to \"{location}\"; redirects are not followed: put the final \
                 address into the URL"
            );
        }
        f.write_str(match status {
            200..=299 => {
                ": something else answers at this address: check host, port and path of the URL \
                 (an Adit server's path is /connect unless it was told otherwise)"
            }
            300..=399 => "; redirects are not followed: put the final address into the URL",
            400 => {
                ": it could not read the request: a plain HTTP request to a TLS port, or a proxy \
                 that does not pass WebSocket upgrades on"
            }
            401 | 407 => ": something in front of the server asks for a login: see --header",
            403 => ": something in front of the server forbids this client: see its access rules",
            404 => {
                ": nothing is there: check the path of the URL (/connect unless the server was \
                 told otherwise) and the ingress's rules for host and path"
            }
            405 | 426 => {
                ": the upgrade got lost on the way: the proxy or ingress must pass WebSocket \
                 upgrades on"
            }
            429 => ": too many requests: something in front of the server limits their rate",
            431 => ": the request's headers are too large: see --header",
            502..=504 => {
                ": a proxy or ingress answers, but does not reach the Adit server behind it: see \
                 whether the server runs, the ingress's backend and port, and whether both agree \
                 on TLS (--tls off behind an ingress that ends TLS)"
            }
            500..=599 => ": a fault in the server or in a proxy before it; see its log",
            _ => "",
        })
    }
}

/// What is wrong with what this program was set up with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// No certificate in the PEM text.
    #[error("{what}: no certificate found; it needs a block -----BEGIN CERTIFICATE-----")]
    NoCertificate {
        /// Which of the inputs.
        what: &'static str,
    },
    /// No private key in the PEM text.
    #[error(
        "{what}: no private key found; it needs a block -----BEGIN PRIVATE KEY-----, \
         -----BEGIN RSA PRIVATE KEY----- or -----BEGIN EC PRIVATE KEY-----"
    )]
    NoKey {
        /// Which of the inputs.
        what: &'static str,
    },
    /// The PEM text is broken.
    #[error("{what}: not readable as PEM: {problem}")]
    BadPem {
        /// Which of the inputs.
        what: &'static str,
        /// What was wrong.
        problem: String,
    },
    /// A certificate can't serve as a CA.
    #[error("{what}: a certificate can't be used as a CA: {problem}")]
    BadCa {
        /// Which of the inputs.
        what: &'static str,
        /// What was wrong.
        problem: String,
    },
    /// Certificate and key can't be used, or don't belong together.
    #[error("certificate and key can't be used together: {problem}")]
    BadKey {
        /// What was wrong.
        problem: String,
    },
    /// A self-signed certificate could not be made.
    #[error("a self-signed certificate can't be made: {problem}")]
    SelfSigned {
        /// What was wrong.
        problem: String,
    },
    /// TLS itself could not be set up.
    #[error("TLS can't be set up: {problem}")]
    Tls {
        /// What was wrong.
        problem: String,
    },
    /// The name in the URL is neither a DNS name nor an IP address.
    #[error("\"{name}\" is neither a DNS name nor an IP address, so no certificate can be for it")]
    BadServerName {
        /// The name, escaped.
        name: String,
    },
    /// The host can't stand in a request.
    #[error("\"{host}\" can't be used as the Host of a request")]
    BadHost {
        /// The host, escaped.
        host: String,
    },
    /// The path can't stand in a request.
    #[error("\"{path}\" is no path: it must begin with / and hold neither spaces nor a fragment")]
    BadPath {
        /// The path, escaped.
        path: String,
    },
    /// A header can't be sent. The value is not shown: it may be a password.
    #[error("the extra header \"{name}\" can't be sent: {problem}")]
    BadHeader {
        /// The header's name, escaped.
        name: String,
        /// What was wrong.
        problem: &'static str,
    },
    /// The whole request is longer than a server would take.
    #[error("the upgrade request has {len} bytes, but servers take {limit}: use fewer headers")]
    RequestTooLarge {
        /// The request's length in bytes.
        len: usize,
        /// The limit in bytes.
        limit: usize,
    },
}
