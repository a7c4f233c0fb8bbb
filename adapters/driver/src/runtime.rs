//! What a runtime has to be able to do, and nothing that it has to decide.

use std::cell::Cell;
use std::future::Future;
use std::io::{self, IoSlice};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use bytes::BytesMut;
use socket2::SockRef;

thread_local! {
    /// What [`Socket::poll_read_behind`] reads into. As large as the largest read, 128 KiB; a thread keeps it.
    static WRITTEN: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// One way of running tasks and of waiting for sockets. A clone means the same threads.
///
/// Tasks poll sockets and timers with a [`Context`] whose waker is good on any thread. A socket, a listener or a timer stays with the task that made it.
pub trait Runtime: Clone + Send + Sync + 'static {
    /// A TCP connection, or an attempt at one.
    type Socket: Socket;
    /// A listening TCP socket.
    type Listener: Listener;
    /// A timer.
    type Timer: Timer;

    /// Look-ups of upstreams' names that a machine may have under way at once. There must be threads for one more, that of the server's name:
    /// it must not wait behind a resolver that hangs.
    const LOOKUPS_MAX: usize;

    /// How many groups of tasks there are that run beside each other: mostly threads.
    fn workers(&self) -> NonZeroUsize;

    /// Whether a task that wakes itself is polled again only after the runtime has looked which sockets are ready, at least every other time, and shares its thread
    /// with nobody's tasks but Adit's. Otherwise a task that waits for a socket has little from waking itself.
    fn looks_between_turns(&self) -> bool;

    /// Starts a task on a worker, counted from 0. It runs until it is ready, whether or not anybody waits for it.
    fn spawn(&self, worker: usize, task: impl Future<Output = ()> + Send + 'static);

    /// Starts a task where the caller runs, or on any worker.
    fn spawn_here(&self, task: impl Future<Output = ()> + Send + 'static);

    /// Runs something that may block for long (a look-up of a name, a file that is read) where it holds up no task.
    fn run_blocking(&self, job: impl FnOnce() + Send + 'static);

    /// Waits on a non-blocking connection from now on, or on an attempt that is under way. Called in a task.
    ///
    /// # Errors
    ///
    /// The system can't wait for one more.
    fn socket(&self, stream: TcpStream) -> io::Result<Self::Socket>;

    /// Waits on a non-blocking listener from now on. Called in a task.
    ///
    /// # Errors
    ///
    /// As for [`socket`](Self::socket).
    fn listener(&self, listener: TcpListener) -> io::Result<Self::Listener>;

    /// A timer that is not set.
    fn timer(&self) -> Self::Timer;
}

/// A runtime that a program can be begun with.
pub trait Start: Runtime {
    /// Runs a program to its end, on this thread. What it started and left behind is given up then.
    ///
    /// # Errors
    ///
    /// The system gives no more threads, or files for them to wait on.
    fn start<F>(threads: Threads, program: impl FnOnce(Self) -> F) -> io::Result<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send;
}

/// Where the tasks run that a program [spawns](Runtime::spawn) on a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// Where the program itself runs.
    One,
    /// On one more for each core of the machine.
    Cores,
    /// On so many more.
    More(NonZeroUsize),
}

impl Threads {
    /// How many more that is.
    #[must_use]
    pub fn more(self) -> usize {
        match self {
            Self::One => 0,
            Self::Cores => thread::available_parallelism().map_or(1, NonZeroUsize::get),
            Self::More(count) => count.get(),
        }
    }
}

/// A TCP connection that wakes its task. Every `poll_…` that is pending has stored the waker, and wakes it when calling again may tell something
/// new; of wakers given to the same method only the last one counts.
pub trait Socket: Send + Sync + 'static {
    /// The socket, for its options.
    fn get(&self) -> SockRef<'_>;

    /// Ready once an attempt to connect has come to an end, whichever: the socket's error tells.
    fn poll_connected(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Reads once. `Ok(0)` is the end of the input; `buffer` is not empty.
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>>;

    /// Reads once, behind what is in `buffer`, at most `limit` bytes, for which there is room. `Ok(0)` is the end of the input.
    ///
    /// A runtime that can read into memory that was never written to does that here. Others read into memory that was, of which there is one piece for each
    /// thread, and copy.
    fn poll_read_behind(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut BytesMut,
        limit: usize,
    ) -> Poll<io::Result<usize>> {
        let mut written = WRITTEN.take();
        if written.len() < limit {
            written.resize(limit, 0);
        }
        let read = self.poll_read(context, &mut written[..limit]);
        if let Poll::Ready(Ok(read)) = read {
            buffer.extend_from_slice(&written[..read]);
        }
        WRITTEN.set(written);
        read
    }

    /// Writes a prefix of `slices`, which are not empty, once.
    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>>;

    /// The error of a connection that fails while nobody reads it. Input that waits must not wake the task again and again. May take a second
    /// to notice.
    fn poll_failed(&mut self, context: &mut Context<'_>) -> Poll<io::Error>;

    /// Takes the connection off the runtime, as it is.
    ///
    /// # Errors
    ///
    /// What the system says.
    fn into_std(self) -> io::Result<TcpStream>;
}

/// A listening TCP socket that wakes its task.
pub trait Listener: Send + 'static {
    /// The next connection, non-blocking and not waited on by anybody.
    fn poll_accept(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<(TcpStream, SocketAddr)>>;
}

/// A timer of one task.
pub trait Timer: Send + 'static {
    /// Sets it anew. It never fires before the time.
    fn set(&mut self, after: Duration);

    /// Ready when it was set and the time has passed; from then on it is not set.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()>;
}
