//! What each way to break a connection costs its users: when it is noticed, and
//! when the first byte flows again.

use adit_e2e::adit::{SOON, Server, client, wait_served};
use adit_e2e::process::{Process, Recipe};
use adit_e2e::relay::{Cut, Relay};
use adit_e2e::scene::Scene;
use adit_e2e::{ports, services, wait};
use std::io::{ErrorKind, Read, Write};
use std::iter;
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// A byte leaves the visitor so often.
const EVERY: Duration = Duration::from_millis(5);
/// So long nothing breaks, before and after.
const STEADY: Duration = Duration::from_millis(700);
/// After so much silence, with something on the way, a carrier is suspect.
const SUSPECT: Duration = Duration::from_secs(2);

/// The network of one measurement.
pub(crate) enum Network {
    Here(Relay),
    /// In a process of its own, on this port.
    Apart(Process, u16),
}

impl Network {
    pub(crate) fn start(scene: &Scene, target: u16, cut: Cut, round_trip: Duration) -> Self {
        if cut != Cut::Killed {
            return Self::Here(Relay::start(target, round_trip / 2));
        }
        let port = ports::free();
        let recipe =
            Recipe::new(env!("CARGO_BIN_EXE_relay")).args([port.to_string(), target.to_string()]);
        let process = scene.start("relay", recipe);
        wait::until("the relay to listen", SOON, || {
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()
        });
        Self::Apart(process, port)
    }

    pub(crate) const fn port(&self) -> u16 {
        match self {
            Self::Here(relay) => relay.port,
            Self::Apart(_, port) => *port,
        }
    }

    pub(crate) fn cut(&mut self, cut: Cut) {
        match self {
            Self::Here(relay) => relay.cut(cut),
            Self::Apart(process, _) => process.restart(),
        }
    }

    /// When the client dialled, the last time.
    fn dialled(&self) -> Option<Instant> {
        match self {
            Self::Here(relay) => relay.arrivals().last().copied(),
            Self::Apart(..) => None,
        }
    }
}

/// After what time a cut is noticed, and after what time the first byte sent after it is
/// back from the service.
fn cost(cut: Cut, round_trip: Duration) -> (Duration, Duration) {
    let scene = Scene::new("resume-cost");
    let server = Server::start(&scene, "server", &[]);
    let mut network = Network::start(&scene, server.control, cut, round_trip);
    let (data, page) = (ports::free(), ports::free());
    let url = format!("wss://127.0.0.1:{}", network.port());
    let services = [
        (data, services::echo()),
        (page, services::page(b"up".to_vec())),
    ];
    let client = scene.start("client", client(&scene, &url, &services, &[]));
    wait_served("the tunnel", page, "/");
    let visitor = TcpStream::connect((Ipv4Addr::LOCALHOST, data)).expect("it listens");
    visitor.set_nodelay(true).expect("a socket");
    visitor.set_read_timeout(Some(SOON)).expect("a socket");

    let (over, wait) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let (visitor, client) = (&visitor, &client);
        let writing = scope.spawn(move || {
            let mut writes = Vec::new();
            let mut to = visitor;
            while wait.recv_timeout(EVERY) == Err(mpsc::RecvTimeoutError::Timeout) {
                writes.push(Instant::now());
                to.write_all(b"x").expect("the connection stays");
            }
            visitor.shutdown(Shutdown::Write).expect("half-close");
            writes
        });
        let reading = scope.spawn(move || {
            let mut reads = Vec::new();
            let mut from = visitor;
            let mut bytes = [0; 4096];
            loop {
                match from.read(&mut bytes) {
                    Ok(0) => return reads,
                    Ok(n) => reads.extend(iter::repeat_n(Instant::now(), n)),
                    Err(e) => assert_eq!(e.kind(), ErrorKind::Interrupted, "it stays open"),
                }
            }
        });
        thread::sleep(STEADY);
        let at = Instant::now();
        network.cut(cut);
        let since = Instant::now();
        let noticed = wait::until("the cut to be noticed", SOON, || {
            let dialled = network.dialled().filter(|&dialled| dialled > at);
            let told = || client.log().contains("connection lost").then(Instant::now);
            dialled.or_else(told)
        });
        wait::until("the session to go on", SOON, || {
            let log = client.log();
            let goes_on = ["connected again", "on a second connection"];
            goes_on
                .iter()
                .any(|words| log.contains(words))
                .then_some(())
        });
        thread::sleep(STEADY);
        drop(over);
        let writes = writing.join().expect("all was sent");
        let reads = reading.join().expect("all came back");
        assert_eq!(reads.len(), writes.len());
        let (_, flows) = writes
            .into_iter()
            .zip(reads)
            .find(|&(sent, _)| sent > since)
            .expect("bytes are sent after the cut");
        (noticed - at, flows - at)
    })
}

#[test]
#[ignore = "a figure, best alone; .ci/run runs it"]
fn what_a_cut_costs() {
    let cuts = [
        Cut::Killed,
        Cut::Reset,
        Cut::End,
        Cut::StallUp,
        Cut::StallDown,
        Cut::Silence,
    ];
    let far = Duration::from_millis(100);
    let near = cuts.map(|cut| (cut, Duration::ZERO));
    let runs = near.into_iter().chain([
        (Cut::Reset, far),
        (Cut::End, far),
        (Cut::StallUp, far),
        (Cut::StallDown, far),
        (Cut::Silence, far),
    ]);
    for (cut, round_trip) in runs {
        let (noticed, flows) = cost(cut, round_trip);
        // What is promised: for a cut that both ends see, and for silence.
        let limit = match cut {
            Cut::Reset | Cut::End => Some(Duration::from_millis(100) + 5 * round_trip),
            Cut::Silence => Some(SUSPECT + Duration::from_secs(1) + 5 * round_trip),
            Cut::Killed | Cut::StallUp | Cut::StallDown => None,
        };
        let verdict = match limit {
            Some(limit) if flows > limit => format!("FAIL (limit {} ms)", limit.as_millis()),
            Some(limit) => format!("PASS (limit {} ms)", limit.as_millis()),
            None => "(no limit)".to_owned(),
        };
        println!(
            "FIGURE {verdict} {}, {} ms round trip: noticed after {} ms, first byte back after {} ms",
            cut.name(),
            round_trip.as_millis(),
            noticed.as_millis(),
            flows.as_millis(),
        );
    }
}
