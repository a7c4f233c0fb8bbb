//! The runtime, and the threads that a server's sessions are spread over.
//!
//! A session and its sockets stay on one thread: what one of them wakes is there already, with what it last touched still in the core's caches. A runtime with many threads of its own
//! would move the task to whichever thread saw the socket first.

use std::future::Future;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;

use adit_driver::Threads;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;

use crate::sockets::{Listener, Socket};
use crate::timer::Timer;

/// How many tasks run before a thread looks for sockets that became ready. A busy session is ready to run again at once, and one turn of it takes as long as many small tasks.
///
/// With 1, the runtime would look twice before it sleeps.
const TURNS_BETWEEN_LOOKS: u32 = 2;

/// Tokio, with the threads on which it runs sessions. A clone means the same threads, which end with the last of them.
#[derive(Clone, Debug)]
pub struct Tokio {
    workers: Arc<[Worker]>,
    /// All tasks run in runtimes of this module, which look at sockets often.
    own: bool,
}

#[derive(Debug)]
struct Worker {
    runtime: Handle,
    /// Dropped, it ends the thread. `None`: the runtime is somebody else's.
    _thread: Option<oneshot::Sender<()>>,
}

impl Tokio {
    /// One worker: the runtime that the caller runs in, whatever its threads.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn here() -> Self {
        let worker = Worker {
            runtime: Handle::current(),
            _thread: None,
        };
        Self {
            workers: Arc::new([worker]),
            own: false,
        }
    }

    /// A thread for each worker, with a runtime of its own; none is [`here`](Self::here).
    ///
    /// # Errors
    ///
    /// The system gives no more threads, or files for them to wait on.
    ///
    /// # Panics
    ///
    /// For [`Threads::One`], outside of a tokio runtime.
    pub fn on(threads: Threads) -> io::Result<Self> {
        match threads.more() {
            0 => Ok(Self::here()),
            count => {
                let workers = (0..count).map(Worker::start);
                Ok(Self {
                    workers: workers.collect::<io::Result<_>>()?,
                    own: false,
                })
            }
        }
    }
}

/// Tasks must be polled within a tokio runtime that has IO and time: the functions of [`adit_driver`] are called there.
impl adit_driver::Runtime for Tokio {
    type Socket = Socket;
    type Listener = Listener;
    type Timer = Timer;

    // Of the 512 threads that tokio has for such things unless told otherwise.
    const LOOKUPS_MAX: usize = 64;

    fn workers(&self) -> NonZeroUsize {
        NonZeroUsize::new(self.workers.len()).unwrap_or(NonZeroUsize::MIN)
    }

    fn looks_between_turns(&self) -> bool {
        self.own
    }

    fn spawn(&self, worker: usize, task: impl Future<Output = ()> + Send + 'static) {
        self.workers[worker % self.workers.len()]
            .runtime
            .spawn(task);
    }

    fn spawn_here(&self, task: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(task);
    }

    fn run_blocking(&self, job: impl FnOnce() + Send + 'static) {
        tokio::task::spawn_blocking(job);
    }

    fn socket(&self, stream: TcpStream) -> io::Result<Socket> {
        Socket::new(stream)
    }

    fn listener(&self, listener: TcpListener) -> io::Result<Listener> {
        Listener::new(listener)
    }

    fn timer(&self) -> Timer {
        Timer::default()
    }
}

impl adit_driver::Start for Tokio {
    fn start<F>(threads: Threads, program: impl FnOnce(Self) -> F) -> io::Result<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send,
    {
        let runtime = runtime()?;
        let outcome = runtime.block_on(async {
            let tokio = Self {
                own: true,
                ..Self::on(threads)?
            };
            // A task of its own is resumed without a detour through the system, which wakes up who waits here.
            let (told, outcome) = oneshot::channel();
            let program = program(tokio);
            tokio::spawn(async move { told.send(program.await) });
            outcome.await.map_err(io::Error::other)
        });
        // A look-up that hangs must not hold up the end.
        runtime.shutdown_background();
        outcome
    }
}

/// A runtime of one thread, that of who calls its `block_on`, for the machines of Adit.
///
/// # Errors
///
/// The system gives no files to wait on.
pub fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread()
        .enable_all()
        .event_interval(TURNS_BETWEEN_LOOKS)
        .build()
}

impl Worker {
    fn start(number: usize) -> io::Result<Self> {
        let runtime = runtime()?;
        let handle = runtime.handle().clone();
        let (thread, ended) = oneshot::channel();
        thread::Builder::new()
            .name(format!("session-{number}"))
            .spawn(move || {
                // It ends when the sender is dropped: nobody sends.
                let _ = runtime.block_on(ended);
                // A look-up that hangs must not hold up the end.
                runtime.shutdown_background();
            })?;
        Ok(Self {
            runtime: handle,
            _thread: Some(thread),
        })
    }
}
