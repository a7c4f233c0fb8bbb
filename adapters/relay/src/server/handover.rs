//! A carrier on its way from the peer that accepted it to the peer whose session it brings back.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use adit_core::ServerHandshake;
use adit_link::Carrier;

use super::PeerId;

/// A carrier whose client has proved its right to go on with a session. Its socket moves to that session's task, once.
pub struct Handover {
    pub(super) peer: PeerId,
    pub(super) carrier: Carrier,
    pub(super) handshake: ServerHandshake,
    pub(super) from: SocketAddr,
    pub(super) source: IpAddr,
}

impl Handover {
    /// The peer that has the session: its task gets the socket and calls [`Peer::adopt`](super::Peer::adopt).
    #[must_use]
    pub const fn peer(&self) -> PeerId {
        self.peer
    }
}

impl fmt::Debug for Handover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handover")
            .field("peer", &self.peer)
            .field("from", &self.from)
            .finish_non_exhaustive()
    }
}
