//! Drives one machine: the loop that does what it asks, for as long as it asks.
//!
//! One [`Driver`] is one task. It reads from every socket that has something before it writes to any,
//! so that what came in from many local sockets leaves on the carrier in few large batches. A turn
//! does a bounded amount of work; then other tasks get theirs.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::mem;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::task::{Context, Poll};

use adit_core::Instant;
use adit_relay::server::{Handover, Visitor};
use adit_relay::{Ask, Machine, Purpose, READ_MAX, SocketId, Told};

use crate::env::{Env, ReadToken};
use crate::lookups::{Asked, Lookups};
use crate::questions::{Answered, Questions};
use crate::ready::Board;
use crate::slabs::{self, Slabs};
use crate::sockets::{Dialled, Sockets};
use crate::wakeful::Wakeful;
use crate::{Runtime, Timer};

/// Bytes read from one socket before the others get their turn: one read of a local socket that has all that is asked for.
const READ_BUDGET_BYTES: usize = READ_MAX;

/// Bytes written to one socket before the others get their turn.
const WRITE_BUDGET_BYTES: usize = 512 * 1024;

/// Sockets read before what came of it is written. Enough to make large batches for the carrier.
const READS_BEFORE_WRITES: usize = 24;

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
            carrier: Slabs::new(slabs::CARRIER_SHARE_MIN),
            local: Slabs::new(slabs::LOCAL_SHARE_MIN),
        }
    }
}

thread_local! {
    /// The read buffers of all machines on this thread, so that idle ones hold none.
    static BUFFERS: Cell<Buffers> = Cell::new(Buffers::default());
}

/// A machine, its sockets, and what it waits for.
pub(crate) struct Driver<M, R: Runtime> {
    pub(crate) machine: M,
    env: Env,
    read_token: Option<ReadToken>,
    /// Where carriers come from that are not dialled: the first one, and then none.
    given: Option<Option<TcpStream>>,
    /// The time as it was last looked at: when a turn began, and after each read and write, which are what takes time.
    now: Instant,
    board: Arc<Board>,
    rung: Vec<u32>,
    sockets: Sockets<R>,
    questions: Questions<R>,
    lookups: Lookups,
    /// The machine's time as it was at the end of the last turn.
    due: Option<Instant>,
    timer: R::Timer,
    /// What the timer is set to.
    timer_at: Option<Instant>,
    wakeful: Wakeful,
    /// Bytes that this turn read and wrote.
    moved: usize,
    handed_on: Vec<(TcpStream, Visitor)>,
    handed_over: Vec<(TcpStream, Handover)>,
}

impl<M: Machine, R: Runtime> Driver<M, R> {
    pub(crate) fn new(machine: M, runtime: R, env: Env, board: Arc<Board>) -> Self {
        Self {
            machine,
            now: env.clock.now(),
            env,
            read_token: None,
            given: None,
            due: None,
            timer: runtime.timer(),
            timer_at: None,
            wakeful: Wakeful::new(runtime.looks_between_turns()),
            moved: 0,
            questions: Questions::new(runtime.clone(), Arc::clone(&board)),
            lookups: Lookups::new(R::LOOKUPS_MAX),
            sockets: Sockets::new(runtime, Arc::clone(&board)),
            board,
            rung: Vec::new(),
            handed_on: Vec::new(),
            handed_over: Vec::new(),
        }
    }

    /// How [`Ask::ReadToken`] is answered. Without it the answer is an error.
    pub(crate) fn with_token(mut self, read_token: ReadToken) -> Self {
        self.read_token = Some(read_token);
        self
    }

    /// The machine's first carrier is this connection, and there is no other.
    pub(crate) fn with_carrier(mut self, stream: TcpStream) -> Self {
        self.given = Some(Some(stream));
        self
    }

    /// Hands over a non-blocking socket that the machine has given `id` to. The runtime waits on it from now on.
    pub(crate) fn insert(&mut self, id: SocketId, stream: TcpStream, purpose: Purpose) {
        if let Err(error) = self.sockets.insert(id.0, stream, purpose) {
            self.machine.failed(self.now, id, error.kind());
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

    /// The time for calls to the machine between turns.
    pub(crate) fn look(&mut self) -> Instant {
        self.now = self.env.clock.now();
        self.now
    }

    /// The time for calls to the machine within a turn.
    pub(crate) const fn now(&self) -> Instant {
        self.now
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
        let nudged = self.board.take(context.waker(), &mut rung);
        let left_over = self.sockets.has_work();
        let works = nudged || !rung.is_empty() || left_over;
        if !works && self.wakeful.looks_again() {
            self.rung = rung;
            self.wakeful.looked();
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if works {
            self.wakeful.begin(!left_over);
        }
        self.look();
        self.moved = 0;
        inbox(self);
        for socket in rung.drain(..) {
            self.sockets.rung(socket);
        }
        self.rung = rung;
        self.hear_answers();

        let mut buffers = BUFFERS.take();
        self.handle_timeout();
        self.carry_out();
        self.read_all(&mut buffers);
        self.carry_out();
        self.write_all();
        buffers.carrier.rest(self.now);
        buffers.local.rest(self.now);
        BUFFERS.set(buffers);
        self.carry_out();

        if self.machine.is_done() {
            return Poll::Ready(());
        }
        self.due = self.machine.poll_timeout();
        if works {
            self.wakeful.end(self.moved);
        }
        if self.sockets.has_work() {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.wait_for_timeout(context);
        if self.wakeful.looks_again() {
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn handle_timeout(&mut self) {
        let now = self.now;
        if self.due.is_some_and(|at| at <= now) {
            self.machine.handle_timeout(now);
        }
    }

    /// Sets the timer to the machine's time, or leaves one that fires earlier: nearly every exchange moves the machine's a little further into the future, and to
    /// wake up for nothing now and then costs less than to set it each time.
    fn wait_for_timeout(&mut self, context: &mut Context<'_>) {
        let Some(deadline) = self.due else {
            return;
        };
        if self.timer_at.is_none_or(|set| set > deadline) {
            self.timer_at = Some(deadline);
            self.timer.set(deadline - self.now);
        }
        if self.timer.poll(context).is_ready() {
            self.timer_at = None;
            context.waker().wake_by_ref();
        }
    }

    fn carry_out(&mut self) {
        let now = self.now;
        while let Some(ask) = self.machine.poll_ask(now) {
            match ask {
                Ask::Resolve {
                    query,
                    host,
                    port,
                    purpose,
                } => self.resolve(query, host, port, purpose),
                Ask::ReadToken { query } => {
                    self.questions.token(query, self.read_token.clone());
                }
                Ask::Connect {
                    socket,
                    addr,
                    purpose,
                } => self.connect(socket, addr, purpose),
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

    fn connect(&mut self, socket: SocketId, addr: SocketAddr, purpose: Purpose) {
        match &mut self.given {
            Some(given) if purpose == Purpose::Carrier => {
                let only = given
                    .take()
                    .ok_or_else(|| io::ErrorKind::NotConnected.into());
                self.sockets.take_over(socket.0, only, purpose);
            }
            _ => self.sockets.connect(socket.0, addr, purpose),
        }
    }

    fn resolve(&mut self, query: u32, host: String, port: u16, purpose: Purpose) {
        if purpose == Purpose::Carrier && self.given.is_some() {
            // Where it is does not matter.
            let result = Ok(vec![SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))]);
            let told = Told::Resolved { query, result };
            return self.questions.answer(Answered::Told(told));
        }
        if purpose == Purpose::Carrier {
            return self.questions.addresses(query, host, port);
        }
        match self.lookups.ask(query, host, port) {
            Asked::Start(host) => self.questions.name(host),
            Asked::Waits => {}
            Asked::Refused => {
                let result = Err("too many look-ups of names are waiting".to_owned());
                let told = Told::Resolved { query, result };
                self.questions.answer(Answered::Told(told));
            }
        }
    }

    fn hear_answers(&mut self) {
        while let Some(answered) = self.questions.next_answer() {
            let now = self.now;
            match answered {
                Answered::Told(told) => self.machine.tell(now, told),
                Answered::Found(host, found) => {
                    let (answers, next) = self.lookups.found(&host, &found);
                    for told in answers {
                        self.machine.tell(now, told);
                    }
                    if let Some(host) = next {
                        self.questions.name(host);
                    }
                }
            }
        }
    }

    /// Reads once, within the budget, from every socket listed now. After a number of them what came of it is written, so that the answers of the first
    /// don't wait for the requests of all.
    fn read_all(&mut self, buffers: &mut Buffers) {
        for read in 1..=self.sockets.readers() {
            let Some(index) = self.sockets.next_to_read() else {
                return;
            };
            if let Some(dialled) = self.sockets.dialled(index) {
                let socket = SocketId(index);
                let told = match dialled {
                    Dialled::Connected => Told::Connected { socket },
                    Dialled::Failed(kind) => Told::ConnectFailed { socket, kind },
                };
                self.machine.tell(self.now, told);
            } else {
                self.read(index, buffers);
            }
            self.carry_out();
            if read % READS_BEFORE_WRITES == 0 {
                self.write_all();
            }
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
                    self.machine.failed(self.now, socket, error);
                }
                return;
            }
            if budget == 0 {
                self.sockets.want_read(index);
                return;
            }
            let (room, limit) = slabs.room(limit);
            let read = self.sockets.read(index, room, limit);
            if read.is_ready() {
                self.now = self.env.clock.now();
            }
            match read {
                Poll::Pending => return,
                Poll::Ready(Ok(0)) => {
                    // If the socket is still there when it is looked at again, it is watched from then on.
                    self.sockets.want_read(index);
                    return self.machine.received_eof(self.now, socket);
                }
                Poll::Ready(Ok(n)) => {
                    budget = budget.saturating_sub(n);
                    self.moved = self.moved.saturating_add(n);
                    let data = slabs.hand_over();
                    self.machine.received(self.now, socket, data);
                }
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Poll::Ready(Err(error)) => {
                    return self.machine.failed(self.now, socket, error.kind());
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
            let filled = self.machine.gather(self.now, socket, &mut slices);
            let Some(slices @ [_, ..]) = slices.get(..filled) else {
                return;
            };
            if budget == 0 {
                self.sockets.want_write(index);
                return;
            }
            let written = self.sockets.write(index, slices);
            if written.is_ready() {
                self.now = self.env.clock.now();
            }
            match written {
                Poll::Pending => return,
                Poll::Ready(Ok(n)) => {
                    budget = budget.saturating_sub(n.max(1));
                    self.moved = self.moved.saturating_add(n);
                    self.machine.written(self.now, socket, n);
                }
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Poll::Ready(Err(error)) => {
                    return self.machine.failed(self.now, socket, error.kind());
                }
            }
        }
    }
}
