//! The runtime: loops, one a thread.

use std::future::Future;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;

use adit_driver::Threads;

use crate::event_loop::EventLoop;
use crate::pool;
use crate::sockets::{Listener, Socket};
use crate::tasks::Queue;
use crate::timers::Timer;

/// Threads that run tasks. A clone means the same ones; they end with the program that they were started for.
#[derive(Clone)]
pub struct Blocking {
    own: Arc<Queue>,
    more: Arc<[Arc<Queue>]>,
}

impl Blocking {
    /// One thread more, for the rest of the process.
    pub(crate) fn in_the_background() -> io::Result<Self> {
        let worker = std::mem::ManuallyDrop::new(Worker::start(0)?);
        Ok(Self {
            own: Arc::clone(&worker.0),
            more: Arc::new([]),
        })
    }
}

impl adit_driver::Runtime for Blocking {
    type Socket = Socket;
    type Listener = Listener;
    type Timer = Timer;

    // Half of the threads: the others are for the server's name and the token.
    const LOOKUPS_MAX: usize = pool::THREADS_MAX / 2;

    fn workers(&self) -> NonZeroUsize {
        NonZeroUsize::new(self.more.len()).unwrap_or(NonZeroUsize::MIN)
    }

    fn looks_between_turns(&self) -> bool {
        true
    }

    fn spawn(&self, worker: usize, task: impl Future<Output = ()> + Send + 'static) {
        match self.more.get(worker) {
            Some(queue) => queue.spawn(task),
            None => self.own.spawn(task),
        }
    }

    fn spawn_here(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.own.spawn(task);
    }

    fn run_blocking(&self, job: impl FnOnce() + Send + 'static) {
        pool::run(job);
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

impl adit_driver::Start for Blocking {
    fn start<F>(threads: Threads, program: impl FnOnce(Self) -> F) -> io::Result<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send,
    {
        let own = EventLoop::new()?;
        let more = (0..threads.more()).map(Worker::start);
        let more = more.collect::<io::Result<Vec<_>>>()?;
        let program = program(Self {
            own: Arc::clone(own.queue()),
            more: more.iter().map(|worker| Arc::clone(&worker.0)).collect(),
        });
        own.run_to_the_end(program)
    }
}

/// A thread with a loop, until this is dropped.
struct Worker(Arc<Queue>);

impl Worker {
    fn start(number: usize) -> io::Result<Self> {
        let (told, heard) = std::sync::mpsc::sync_channel(1);
        thread::Builder::new()
            .name(format!("session-{number}"))
            .spawn(move || {
                // A loop belongs to the thread that made it.
                match EventLoop::new() {
                    Err(error) => told.send(Err(error)),
                    Ok(own) => {
                        let sent = told.send(Ok(Arc::clone(own.queue())));
                        // It ends when it is told to, or when the system can't wait any more; then nothing can go on.
                        let _ = own.run();
                        sent
                    }
                }
            })?;
        heard.recv().map_err(io::Error::other)?.map(Self)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.0.end();
    }
}
