//! Every runtime's server with every runtime's client: bulk, many streams, half-close, and a carrier that is cut.

mod work;

use adit_e2e::adit::{Server, client_of};
use adit_e2e::process::Process;
use adit_e2e::relay::Relay;
use adit_e2e::scene::Scene;
use adit_e2e::{ports, services, wait};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// Streams that are open at once.
const STREAMS: usize = 1_000;

/// Threads of a program at most, however many streams it has: sessions, look-ups, signals.
const THREADS_MAX: usize = 8;

/// A server and a client with a relay between them.
struct Pair {
    relay: Relay,
    server: Server,
    client: Process,
    /// Where visitors get back what they sent, as they send it.
    echo: u16,
    /// Where they get an answer once they have ended.
    reply: u16,
    _scene: Scene,
}

impl Pair {
    fn start(server: &str, client: &str) -> Self {
        let scene = Scene::new(&format!("interop-{server}-{client}"));
        let server = Server::of(server, &scene, "server", &[]);
        let relay = Relay::start(server.control, Duration::ZERO);
        let (echo, reply) = (ports::free(), ports::free());
        let services = [
            (echo, services::echo()),
            (reply, services::reply_after_the_end()),
        ];
        let url = format!("wss://127.0.0.1:{}", relay.port);
        let client = scene.start("client", client_of(client, &scene, &url, &services, &[]));
        wait::until("the tunnel", adit_e2e::adit::SOON, || {
            TcpStream::connect((Ipv4Addr::LOCALHOST, reply)).ok()
        });
        Self {
            relay,
            server,
            client,
            echo,
            reply,
            _scene: scene,
        }
    }

    fn work(&self) {
        work::bulk(self.echo);
        work::half_close(self.reply);
        work::cut(self.echo, &self.relay);
        let streams = work::many(self.echo, STREAMS);
        for process in [&self.server.process, &self.client] {
            let threads = process.threads();
            let name = process.name();
            println!("FIGURE {name}: {threads} threads for {STREAMS} streams");
        }
        drop(streams);
    }

    /// For programs without an async runtime, whose threads are all Adit's own.
    fn count_threads(&self) {
        let streams = work::many(self.echo, STREAMS);
        for process in [&self.server.process, &self.client] {
            let threads = process.threads();
            assert!(threads <= THREADS_MAX, "{}: {threads}", process.name());
        }
        drop(streams);
    }
}

/// The name of a program on another runtime.
fn on(kind: &str, runtime: &str) -> String {
    match runtime {
        "tokio" => format!("adit-{kind}"),
        other => format!("adit-{kind}-{other}"),
    }
}

macro_rules! pairs {
    ($($name:ident: $server:literal $client:literal)*) => {
        $(
            #[test]
            #[ignore = "needs Adit's programs; .ci/run runs it"]
            fn $name() {
                Pair::start(&on("server", $server), &on("client", $client)).work();
            }
        )*
    };
}

pairs! {
    tokio_to_tokio: "tokio" "tokio"
    tokio_to_smol: "tokio" "smol"
    tokio_to_async_std: "tokio" "async-std"
    tokio_to_blocking: "tokio" "blocking"
    smol_to_tokio: "smol" "tokio"
    smol_to_smol: "smol" "smol"
    smol_to_async_std: "smol" "async-std"
    smol_to_blocking: "smol" "blocking"
    async_std_to_tokio: "async-std" "tokio"
    async_std_to_smol: "async-std" "smol"
    async_std_to_async_std: "async-std" "async-std"
    async_std_to_blocking: "async-std" "blocking"
    blocking_to_tokio: "blocking" "tokio"
    blocking_to_smol: "blocking" "smol"
    blocking_to_async_std: "blocking" "async-std"
    blocking_to_blocking: "blocking" "blocking"
}

#[test]
#[ignore = "needs Adit's programs; .ci/run runs it"]
fn without_a_runtime_a_thousand_streams_need_no_more_threads() {
    let blocking = [on("server", "blocking"), on("client", "blocking")];
    Pair::start(&blocking[0], &blocking[1]).count_threads();
}
