//! Whole servers and clients on a runtime, each in a thread of its own.

use std::io::{Read, Write};
use std::marker::PhantomData;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use adit_core::{ClientId, Token, TunnelName, Verifier};
use adit_relay::HostPort;
use adit_relay::client::{Client, ClientConfig, Offer};
use adit_relay::server::{Ports, Server, ServerConfig, Tunnel, Tunnels};

use super::kit::{accept, connect, free_port, listen, loopback, until};
use crate::{Clock, Env, Start, Stop, Stopper, Threads, run_client, serve, stopper};

const TOKEN: &[u8] = b"the right token of the test";

fn tunnel() -> TunnelName {
    TunnelName::new("attic").expect("a name")
}

fn token() -> Token {
    Token::new(TOKEN).expect("long enough")
}

/// A server with bare carriers and one tunnel.
pub(super) fn server() -> Server {
    let verifier = Verifier::new(&token(), &tunnel());
    let ports = Ports::new([(1, u16::MAX)]);
    let tunnels = Tunnels::from_iter([(tunnel(), Tunnel { verifier, ports })]);
    let config = ServerConfig::new(Arc::default(), Arc::new(tunnels));
    Server::new(config, [7; 32])
}

/// A server that runs until this is dropped.
pub(super) struct Serving<R> {
    pub(super) server: Server,
    pub(super) addr: SocketAddr,
    stopper: Stopper,
    thread: Option<JoinHandle<()>>,
    runtime: PhantomData<R>,
}

impl<R: Start> Serving<R> {
    pub(super) fn start(threads: Threads) -> Self {
        let server = server();
        let control = crate::listen(loopback()).expect("a free port");
        let addr = control.local_addr().expect("its address");
        let (stopper, stopping) = stopper();
        let own = server.clone();
        let thread = thread::spawn(move || {
            let started = R::start(threads, |runtime| {
                serve(
                    runtime,
                    own,
                    control,
                    Env::logging(Clock::start()),
                    stopping,
                )
            });
            started.expect("a runtime").expect("a listener");
        });
        Self {
            server,
            addr,
            stopper,
            thread: Some(thread),
            runtime: PhantomData,
        }
    }

    pub(super) fn wait_for_sessions(&self, count: u64) {
        until(|| self.server.counters().sessions == count);
    }

    pub(super) fn stop(&self, stop: Stop) {
        self.stopper.stop(stop);
    }

    /// Waits for its end.
    pub(super) fn join(mut self) {
        let thread = self.thread.take().expect("it is joined once");
        thread.join().expect("no panic");
    }
}

impl<R> Drop for Serving<R> {
    fn drop(&mut self) {
        self.stopper.stop(Stop::Now);
    }
}

/// A client that runs until this is dropped.
pub(super) struct Joined {
    /// Where its visitors connect.
    pub(super) port: u16,
    stopper: Stopper,
}

impl Joined {
    /// A client of that name, which leads a port to an upstream.
    pub(super) fn start<R: Start>(
        name: &str,
        server: SocketAddr,
        port: u16,
        upstream: SocketAddr,
    ) -> Self {
        let at = |addr: SocketAddr| HostPort::new(addr.ip().to_string(), addr.port());
        let id = ClientId::new(name).expect("a name");
        let mut config = ClientConfig::new(Default::default(), at(server), tunnel(), id);
        config.offers.push(Offer {
            address: port.to_string(),
            upstream: at(upstream),
        });
        let env = Env::logging(Clock::start());
        let client = Client::new(config, [1; 32], env.clock.now());
        let (stopper, stopping) = stopper();
        thread::spawn(move || {
            let started = R::start(Threads::One, |runtime| {
                run_client(runtime, client, Arc::new(|| Ok(token())), env, stopping)
            });
            started.expect("a runtime");
        });
        Self { port, stopper }
    }

    /// A client on a server, with its session.
    pub(super) fn on<R: Start>(serving: &Serving<R>, name: &str, upstream: SocketAddr) -> Self {
        let joined = Self::start::<R>(name, serving.addr, free_port(), upstream);
        serving.wait_for_sessions(1);
        joined
    }

    pub(super) fn visit(&self) -> TcpStream {
        connect(([127, 0, 0, 1], self.port))
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        self.stopper.stop(Stop::Now);
    }
}

/// An upstream that says its name to who comes, and hangs up.
pub(super) fn names_itself(name: &'static str) -> SocketAddr {
    let (listener, addr) = listen();
    thread::spawn(move || {
        while let Ok((mut visitor, _)) = listener.accept() {
            let _ = visitor.write_all(name.as_bytes());
        }
    });
    addr
}

/// An upstream that answers, in turn, five bytes of each visitor with the same five, and holds the connections.
pub(super) fn answers_each() -> SocketAddr {
    let (listener, addr) = listen();
    thread::spawn(move || {
        let mut held = Vec::new();
        loop {
            let mut visitor = accept(&listener);
            let mut request = [0; 5];
            if visitor.read_exact(&mut request).is_ok() {
                let _ = visitor.write_all(&request);
            }
            held.push(visitor);
        }
    });
    addr
}

/// An upstream that gives back what it got, once all of it has come.
pub(super) fn gives_back() -> SocketAddr {
    let (listener, addr) = listen();
    thread::spawn(move || {
        while let Ok((mut visitor, _)) = listener.accept() {
            let mut all = Vec::new();
            if visitor.read_to_end(&mut all).is_ok() && visitor.write_all(&all).is_ok() {
                let _ = visitor.shutdown(Shutdown::Write);
            }
        }
    });
    addr
}
