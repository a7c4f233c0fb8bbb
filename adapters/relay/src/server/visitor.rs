//! A visitor on its way to a session, and the sessions that could not take it.
//!
//! A session that is full or about to end, or whose client can't reach the upstream, is no reason to turn a visitor away while another
//! session serves the same port. So the visitor moves on, to each session once, for as long as nothing was read from it and nothing
//! was sent to it: what a client has taken can't be asked back, and nobody can tell whether it reached the upstream.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use adit_core::{Code, TunnelName};

use super::{ListenerId, PeerId};

/// Sessions that one visitor tries at most. Each costs a look at the server's table, which all tunnels share.
pub(super) const TRIES_MAX: usize = 32;

/// A visitor that [`Server::visitor`](super::Server::visitor) has found a session for.
#[derive(Debug)]
pub struct Visitor(pub(super) Box<Way>);

/// Where a visitor comes from, and where it has been.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) listener: ListenerId,
    pub(super) from: SocketAddr,
    pub(super) at: SocketAddr,
    pub(super) tunnel: TunnelName,
    /// Whose turn it is.
    pub(super) peer: PeerId,
    /// Whether another session that answers serves the same port.
    pub(super) others: bool,
    /// Those before.
    pub(super) tried: BTreeSet<PeerId>,
    /// Why the last of them did not take it.
    pub(super) why: Option<Code>,
}

impl Visitor {
    /// The peer whose turn it is: its task gets the socket and calls [`Peer::visitor`](super::Peer::visitor).
    #[must_use]
    pub fn peer(&self) -> PeerId {
        self.0.peer
    }

    /// The same visitor, not taken for this reason.
    pub(crate) fn refused(mut self, why: Code) -> Self {
        self.0.why = Some(why);
        self
    }
}

/// Whether a reset with this code says that no upstream was reached, so that another session may be tried. Whatever an upstream did
/// itself is the answer that the visitor came for.
pub(super) const fn is_before_upstream(code: Code) -> bool {
    matches!(
        code,
        Code::DIAL_REFUSED
            | Code::DIAL_TIMEOUT
            | Code::DIAL_UNREACHABLE
            | Code::DIAL_NAME
            | Code::UNKNOWN_SERVICE
            | Code::UNSUPPORTED
            | Code::SESSION_LOST
            | Code::STREAM_LIMIT
            | Code::DRAINING
    )
}
