//! Prints what Adit weighs and how much it carries: sizes of the programs,
//! memory when idle and with connections, and iperf3 through a tunnel against
//! iperf3 direct, in one run on one machine.
//!
//! ```sh
//! cargo build --release -p adit-server -p adit-client
//! cargo run -p adit-e2e --bin figures -- target/release
//! ```

use adit_e2e::adit::{SOON, Server, client, program, wait_served};
use adit_e2e::process::{Process, Recipe, attempt, run};
use adit_e2e::scene::Scene;
use adit_e2e::{ports, services, wait};
use serde_json::Value;
use std::env;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Connections that visitors keep open without using them.
const IDLE_STREAMS: usize = 1_000;
/// Visitors whose answers wait in Adit because nobody takes them.
const STALLED_STREAMS: usize = 200;
/// How often memory must look the same to count as settled.
const STEADY: u32 = 25;
/// Seconds that each measurement of iperf3 takes, without its first second.
const SECONDS: u32 = 5;

fn main() {
    if let Some(folder) = env::args().nth(1) {
        let status = Command::new(env::current_exe().expect("a program knows where it is"))
            .env("ADIT_BINS", folder)
            .status()
            .expect("it can start itself");
        std::process::exit(status.code().unwrap_or(1));
    }
    machine();
    sizes();
    memory();
    throughput(true);
    throughput(false);
}

fn machine() {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!(
        "FIGURE machine: {cores} cores,{}",
        model.trim_start_matches(['\t', ' ', ':'])
    );
}

fn sizes() {
    for name in ["adit-server", "adit-client"] {
        let path = program(name);
        let scene = Scene::new("sizes");
        let stripped = scene.path(name);
        let recipe = Recipe::new("strip").args(["-o", &stripped, &path.display().to_string()]);
        run("strip", SOON, &recipe);
        let size = |path: &Path| fs::metadata(path).map_or(0, |data| data.len());
        let mib = size(Path::new(&stripped)) as f64 / f64::from(1 << 20);
        println!("FIGURE size of {name}, stripped: {mib:.2} MiB");
    }
}

/// A tunnel without anything between server and client.
struct Tunnel {
    _scene: Scene,
    server: Server,
    client: Process,
    data: u16,
}

impl Tunnel {
    fn start(tls: bool, upstream: u16) -> Self {
        let scene = Scene::new("figures");
        let server = Server::start(&scene, "server", if tls { &[] } else { &["--tls", "off"] });
        let url = if tls {
            server.url()
        } else {
            server.url().replace("wss", "ws")
        };
        let (page, data) = (ports::free(), ports::free());
        let services = [(page, services::page(b"up".to_vec())), (data, upstream)];
        let client = scene.start("client", client(&scene, &url, &services, &[]));
        wait_served("the tunnel", page, "/");
        Self {
            _scene: scene,
            server,
            client,
            data,
        }
    }

    fn memory(&self, when: &str) {
        for (name, process) in [("server", &self.server.process), ("client", &self.client)] {
            println!(
                "FIGURE memory of the {name} {when}: {} resident, of it {} its own data",
                field(process, "VmRSS:"),
                field(process, "RssAnon:")
            );
        }
    }
}

/// A line of what the kernel says about a process.
fn field(process: &Process, name: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or("?").trim().to_owned()
}

fn memory() {
    let tunnel = Tunnel::start(true, services::echo());
    tunnel.memory("idle");
    let streams: Vec<TcpStream> = (0..IDLE_STREAMS)
        .map(|_| {
            let at = (Ipv4Addr::LOCALHOST, tunnel.data);
            let mut stream = TcpStream::connect(at).expect("the data plane listens");
            stream.write_all(b"?").expect("it takes bytes");
            stream.read_exact(&mut [0]).expect("they come back");
            stream
        })
        .collect();
    tunnel.memory(&format!("with {} idle streams", streams.len()));

    // An answer of more than all buffers on its way hold.
    let tunnel = Tunnel::start(true, services::page(vec![0; 32 << 20]));
    let stalled: Vec<TcpStream> = (0..STALLED_STREAMS)
        .map(|_| {
            let at = (Ipv4Addr::LOCALHOST, tunnel.data);
            let mut stream = TcpStream::connect(at).expect("the data plane listens");
            write!(stream, "GET / HTTP/1.0\r\n\r\n").expect("it takes bytes");
            stream
        })
        .collect();
    let (mut before, mut same) = (Vec::new(), 0);
    wait::until("memory to grow no more", SOON, || {
        let both = [&tunnel.server.process, &tunnel.client];
        let now = both.map(|process| field(process, "RssAnon:")).to_vec();
        same = if now == before { same + 1 } else { 0 };
        before = now;
        (same == STEADY).then_some(())
    });
    let stalled = stalled.len();
    tunnel.memory(&format!("with {stalled} visitors that read nothing"));
}

fn throughput(tls: bool) {
    let scene = Scene::new("iperf3");
    let port = ports::free();
    let args = ["-s", "-B", "127.0.0.1", "-p", &port.to_string()];
    let _server = scene.start("iperf3", Recipe::new("iperf3").args(args));
    wait::until("iperf3 to listen", SOON, || {
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()
    });
    let tunnel = Tunnel::start(tls, port);
    let between = if tls { "TLS" } else { "no TLS" };
    for (streams, back) in [(1, false), (1, true), (8, false), (8, true)] {
        let direct = iperf(port, streams, back);
        let tunnelled = iperf(tunnel.data, streams, back);
        let towards = if back {
            "from the service"
        } else {
            "to the service"
        };
        println!(
            "FIGURE iperf3 {towards}, {streams} streams, {between}: {tunnelled:.2} Gbit/s \
             through the tunnel, {direct:.2} direct"
        );
    }
    tunnel.memory(&format!("after iperf3, {between}"));
}

/// Gbit/s that arrived.
fn iperf(port: u16, streams: u32, back: bool) -> f64 {
    let args = ["-c", "127.0.0.1", "-p", &port.to_string(), "-J", "-O", "1"].map(str::to_owned);
    let mut recipe = Recipe::new("iperf3").args(args);
    recipe = recipe.args(["-t".to_owned(), SECONDS.to_string()]);
    recipe = recipe.args(["-P".to_owned(), streams.to_string()]);
    if back {
        recipe = recipe.args(["-R"]);
    }
    // A server that just ended a test refuses the next one for a moment.
    wait::until("iperf3 to be free", SOON, || {
        let report = attempt("iperf3", Duration::from_secs(60), &recipe).ok()?;
        let report: Value = serde_json::from_str(&report).ok()?;
        let rate = report.pointer("/end/sum_received/bits_per_second")?;
        Some(rate.as_f64()? / 1e9)
    })
}
