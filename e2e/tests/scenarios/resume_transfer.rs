//! 1 GiB in each direction of one connection while the carrier under it is
//! cut a hundred times, at random byte counts, in every way that networks have.

use adit_e2e::adit::{SOON, Server, client, wait_served};
use adit_e2e::noise::{self, MIB, Noise};
use adit_e2e::ports;
use adit_e2e::process::{Process, Recipe};
use adit_e2e::relay::Cut;
use adit_e2e::scene::Scene;
use adit_e2e::{services, wait};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const SIZE: usize = 1024;
/// Cuts of each kind.
const EACH: usize = 20;
/// A carrier lives for at most so many bytes: all cuts together need fewer than
/// are sent.
const LIFE: u64 = 30 << 20;
/// No end of a connection may wait so long for a byte: far more than a cut costs.
const STUCK: Duration = Duration::from_secs(60);

/// What a relay is to do, in random order. One cut in four comes early: in TLS, in
/// the handshake, or soon after it.
fn plan(noise: &mut Noise) -> Vec<(Cut, u64)> {
    let mut plan = Vec::new();
    for turn in 0..EACH {
        let stall = if turn % 2 == 0 {
            Cut::StallUp
        } else {
            Cut::StallDown
        };
        for cut in [Cut::Killed, Cut::Reset, Cut::End, stall, Cut::Silence] {
            let most = if noise.below(4) == 0 { 20_000 } else { LIFE };
            plan.push((cut, 1 + noise.below(most)));
        }
    }
    noise.shuffle(&mut plan);
    plan
}

/// The relay's process, started anew whenever it is killed.
struct Network<'a> {
    scene: &'a Scene,
    port: u16,
    target: u16,
    /// What is left to do, in the order of the process's arguments.
    left: Vec<(Cut, u64)>,
    done: BTreeMap<Cut, usize>,
    process: Process,
    runs: usize,
}

impl<'a> Network<'a> {
    fn start(scene: &'a Scene, target: u16, plan: Vec<(Cut, u64)>) -> Self {
        let port = ports::free();
        let process = Self::run(scene, port, target, &plan, 0);
        Self {
            scene,
            port,
            target,
            left: plan,
            done: BTreeMap::new(),
            process,
            runs: 0,
        }
    }

    fn run(scene: &Scene, port: u16, target: u16, plan: &[(Cut, u64)], run: usize) -> Process {
        let entry = |&(cut, after): &(Cut, u64)| format!("{}:{after}", cut.name());
        let recipe = Recipe::new(env!("CARGO_BIN_EXE_relay"))
            .args([port.to_string(), target.to_string()])
            .args(plan.iter().map(entry));
        scene.start(&format!("relay-{run}"), recipe)
    }

    /// Follows what the process did; starts another if it died.
    fn follow(&mut self) {
        if self.process.ended().is_none() {
            return;
        }
        self.count();
        self.runs += 1;
        self.process = Self::run(self.scene, self.port, self.target, &self.left, self.runs);
    }

    /// Takes from the plan what has happened.
    fn count(&mut self) {
        let log = self.process.log();
        let mut happened: Vec<usize> = log.lines().map(|n| n.parse().expect("a number")).collect();
        happened.sort_unstable();
        for number in happened.into_iter().rev() {
            let (cut, _) = self.left.remove(number);
            *self.done.entry(cut).or_default() += 1;
        }
    }
}

/// Says that it is over, also when an assertion fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Sends and receives on one end at once; returns both sums.
fn both_ways(stream: &TcpStream, seed: u64) -> ([u8; 32], [u8; 32]) {
    stream.set_read_timeout(Some(STUCK)).expect("a time limit");
    stream.set_write_timeout(Some(STUCK)).expect("a time limit");
    thread::scope(|scope| {
        let sending = scope.spawn(move || {
            let sum = noise::send(seed, SIZE, stream).expect("every byte is taken");
            stream.shutdown(Shutdown::Write).expect("and the end");
            sum
        });
        let (bytes, received) = noise::receive(stream).expect("every byte comes, then the end");
        assert_eq!(bytes, SIZE * MIB);
        (sending.join().expect("it was sent"), received)
    })
}

#[test]
#[ignore = "needs Adit's programs; .ci/run runs it"]
fn a_gib_each_way_survives_a_hundred_cuts() {
    let scene = Scene::new("resume-transfer");
    let seed = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(1, |time| u64::from(time.subsec_nanos()));
    println!("seed {seed}");
    let plan = plan(&mut Noise::new(seed));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let upstream = listener.local_addr().expect("bound").port();
    let server = Server::start(&scene, "server", &[]);
    let mut network = Network::start(&scene, server.control, plan);
    let (data, page) = (ports::free(), ports::free());
    let url = format!("wss://127.0.0.1:{}", network.port);
    let services = [(data, upstream), (page, services::page(b"up".to_vec()))];
    let _client = scene.start("client", client(&scene, &url, &services, &[]));

    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let following = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                network.follow();
                thread::sleep(Duration::from_millis(5));
            }
            network.count();
            network.done
        });
        let ending = Over(&over);
        wait_served("the tunnel", page, "/");
        let start = Instant::now();
        let visitor = wait::until("the port to listen", SOON, || {
            TcpStream::connect((Ipv4Addr::LOCALHOST, data)).ok()
        });
        let there = scope.spawn(|| {
            let (stream, _) = listener.accept().expect("a connection");
            both_ways(&stream, 1)
        });
        let (sent_here, received_here) = both_ways(&visitor, 2);
        let (sent_there, received_there) = there.join().expect("the upstream's end");
        let took = start.elapsed();
        drop(ending);
        let done = following.join().expect("the relay's end");
        assert_eq!(received_there, sent_here, "SHA-256 towards the service");
        assert_eq!(received_here, sent_there, "SHA-256 from the service");
        let count = |cuts: &[Cut]| cuts.iter().filter_map(|cut| done.get(cut)).sum::<usize>();
        let counts = [
            ("relay killed", count(&[Cut::Killed])),
            ("RST", count(&[Cut::Reset])),
            ("FIN", count(&[Cut::End])),
            ("one-way stall", count(&[Cut::StallUp, Cut::StallDown])),
            ("silence", count(&[Cut::Silence])),
        ];
        println!(
            "FIGURE 1 GiB each way in {} s through {counts:?} cuts",
            took.as_secs()
        );
        assert!(counts.iter().all(|&(_, n)| n >= EACH), "{counts:?}");
    });
}
