//! The handshake: two machines, one per side, that turn a fresh carrier into a session or an error
//! (spec/04-handshake.md). What both share is here: facts, wishes, outcomes, and the two clocks.

mod client;
mod server;

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::{Bytes, BytesMut};

use crate::auth::ResumeKey;
use crate::code::Code;
use crate::config::Config;
use crate::error::{HandshakeError, ProtocolError};
use crate::frame::{BODY_MAX, Frame, Grant, Service};
use crate::ids::{ClientId, Instance, SessionId, TunnelName};
use crate::session::Session;
use crate::time::Instant;
use crate::transmit::Transmit;

pub use client::ClientHandshake;
pub use server::ServerHandshake;
pub(crate) use server::{Decoys, Proven};

/// Bytes of a proof, which ends AUTH, WELCOME, RESUME and RESUMED.
const PROOF_LEN: usize = 32;

/// The longest software name or server name that goes out, in bytes.
const NAME_MAX: usize = 256;

/// What a client knows of a carrier when it is ready to carry frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CarrierFacts {
    /// The exporter value of RFC 9266, if this side speaks TLS 1.3 or later on the carrier.
    pub exporter: Option<[u8; 32]>,
    /// Whether this side speaks TLS on the carrier, of whatever version.
    pub tls: bool,
    /// Whether the peer's certificate was checked and is good for the name that was dialled.
    pub certificate_checked: bool,
}

/// What a server knows of a carrier, and what it says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerFacts {
    /// The exporter value of RFC 9266, if this server ends TLS 1.3 or later on the carrier.
    pub exporter: Option<[u8; 32]>,
    /// Whether this program ends TLS itself.
    pub tls_here: bool,
    /// Whether proofs must be bound to that TLS connection.
    pub binding: bool,
    /// Which of several servers this is; empty to say nothing. Cut after 256 bytes.
    pub server_name: String,
    /// What this program is; empty to say nothing. Cut after 256 bytes.
    pub software: String,
}

/// Who a client is, and what it asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientHello {
    /// The tunnel whose token it holds.
    pub tunnel: TunnelName,
    /// Who it is, from run to run.
    pub client_id: ClientId,
    /// Which run this is.
    pub instance: Instance,
    /// What it offers. Ids must differ.
    pub services: Vec<Service>,
    /// Facts about it, for people and rules.
    pub labels: Vec<(String, String)>,
    /// What this program is; empty to say nothing. Cut after 256 bytes.
    pub software: String,
}

/// A client whose proof was right, and what it asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its tunnel.
    pub tunnel: TunnelName,
    /// Who it is.
    pub client_id: ClientId,
    /// Which run of it.
    pub instance: Instance,
    /// What it offers: each wants a [`Grant`].
    pub services: Vec<Service>,
    /// What it says of itself. Text of its own: escape it for people.
    pub labels: Vec<(String, String)>,
    /// What program it says it is. Text of its own: escape it for people.
    pub software: Option<String>,
    /// Whether its proof is bound to the TLS connection.
    pub bound: bool,
}

/// What a server's handshake asks of its owner, or tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandshakeEvent {
    /// A client wants to prove that it holds this tunnel's token: answer with
    /// [`ServerHandshake::authenticate`].
    Authenticate {
        /// The tunnel, which may not exist.
        tunnel: TunnelName,
    },
    /// The proof was right: answer with [`Endpoint::admit`](crate::Endpoint::admit) or
    /// [`ServerHandshake::refuse`].
    Admit(Request),
    /// A client wants to go on with a session: answer with [`Endpoint::find`](crate::Endpoint::find).
    Resume {
        /// The session, which may not exist.
        session: SessionId,
    },
    /// It was not let in. The refusal goes out by itself, but not before this event was polled, so
    /// that [`ServerHandshake::answer_after`] can delay it.
    Failed(AuthFailure),
}

/// Why a client was not let in, for the log and the penalty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuthFailure {
    /// The token is wrong, or the tunnel does not exist: the client can't tell, the owner can.
    Token,
    /// It wanted to resume a session that is not known, or without the right to.
    UnknownSession,
    /// The token is right, but the proof is not bound, and must be.
    BindingRequired,
    /// The token is right, but something between client and server ends TLS.
    BindingMismatch,
    /// It chose a version outside the range that it was offered.
    Version,
    /// A later attempt to resume the same session was seen before this one.
    Stale,
    /// The session that it wanted to resume was away for longer than its resume window.
    Expired,
    /// What was lost with the session's last carrier can't be sent again.
    Gone,
    /// The tunnel's token is another one by now, or the tunnel is no more.
    Revoked,
}

impl AuthFailure {
    /// What the client is told.
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            Self::Token => Code::UNAUTHORIZED,
            Self::UnknownSession => Code::UNKNOWN_SESSION,
            Self::BindingRequired => Code::BINDING_REQUIRED,
            Self::BindingMismatch => Code::BINDING_MISMATCH,
            Self::Version => Code::VERSION,
            Self::Stale => Code::STALE,
            Self::Expired => Code::EXPIRED,
            Self::Gone => Code::GONE,
            Self::Revoked => Code::UNAUTHORIZED,
        }
    }

    /// Whether a session can't be resumed, by whoever asks: the way of things after a server's restart, and no attack.
    #[must_use]
    pub const fn is_about_resuming(self) -> bool {
        matches!(
            self,
            Self::UnknownSession | Self::Stale | Self::Expired | Self::Gone
        )
    }

    /// Whether it is a wrong token, which counts for a penalty. A session that is not known does not: its key is random and can't be guessed, and a
    /// server that was restarted meets all its clients so.
    #[must_use]
    pub const fn is_wrong_proof(self) -> bool {
        matches!(self, Self::Token)
    }
}

/// A session that both sides agree on.
pub struct Established {
    /// The session, open.
    pub session: Session,
    /// Its id, the same on both sides.
    pub id: SessionId,
    /// The answers to the client's services, in their order.
    pub grants: Vec<Grant>,
    /// How long the session may be without a carrier and still be resumed; zero if it can't be.
    pub resume_window: Duration,
    /// What the right to resume it hangs on.
    pub resume_key: ResumeKey,
    /// Whether the client's proof was bound to the TLS connection.
    pub bound: bool,
    /// The name of the server that was reached, if it has one. Text of the server's own: escape it.
    pub server_name: Option<String>,
    /// What program the server says it is. Text of the server's own: escape it.
    pub server_software: Option<String>,
    /// Addresses of other servers of this tunnel. Text of the server's own: escape it.
    pub others: Vec<String>,
}

/// The right to go on with a session, and how: what a client keeps of an [`Established`] session to resume it.
#[derive(Clone, Debug)]
pub struct Resumption {
    /// The session.
    pub id: SessionId,
    /// What the right hangs on.
    pub key: ResumeKey,
    /// Whether the session was made bound to its TLS connection, and must be resumed so.
    pub bound: bool,
    /// This attempt: higher than any before it.
    pub epoch: u64,
}

/// The two clocks of a handshake: how long it may take in all, and how long the peer may be silent
/// (spec/04-handshake.md, section 4.9).
#[derive(Debug)]
struct Patience {
    handshake_timeout: Duration,
    dead_after: Duration,
    deadline: Instant,
    heard: Instant,
}

impl Patience {
    fn new(config: &Config, now: Instant) -> Self {
        let Config {
            handshake_timeout,
            dead_after,
            ..
        } = *config;
        Self {
            handshake_timeout,
            dead_after,
            deadline: now + handshake_timeout,
            heard: now,
        }
    }

    fn count_from(&mut self, started: Instant) {
        self.deadline = self.deadline.min(started + self.handshake_timeout);
    }

    fn heard(&mut self, now: Instant) {
        self.heard = self.heard.max(now);
    }

    fn silent_at(&self) -> Instant {
        self.heard + self.dead_after
    }

    fn next(&self) -> Instant {
        self.deadline.min(self.silent_at())
    }

    fn check(&self, now: Instant) -> Result<(), HandshakeError> {
        if now >= self.deadline {
            Err(HandshakeError::TimedOut)
        } else if now >= self.silent_at() {
            Err(HandshakeError::Silent)
        } else {
            Ok(())
        }
    }
}

/// Frames that wait for the carrier, encoded; given out in pieces of any size.
#[derive(Debug, Default)]
struct Outbox(Bytes);

impl Outbox {
    fn push(&mut self, encoding: &[u8]) {
        if self.0.is_empty() {
            self.0 = Bytes::copy_from_slice(encoding);
        } else {
            let mut both = BytesMut::with_capacity(self.0.len() + encoding.len());
            both.extend_from_slice(&self.0);
            both.extend_from_slice(encoding);
            self.0 = both.freeze();
        }
    }

    fn poll(&mut self, limit: usize) -> Option<Transmit> {
        if self.0.is_empty() {
            return None;
        }
        Some(Transmit::raw(self.0.split_to(limit.clamp(1, self.0.len()))))
    }

    const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    const fn len(&self) -> usize {
        self.0.len()
    }
}

/// A frame that ends in a proof, encoded, and the same without the proof.
pub(crate) struct Provable(Vec<u8>);

impl Provable {
    /// `None` if the frame's body would be longer than the protocol allows.
    pub(crate) fn new(frame: &Frame) -> Option<Self> {
        let encoding = frame.encoding();
        // A body of more than 63 bytes has a length of two bytes, or of four above 16,383.
        (encoding.len() as u64 <= BODY_MAX + 1 + 4).then_some(Self(encoding))
    }

    pub(crate) fn without_proof(&self) -> &[u8] {
        without_proof(&self.0)
    }

    /// The encoding with `proof` in its place.
    pub(crate) fn prove(&self, proof: &[u8; PROOF_LEN]) -> Vec<u8> {
        [self.without_proof(), proof].concat()
    }
}

/// A frame's encoding without its last 32 bytes. Empty if it is shorter, which a frame that was
/// parsed is not.
fn without_proof(encoding: &[u8]) -> &[u8] {
    encoding
        .split_last_chunk::<PROOF_LEN>()
        .map_or(&[], |(front, _)| front)
}

/// The first bytes of `text`, whole characters, at most [`NAME_MAX`] bytes; `None` if it is empty.
fn clip(text: &str) -> Option<String> {
    let ends = text
        .char_indices()
        .map(|(start, char)| start + char.len_utf8());
    let end = ends.take_while(|&end| end <= NAME_MAX).last()?;
    text.get(..end).map(Into::into)
}

/// What the peer is told when it broke the protocol during the handshake.
fn close_frame(error: ProtocolError) -> Vec<u8> {
    Frame::Close {
        code: error.code,
        detail: None,
    }
    .encoding()
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
