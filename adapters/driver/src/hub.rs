//! What the tasks of one server share: where each session's task is, and what is left for it. Touched for a connection, never for a byte.

use std::collections::HashMap;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use adit_relay::server::{Handover, PeerId, Server, Visitor};

use crate::Runtime;
use crate::env::Env;
use crate::inbox::Inbox;
use crate::ready::Board;

/// Visitors, and now and then a carrier, that wait for one peer's task. It empties its inbox at every turn, so only a burst of
/// visitors fills it; those beyond go to the next session.
const INBOX_MAX_VISITORS: usize = 1024;

/// A connection that waits for a peer's task.
pub(crate) enum Waiting {
    /// To the data plane.
    Visitor(TcpStream, Visitor),
    /// To the control plane: the session's next carrier.
    Carrier(TcpStream, Box<Handover>),
}

pub(crate) type PeerInbox = Inbox<Waiting>;

pub(crate) struct Hub<R> {
    pub(crate) server: Server,
    pub(crate) runtime: R,
    pub(crate) env: Env,
    /// The server's own task.
    board: Arc<Board>,
    tasks: Mutex<Tasks>,
    ended: AtomicBool,
}

/// The tasks of peers.
struct Tasks {
    by_peer: HashMap<PeerId, PeerTask>,
    /// How many there are on each worker.
    on_worker: Vec<usize>,
}

struct PeerTask {
    inbox: Arc<PeerInbox>,
    worker: usize,
}

impl<R: Runtime> Hub<R> {
    pub(crate) fn new(server: Server, runtime: R, env: Env, board: Arc<Board>) -> Self {
        let tasks = Tasks {
            by_peer: HashMap::new(),
            on_worker: vec![0; runtime.workers().get()],
        };
        Self {
            server,
            runtime,
            env,
            board,
            tasks: Mutex::new(tasks),
            ended: AtomicBool::new(false),
        }
    }

    /// Gives a new peer an inbox, and the worker that has least to do.
    pub(crate) fn enter(&self, peer: PeerId) -> (Arc<PeerInbox>, usize) {
        let inbox = Arc::new(Inbox::new(INBOX_MAX_VISITORS));
        let mut tasks = self.tasks();
        let loads = tasks.on_worker.iter().enumerate();
        let least = loads.min_by_key(|(_, load)| **load);
        let worker = least.map_or(0, |(at, _)| at);
        tasks.on_worker[worker] += 1;
        let task = PeerTask {
            inbox: Arc::clone(&inbox),
            worker,
        };
        tasks.by_peer.insert(peer, task);
        (inbox, worker)
    }

    /// Takes a peer whose task has ended off the table; what was left for it.
    pub(crate) fn leave(&self, peer: PeerId) -> impl Iterator<Item = Waiting> {
        let mut tasks = self.tasks();
        let task = tasks.by_peer.remove(&peer);
        if let Some(task) = &task {
            tasks.on_worker[task.worker] -= 1;
        }
        let last = tasks.by_peer.is_empty();
        drop(tasks);
        if last {
            self.board.nudge();
        }
        let left = task.map(|task| task.inbox.close());
        left.into_iter().flatten()
    }

    /// Hands a visitor to whose turn it is, until somebody takes it. If nobody does, its stream is dropped, which resets it.
    pub(crate) fn deliver(&self, mut stream: TcpStream, mut next: Option<Visitor>) {
        while let Some(visitor) = next {
            let waiting = match self.inbox(visitor.peer()) {
                Some(inbox) => inbox.push(Waiting::Visitor(stream, visitor)),
                None => Some(Waiting::Visitor(stream, visitor)),
            };
            let Some(Waiting::Visitor(refused, visitor)) = waiting else {
                return;
            };
            stream = refused;
            next = self.server.again(visitor);
        }
    }

    pub(crate) fn inbox(&self, peer: PeerId) -> Option<Arc<PeerInbox>> {
        let tasks = self.tasks();
        Some(Arc::clone(&tasks.by_peer.get(&peer)?.inbox))
    }

    /// The worker that a peer's task is on; for one that has ended, any.
    pub(crate) fn worker_of(&self, peer: PeerId) -> usize {
        self.tasks()
            .by_peer
            .get(&peer)
            .map_or(0, |task| task.worker)
    }

    /// Tells all tasks to end now.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
        let tasks = self.tasks();
        let inboxes: Vec<_> = tasks
            .by_peer
            .values()
            .map(|task| Arc::clone(&task.inbox))
            .collect();
        drop(tasks);
        for inbox in inboxes {
            inbox.wake();
        }
    }

    /// Whether the tasks are to end now.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Whether no peer has a task. The server's own task is woken when the last one goes.
    pub(crate) fn is_empty(&self) -> bool {
        self.tasks().by_peer.is_empty()
    }

    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
