//! The server: a handle that all its tasks share, and a machine for each carrier.
//!
//! [`Server`] decides who may come in, which ports are open and whose turn a visitor is. Its table is
//! locked once for a connection, never for a byte: those stay in each [`Peer`].
//!
//! An adapter runs one task for the control listener ([`Server::accept`]), one for the server's own asks
//! ([`Server::poll_ask`]), one for each data-plane listener ([`Server::visitor`]), and one for each [`Peer`] with an inbox for visitors and
//! wake-ups.

mod config;
mod greeting;
mod handover;
mod peer;
mod penalties;
mod ports;
mod serving;
mod table;
mod tunnels;
mod visitor;
mod waiting;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use adit_core::Instant;

pub use config::ServerConfig;
pub use handover::Handover;
pub use peer::Peer;
pub use tunnels::{Ports, Tunnel, TunnelSource, Tunnels};
pub use visitor::Visitor;

use crate::counters::Counters;
use crate::notice::Notice;
use table::Table;

/// A peer of the server: one carrier, and the session that began on it. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub u64);

/// A data-plane listener. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerId(pub u32);

/// What the server as a whole wants done.
#[derive(Debug)]
pub enum ServerAsk {
    /// Listen on an address. Answered by [`Server::told_listening`].
    Listen {
        /// Names the listener.
        listener: ListenerId,
        /// The address; port 0 is any.
        addr: SocketAddr,
        /// Whose session asked for it first.
        peer: PeerId,
    },
    /// Close a listener, before the next ask is polled: that may want the same address again.
    Unlisten {
        /// The listener. Visitors that were accepted already are still handed on.
        listener: ListenerId,
    },
    /// Call [`Peer::handle_wake`] in the peer's task.
    Wake(PeerId),
    /// Something a person may want to read.
    Notice(Notice),
}

/// Why a carrier was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The server is draining.
    #[error("the server is going away")]
    Draining,
}

/// The handle of a server. Clones are the same server.
#[derive(Clone)]
pub struct Server(Arc<Shared>);

/// What the handle and the peers share.
struct Shared {
    config: ServerConfig,
    table: Mutex<Table>,
    wake: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl Shared {
    /// Works on the table. If that left something to ask, or was the end, whoever polls is woken, outside of the lock.
    fn with<T>(&self, work: impl FnOnce(&mut Table) -> T) -> T {
        let mut table = self.lock();
        let result = work(&mut table);
        let news = !table.asks.is_empty() || table.is_done();
        drop(table);
        if news && let Some(wake) = self.wake.get() {
            wake();
        }
        result
    }

    /// A table that somebody panicked over is still a table: its parts are changed one by one.
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Server {
    /// A server without any carrier yet. The seed must be unpredictable: session ids and nonces come from it.
    #[must_use]
    pub fn new(config: ServerConfig, seed: [u8; 32]) -> Self {
        let table = Mutex::new(Table::new(&config, seed));
        Self(Arc::new(Shared {
            config,
            table,
            wake: OnceLock::new(),
        }))
    }

    /// Names what is to be called whenever [`poll_ask`](Self::poll_ask) may have something. It is called from
    /// any of the server's tasks, and must only leave a sign (such as notifying the task that polls). The first call counts.
    pub fn wake_by(&self, wake: impl Fn() + Send + Sync + 'static) {
        // A second waker is a mistake that does no harm.
        let _ = self.0.wake.set(Box::new(wake));
    }

    /// A carrier was accepted on the control plane. Its socket is [`Peer::CARRIER`].
    ///
    /// # Errors
    ///
    /// [`Refused::Draining`]: close the connection.
    pub fn accept(&self, now: Instant, from: SocketAddr) -> Result<Peer, Refused> {
        let (accepted, setup) = self
            .0
            .with(|table| (table.accept(now), table.carrier.clone()));
        let (id, pulse, seed) = accepted?;
        Ok(Peer::new(now, self.0.clone(), id, pulse, from, setup, seed))
    }

    /// The next thing that the server as a whole wants done.
    #[must_use]
    pub fn poll_ask(&self) -> Option<ServerAsk> {
        self.0.lock().asks.pop_front()
    }

    /// The answer to [`ServerAsk::Listen`]: the address bound, or why it could not be.
    pub fn told_listening(&self, listener: ListenerId, result: Result<SocketAddr, io::ErrorKind>) {
        self.0.with(|table| table.told_listening(listener, result));
    }

    /// A visitor was accepted on a listener: whose turn is it? Hand the socket to the task of [`Visitor::peer`], which calls
    /// [`Peer::visitor`]; reset the connection if there is none.
    ///
    /// `from` is the visitor's address, `at` the local address that it dialled.
    #[must_use]
    pub fn visitor(
        &self,
        listener: ListenerId,
        from: SocketAddr,
        at: SocketAddr,
    ) -> Option<Visitor> {
        self.0.with(|table| table.visitor(listener, from, at))
    }

    /// The peer whose turn it was did not take the visitor, or its task has ended: whose turn is it now? Each is asked once; reset
    /// the connection if nobody is left.
    #[must_use]
    pub fn again(&self, visitor: Visitor) -> Option<Visitor> {
        self.0.with(|table| table.again(visitor))
    }

    /// Stops: no carrier is accepted any more, ports close, clients are told to go elsewhere, running streams may finish
    /// for as long as `grace`; then everything ends. A second call can only shorten the grace.
    pub fn drain(&self, now: Instant, grace: Duration) {
        self.0.with(|table| table.drain(now + grace));
    }

    /// Whether [`drain`](Self::drain) is complete: every peer has said its last words and was dropped, and nothing is left to ask.
    /// When it becomes so, [`wake_by`](Self::wake_by)'s function is called.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.0.lock().is_done()
    }

    /// A snapshot of what was counted.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.0.lock().counters()
    }

    /// From the next carrier on, other certificates and settings of the link.
    pub fn set_carrier(&self, setup: Arc<adit_link::ServerSetup>) {
        self.0.lock().carrier = setup;
    }

    /// From the next handshake on, other tunnels. Running sessions are left alone.
    pub fn set_tunnels(&self, tunnels: Arc<dyn TunnelSource>) {
        self.0.lock().tunnels = tunnels;
    }
}
