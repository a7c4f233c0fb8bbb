//! The threads that a server's sessions are spread over.
//!
//! A session and its sockets stay on one thread: what one of them wakes is there already, with what it last touched still in the core's caches. A runtime with many threads of its own
//! would move the task to whichever thread saw the socket first.

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;

/// How many tasks run before a thread looks for sockets that became ready. A busy session is ready to run again at once, and one turn of it takes as long as many small tasks.
///
/// With 1, the runtime would look twice before it sleeps.
const TURNS_BETWEEN_LOOKS: u32 = 2;

/// Where the tasks of sessions run. A clone means the same threads, which end with the last of them.
#[derive(Clone, Debug)]
pub struct Workers {
    workers: Arc<[Worker]>,
}

#[derive(Debug)]
struct Worker {
    runtime: Handle,
    /// Dropped, it ends the thread. `None`: the runtime is somebody else's.
    _thread: Option<oneshot::Sender<()>>,
}

/// Which of the workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WorkerId(pub(crate) usize);

impl Workers {
    /// One worker: the runtime that the caller runs in, whatever its threads.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn here() -> Self {
        Self::new([Worker {
            runtime: Handle::current(),
            _thread: None,
        }])
    }

    /// Starts `count` threads.
    ///
    /// # Errors
    ///
    /// The system gives no more threads, or files for them to wait on.
    pub fn start(count: NonZeroUsize) -> io::Result<Self> {
        let workers = (0..count.get()).map(Worker::start);
        Ok(Self::new(workers.collect::<io::Result<Vec<_>>>()?))
    }

    /// As many threads as there are cores for this process.
    ///
    /// # Errors
    ///
    /// As for [`start`](Self::start).
    pub fn for_cores() -> io::Result<Self> {
        Self::start(thread::available_parallelism().unwrap_or(NonZeroUsize::MIN))
    }

    fn new(workers: impl Into<Arc<[Worker]>>) -> Self {
        Self {
            workers: workers.into(),
        }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.workers.len()
    }

    pub(crate) fn runtime(&self, id: WorkerId) -> &Handle {
        &self.workers[id.0].runtime
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
