//! The sockets of one task, by the index that its machine chose, and the lists of those with work.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use adit_relay::Purpose;
use bytes::BytesMut;
use socket2::SockRef;

use crate::options;
use crate::ready::{Bell, Board};
use crate::{Runtime, Socket};

/// Bytes of unread input thrown away before a socket is closed, so that the close is no reset.
const DISCARD_MAX_BYTES: usize = 64 * 1024;

/// All sockets of one task.
pub(crate) struct Sockets<R: Runtime> {
    runtime: R,
    board: Arc<Board>,
    slots: Vec<Option<Slot<R::Socket>>>,
    to_read: VecDeque<u32>,
    to_write: VecDeque<u32>,
}

/// A table for so many sockets is kept, however few there are; a larger one is made smaller when it is a quarter full.
const TABLE_KEPT: usize = 64;

struct Slot<S> {
    bell: Arc<Bell>,
    waker: Waker,
    /// `Err`: the attempt to connect failed at once.
    socket: Result<S, io::ErrorKind>,
    /// The attempt to connect has not ended, as far as this was asked.
    connecting: bool,
    purpose: Purpose,
    /// On the list of sockets to read from.
    listed_to_read: bool,
    /// On the list of sockets to write to.
    listed_to_write: bool,
    /// The kernel took no more, and rings when it does again.
    write_blocked: bool,
    /// The end of the input was seen, or an error: reading again would tell nothing new.
    read_ended: bool,
}

/// What an attempt to connect came to.
pub(crate) enum Dialled {
    Connected,
    Failed(io::ErrorKind),
}

impl<R: Runtime> Sockets<R> {
    pub(crate) fn new(runtime: R, board: Arc<Board>) -> Self {
        Self {
            runtime,
            board,
            slots: Vec::new(),
            to_read: VecDeque::new(),
            to_write: VecDeque::new(),
        }
    }

    /// Takes charge of a connected socket.
    pub(crate) fn insert(
        &mut self,
        index: u32,
        stream: TcpStream,
        purpose: Purpose,
    ) -> io::Result<()> {
        let socket = self.runtime.socket(stream)?;
        set_up(&socket.get(), purpose);
        self.fill(index, Ok(socket), false, purpose);
        Ok(())
    }

    /// Begins to connect; [`dialled`](Self::dialled) tells how it went.
    pub(crate) fn connect(&mut self, index: u32, addr: SocketAddr, purpose: Purpose) {
        self.take_over(index, options::connect(addr), purpose);
    }

    /// Takes charge of an attempt to connect, which may have failed already or be at its end.
    pub(crate) fn take_over(
        &mut self,
        index: u32,
        attempt: io::Result<TcpStream>,
        purpose: Purpose,
    ) {
        let attempt = attempt.and_then(|stream| self.runtime.socket(stream));
        let socket = attempt.map_err(|error| error.kind());
        self.fill(index, socket, true, purpose);
    }

    fn fill(
        &mut self,
        index: u32,
        socket: Result<R::Socket, io::ErrorKind>,
        connecting: bool,
        purpose: Purpose,
    ) {
        let at = index as usize;
        if at >= self.slots.len() {
            self.slots.resize_with(at + 1, || None);
        }
        let bell = Bell::new(index, Arc::clone(&self.board));
        let waker = Waker::from(Arc::clone(&bell));
        self.slots[at] = Some(Slot {
            bell,
            waker,
            socket,
            connecting,
            purpose,
            listed_to_read: false,
            listed_to_write: false,
            write_blocked: false,
            read_ended: false,
        });
        self.want_read(index);
    }

    /// The runtime rang for this socket: it may be readable, writable or connected.
    pub(crate) fn rung(&mut self, index: u32) {
        let Some(slot) = self.slot(index) else { return };
        slot.bell.quieten();
        let write_blocked = std::mem::take(&mut slot.write_blocked);
        self.want_read(index);
        if write_blocked {
            self.want_write(index);
        }
    }

    pub(crate) fn want_read(&mut self, index: u32) {
        let Some(slot) = self.slot(index) else { return };
        if !std::mem::replace(&mut slot.listed_to_read, true) {
            self.to_read.push_back(index);
        }
    }

    pub(crate) fn want_write(&mut self, index: u32) {
        let Some(slot) = self.slot(index) else { return };
        // A blocked socket rings when it can take more.
        if !slot.write_blocked && !std::mem::replace(&mut slot.listed_to_write, true) {
            self.to_write.push_back(index);
        }
    }

    /// How many sockets are listed for reading now.
    pub(crate) fn readers(&self) -> usize {
        self.to_read.len()
    }

    /// How many sockets are listed for writing now.
    pub(crate) fn writers(&self) -> usize {
        self.to_write.len()
    }

    pub(crate) fn has_work(&self) -> bool {
        !self.to_read.is_empty() || !self.to_write.is_empty()
    }

    pub(crate) fn next_to_read(&mut self) -> Option<u32> {
        let index = self.to_read.pop_front()?;
        if let Some(slot) = self.slot(index) {
            slot.listed_to_read = false;
        }
        Some(index)
    }

    pub(crate) fn next_to_write(&mut self) -> Option<u32> {
        let index = self.to_write.pop_front()?;
        if let Some(slot) = self.slot(index) {
            slot.listed_to_write = false;
        }
        Some(index)
    }

    /// The outcome of an attempt to connect that has just ended; nothing while it goes on.
    pub(crate) fn dialled(&mut self, index: u32) -> Option<Dialled> {
        let slot = self.slot(index)?;
        if !slot.connecting {
            return None;
        }
        let failed = match &mut slot.socket {
            Err(error) => Some(*error),
            Ok(socket) => {
                let mut context = Context::from_waker(&slot.waker);
                let Poll::Ready(ended) = socket.poll_connected(&mut context) else {
                    return None;
                };
                let error = ended.and_then(|()| socket.get().take_error());
                error.unwrap_or_else(Some).map(|error| error.kind())
            }
        };
        slot.connecting = false;
        if let Some(error) = failed {
            self.remove(index);
            return Some(Dialled::Failed(error));
        }
        if let Ok(socket) = &slot.socket {
            set_up(&socket.get(), slot.purpose);
        }
        self.want_read(index);
        Some(Dialled::Connected)
    }

    /// Reads once into `buffer`, which is not empty. `Ok(0)` is the end of the input.
    ///
    /// The bell rings after `Pending`, and only then.
    pub(crate) fn read(
        &mut self,
        index: u32,
        buffer: &mut BytesMut,
        limit: usize,
    ) -> Poll<io::Result<usize>> {
        let Some(slot) = self.slot(index) else {
            return Poll::Pending;
        };
        if slot.read_ended || slot.connecting {
            return Poll::Pending;
        }
        let Ok(socket) = &mut slot.socket else {
            return Poll::Pending;
        };
        let outcome = socket.poll_read_behind(&mut Context::from_waker(&slot.waker), buffer, limit);
        slot.read_ended = matches!(outcome, Poll::Ready(Ok(0) | Err(_)));
        outcome
    }

    /// Which of this machine's addresses a new connection to the socket's other end would have. The system looks it up for a UDP socket as well, and sends
    /// nothing for that.
    pub(crate) fn route(&self, index: u32) -> Option<IpAddr> {
        let slot = self.slots.get(index as usize)?.as_ref()?;
        let socket = slot.socket.as_ref().ok()?;
        let peer = socket.get().peer_addr().ok()?.as_socket()?;
        let any: IpAddr = match peer.ip() {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let probe = UdpSocket::bind((any, 0)).ok()?;
        probe.connect(peer).ok()?;
        Some(probe.local_addr().ok()?.ip())
    }

    /// What the socket is for.
    pub(crate) fn purpose(&self, index: u32) -> Option<Purpose> {
        let slot = self.slots.get(index as usize)?.as_ref()?;
        Some(slot.purpose)
    }

    /// Whether the end of the input was seen.
    pub(crate) fn has_ended(&self, index: u32) -> bool {
        let slot = self.slots.get(index as usize).and_then(Option::as_ref);
        slot.is_some_and(|slot| slot.read_ended)
    }

    /// The error of a socket that is not to be read now: a reset is news whether or not anybody reads.
    ///
    /// The bell rings when there is one; input makes it ring no more than before.
    pub(crate) fn error_unread(&mut self, index: u32) -> Option<io::ErrorKind> {
        let slot = self.slot(index)?;
        if slot.connecting {
            return None;
        }
        let socket = slot.socket.as_mut().ok()?;
        let mut context = Context::from_waker(&slot.waker);
        let Poll::Ready(error) = socket.poll_failed(&mut context) else {
            return None;
        };
        slot.read_ended = true;
        Some(error.kind())
    }

    /// Writes a prefix of `slices`. The bell rings after `Pending`, and only then.
    pub(crate) fn write(&mut self, index: u32, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let Some(slot) = self.slot(index) else {
            return Poll::Pending;
        };
        if slot.connecting {
            return Poll::Pending;
        }
        let Ok(socket) = &mut slot.socket else {
            return Poll::Pending;
        };
        let outcome = socket.poll_write(&mut Context::from_waker(&slot.waker), slices);
        slot.write_blocked = outcome.is_pending();
        outcome
    }

    /// Sends FIN; the other direction goes on.
    pub(crate) fn shutdown(&mut self, index: u32) {
        if let Some(Slot {
            socket: Ok(socket), ..
        }) = self.slot(index)
        {
            // It fails only if the connection is gone, which the next read tells better.
            let _ = socket.get().shutdown(Shutdown::Write);
        }
    }

    /// Ends a socket properly. Input that nobody will read must not turn this into a reset.
    pub(crate) fn close(&mut self, index: u32) {
        if let Some(socket) = self.remove(index) {
            let socket = socket.get();
            // Asked directly: the runtime may not know yet that there is any.
            discard(&socket);
            options::finish_on_close(&socket);
        }
    }

    /// Ends a socket with a reset, or gives up an attempt to connect.
    pub(crate) fn abort(&mut self, index: u32) {
        if let Some(socket) = self.remove(index) {
            options::reset_on_close(&socket.get());
        }
    }

    /// Takes a socket off the task as it is.
    pub(crate) fn take(&mut self, index: u32) -> Option<TcpStream> {
        self.remove(index)?.into_std().ok()
    }

    fn remove(&mut self, index: u32) -> Option<R::Socket> {
        let slot = self.slots.get_mut(index as usize)?.take()?;
        while matches!(self.slots.last(), Some(None)) {
            self.slots.pop();
        }
        if self.slots.capacity() > TABLE_KEPT.max(4 * self.slots.len()) {
            self.slots.shrink_to(2 * self.slots.len());
        }
        slot.socket.ok()
    }

    fn slot(&mut self, index: u32) -> Option<&mut Slot<R::Socket>> {
        self.slots.get_mut(index as usize)?.as_mut()
    }
}

fn set_up(socket: &SockRef<'_>, purpose: Purpose) {
    options::tune(socket);
    if purpose == Purpose::Local {
        options::reset_on_close(socket);
    }
}

fn discard(mut socket: &socket2::Socket) {
    let mut scratch = [0; 4096];
    let mut discarded = 0;
    while discarded < DISCARD_MAX_BYTES
        && let Ok(n @ 1..) = socket.read(&mut scratch)
    {
        discarded += n;
    }
}
