//! Errors in three tiers: what a peer did wrong (goes on the wire), why a session or a handshake ended, and why one call
//! could not be done.

use core::time::Duration;

use thiserror::Error;

use crate::code::Code;

/// The peer broke the protocol. [`ProtocolError::code`] is what it is told in CLOSE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the peer broke the protocol: {what} ({code:?})")]
pub struct ProtocolError {
    /// What the peer is told.
    pub code: Code,
    /// What it did; never text of the peer's own.
    pub what: &'static str,
}

macro_rules! protocol_errors {
    ($($name:ident)*) => {
        #[allow(non_snake_case, reason = "named like the codes of the specification")]
        impl ProtocolError {
            $(pub(crate) const fn $name(what: &'static str) -> Self {
                Self { code: Code::$name, what }
            })*
        }
    };
}

protocol_errors! {
    MALFORMED FRAME_TOO_LARGE UNEXPECTED_FRAME UNKNOWN_FRAME FLOW_CONTROL STREAM_STATE FLOOD POSITION
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SessionError {
    /// The peer broke the protocol; it was told so.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// The peer closed the session and said why.
    #[error("the other side closed the session: {0}")]
    PeerClosed(Code),
    /// This side closed the session.
    #[error("closed by this side: {0}")]
    Closed(Code),
    /// Nothing was received for [`Config::dead_after`](crate::Config::dead_after).
    #[error("the carrier went silent: nothing was received for {0:?}")]
    Silent(Duration),
    /// The carrier ended.
    #[error("the carrier was lost")]
    CarrierLost,
    /// It was without a carrier for longer than its resume window.
    #[error("no new carrier came within the resume window of {0:?}")]
    Expired(Duration),
    /// The two sides do not agree on what was lost with the carrier, so it can't be sent again.
    #[error("what was lost with the carrier can't be sent again")]
    Gone,
}

impl SessionError {
    /// What the peer is told, if anything can still be told: the one place that decides it.
    #[must_use]
    pub const fn close_code(self) -> Option<Code> {
        match self {
            Self::Protocol(error) => Some(error.code),
            Self::Closed(code) => Some(code),
            Self::PeerClosed(_)
            | Self::Silent(_)
            | Self::CarrierLost
            | Self::Expired(_)
            | Self::Gone => None,
        }
    }
}

/// Why a client's or a server's handshake on a carrier failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HandshakeError {
    /// The peer does not speak this protocol at all.
    #[error("what answered does not speak the Adit protocol")]
    NotAdit,
    /// The peer broke the protocol.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// No protocol version is spoken by both sides.
    #[error("no common protocol version: the server speaks {lowest} to {highest}, this client 1")]
    VersionMismatch {
        /// The lowest version that the server speaks.
        lowest: u64,
        /// The highest version that the server speaks.
        highest: u64,
    },
    /// The certificate can't be checked and the server does not bind the proof: no proof was sent.
    #[error(
        "the server's certificate can't be checked, and the server does not end TLS itself (or does not bind the proof to it), so no proof was sent"
    )]
    CertificateUnchecked,
    /// The server requires a binding and this carrier has none to give.
    #[error(
        "the server requires the proof to be bound to a TLS 1.3 connection, and this one has no such binding"
    )]
    BindingImpossible,
    /// The token is right, and this client bound its proof to its TLS connection, but the server saw another one.
    #[error(
        "the token is right, but something between client and server ends TLS, and the server requires that nothing does"
    )]
    BindingMismatch,
    /// What the client offers and says of itself does not fit one frame.
    #[error(
        "what this client offers does not fit one frame: offer fewer services, or fewer labels"
    )]
    HelloTooLarge,
    /// The session that was to be resumed has ended meanwhile, or can't be resumed.
    #[error("the session to resume has ended")]
    SessionOver,
    /// The server's proof is wrong: it does not know the token.
    #[error("the server could not prove that it knows the token")]
    ServerProofWrong,
    /// The server refused.
    #[error("the server refused: {code}")]
    Refused {
        /// Why.
        code: Code,
        /// Do not come back earlier than this.
        retry_after: Duration,
    },
    /// The other side gave the handshake up and said why.
    #[error("the other side gave the handshake up: {0}")]
    PeerClosed(Code),
    /// Nothing was received for [`Config::dead_after`](crate::Config::dead_after).
    #[error("the other side went silent during the handshake")]
    Silent,
    /// The handshake took longer than [`Config::handshake_timeout`](crate::Config::handshake_timeout).
    #[error("the handshake took too long")]
    TimedOut,
}

/// Why a stream could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OpenError {
    /// As many streams are open as the peer allows.
    #[error("as many streams are open as the peer allows")]
    StreamLimit,
    /// One of the sides is going away, or the session has ended.
    #[error("the session takes no new streams")]
    Ending,
}

/// Why a call on a stream could not be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum StreamError {
    /// There is no such stream (any more).
    #[error("no such stream")]
    Unknown,
    /// The stream was finished for writing already.
    #[error("the stream is finished for writing")]
    Finished,
}
