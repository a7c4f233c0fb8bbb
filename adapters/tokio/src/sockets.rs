//! The sockets of one task, by the index that its machine chose, and the lists of those with work.

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, UdpSocket};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use adit_relay::Purpose;
use bytes::{BufMut, BytesMut};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::TcpStream;

use crate::options;
use crate::ready::{Bell, Board, Key};

/// Bytes of unread input thrown away before a socket is closed, so that the close is no reset.
const DISCARD_MAX_BYTES: usize = 64 * 1024;

type Connecting = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

/// Waits for an error of a socket that nobody reads.
type Watch = Pin<Box<dyn Future<Output = ()> + Send>>;

/// All sockets of one task.
pub(crate) struct Sockets {
    board: Arc<Board>,
    slots: Vec<Option<Slot>>,
    to_read: VecDeque<u32>,
    to_write: VecDeque<u32>,
}

struct Slot {
    bell: Arc<Bell>,
    waker: Waker,
    io: Io,
    purpose: Purpose,
    /// On the list of sockets to read from.
    listed_to_read: bool,
    /// On the list of sockets to write to.
    listed_to_write: bool,
    /// The kernel took no more, and rings when it does again.
    write_blocked: bool,
    /// The end of the input was seen, or an error: reading again would tell nothing new.
    read_ended: bool,
    watch: Watching,
}

enum Io {
    Connecting(Connecting),
    /// Shared with the watch, and with nobody while it is read.
    Open(Arc<TcpStream>),
}

/// Whether somebody waits for an error of a socket while it isn't read.
enum Watching {
    No,
    Yes(Watch),
    /// It was rung for. The runtime would ring again at once, for ever.
    Over,
}

/// What an attempt to connect came to.
pub(crate) enum Dialled {
    Connected,
    Failed(io::ErrorKind),
}

impl Sockets {
    pub(crate) fn new(board: Arc<Board>) -> Self {
        Self {
            board,
            slots: Vec::new(),
            to_read: VecDeque::new(),
            to_write: VecDeque::new(),
        }
    }

    /// Takes charge of a connected socket.
    pub(crate) fn insert(&mut self, index: u32, stream: TcpStream, purpose: Purpose) {
        set_up(&stream, purpose);
        self.fill(index, Io::Open(Arc::new(stream)), purpose);
    }

    /// Begins to connect; [`dialled`](Self::dialled) tells how it went.
    pub(crate) fn connect(&mut self, index: u32, addr: SocketAddr, purpose: Purpose) {
        let attempt = Box::pin(TcpStream::connect(addr));
        self.fill(index, Io::Connecting(attempt), purpose);
    }

    fn fill(&mut self, index: u32, io: Io, purpose: Purpose) {
        let at = index as usize;
        if at >= self.slots.len() {
            self.slots.resize_with(at + 1, || None);
        }
        let bell = Bell::new(Key::Socket(index), Arc::clone(&self.board));
        let waker = Waker::from(Arc::clone(&bell));
        self.slots[at] = Some(Slot {
            bell,
            waker,
            io,
            purpose,
            listed_to_read: false,
            listed_to_write: false,
            write_blocked: false,
            read_ended: false,
            watch: Watching::No,
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
        let Io::Connecting(attempt) = &mut slot.io else {
            return None;
        };
        match attempt.as_mut().poll(&mut Context::from_waker(&slot.waker)) {
            Poll::Pending => None,
            Poll::Ready(Ok(stream)) => {
                set_up(&stream, slot.purpose);
                slot.io = Io::Open(Arc::new(stream));
                self.want_read(index);
                Some(Dialled::Connected)
            }
            Poll::Ready(Err(error)) => {
                self.slots[index as usize] = None;
                Some(Dialled::Failed(error.kind()))
            }
        }
    }

    /// Reads at most `limit` bytes (not 0) into `buffer`. `Ok(0)` is the end of the input.
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
        if slot.read_ended {
            return Poll::Pending;
        }
        slot.watch = Watching::No;
        let Io::Open(stream) = &mut slot.io else {
            return Poll::Pending;
        };
        let Some(stream) = Arc::get_mut(stream) else {
            return Poll::Pending;
        };
        let mut buffer = buffer.limit(limit);
        let mut context = Context::from_waker(&slot.waker);
        // This future holds no state of its own, so it may be dropped when it is pending.
        let outcome = pin!(stream.read_buf(&mut buffer)).poll(&mut context);
        slot.read_ended = matches!(outcome, Poll::Ready(Ok(0) | Err(_)));
        outcome
    }

    /// Which of this machine's addresses a new connection to the socket's other end would have. The system looks it up for a UDP socket as well, and sends
    /// nothing for that.
    pub(crate) fn route(&self, index: u32) -> Option<IpAddr> {
        let slot = self.slots.get(index as usize)?.as_ref()?;
        let Io::Open(stream) = &slot.io else {
            return None;
        };
        let peer = stream.peer_addr().ok()?;
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
        let Io::Open(stream) = &slot.io else {
            return None;
        };
        if matches!(slot.watch, Watching::No) {
            let stream = Arc::clone(stream);
            slot.watch = Watching::Yes(Box::pin(async move {
                // That the runtime ends is no error of the socket.
                let _ = stream.ready(Interest::ERROR).await;
            }));
        }
        let Watching::Yes(watch) = &mut slot.watch else {
            return None;
        };
        let mut context = Context::from_waker(&slot.waker);
        if watch.as_mut().poll(&mut context).is_pending() {
            return None;
        }
        slot.watch = Watching::Over;
        let error = stream.take_error().ok().flatten()?;
        slot.read_ended = true;
        Some(error.kind())
    }

    /// Writes a prefix of `slices`. The bell rings after `Pending`, and only then.
    pub(crate) fn write(
        &mut self,
        index: u32,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Some(slot) = self.slot(index) else {
            return Poll::Pending;
        };
        let Io::Open(stream) = &slot.io else {
            return Poll::Pending;
        };
        let outcome = write(stream, &mut Context::from_waker(&slot.waker), slices);
        slot.write_blocked = outcome.is_pending();
        outcome
    }

    /// Sends FIN; the other direction goes on.
    pub(crate) fn shutdown(&mut self, index: u32) {
        let Some(slot) = self.slot(index) else { return };
        let Io::Open(stream) = &slot.io else { return };
        // It fails only if the connection is gone, which the next read tells better.
        let _ = SockRef::from(&**stream).shutdown(Shutdown::Write);
    }

    /// Ends a socket properly. Input that nobody will read must not turn this into a reset.
    pub(crate) fn close(&mut self, index: u32) {
        if let Some(Io::Open(stream)) = self.remove(index) {
            // Asked directly: the runtime may not know yet that there is any.
            let socket = SockRef::from(&*stream);
            let mut scratch = [0; 4096];
            let mut discarded = 0;
            while discarded < DISCARD_MAX_BYTES
                && let Ok(n @ 1..) = (&*socket).read(&mut scratch)
            {
                discarded += n;
            }
            options::finish_on_close(&stream);
        }
    }

    /// Ends a socket with a reset, or gives up an attempt to connect.
    pub(crate) fn abort(&mut self, index: u32) {
        if let Some(Io::Open(stream)) = self.remove(index) {
            options::reset_on_close(&stream);
        }
    }

    /// Takes a socket off the task as it is. `None` if it is not connected.
    pub(crate) fn take(&mut self, index: u32) -> Option<std::net::TcpStream> {
        match self.remove(index)? {
            Io::Open(stream) => Arc::into_inner(stream)?.into_std().ok(),
            Io::Connecting(_) => None,
        }
    }

    fn remove(&mut self, index: u32) -> Option<Io> {
        self.slots
            .get_mut(index as usize)?
            .take()
            .map(|slot| slot.io)
    }

    fn slot(&mut self, index: u32) -> Option<&mut Slot> {
        self.slots.get_mut(index as usize)?.as_mut()
    }
}

fn set_up(stream: &TcpStream, purpose: Purpose) {
    options::tune(stream);
    if purpose == Purpose::Local {
        options::reset_on_close(stream);
    }
}

fn write(
    stream: &TcpStream,
    context: &mut Context<'_>,
    slices: &[io::IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    loop {
        ready!(stream.poll_write_ready(context))?;
        match stream.try_write_vectored(slices) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            outcome => return Poll::Ready(outcome),
        }
    }
}
