//! A toy machine: a pipe between pairs of sockets, with a bound on what it holds; and a driver that runs it.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use adit_core::Instant;
use adit_relay::{Ask, Machine, Purpose, SocketId, Told};
use bytes::BytesMut;

use super::kit::{accept, listen, pair};
use crate::driver::Driver;
use crate::env::{Env, ReadToken};
use crate::ready::Board;
use crate::{Clock, Start, Threads};

/// What a toy holds for one socket at most.
pub(super) const HELD_MAX: usize = 3_000;

/// What the test sees of the toy in its task.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) failed: Mutex<Vec<(u32, io::ErrorKind)>>,
    pub(super) connect_failed: Mutex<Vec<io::ErrorKind>>,
    pub(super) resolved: Mutex<Vec<Result<Vec<SocketAddr>, String>>>,
    pub(super) fired: Mutex<Vec<(Instant, Instant)>>,
    /// Calls of `read_limit` for sockets other than the first two.
    pub(super) looks_at_others: AtomicUsize,
    pub(super) tokens: Mutex<Vec<Result<(), String>>>,
    pub(super) routes: Mutex<Vec<Option<IpAddr>>>,
}

/// Socket 2n is copied to socket 2n + 1 and back.
#[derive(Default)]
pub(super) struct Toy {
    pub(super) asks: VecDeque<Ask>,
    /// To be written to the socket, and whether a FIN follows.
    pub(super) outgoing: HashMap<u32, (BytesMut, bool)>,
    pub(super) deadline: Option<Instant>,
    pub(super) seen: Arc<Seen>,
    pub(super) done: bool,
}

fn partner(socket: SocketId) -> SocketId {
    SocketId(socket.0 ^ 1)
}

impl Toy {
    fn shut(&mut self, socket: SocketId) {
        if let Some((data, true)) = self.outgoing.get(&socket.0)
            && data.is_empty()
        {
            self.asks.push_back(Ask::Shutdown(socket));
        }
    }
}

impl Machine for Toy {
    fn poll_ask(&mut self, _: Instant) -> Option<Ask> {
        self.asks.pop_front()
    }

    fn tell(&mut self, _: Instant, told: Told) {
        match told {
            Told::Resolved { result, .. } => {
                self.seen.resolved.lock().expect("no panic").push(result)
            }
            Told::ConnectFailed { kind, .. } => self
                .seen
                .connect_failed
                .lock()
                .expect("no panic")
                .push(kind),
            Told::Connected { socket } => {
                self.asks.extend([
                    Ask::WantRead(partner(socket)),
                    Ask::WantWrite(socket),
                    Ask::Route { socket },
                ]);
            }
            Told::Route { local, .. } => self.seen.routes.lock().expect("no panic").push(local),
            Told::Token { result, .. } => {
                let told = result.map(drop);
                self.seen.tokens.lock().expect("no panic").push(told);
            }
        }
    }

    fn read_limit(&self, socket: SocketId) -> usize {
        if socket.0 > 1 {
            self.seen.looks_at_others.fetch_add(1, Ordering::Relaxed);
        }
        HELD_MAX
            - self
                .outgoing
                .get(&partner(socket).0)
                .map_or(0, |(data, _)| data.len())
    }

    fn received(&mut self, _: Instant, socket: SocketId, data: BytesMut) {
        assert!(!data.is_empty() && data.len() <= self.read_limit(socket));
        self.outgoing
            .entry(partner(socket).0)
            .or_default()
            .0
            .extend_from_slice(&data);
        self.asks.push_back(Ask::WantWrite(partner(socket)));
    }

    fn received_eof(&mut self, _: Instant, socket: SocketId) {
        self.outgoing.entry(partner(socket).0).or_default().1 = true;
        self.shut(partner(socket));
    }

    fn gather<'a>(&'a mut self, _: Instant, socket: SocketId, out: &mut [IoSlice<'a>]) -> usize {
        match self.outgoing.get(&socket.0) {
            Some((data, _)) if !data.is_empty() => {
                let (first, second) = data.split_at(data.len() / 2);
                out[0] = IoSlice::new(first);
                out[1] = IoSlice::new(second);
                2
            }
            _ => 0,
        }
    }

    fn written(&mut self, _: Instant, socket: SocketId, n: usize) {
        let (data, _) = self
            .outgoing
            .get_mut(&socket.0)
            .expect("it was gathered from");
        let _ = data.split_to(n);
        self.shut(socket);
        self.asks.push_back(Ask::WantRead(partner(socket)));
    }

    fn failed(&mut self, _: Instant, socket: SocketId, error: io::ErrorKind) {
        self.seen
            .failed
            .lock()
            .expect("no panic")
            .push((socket.0, error));
        self.asks
            .extend([Ask::Close(socket), Ask::Abort(partner(socket))]);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
    }

    fn handle_timeout(&mut self, now: Instant) {
        if let Some(deadline) = self.deadline.take() {
            self.seen
                .fired
                .lock()
                .expect("no panic")
                .push((deadline, now));
            self.done = true;
        }
    }

    fn is_done(&self) -> bool {
        self.done
    }
}

type Change<R> = Box<dyn FnOnce(&mut Driver<Toy, R>) + Send>;

/// A toy that runs in a thread of its own.
pub(super) struct Running<R: Start> {
    changes: Sender<Change<R>>,
    board: Arc<Board>,
    pub(super) seen: Arc<Seen>,
    thread: Option<JoinHandle<()>>,
}

impl<R: Start> Running<R> {
    pub(super) fn start(toy: Toy) -> Self {
        Self::with_token(toy, Arc::new(|| Err("there is none".to_owned())))
    }

    pub(super) fn with_token(toy: Toy, read_token: ReadToken) -> Self {
        let (board, seen) = (Arc::new(Board::default()), Arc::clone(&toy.seen));
        let (changes, waiting) = mpsc::channel::<Change<R>>();
        let own = Arc::clone(&board);
        let thread = thread::spawn(move || {
            let started = R::start(Threads::One, |runtime| async move {
                let env = Env::logging(Clock::start());
                let mut driver = Driver::new(toy, runtime, env, own).with_token(read_token);
                poll_fn(move |context| {
                    driver.poll(context, |driver| {
                        for change in waiting.try_iter() {
                            change(driver);
                        }
                    })
                })
                .await;
            });
            started.expect("a runtime");
        });
        Self {
            changes,
            board,
            seen,
            thread: Some(thread),
        }
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Driver<Toy, R>) + Send + 'static) {
        // One that has ended has nothing left to change.
        let _ = self.changes.send(Box::new(change));
        self.board.nudge();
    }

    /// Gives the toy a connection; the other end of it.
    pub(super) fn visit(&self, socket: u32) -> TcpStream {
        let (near, far) = pair();
        self.change(move |driver| driver.insert(SocketId(socket), far, Purpose::Local));
        near
    }

    /// A pipe from the visitor returned to the upstream returned.
    pub(super) fn pipe(&self, first: u32) -> (TcpStream, TcpStream) {
        let (listener, addr) = listen();
        let visitor = self.visit(first);
        self.change(move |driver| {
            driver.machine.asks.push_back(Ask::Connect {
                socket: SocketId(first + 1),
                addr,
                purpose: Purpose::Local,
            });
        });
        (visitor, accept(&listener))
    }

    /// Waits for the toy's own end.
    pub(super) fn join(mut self) -> Arc<Seen> {
        let thread = self.thread.take().expect("it is joined once");
        thread.join().expect("no panic");
        Arc::clone(&self.seen)
    }
}

impl<R: Start> Drop for Running<R> {
    fn drop(&mut self) {
        self.change(|driver| driver.machine.done = true);
    }
}
