//! Runs a server: accepts carriers and visitors, opens and closes ports as it asks, and gives every
//! carrier a task of its own, on one of the [`Workers`].

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use adit_relay::Purpose;
use adit_relay::server::{Handover, ListenerId, Peer, PeerId, Server, ServerAsk, Visitor};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

use crate::driver::Driver;
use crate::env::{Env, Stop, Stopping};
use crate::inbox::Inbox;
use crate::options;
use crate::workers::{WorkerId, Workers};

/// Visitors, and now and then a carrier, that wait for one peer's task. It empties its inbox at every turn, so only a burst of
/// visitors fills it; those beyond go to the next session.
const INBOX_MAX_VISITORS: usize = 1024;

/// Runs `server` on the control listener until it was told to stop and has. Its sessions are spread over `workers`, and each stays where it is.
///
/// The listener is best made by [`listen`](crate::listen). Failures of single connections, also of
/// `accept` itself, never end this.
pub async fn serve(
    server: Server,
    control: TcpListener,
    workers: Workers,
    env: Env,
    mut stopping: Stopping,
) {
    let changed = Arc::new(Notify::new());
    let signal = Arc::clone(&changed);
    server.wake_by(move || signal.notify_one());
    let hub = Arc::new(Hub::new(server, workers, env));
    let mut control = Some(Control {
        listener: control,
        pause: None,
    });
    let mut listeners = HashMap::new();
    let mut peers = JoinSet::new();

    loop {
        carry_out(&hub, &mut listeners).await;
        if hub.server.is_done() && control.is_none() {
            return;
        }
        tokio::select! {
            (stream, from) = accept(&mut control) => hub.carrier(&mut peers, stream, from),
            () = changed.notified() => {}
            Some(ended) = peers.join_next(), if !peers.is_empty() => {
                if ended.is_err_and(|error| error.is_panic()) {
                    tracing::error!("the task of a session failed; this is a bug of Adit");
                }
            }
            stop = stopping.next() => match stop {
                Stop::No => {}
                Stop::Drain(grace) => {
                    control = None;
                    hub.server.drain(hub.env.clock.now(), grace);
                }
                Stop::Now => return,
            },
        }
    }
}

/// What the tasks of one server share. Touched for a connection, never for a byte.
struct Hub {
    server: Server,
    env: Env,
    workers: Workers,
    tasks: Mutex<Tasks>,
}

/// The tasks of peers.
struct Tasks {
    by_peer: HashMap<PeerId, PeerTask>,
    /// How many there are on each worker.
    on_worker: Vec<usize>,
}

struct PeerTask {
    inbox: Arc<PeerInbox>,
    worker: WorkerId,
}

impl Hub {
    fn new(server: Server, workers: Workers, env: Env) -> Self {
        let tasks = Tasks {
            by_peer: HashMap::new(),
            on_worker: vec![0; workers.count()],
        };
        Self {
            server,
            env,
            workers,
            tasks: Mutex::new(tasks),
        }
    }

    fn carrier(self: &Arc<Self>, peers: &mut JoinSet<()>, stream: TcpStream, from: SocketAddr) {
        let Ok(peer) = self.server.accept(self.env.clock.now(), from) else {
            return options::reset_on_close(&stream);
        };
        let inbox = Arc::new(Inbox::new(INBOX_MAX_VISITORS));
        let worker = self.tasks().insert(peer.id(), Arc::clone(&inbox));
        let task = run_peer(Arc::clone(self), peer, stream, inbox);
        peers.spawn_on(task, self.workers.runtime(worker));
    }

    /// Hands a visitor to whose turn it is, until somebody takes it. If nobody does, its stream is dropped, which resets it.
    fn deliver(&self, mut stream: TcpStream, mut next: Option<Visitor>) {
        while let Some(visitor) = next {
            let peer = visitor.peer();
            match self.leave(peer, Waiting::Visitor(stream, visitor)) {
                Some(Waiting::Visitor(refused, visitor)) => {
                    stream = refused;
                    next = self.server.again(visitor);
                }
                _ => return,
            }
        }
    }

    /// Leaves something for a peer's task. What it can't take comes back.
    fn leave(&self, peer: PeerId, waiting: Waiting) -> Option<Waiting> {
        match self.inbox(peer) {
            Some(inbox) => inbox.push(waiting),
            None => Some(waiting),
        }
    }

    fn inbox(&self, peer: PeerId) -> Option<Arc<PeerInbox>> {
        let tasks = self.tasks();
        Some(Arc::clone(&tasks.by_peer.get(&peer)?.inbox))
    }

    /// The runtime that a peer's task is on; for one that has ended, the caller's.
    fn runtime_of(&self, peer: PeerId) -> Handle {
        let worker = self.tasks().by_peer.get(&peer).map(|task| task.worker);
        worker.map_or_else(Handle::current, |worker| {
            self.workers.runtime(worker).clone()
        })
    }

    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tasks {
    /// Gives a new peer the worker that has least to do.
    fn insert(&mut self, peer: PeerId, inbox: Arc<PeerInbox>) -> WorkerId {
        let loads = self.on_worker.iter().enumerate();
        let least = loads.min_by_key(|(_, load)| **load);
        let worker = WorkerId(least.map_or(0, |(at, _)| at));
        self.on_worker[worker.0] += 1;
        self.by_peer.insert(peer, PeerTask { inbox, worker });
        worker
    }

    fn remove(&mut self, peer: PeerId) -> Option<Arc<PeerInbox>> {
        let PeerTask { inbox, worker } = self.by_peer.remove(&peer)?;
        self.on_worker[worker.0] -= 1;
        Some(inbox)
    }
}

/// Does what the server as a whole asks for.
async fn carry_out(hub: &Arc<Hub>, listeners: &mut HashMap<ListenerId, Listening>) {
    while let Some(ask) = hub.server.poll_ask() {
        match ask {
            ServerAsk::Listen {
                listener,
                addr,
                peer,
            } => {
                // Where its visitors are served, as long as no other session shares the port.
                let runtime = hub.runtime_of(peer);
                let _entered = runtime.enter();
                let bound = options::listen(addr).and_then(|socket| {
                    let addr = socket.local_addr()?;
                    let task = runtime.spawn(visitors(Arc::clone(hub), listener, socket, addr));
                    listeners.insert(listener, Listening(task));
                    Ok(addr)
                });
                let bound = bound.map_err(|error| error.kind());
                hub.server.told_listening(listener, bound);
            }
            ServerAsk::Unlisten { listener } => {
                if let Some(mut listening) = listeners.remove(&listener) {
                    listening.0.abort();
                    // The port is free only when the task is gone, and may be wanted again at once.
                    let _ = (&mut listening.0).await;
                }
            }
            ServerAsk::Wake(peer) => {
                if let Some(inbox) = hub.inbox(peer) {
                    inbox.wake();
                }
            }
            ServerAsk::Notice(notice) => (hub.env.report)(notice),
        }
    }
}

/// The task that accepts the visitors of one port. It ends with the server, however that ends.
struct Listening(JoinHandle<()>);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Accepts the visitors of one port and hands each to the peer whose turn it is.
async fn visitors(hub: Arc<Hub>, listener: ListenerId, socket: TcpListener, addr: SocketAddr) {
    loop {
        match socket.accept().await {
            Ok((stream, from)) => {
                // Wherever it is when its peer's task or the process ends: an end that nobody asked for is a reset.
                options::reset_on_close(&stream);
                let at = stream.local_addr().unwrap_or(addr);
                let Ok(stream) = stream.into_std() else {
                    continue;
                };
                let visitor = hub.server.visitor(listener, from, at);
                hub.deliver(stream, visitor);
            }
            Err(error) => back_off(&error, &addr.to_string()).await,
        }
    }
}

/// The task of one carrier and of the session on it.
async fn run_peer(hub: Arc<Hub>, peer: Peer, stream: TcpStream, inbox: Arc<PeerInbox>) {
    let _registered = Registered {
        hub: Arc::clone(&hub),
        peer: peer.id(),
    };
    let mut driver = Driver::new(peer, hub.env.clone(), Arc::clone(&inbox.board));
    driver.insert(Peer::CARRIER, stream, Purpose::Carrier);
    poll_fn(|context| {
        let done = driver.poll(context, |driver| empty(&inbox, driver, &hub));
        for (stream, visitor) in driver.handed_on() {
            hub.deliver(stream, hub.server.again(visitor));
        }
        for (stream, handover) in driver.handed_over() {
            // A carrier for a session that has just ended is closed: its client asks again, and is told so.
            if let Some(inbox) = hub.inbox(handover.peer()) {
                drop(inbox.push_first(Waiting::Carrier(stream, Box::new(handover))));
            }
        }
        done
    })
    .await;
}

/// Takes the inbox of a peer off the table, however its task ends, and gives the visitors in it to others.
struct Registered {
    hub: Arc<Hub>,
    peer: PeerId,
}

impl Drop for Registered {
    fn drop(&mut self) {
        let inbox = self.hub.tasks().remove(self.peer);
        for waiting in inbox.map(|inbox| inbox.close()).unwrap_or_default() {
            if let Waiting::Visitor(stream, visitor) = waiting {
                self.hub.deliver(stream, self.hub.server.again(visitor));
            }
        }
    }
}

/// A connection that waits for a peer's task.
enum Waiting {
    /// To the data plane.
    Visitor(TcpStream, Visitor),
    /// To the control plane: the session's next carrier.
    Carrier(TcpStream, Box<Handover>),
}

type PeerInbox = Inbox<Waiting>;

/// Hands a peer what waits in its inbox.
fn empty(inbox: &PeerInbox, driver: &mut Driver<Peer>, hub: &Hub) {
    if inbox.was_woken() {
        let now = driver.now();
        driver.machine.handle_wake(now);
    }
    // One at a time: the lock is never held while the machine works.
    while let Some(waiting) = inbox.next() {
        let now = driver.now();
        match waiting {
            Waiting::Visitor(stream, visitor) => match driver.machine.visitor(now, visitor) {
                Ok(socket) => driver.insert(socket, stream, Purpose::Local),
                Err(visitor) => hub.deliver(stream, hub.server.again(visitor)),
            },
            Waiting::Carrier(stream, handover) => {
                if let Some(socket) = driver.machine.adopt(now, *handover) {
                    driver.insert(socket, stream, Purpose::Carrier);
                }
            }
        }
    }
}

/// The control listener, and the pause after it failed. The pause is kept here and not in a future that whatever else
/// happens would drop: a listener that fails at once must not be asked again at every turn.
struct Control {
    listener: TcpListener,
    pause: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Control {
    /// May be dropped while it waits.
    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            if let Some(pause) = &mut self.pause {
                pause.await;
                self.pause = None;
            }
            match self.listener.accept().await {
                Ok((stream, from)) => {
                    if let Ok(stream) = stream.into_std() {
                        return (stream, from);
                    }
                }
                Err(error) => {
                    let pause = async move { back_off(&error, "the control plane").await };
                    self.pause = Some(Box::pin(pause));
                }
            }
        }
    }
}

/// Accepts from a listener that may be closed already.
async fn accept(control: &mut Option<Control>) -> (TcpStream, SocketAddr) {
    match control {
        Some(control) => control.accept().await,
        None => std::future::pending().await,
    }
}

/// Waits after a failed `accept`, if the reason will not go away by itself: out of files, mostly.
pub(crate) async fn back_off(error: &io::Error, place: &str) {
    let one_connection = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    );
    if !one_connection {
        tracing::warn!("can't accept connections on {place}: {error}; trying again");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

#[cfg(test)]
mod tests;
