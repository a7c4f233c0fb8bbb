//! Runs a server: accepts carriers, opens and closes ports as it asks, and gives every carrier a task of its own, on one of the runtime's
//! workers.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use adit_relay::server::{ListenerId, Server, ServerAsk};
use socket2::SockRef;

use crate::accepting::Accepting;
use crate::env::{Env, Stop, Stopping};
use crate::hub::Hub;
use crate::options;
use crate::ports::Port;
use crate::ready::Board;
use crate::{Runtime, peer};

/// Carriers accepted in one turn, before other tasks get theirs.
const ACCEPTED_MAX: usize = 64;

/// Runs `server` on the control listener, which is non-blocking, until it was told to stop and has. Its sessions are spread over the workers of the runtime,
/// and each stays where it is. Called in a task of the runtime.
///
/// The listener is best made by [`listen`](crate::listen). Failures of single connections, also of
/// `accept` itself, never end this.
///
/// # Errors
///
/// The runtime can't wait on the listener.
pub async fn serve<R: Runtime>(
    runtime: R,
    server: Server,
    control: TcpListener,
    env: Env,
    mut stopping: Stopping,
) -> io::Result<()> {
    let control = Accepting::new(&runtime, control, "the control plane")?;
    let board = Arc::new(Board::default());
    let signal = Arc::clone(&board);
    server.wake_by(move || signal.nudge());
    let hub = Arc::new(Hub::new(server, runtime, env, Arc::clone(&board)));
    let mut serving = Serving::new(hub, board, control);
    loop {
        let mut next = pin!(stopping.next());
        let stop = poll_fn(|context| {
            if let Poll::Ready(stop) = next.as_mut().poll(context) {
                return Poll::Ready(Some(stop));
            }
            serving.poll(context).map(|()| None)
        });
        match stop.await {
            None | Some(Stop::Now) => break,
            Some(Stop::No) => {}
            Some(Stop::Drain(grace)) => {
                serving.control = None;
                serving.hub.server.drain(serving.hub.env.clock.now(), grace);
            }
        }
    }
    serving.end().await;
    Ok(())
}

/// A server that runs. What it began ends with it.
pub(crate) struct Serving<R: Runtime> {
    pub(crate) hub: Arc<Hub<R>>,
    board: Arc<Board>,
    /// `None` once no more carriers are taken.
    control: Option<Accepting<R>>,
    ports: HashMap<ListenerId, Port<R>>,
}

impl<R: Runtime> Serving<R> {
    pub(crate) fn new(hub: Arc<Hub<R>>, board: Arc<Board>, control: Accepting<R>) -> Self {
        Self {
            hub,
            board,
            control: Some(control),
            ports: HashMap::new(),
        }
    }

    /// One turn. Ready when the server is done.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.board.take(context.waker(), &mut Vec::new());
        self.carry_out();
        if self.control.is_none() && self.hub.server.is_done() {
            return Poll::Ready(());
        }
        for _ in 0..ACCEPTED_MAX {
            let accepting = self
                .control
                .as_mut()
                .map(|control| control.poll_next(context));
            let Some(Poll::Ready((stream, from))) = accepting else {
                return Poll::Pending;
            };
            self.carrier(stream, from);
            self.carry_out();
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn carrier(&mut self, stream: TcpStream, from: SocketAddr) {
        match self.hub.server.accept(self.hub.env.clock.now(), from) {
            Ok(peer) => peer::start(&self.hub, peer, stream),
            Err(_) => options::reset_on_close(&SockRef::from(&stream)),
        }
    }

    /// Does what the server as a whole asks for.
    fn carry_out(&mut self) {
        let hub = &self.hub;
        while let Some(ask) = hub.server.poll_ask() {
            match ask {
                ServerAsk::Listen {
                    listener,
                    addr,
                    peer,
                } => {
                    // Where its visitors are served, as long as no other session shares the port.
                    let worker = hub.worker_of(peer);
                    let opened = Port::open(hub, worker, listener, addr);
                    let bound = opened.map(|port| {
                        let addr = port.addr();
                        self.ports.insert(listener, port);
                        addr
                    });
                    hub.server
                        .told_listening(listener, bound.map_err(|error| error.kind()));
                }
                ServerAsk::Unlisten { listener } => drop(self.ports.remove(&listener)),
                ServerAsk::Wake(peer) => {
                    if let Some(inbox) = hub.inbox(peer) {
                        inbox.wake();
                    }
                }
                ServerAsk::Notice(notice) => (hub.env.report)(notice),
            }
        }
    }

    /// A port that is open.
    #[cfg(feature = "conformance")]
    pub(crate) fn any_port(&self) -> Option<(ListenerId, SocketAddr)> {
        let (id, port) = self.ports.iter().next()?;
        Some((*id, port.addr()))
    }

    /// Waits until all that it began has ended, which is at once.
    async fn end(mut self) {
        self.control = None;
        self.ports.clear();
        self.hub.end();
        poll_fn(|context| {
            self.board.take(context.waker(), &mut Vec::new());
            if self.hub.is_empty() {
                return Poll::Ready(());
            }
            Poll::Pending
        })
        .await;
    }
}

impl<R: Runtime> Drop for Serving<R> {
    fn drop(&mut self) {
        self.hub.end();
    }
}
