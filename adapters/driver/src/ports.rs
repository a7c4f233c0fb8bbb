//! One port of the data plane: a task that accepts its visitors and hands each to the session whose turn it is.

use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use adit_relay::server::ListenerId;
use socket2::SockRef;

use crate::accepting::Accepting;
use crate::hub::Hub;
use crate::{Runtime, catch, options};

/// A port. Nobody listens on it any more from the moment that this is dropped: it may be wanted again at once.
pub(crate) struct Port<R: Runtime> {
    addr: SocketAddr,
    shared: Arc<Shared<R>>,
}

struct Shared<R: Runtime> {
    state: Mutex<State<R>>,
}

struct State<R: Runtime> {
    listening: Listening<R>,
    task: Option<Waker>,
}

enum Listening<R: Runtime> {
    /// The task has not begun.
    Bound(TcpListener, SocketAddr),
    Open(Accepting<R>),
    Closed,
}

impl<R: Runtime> Port<R> {
    /// Listens, and accepts visitors on a worker from then on.
    pub(crate) fn open(
        hub: &Arc<Hub<R>>,
        worker: usize,
        id: ListenerId,
        addr: SocketAddr,
    ) -> io::Result<Self> {
        let listener = options::listen(addr)?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                listening: Listening::Bound(listener, addr),
                task: None,
            }),
        });
        let task = visitors(Arc::clone(hub), id, Arc::clone(&shared), addr);
        hub.runtime.spawn(worker, catch::to_the_end("a port", task));
        Ok(Self { addr, shared })
    }

    /// Where visitors connect.
    pub(crate) const fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl<R: Runtime> Drop for Port<R> {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.listening = Listening::Closed;
        let task = state.task.take();
        drop(state);
        if let Some(task) = task {
            task.wake();
        }
    }
}

impl<R: Runtime> Shared<R> {
    /// The next visitor; `None` when the port is closed.
    fn poll_next(
        &self,
        runtime: &R,
        context: &mut Context<'_>,
    ) -> Poll<Option<(TcpStream, SocketAddr)>> {
        let mut state = self.state();
        if let Listening::Bound(..) = state.listening {
            let bound = std::mem::replace(&mut state.listening, Listening::Closed);
            if let Listening::Bound(listener, addr) = bound {
                match Accepting::new(runtime, listener, addr.to_string()) {
                    Ok(accepting) => state.listening = Listening::Open(accepting),
                    Err(error) => tracing::error!("can't wait for connections on {addr}: {error}"),
                }
            }
        }
        let Listening::Open(accepting) = &mut state.listening else {
            return Poll::Ready(None);
        };
        let next = accepting.poll_next(context);
        if next.is_pending() {
            state.task = Some(context.waker().clone());
        }
        next.map(Some)
    }

    fn state(&self) -> MutexGuard<'_, State<R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn visitors<R: Runtime>(
    hub: Arc<Hub<R>>,
    id: ListenerId,
    shared: Arc<Shared<R>>,
    addr: SocketAddr,
) {
    while let Some((stream, from)) =
        poll_fn(|context| shared.poll_next(&hub.runtime, context)).await
    {
        // Wherever it is when its session's task or the process ends: an end that nobody asked for is a reset.
        options::reset_on_close(&SockRef::from(&stream));
        let at = stream.local_addr().unwrap_or(addr);
        let visitor = hub.server.visitor(id, from, at);
        hub.deliver(stream, visitor);
    }
}
