//! The border between the machines and the world: what a machine asks for, what it is told,
//! and the one trait through which a runtime adapter drives it.
//!
//! An adapter decides nothing. It gives each [`Machine`] a task (or a thread), and repeats: carry
//! out what [`Machine::poll_ask`] yields until it yields nothing, then wait for a socket, a
//! message or the time of [`Machine::poll_timeout`], and hand that to the machine. After every call that
//! hands something over, the asks are polled again.

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};

use adit_core::{Instant, Token};
use bytes::BytesMut;

use crate::notice::Notice;
use crate::server::{Handover, Visitor};

/// A socket of one machine: a small, dense index that the machine chooses, so that an adapter can
/// keep its sockets in a table.
///
/// An id lives until [`Ask::Close`], [`Ask::Abort`], [`Ask::HandOn`] or [`Ask::HandOver`] for it was polled, and ends in no other way, also after
/// a failed connect, an error or an end of file. Afterwards it may name another socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketId(pub u32);

impl SocketId {
    /// The id as an index.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// One task's worth of decisions: a client, or the server's side of one carrier.
///
/// Calls are legal in any order and for any id: one that makes no sense does nothing.
pub trait Machine {
    /// The next thing to do, if there is any. To be polled until `None` after every other call that takes `now`.
    fn poll_ask(&mut self, now: Instant) -> Option<Ask>;

    /// The answer to an ask.
    fn tell(&mut self, now: Instant, told: Told);

    /// How many bytes to read from the socket at most, now. 0: don't read, until
    /// [`Ask::WantRead`] names the socket.
    fn read_limit(&self, socket: SocketId) -> usize;

    /// Bytes that were read; at most as many as [`read_limit`](Self::read_limit) allowed.
    fn received(&mut self, now: Instant, socket: SocketId, data: BytesMut);

    /// The socket's other end sent its FIN: nothing more will be read.
    fn received_eof(&mut self, now: Instant, socket: SocketId);

    /// Fills `out` with what is to be written next and returns how many of the slices it filled.
    ///
    /// The adapter writes them, says how many bytes were taken by [`written`](Self::written), and calls again until
    /// this returns 0 (then it waits for [`Ask::WantWrite`]) or the socket takes no more (then for the socket).
    fn gather<'a>(&'a mut self, now: Instant, socket: SocketId, out: &mut [IoSlice<'a>]) -> usize;

    /// The socket took the first `n` of the bytes that [`gather`](Self::gather) gave.
    fn written(&mut self, now: Instant, socket: SocketId, n: usize);

    /// A read or a write failed, or the other end reset the connection. That is told at once, whatever the
    /// [`read_limit`](Self::read_limit), and also after the FIN: a machine that doesn't read learns in no other way that there is
    /// nobody left to write to. The machine answers with [`Ask::Abort`] or [`Ask::Close`] for the socket.
    fn failed(&mut self, now: Instant, socket: SocketId, error: io::ErrorKind);

    /// When [`handle_timeout`](Self::handle_timeout) is to be called, if nothing happens before.
    fn poll_timeout(&self) -> Option<Instant>;

    /// Time passed. Calling it early, or for nothing, is harmless.
    fn handle_timeout(&mut self, now: Instant);

    /// Whether the machine has ended: no socket is open, nothing is left to ask, the task can end.
    fn is_done(&self) -> bool;
}

/// What a socket, or a look-up of its address, is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It carries a session, which doesn't end with it.
    Carrier,
    /// It is a visitor's or an upstream's. Unless it was closed by [`Ask::Close`], its end must be a reset, also where the
    /// process dies: a FIN would make an answer look whole that was cut short.
    Local,
}

/// What a machine wants done.
#[derive(Debug)]
pub enum Ask {
    /// Find the addresses of a name. Answered by [`Told::Resolved`].
    Resolve {
        /// Names the answer; unique within the machine.
        query: u32,
        /// A host name or an IP address, without brackets.
        host: String,
        /// The port to put into the addresses.
        port: u16,
        /// What the answer is for. A [carrier](Purpose::Carrier)'s look-up must not wait behind others.
        purpose: Purpose,
    },
    /// Open a TCP connection. Answered by [`Told::Connected`] or [`Told::ConnectFailed`]; in either case, or while it is
    /// still under way, the id ends by [`Ask::Close`] or [`Ask::Abort`].
    Connect {
        /// The id of the new socket.
        socket: SocketId,
        /// Where to.
        addr: SocketAddr,
        /// What the socket will be. Other than a carrier, it [ends with a reset](Purpose::Local) until closed properly.
        purpose: Purpose,
    },
    /// Read the tunnel's token from where the user keeps it. Answered by [`Told::Token`].
    ReadToken {
        /// Names the answer.
        query: u32,
    },
    /// Say which of this machine's addresses a new connection to the other end of `socket` would have now. That is a question to the system's tables; nothing
    /// is sent. Answered by [`Told::Route`].
    Route {
        /// A socket that is connected.
        socket: SocketId,
    },
    /// [`Machine::read_limit`] rose from 0. Also asked once for every new socket that is to be read.
    WantRead(SocketId),
    /// [`Machine::gather`] has something again.
    WantWrite(SocketId),
    /// End the sending direction (FIN). Everything that was gathered has been written before.
    Shutdown(SocketId),
    /// Close the socket. The id ends.
    Close(SocketId),
    /// Reset the connection (SO_LINGER of 0, then close), or give up a connect. The id ends.
    /// To be ignored if the connect failed or the socket is gone otherwise.
    Abort(SocketId),
    /// Take the socket off the task as it is, with all that was not read, and hand it on to whom
    /// [`Server::again`](crate::server::Server::again) names; reset it if that is nobody. The id ends. Only servers ask this.
    HandOn {
        /// The visitor's socket.
        socket: SocketId,
        /// The visitor.
        visitor: Visitor,
    },
    /// Take the socket off the task as it is, with all that was not read, and give it to the task of [`Handover::peer`], which calls
    /// [`Peer::adopt`](crate::server::Peer::adopt); close it if there is no such task. The id ends. Only servers ask this.
    HandOver {
        /// The carrier's socket.
        socket: SocketId,
        /// The carrier.
        handover: Box<Handover>,
    },
    /// Something a person may want to read, or a log keep.
    Notice(Notice),
}

/// What a machine is told in answer to its asks.
#[derive(Debug)]
pub enum Told {
    /// The answer to [`Ask::Resolve`].
    Resolved {
        /// The query answered.
        query: u32,
        /// The addresses in the resolver's order of preference, or why there are none.
        result: Result<Vec<SocketAddr>, String>,
    },
    /// [`Ask::Connect`] succeeded.
    Connected {
        /// The socket, now open.
        socket: SocketId,
    },
    /// [`Ask::Connect`] failed.
    ConnectFailed {
        /// The socket that came to nothing.
        socket: SocketId,
        /// Why.
        kind: io::ErrorKind,
    },
    /// The answer to [`Ask::Route`].
    Route {
        /// The socket.
        socket: SocketId,
        /// The address; `None` if no way leads there, or the socket is gone.
        local: Option<IpAddr>,
    },
    /// The answer to [`Ask::ReadToken`].
    Token {
        /// The query answered.
        query: u32,
        /// The token, or why there is none, for people. Never any part of a token.
        result: Result<Token, String>,
    },
}
