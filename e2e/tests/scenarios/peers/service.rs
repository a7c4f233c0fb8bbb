//! An echo service that remembers what became of each connection to it: who sits behind a tunnel
//! has a connection that a cut can break, too.

use adit_e2e::adit::SOON;
use adit_e2e::wait;
use std::io;
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Open,
    /// Its peer sent so many bytes and a FIN, and was sent all of them.
    Ended(u64),
    /// Reset, or gone before all had been sent back.
    Broken,
}

pub(super) struct Service {
    pub(super) port: u16,
    /// In the order in which they were made.
    states: Arc<Mutex<Vec<State>>>,
}

impl Service {
    /// Its threads end with the process.
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let states = Arc::<Mutex<Vec<State>>>::default();
        let ours = Arc::clone(&states);
        thread::spawn(move || {
            for (number, stream) in listener.incoming().flatten().enumerate() {
                lock(&ours).push(State::Open);
                let ours = Arc::clone(&ours);
                thread::spawn(move || {
                    let state = echo(&stream);
                    lock(&ours)[number] = state;
                    // Only now, so that who has seen the end finds it noted. One that was reset takes none.
                    let _ = stream.shutdown(Shutdown::Write);
                });
            }
        });
        Self { port, states }
    }

    /// How many connections were made.
    pub(super) fn connections(&self) -> usize {
        lock(&self.states).len()
    }

    /// Waits for the connection that is made next after so many; returns its number.
    pub(super) fn next(&self, before: usize) -> usize {
        wait::until("a connection to the service", SOON, || {
            (self.connections() > before).then_some(before)
        })
    }

    pub(super) fn state(&self, number: usize) -> State {
        lock(&self.states)[number]
    }
}

fn echo(stream: &TcpStream) -> State {
    match io::copy(&mut &*stream, &mut &*stream) {
        Ok(bytes) => State::Ended(bytes),
        Err(_) => State::Broken,
    }
}

fn lock(states: &Mutex<Vec<State>>) -> MutexGuard<'_, Vec<State>> {
    states.lock().unwrap_or_else(PoisonError::into_inner)
}
