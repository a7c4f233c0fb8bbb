//! What one thread's loop waits for: sockets, what is known of their readiness, and who waits for more.
//!
//! The system tells of each change once (edges). What it told is remembered until a read or a write has used it up.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use mio::event::Event;
use mio::{Interest, Registry, Token};
use slab::Slab;

/// The sources of one loop, by their tokens.
pub(crate) struct Sources {
    registry: Registry,
    known: Mutex<Slab<Arc<Source>>>,
}

impl Sources {
    pub(crate) fn new(registry: Registry) -> Self {
        Self {
            registry,
            known: Mutex::default(),
        }
    }

    /// What the system tells of a source. It may be one that is gone, and its token another's: what is then tried in vain tells so.
    pub(crate) fn ready(&self, event: &Event) {
        let source = self.known().get(event.token().0).map(Arc::clone);
        if let Some(source) = source {
            source.ready(event);
        }
    }

    fn known(&self) -> MutexGuard<'_, Slab<Arc<Source>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A socket that a loop waits for, until this is dropped.
pub(crate) struct Registered<S: mio::event::Source> {
    pub(crate) socket: S,
    pub(crate) source: Arc<Source>,
    token: Token,
    sources: Arc<Sources>,
}

impl<S: mio::event::Source> Registered<S> {
    pub(crate) fn new(
        mut socket: S,
        interest: Interest,
        sources: Arc<Sources>,
    ) -> io::Result<Self> {
        let source = Arc::new(Source::default());
        let token = Token(sources.known().insert(Arc::clone(&source)));
        let registered = sources.registry.register(&mut socket, token, interest);
        if let Err(error) = registered {
            sources.known().remove(token.0);
            return Err(error);
        }
        Ok(Self {
            socket,
            source,
            token,
            sources,
        })
    }
}

impl<S: mio::event::Source> Drop for Registered<S> {
    fn drop(&mut self) {
        // It fails only if the socket is not waited for, which is what is wanted.
        let _ = self.sources.registry.deregister(&mut self.socket);
        self.sources.known().try_remove(self.token.0);
    }
}

/// What is known of one socket.
#[derive(Default)]
pub(crate) struct Source(Mutex<Readiness>);

struct Readiness {
    readable: bool,
    writable: bool,
    /// The system told that it is writable, or that an attempt to connect failed.
    connected: bool,
    /// The end of the input, or an error, was told. Whatever is read, there is more to tell.
    input_ended: bool,
    failed: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    watcher: Option<Waker>,
}

impl Default for Readiness {
    /// A new socket is tried first: that tells as much as the system would.
    fn default() -> Self {
        Self {
            readable: true,
            writable: true,
            connected: false,
            input_ended: false,
            failed: false,
            reader: None,
            writer: None,
            watcher: None,
        }
    }
}

impl Source {
    fn ready(&self, event: &Event) {
        let mut state = self.state();
        let mut wake = [None, None, None];
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            state.readable = true;
            state.input_ended |= event.is_read_closed() || event.is_error();
            wake[0] = state.reader.take();
        }
        if event.is_writable() || event.is_write_closed() || event.is_error() {
            state.writable = true;
            state.connected = true;
            wake[1] = state.writer.take();
        }
        if event.is_error() {
            state.failed = true;
            wake[2] = state.watcher.take();
        }
        drop(state);
        for waker in wake.into_iter().flatten() {
            waker.wake();
        }
    }

    pub(crate) fn poll_readable(&self, context: &Context<'_>) -> Poll<()> {
        let mut state = self.state();
        if state.readable {
            return Poll::Ready(());
        }
        state.reader = Some(context.waker().clone());
        Poll::Pending
    }

    pub(crate) fn poll_writable(&self, context: &Context<'_>) -> Poll<()> {
        let mut state = self.state();
        if state.writable {
            return Poll::Ready(());
        }
        state.writer = Some(context.waker().clone());
        Poll::Pending
    }

    pub(crate) fn poll_connected(&self, context: &Context<'_>) -> Poll<()> {
        let mut state = self.state();
        if state.connected {
            return Poll::Ready(());
        }
        state.writer = Some(context.waker().clone());
        Poll::Pending
    }

    /// Ready for each failure that was told.
    pub(crate) fn poll_failed(&self, context: &Context<'_>) -> Poll<()> {
        let mut state = self.state();
        if std::mem::take(&mut state.failed) {
            return Poll::Ready(());
        }
        state.watcher = Some(context.waker().clone());
        Poll::Pending
    }

    /// There was no more to read. If there is again, the system tells.
    pub(crate) fn read_all(&self) {
        let mut state = self.state();
        state.readable = state.input_ended;
    }

    /// There was no room. When there is again, the system tells.
    pub(crate) fn wrote_all(&self) {
        self.state().writable = false;
    }

    fn state(&self) -> MutexGuard<'_, Readiness> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
