//! What a transfer costs whatever the machine: system calls for each MiB, bytes on the wire for each of payload, and memory.

use adit_e2e::adit::{SOON, Server, client, wait_served};
use adit_e2e::process::{Process, Recipe, run};
use adit_e2e::scene::Scene;
use adit_e2e::wait::until;
use adit_e2e::{ports, services};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::thread;

const MIB: u64 = 1 << 20;
const SIZE: u64 = 1024 * MIB;
/// Bytes of a write by the ends.
const CHUNK: usize = 128 << 10;

/// Reads for each MiB of the socket that bulk comes from, and writes to the one it goes to, that each program may make.
const CALLS_PER_MIB: f64 = 20.0;
/// Bytes on the wire for a thousand of payload, in its direction and in the other.
const WIRE_PER_MILLE: [u64; 2] = [1_003, 1];
/// Small exchanges, the payload of each in either direction, and the bytes on the wire beside it, on average, in either.
const EXCHANGES: u64 = 1_000;
const SMALL: usize = 1_024;
const WIRE_BESIDE_SMALL: u64 = 120;
/// Resident memory of each program at its peak.
const PEAK_KIB: u64 = 48 * 1024;

/// Sends `SIZE` zeros to who sends a `d`; takes all that comes behind a `u`, and answers with a byte; sends back what comes behind an `e`.
fn service() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A connection that breaks fails the test at its other end.
            thread::spawn(move || drop(answer(stream)));
        }
    });
    port
}

fn answer(mut stream: TcpStream) -> io::Result<()> {
    let mut asked = [0];
    stream.read_exact(&mut asked)?;
    match &asked {
        b"d" => {
            send(&mut stream)?;
            stream.shutdown(Shutdown::Write)
        }
        b"u" => {
            take(&mut stream)?;
            stream.write_all(b".")
        }
        _ => {
            stream.set_nodelay(true)?;
            io::copy(&mut stream.try_clone()?, &mut stream).map(drop)
        }
    }
}

fn send(to: &mut TcpStream) -> io::Result<()> {
    let zeros = vec![0; CHUNK];
    for _ in 0..SIZE / CHUNK as u64 {
        to.write_all(&zeros)?;
    }
    Ok(())
}

fn take(from: &mut TcpStream) -> io::Result<u64> {
    let mut buffer = vec![0; CHUNK];
    let mut taken = 0;
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(taken),
            n => taken += n as u64,
        }
    }
}

/// A server, a client, and the port that leads to [`service`].
struct Tunnel {
    scene: Scene,
    server: Server,
    client: Process,
    data: u16,
}

impl Tunnel {
    fn start(name: &str) -> Self {
        let scene = Scene::new(name);
        let (data, page) = (ports::free(), ports::free());
        let server = Server::start(&scene, "server", &[]);
        let services = [(data, service()), (page, services::page(b"up".to_vec()))];
        let client = scene.start("client", client(&scene, &server.url(), &services, &[]));
        wait_served("the tunnel", page, "/");
        Self {
            scene,
            server,
            client,
            data,
        }
    }

    fn visit(&self, what: &[u8; 1]) -> TcpStream {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.data)).expect("it listens");
        stream.set_read_timeout(Some(SOON)).expect("a time limit");
        stream.set_nodelay(true).expect("an option");
        stream.write_all(what).expect("it is taken");
        stream
    }

    fn down(&self) {
        let mut stream = self.visit(b"d");
        assert_eq!(take(&mut stream).expect("all of it"), SIZE);
    }

    fn up(&self) {
        let mut stream = self.visit(b"u");
        send(&mut stream).expect("it is taken");
        stream.shutdown(Shutdown::Write).expect("the end");
        stream.read_exact(&mut [0]).expect("an answer");
    }

    fn programs(&self) -> [(&'static str, &Process); 2] {
        [("server", &self.server.process), ("client", &self.client)]
    }

    /// Bytes that the carrier has brought to the server, and taken to the client.
    fn carried(&self) -> [u64; 2] {
        let filter = format!("sport = :{}", self.server.control);
        let said = run(
            "ss",
            SOON,
            &Recipe::new("ss").args(["-HtinO", "state", "established", &filter]),
        );
        ["bytes_received:", "bytes_sent:"].map(|name| {
            let field = said
                .split_whitespace()
                .find_map(|word| word.strip_prefix(name));
            let number = field.and_then(|number| number.parse().ok());
            number.unwrap_or_else(|| panic!("no {name} in {said}"))
        })
    }

    /// What `transfer` puts on the carrier, from the client and from the server.
    fn on_the_wire(&self, transfer: impl FnOnce(&Self)) -> [u64; 2] {
        let before = self.carried();
        transfer(self);
        let after = self.carried();
        [0, 1].map(|at| after[at] - before[at])
    }
}

/// The system calls of a program, from now until they are asked for.
struct Trace {
    strace: Process,
    log: String,
}

/// How many there were.
struct Calls {
    /// On the socket that was read, and on the one that was written, most often.
    reads: u64,
    writes: u64,
    polls: u64,
}

const READS: [&str; 4] = ["read", "readv", "recvfrom", "recvmsg"];
const WRITES: [&str; 4] = ["write", "writev", "sendto", "sendmsg"];
const POLLS: [&str; 3] = ["epoll_wait", "epoll_pwait", "epoll_pwait2"];

impl Trace {
    fn start(scene: &Scene, name: &str, of: &Process) -> Self {
        let log = scene.path(&format!("{name}.calls"));
        let calls = [&READS[..], &WRITES, &POLLS].concat().join(",");
        let recipe = Recipe::new("strace")
            .args(["-f", "-s", "0", "-e", &format!("trace={calls}")])
            .args(["-o".to_owned(), log.clone()])
            .args(["-p".to_owned(), of.id().to_string()]);
        let strace = scene.start(&format!("{name}-strace"), recipe);
        until("strace to be attached", SOON, || {
            strace.log().contains("attached").then_some(())
        });
        Self { strace, log }
    }

    fn end(mut self) -> Calls {
        self.strace.signal(Signal::INT);
        until("strace to end", SOON, || self.strace.ended());
        let mut on_file: BTreeMap<(bool, u32), u64> = BTreeMap::new();
        let mut polls = 0;
        for line in fs::read_to_string(&self.log).expect("its log").lines() {
            // "1234  recvfrom(9, ..."
            let call = line
                .split_once(' ')
                .and_then(|(_, rest)| rest.trim().split_once('('));
            let Some((name, rest)) = call else { continue };
            if POLLS.contains(&name) {
                polls += 1;
                continue;
            }
            let file = rest
                .split(',')
                .next()
                .and_then(|file| file.trim().parse().ok());
            if let Some(file) = file {
                *on_file.entry((READS.contains(&name), file)).or_default() += 1;
            }
        }
        let most = |reads: bool| {
            let files = on_file.iter().filter(|((is_read, _), _)| *is_read == reads);
            files.map(|(_, calls)| *calls).max().unwrap_or_default()
        };
        Calls {
            reads: most(true),
            writes: most(false),
            polls,
        }
    }
}

#[test]
#[ignore = "needs strace; .ci/run runs it"]
fn a_gib_each_way_takes_few_system_calls() {
    let tunnel = Tunnel::start("calls");
    for way in ["down", "up"] {
        let traces = tunnel.programs().map(|(name, program)| {
            let name = format!("{name}-{way}");
            Trace::start(&tunnel.scene, &name, program)
        });
        match way {
            "down" => tunnel.down(),
            _ => tunnel.up(),
        }
        for ((program, _), trace) in tunnel.programs().into_iter().zip(traces) {
            let calls = trace.end();
            let [reads, writes, polls] = [calls.reads, calls.writes, calls.polls]
                .map(|calls| calls as f64 / (SIZE / MIB) as f64);
            println!(
                "FIGURE system calls per MiB, 1 stream {way}, {program}: {reads:.1} reads, {writes:.1} writes, {polls:.1} polls"
            );
            assert!(reads > 1.0 && writes > 1.0, "they were not counted");
            assert!(reads <= CALLS_PER_MIB, "{reads} reads");
            assert!(writes <= CALLS_PER_MIB, "{writes} writes");
        }
    }
}

#[test]
#[ignore = "needs ss; .ci/run runs it"]
fn a_gib_each_way_is_little_more_on_the_wire_and_fits_into_48_mib() {
    let tunnel = Tunnel::start("wire");
    // Bulk that goes down to the visitor is what the client sends.
    let [down, back] = tunnel.on_the_wire(Tunnel::down);
    let [forth, up] = tunnel.on_the_wire(Tunnel::up);
    for (way, along, against) in [("down", down, back), ("up", up, forth)] {
        let part = |bytes: u64| bytes as f64 * 1_000.0 / SIZE as f64;
        println!(
            "FIGURE on the wire, for 1,000 bytes of bulk {way}: {:.3}, and {:.3} back",
            part(along),
            part(against)
        );
        let [along_max, against_max] = WIRE_PER_MILLE.map(|per_mille| SIZE / 1_000 * per_mille);
        assert!(along > SIZE && along <= along_max, "{along}");
        assert!(against <= against_max, "{against}");
    }
    for (name, program) in tunnel.programs() {
        let status = fs::read_to_string(format!("/proc/{}/status", program.id()));
        let status = status.expect("it runs");
        let mut words = status
            .lines()
            .filter_map(|line| line.strip_prefix("VmHWM:"));
        let peak: u64 = words
            .next()
            .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
            .expect("its peak");
        println!("FIGURE peak memory after 1 GiB each way, {name}: {peak} KiB");
        assert!(peak <= PEAK_KIB, "{name}: {peak} KiB");
    }
}

#[test]
#[ignore = "needs ss; .ci/run runs it"]
fn a_small_exchange_is_little_more_on_the_wire() {
    let tunnel = Tunnel::start("small");
    let mut stream = tunnel.visit(b"e");
    let (mut words, mut back) = ([7; SMALL], [0; SMALL]);
    let wire = tunnel.on_the_wire(|_| {
        for number in 0..EXCHANGES {
            words[0] = number as u8;
            stream.write_all(&words).expect("it is taken");
            stream.read_exact(&mut back).expect("it comes back");
            assert_eq!(back, words);
        }
    });
    for (way, bytes) in ["from the client", "from the server"].into_iter().zip(wire) {
        let beside = bytes / EXCHANGES - SMALL as u64;
        println!("FIGURE on the wire beside 1 KiB and its echo, {way}: {beside} bytes");
        assert!(beside <= WIRE_BESIDE_SMALL, "{way}: {beside}");
    }
}
