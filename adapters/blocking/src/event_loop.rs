//! One thread's loop: waits for sockets, timers and woken tasks, and polls the tasks that have news.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mio::{Events, Token};

use crate::sources::Sources;
use crate::tasks::Queue;
use crate::timers::Timers;

/// The token of the thread's waker. Sockets count from 0.
const WAKER: Token = Token(usize::MAX);

/// News of sockets that are taken from the system at once.
const EVENTS_MAX: usize = 256;

/// Rounds of woken tasks before sockets are looked at again. A busy session is ready to run again at once.
const ROUNDS_BETWEEN_LOOKS: usize = 2;

/// The part of a loop that its tasks use.
#[derive(Clone)]
struct Current {
    sources: Arc<Sources>,
    timers: Rc<RefCell<Timers>>,
}

thread_local! {
    static CURRENT: RefCell<Option<Current>> = const { RefCell::new(None) };
}

/// A loop, on the thread that made it.
pub(crate) struct EventLoop {
    poll: mio::Poll,
    queue: Arc<Queue>,
    current: Current,
}

impl EventLoop {
    /// Makes this thread one that runs tasks.
    pub(crate) fn new() -> io::Result<Self> {
        let poll = mio::Poll::new()?;
        let queue = Queue::new(mio::Waker::new(poll.registry(), WAKER)?);
        let current = Current {
            sources: Arc::new(Sources::new(poll.registry().try_clone()?)),
            timers: Rc::default(),
        };
        Ok(Self {
            poll,
            queue,
            current,
        })
    }

    /// Where tasks are started.
    pub(crate) fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// Runs tasks until the queue is ended.
    pub(crate) fn run(mut self) -> io::Result<()> {
        CURRENT.set(Some(self.current.clone()));
        let mut events = Events::with_capacity(EVENTS_MAX);
        while !self.queue.has_ended() {
            for _ in 0..ROUNDS_BETWEEN_LOOKS {
                self.queue.run();
            }
            let wait = if self.queue.may_sleep() {
                self.current.timers.borrow().next()
            } else {
                Some(Duration::ZERO)
            };
            match self.poll.poll(&mut events, wait) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => self.queue.is_awake(),
            }
            for event in &events {
                self.current.sources.ready(event);
            }
            Timers::fire(&self.current.timers);
        }
        CURRENT.set(None);
        Ok(())
    }

    /// Runs tasks, `program` among them, until that is ready.
    pub(crate) fn run_to_the_end<F>(self, program: F) -> io::Result<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send,
    {
        let outcome = Arc::new(Mutex::new(None));
        let (queue, told) = (Arc::clone(&self.queue), Arc::clone(&outcome));
        self.queue.spawn(async move {
            let value = program.await;
            *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
            queue.end();
        });
        self.run()?;
        let outcome = outcome
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        outcome.ok_or_else(|| io::Error::other("the program's task failed"))
    }
}

/// The sources of this thread's loop.
pub(crate) fn sources() -> io::Result<Arc<Sources>> {
    let current =
        CURRENT.with_borrow(|current| current.as_ref().map(|own| Arc::clone(&own.sources)));
    current.ok_or_else(|| io::Error::other("this thread runs no tasks"))
}

/// The timers of this thread's loop, if it has one.
pub(crate) fn with_timers<T>(work: impl FnOnce(&mut Timers) -> T) -> Option<T> {
    let current = CURRENT.try_with(|current| current.borrow().clone());
    let current = current.ok().flatten()?;
    Some(work(&mut current.timers.borrow_mut()))
}
