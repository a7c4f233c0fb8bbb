//! Tasks: futures that one thread polls when they were woken.

use std::collections::VecDeque;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Wake, Waker};

/// The tasks of one thread that were woken, and how to wake the thread.
pub(crate) struct Queue {
    woken: Mutex<VecDeque<Arc<Task>>>,
    /// The thread sleeps, or is about to: whoever adds a task must wake it.
    sleeps: AtomicBool,
    thread: mio::Waker,
    ended: AtomicBool,
}

impl Queue {
    pub(crate) fn new(thread: mio::Waker) -> Arc<Self> {
        Arc::new(Self {
            woken: Mutex::default(),
            sleeps: AtomicBool::new(false),
            thread,
            ended: AtomicBool::new(false),
        })
    }

    /// Starts a task. On a thread that has ended it is dropped.
    pub(crate) fn spawn(self: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
        let task = Task {
            future: Mutex::new(Some(Box::pin(task))),
            woken: AtomicBool::new(false),
            queue: Arc::downgrade(self),
        };
        Arc::new(task).wake();
    }

    /// Polls the tasks that are woken now; those that are woken meanwhile come next time.
    pub(crate) fn run(&self) {
        let mut tasks = mem::take(&mut *self.woken());
        for task in tasks.drain(..) {
            task.run();
        }
        let mut woken = self.woken();
        if woken.is_empty() {
            // Its room is used again.
            *woken = tasks;
        }
    }

    /// Says that the thread is about to sleep. Whether it may.
    pub(crate) fn may_sleep(&self) -> bool {
        self.sleeps.store(true, Ordering::SeqCst);
        let may = self.woken().is_empty() && !self.has_ended();
        if !may {
            self.is_awake();
        }
        may
    }

    pub(crate) fn is_awake(&self) {
        self.sleeps.store(false, Ordering::SeqCst);
    }

    /// Ends the thread that runs these tasks.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
        self.wake_thread();
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    fn push(&self, task: Arc<Task>) {
        self.woken().push_back(task);
        if self.sleeps.swap(false, Ordering::SeqCst) {
            self.wake_thread();
        }
    }

    fn wake_thread(&self) {
        // It fails only where the system is out of memory for it; the thread then looks when it next wakes up by itself.
        let _ = self.thread.wake();
    }

    fn woken(&self) -> MutexGuard<'_, VecDeque<Arc<Task>>> {
        self.woken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A future that its thread polls when it was woken.
struct Task {
    /// `None` once it is ready.
    future: Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>,
    /// On the queue.
    woken: AtomicBool,
    /// A task keeps its thread's queue from nothing: sockets hold wakers, and the queue holds sockets.
    queue: Weak<Queue>,
}

impl Task {
    fn run(self: Arc<Self>) {
        self.woken.store(false, Ordering::SeqCst);
        let waker = Waker::from(Arc::clone(&self));
        let mut future = self.future.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(running) = &mut *future else { return };
        if running
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_ready()
        {
            let ready = future.take();
            // What it drops may wake it.
            drop(future);
            drop(ready);
        }
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        if !self.woken.swap(true, Ordering::SeqCst)
            && let Some(queue) = self.queue.upgrade()
        {
            queue.push(self);
        }
    }

    fn wake_by_ref(self: &Arc<Self>) {
        Arc::clone(self).wake();
    }
}
