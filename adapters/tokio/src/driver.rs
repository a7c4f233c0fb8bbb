//! Drives one machine: the loop that does what it asks, for as long as it asks.
//!
//! One [`Driver`] is one task. It reads from every socket that has something before it writes to any,
//! so that what came in from many local sockets leaves on the carrier in few large batches. A turn
//! does a bounded amount of work; then other tasks get theirs.

use std::cell::Cell;
use std::future::Future;
use std::io::{self, IoSlice};
use std::mem;
use std::net::TcpStream;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use adit_core::Instant;
use adit_relay::server::{Handover, Visitor};
use adit_relay::{Ask, Machine, Purpose, SocketId, Told};
use slab::Slab;
use tokio::net::lookup_host;
use tokio::time::Sleep;

use crate::env::{Env, ReadToken};
use crate::lookups::{Asked, Found, Lookups};
use crate::ready::{Bell, Board, Key};
use crate::slabs::{self, Slabs};
use crate::sockets::{Dialled, Sockets};

/// Bytes read from one socket before the others get their turn.
const READ_BUDGET_BYTES: usize = 128 * 1024;

/// Bytes written to one socket before the others get their turn.
const WRITE_BUDGET_BYTES: usize = 512 * 1024;

/// Slices given to the kernel in one call.
const SLICES_MAX: usize = 64;

/// What sockets are read into.
struct Buffers {
    carrier: Slabs,
    local: Slabs,
}

impl Default for Buffers {
    fn default() -> Self {
        Self {
            carrier: Slabs::new(slabs::CARRIER),
            local: Slabs::new(slabs::LOCAL),
        }
    }
}

type Answer = Pin<Box<dyn Future<Output = Answered> + Send>>;

enum Answered {
    Told(Told),
    /// A name that any number of queries wait for.
    Found(String, Found),
}

thread_local! {
    /// The read buffers of all machines on this thread, so that idle ones hold none.
    static BUFFERS: Cell<Buffers> = Cell::new(Buffers::default());
}

/// A machine, its sockets, and what it waits for.
pub(crate) struct Driver<M> {
    pub(crate) machine: M,
    env: Env,
    read_token: Option<ReadToken>,
    board: Arc<Board>,
    rung: Vec<Key>,
    sockets: Sockets,
    queries: Slab<Query>,
    lookups: Lookups,
    timer: Option<Pin<Box<Sleep>>>,
    timer_at: Option<Instant>,
    handed_on: Vec<(TcpStream, Visitor)>,
    handed_over: Vec<(TcpStream, Handover)>,
}

struct Query {
    bell: Arc<Bell>,
    waker: Waker,
    answer: Answer,
}

impl<M: Machine> Driver<M> {
    pub(crate) fn new(machine: M, env: Env, board: Arc<Board>) -> Self {
        Self {
            machine,
            env,
            read_token: None,
            sockets: Sockets::new(Arc::clone(&board)),
            board,
            rung: Vec::new(),
            queries: Slab::new(),
            lookups: Lookups::default(),
            timer: None,
            timer_at: None,
            handed_on: Vec::new(),
            handed_over: Vec::new(),
        }
    }

    /// How [`Ask::ReadToken`] is answered. Without it the answer is an error.
    pub(crate) fn with_token(mut self, read_token: ReadToken) -> Self {
        self.read_token = Some(read_token);
        self
    }

    /// Hands over a socket that the machine has given `id` to. The present runtime waits on it from now on.
    pub(crate) fn insert(&mut self, id: SocketId, stream: TcpStream, purpose: Purpose) {
        match tokio::net::TcpStream::from_std(stream) {
            Ok(stream) => self.sockets.insert(id.0, stream, purpose),
            Err(error) => self.machine.failed(self.env.clock.now(), id, error.kind()),
        }
    }

    /// Visitors that the machine gave away since this was last called ([`Ask::HandOn`]).
    pub(crate) fn handed_on(&mut self) -> impl Iterator<Item = (TcpStream, Visitor)> {
        self.handed_on.drain(..)
    }

    /// Carriers that the machine gave away since this was last called ([`Ask::HandOver`]).
    pub(crate) fn handed_over(&mut self) -> impl Iterator<Item = (TcpStream, Handover)> {
        self.handed_over.drain(..)
    }

    /// The time for calls to the machine.
    pub(crate) fn now(&self) -> Instant {
        self.env.clock.now()
    }

    /// One turn. Ready when the machine is done.
    ///
    /// `inbox` hands over what waits outside the sockets. It runs after the task has registered for
    /// nudges, so none is lost.
    pub(crate) fn poll(
        &mut self,
        context: &mut Context<'_>,
        inbox: impl FnOnce(&mut Self),
    ) -> Poll<()> {
        let mut rung = mem::take(&mut self.rung);
        self.board.take(context.waker(), &mut rung);
        inbox(self);
        for key in rung.drain(..) {
            match key {
                Key::Socket(index) => self.sockets.rung(index),
                Key::Query(index) => self.poll_query(index),
            }
        }
        self.rung = rung;

        let mut buffers = BUFFERS.take();
        self.handle_timeout();
        self.carry_out();
        self.read_all(&mut buffers);
        self.carry_out();
        self.write_all();
        let now = self.env.clock.now();
        buffers.carrier.rest(now);
        buffers.local.rest(now);
        BUFFERS.set(buffers);
        self.carry_out();

        if self.machine.is_done() {
            return Poll::Ready(());
        }
        if self.sockets.has_work() {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.wait_for_timeout(context);
        Poll::Pending
    }

    fn handle_timeout(&mut self) {
        let now = self.env.clock.now();
        if self.machine.poll_timeout().is_some_and(|at| at <= now) {
            self.machine.handle_timeout(now);
        }
    }

    /// Sets the runtime's timer to the machine's, or leaves one that fires earlier: nearly every exchange moves the machine's a little further into the future, and to
    /// wake up for nothing now and then costs less than to set it each time.
    fn wait_for_timeout(&mut self, context: &mut Context<'_>) {
        let at = self.machine.poll_timeout();
        let Some(deadline) = at else {
            self.timer = None;
            self.timer_at = None;
            return;
        };
        let soon_enough = self.timer_at.is_some_and(|set| set <= deadline);
        if self.timer.is_none() || !soon_enough {
            self.timer_at = at;
            let wait = deadline - self.env.clock.now();
            // The runtime's timers have a resolution of 1 ms; never wake before the time.
            let wake = tokio::time::Instant::now() + wait.max(Duration::from_millis(1));
            match &mut self.timer {
                Some(timer) => timer.as_mut().reset(wake),
                none => *none = Some(Box::pin(tokio::time::sleep_until(wake))),
            }
        }
        if let Some(timer) = &mut self.timer
            && timer.as_mut().poll(context).is_ready()
        {
            self.timer = None;
            context.waker().wake_by_ref();
        }
    }

    fn carry_out(&mut self) {
        let now = self.env.clock.now();
        while let Some(ask) = self.machine.poll_ask(now) {
            match ask {
                Ask::Resolve {
                    query,
                    host,
                    port,
                    purpose,
                } => self.resolve(query, host, port, purpose),
                Ask::ReadToken { query } => {
                    let read_token = self.read_token.clone();
                    self.ask(token(query, read_token));
                }
                Ask::Connect {
                    socket,
                    addr,
                    purpose,
                } => self.sockets.connect(socket.0, addr, purpose),
                Ask::Route { socket } => {
                    let local = self.sockets.route(socket.0);
                    self.machine.tell(now, Told::Route { socket, local });
                }
                Ask::WantRead(socket) => self.sockets.want_read(socket.0),
                Ask::WantWrite(socket) => self.sockets.want_write(socket.0),
                Ask::Shutdown(socket) => self.sockets.shutdown(socket.0),
                Ask::Close(socket) => self.sockets.close(socket.0),
                Ask::Abort(socket) => self.sockets.abort(socket.0),
                Ask::HandOn { socket, visitor } => {
                    let stream = self.sockets.take(socket.0);
                    self.handed_on
                        .extend(stream.map(|stream| (stream, visitor)));
                }
                Ask::HandOver { socket, handover } => {
                    let stream = self.sockets.take(socket.0);
                    self.handed_over
                        .extend(stream.map(|stream| (stream, *handover)));
                }
                Ask::Notice(notice) => (self.env.report)(notice),
            }
        }
    }

    fn resolve(&mut self, query: u32, host: String, port: u16, purpose: Purpose) {
        if purpose == Purpose::Carrier {
            return self.ask(async move {
                let result = look_up(&host, port).await;
                Answered::Told(Told::Resolved { query, result })
            });
        }
        match self.lookups.ask(query, host, port) {
            Asked::Start(host) => self.look_up(host),
            Asked::Waits => {}
            Asked::Refused => self.ask(async move {
                let result = Err("too many look-ups of names are waiting".to_owned());
                Answered::Told(Told::Resolved { query, result })
            }),
        }
    }

    fn look_up(&mut self, host: String) {
        self.ask(async move {
            let found = look_up(&host, 0).await;
            Answered::Found(host, found)
        });
    }

    fn ask(&mut self, answer: impl Future<Output = Answered> + Send + 'static) {
        let entry = self.queries.vacant_entry();
        let index = entry.key();
        let bell = Bell::new(Key::Query(index), Arc::clone(&self.board));
        let waker = Waker::from(Arc::clone(&bell));
        // The first poll comes when the board is read next: that is soon, and no recursion.
        waker.wake_by_ref();
        entry.insert(Query {
            bell,
            waker,
            answer: Box::pin(answer),
        });
    }

    fn poll_query(&mut self, index: usize) {
        let Some(query) = self.queries.get_mut(index) else {
            return;
        };
        query.bell.quieten();
        let poll = query
            .answer
            .as_mut()
            .poll(&mut Context::from_waker(&query.waker));
        let Poll::Ready(answered) = poll else { return };
        self.queries.remove(index);
        let now = self.env.clock.now();
        match answered {
            Answered::Told(told) => self.machine.tell(now, told),
            Answered::Found(host, found) => {
                let (answers, next) = self.lookups.found(&host, &found);
                for told in answers {
                    self.machine.tell(now, told);
                }
                if let Some(host) = next {
                    self.look_up(host);
                }
            }
        }
    }

    /// Reads once, within the budget, from every socket listed now.
    fn read_all(&mut self, buffers: &mut Buffers) {
        for _ in 0..self.sockets.readers() {
            let Some(index) = self.sockets.next_to_read() else {
                return;
            };
            if let Some(dialled) = self.sockets.dialled(index) {
                let socket = SocketId(index);
                let told = match dialled {
                    Dialled::Connected => Told::Connected { socket },
                    Dialled::Failed(kind) => Told::ConnectFailed { socket, kind },
                };
                self.machine.tell(self.env.clock.now(), told);
            } else {
                self.read(index, buffers);
            }
            self.carry_out();
        }
    }

    fn read(&mut self, index: u32, buffers: &mut Buffers) {
        let socket = SocketId(index);
        let slabs = match self.sockets.purpose(index) {
            Some(Purpose::Carrier) => &mut buffers.carrier,
            Some(Purpose::Local) | None => &mut buffers.local,
        };
        let mut budget = READ_BUDGET_BYTES;
        loop {
            // Not more than asked for: the rest of the input waits in the kernel, where the sender's
            // window feels it.
            let limit = self.machine.read_limit(socket);
            if limit == 0 || self.sockets.has_ended(index) {
                if let Some(error) = self.sockets.error_unread(index) {
                    self.machine.failed(self.env.clock.now(), socket, error);
                }
                return;
            }
            if budget == 0 {
                self.sockets.want_read(index);
                return;
            }
            let buffer = slabs.room(limit);
            let limit = limit.min(buffer.capacity());
            match self.sockets.read(index, buffer, limit) {
                Poll::Pending => return,
                Poll::Ready(Ok(0)) => {
                    // If the socket is still there when it is looked at again, it is watched from then on.
                    self.sockets.want_read(index);
                    return self.machine.received_eof(self.env.clock.now(), socket);
                }
                Poll::Ready(Ok(n)) => {
                    budget = budget.saturating_sub(n);
                    let data = slabs.hand_over();
                    self.machine.received(self.env.clock.now(), socket, data);
                }
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Poll::Ready(Err(error)) => {
                    return self
                        .machine
                        .failed(self.env.clock.now(), socket, error.kind());
                }
            }
        }
    }

    /// Writes once, within the budget, to every socket listed now.
    fn write_all(&mut self) {
        for _ in 0..self.sockets.writers() {
            let Some(index) = self.sockets.next_to_write() else {
                return;
            };
            self.write(index);
            self.carry_out();
        }
    }

    fn write(&mut self, index: u32) {
        let socket = SocketId(index);
        let mut budget = WRITE_BUDGET_BYTES;
        loop {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let filled = self
                .machine
                .gather(self.env.clock.now(), socket, &mut slices);
            let Some(slices @ [_, ..]) = slices.get(..filled) else {
                return;
            };
            if budget == 0 {
                self.sockets.want_write(index);
                return;
            }
            match self.sockets.write(index, slices) {
                Poll::Pending => return,
                Poll::Ready(Ok(n)) => {
                    budget = budget.saturating_sub(n.max(1));
                    self.machine.written(self.env.clock.now(), socket, n);
                }
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Poll::Ready(Err(error)) => {
                    return self
                        .machine
                        .failed(self.env.clock.now(), socket, error.kind());
                }
            }
        }
    }
}

async fn look_up(host: &str, port: u16) -> Found {
    match lookup_host((host, port)).await {
        Ok(addrs) => Ok(addrs.collect()),
        Err(error) => Err(error.to_string()),
    }
}

async fn token(query: u32, read_token: Option<ReadToken>) -> Answered {
    let result = match read_token {
        None => Err("this program was given no token".to_owned()),
        Some(read_token) => tokio::task::spawn_blocking(move || read_token())
            .await
            .unwrap_or_else(|_| Err("reading the token failed".to_owned())),
    };
    Answered::Told(Told::Token { query, result })
}

#[cfg(test)]
mod tests;
