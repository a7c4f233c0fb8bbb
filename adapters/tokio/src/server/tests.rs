//! The server's tasks against real sockets, with the parts of it that a test must hold apart.

use std::num::NonZeroUsize;

use adit_core::{ClientId, Token, TunnelName, Verifier};
use adit_relay::HostPort;
use adit_relay::client::{Client, ClientConfig, Offer};
use adit_relay::server::{Ports, ServerConfig, Tunnel, Tunnels};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::client::run_client;
use crate::clock::Clock;
use crate::env::stopper;

#[cfg(target_os = "linux")]
mod out_of_files;

const TOKEN: &[u8] = b"the right token of the test";

const TWO: NonZeroUsize = NonZeroUsize::new(2).unwrap();

/// How long anything may take before the test is called failed.
const DEADLINE: Duration = Duration::from_secs(10);

fn tunnel() -> TunnelName {
    TunnelName::new("attic").unwrap()
}

fn token() -> Token {
    Token::new(TOKEN).unwrap()
}

/// A server with bare carriers and one tunnel.
fn server() -> Server {
    let verifier = Verifier::new(&token(), &tunnel());
    let ports = Ports::new([(1, u16::MAX)]);
    let tunnels = Tunnels::from_iter([(tunnel(), Tunnel { verifier, ports })]);
    let config = ServerConfig::new(Arc::default(), Arc::new(tunnels));
    Server::new(config, [7; 32])
}

/// A client of that name, and the upstream that it leads to, which says the name and hangs up.
async fn start_client(
    name: &'static str,
    port: u16,
    server: SocketAddr,
) -> tokio::task::JoinHandle<()> {
    let upstream = options::listen(([127, 0, 0, 1], 0).into()).unwrap();
    let at = upstream.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut visitor, _)) = upstream.accept().await {
            let _ = visitor.write_all(name.as_bytes()).await;
        }
    });
    let at_server = HostPort::new(server.ip().to_string(), server.port());
    let id = ClientId::new(name).unwrap();
    let mut config = ClientConfig::new(Default::default(), at_server, tunnel(), id);
    config.offers.push(Offer {
        address: port.to_string(),
        upstream: HostPort::new(at.ip().to_string(), at.port()),
    });
    let env = Env::logging(Clock::start());
    let client = Client::new(config, [1; 32], env.clock.now());
    tokio::spawn(async move {
        let (_stopper, stopping) = stopper();
        run_client(client, Arc::new(|| Ok(token())), env, stopping).await;
    })
}

/// All that a visitor hears.
async fn hear(mut visitor: TcpStream) -> String {
    let mut heard = String::new();
    let reading = visitor.read_to_string(&mut heard);
    tokio::time::timeout(DEADLINE, reading)
        .await
        .expect("an answer")
        .expect("no reset");
    heard
}

/// A port that nobody listens on.
fn free_port() -> u16 {
    let listener = options::listen(([127, 0, 0, 1], 0).into()).unwrap();
    listener.local_addr().unwrap().port()
}

/// A session of a client of that name, whose task is the only one in the set.
async fn session(
    hub: &Arc<Hub>,
    listeners: &mut HashMap<ListenerId, Listening>,
    name: &'static str,
    port: u16,
) -> JoinSet<()> {
    let control = options::listen(([127, 0, 0, 1], 0).into()).unwrap();
    start_client(name, port, control.local_addr().unwrap()).await;
    let (stream, from) = control.accept().await.unwrap();
    let sessions = hub.server.counters().sessions;
    let mut task = JoinSet::new();
    hub.carrier(&mut task, stream.into_std().unwrap(), from);
    let established = async {
        while hub.server.counters().sessions == sessions {
            carry_out(hub, listeners).await;
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, established)
        .await
        .expect("a session");
    task
}

#[tokio::test]
async fn visitors_in_the_inbox_of_a_task_that_ended_are_served_by_another_session() {
    let env = Env::logging(Clock::start());
    let hub = Arc::new(Hub::new(server(), Workers::here(), env));
    let (port, mut listeners) = (free_port(), HashMap::new());
    let mut first = session(&hub, &mut listeners, "first", port).await;
    let peer = *hub.tasks().by_peer.keys().next().unwrap();
    let _second = session(&hub, &mut listeners, "second", port).await;
    let listener = *listeners.keys().next().unwrap();

    let outside = options::listen(([127, 0, 0, 1], 0).into()).unwrap();
    let at = outside.local_addr().unwrap();
    let mut waiting = Vec::new();
    for _ in 0..4 {
        let (visitor, accepted) = tokio::join!(TcpStream::connect(at), outside.accept());
        let (stream, from) = accepted.unwrap();
        options::reset_on_close(&stream);
        waiting.push((visitor.unwrap(), stream.into_std().unwrap(), from));
    }
    // Nothing is awaited from here to the end of the task: no other task runs.
    let mut visitors = Vec::new();
    let mut held = 0;
    for (visitor, stream, from) in waiting {
        let next = hub.server.visitor(listener, from, at);
        held += usize::from(next.as_ref().is_some_and(|next| next.peer() == peer));
        hub.deliver(stream, next);
        visitors.push(visitor);
    }
    assert_eq!(held, 2, "they did not take turns");
    first.abort_all();
    for visitor in visitors {
        assert_eq!(hear(visitor).await, "second");
    }
}

#[tokio::test]
async fn sessions_are_spread_over_threads_and_share_a_port_all_the_same() {
    let env = Env::logging(Clock::start());
    let hub = Arc::new(Hub::new(server(), Workers::start(TWO).unwrap(), env));
    let (port, mut listeners) = (free_port(), HashMap::new());
    let _first = session(&hub, &mut listeners, "first", port).await;
    let mut second = session(&hub, &mut listeners, "second", port).await;
    assert_eq!(hub.tasks().on_worker, [1, 1]);
    let mut heard = Vec::new();
    for _ in 0..4 {
        let visitor = TcpStream::connect(("127.0.0.1", port)).await;
        heard.push(hear(visitor.unwrap()).await);
    }
    heard.sort_unstable();
    assert_eq!(heard, ["first", "first", "second", "second"]);

    // The next one comes to the thread that has least to do.
    second.shutdown().await;
    assert_eq!(hub.tasks().on_worker.iter().sum::<usize>(), 1);
    let _third = session(&hub, &mut listeners, "third", port).await;
    assert_eq!(hub.tasks().on_worker, [1, 1]);
}

#[tokio::test]
async fn a_server_that_is_stopped_at_once_leaves_no_port_open() {
    let (server, port) = (server(), free_port());
    let control = options::listen(([127, 0, 0, 1], 0).into()).unwrap();
    start_client("client", port, control.local_addr().unwrap()).await;
    let (stopper, stopping) = stopper();
    let env = Env::logging(Clock::start());
    let serving = tokio::spawn(serve(
        server.clone(),
        control,
        Workers::start(TWO).unwrap(),
        env,
        stopping,
    ));
    let open = async {
        while server.counters().sessions == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, open)
        .await
        .expect("a session");
    TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stopper.stop(Stop::Now);
    serving.await.unwrap();
    let closed = async {
        // A visitor that is reset at once was accepted by somebody.
        let refused = Err(io::ErrorKind::ConnectionRefused);
        let visit = async || TcpStream::connect(("127.0.0.1", port)).await;
        while visit().await.map_err(|error| error.kind()).map(drop) != refused {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, closed)
        .await
        .expect("nobody listens");
}
