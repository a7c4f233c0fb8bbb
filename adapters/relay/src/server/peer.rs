//! The server's side of one carrier: the link, the handshake, the session and its visitors.

use std::net::SocketAddr;

use adit_core::Instant;

use super::{ListenerId, PeerId};
use crate::io::SocketId;

/// One carrier of a server, from its first byte to its last. A [`Machine`](crate::io::Machine).
pub struct Peer {}

impl Peer {
    /// The socket of the carrier, open from the start.
    pub const CARRIER: SocketId = SocketId(0);

    /// The peer's name towards the server.
    #[must_use]
    pub fn id(&self) -> PeerId {
        unimplemented!()
    }

    /// The server's table wants something of this peer ([`ServerAsk::Wake`](super::ServerAsk::Wake)).
    pub fn handle_wake(&mut self, now: Instant) {
        unimplemented!()
    }

    /// Takes a visitor: opens a stream for it, and names its socket. `None`: reset the connection.
    ///
    /// `from` is the visitor's address, `at` the local address that it dialled.
    pub fn visitor(
        &mut self,
        now: Instant,
        listener: ListenerId,
        from: SocketAddr,
        at: SocketAddr,
    ) -> Option<SocketId> {
        unimplemented!()
    }
}
