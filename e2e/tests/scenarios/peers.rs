//! What a broken connection does to whoever uses a tunnel: the same test through Adit and
//! through others, as careful people run them. docs/outages.md has the table.

use super::resume_cost::Network;
use super::resume_ssh::{keys, sshd};
use adit_e2e::adit::{Server, client};
use adit_e2e::noise;
use adit_e2e::process::{Process, Recipe};
use adit_e2e::relay::Cut;
use adit_e2e::scene::Scene;
use adit_e2e::{ports, services};
use std::env;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

/// MiB of the transfer that is cut.
const SIZE: usize = 24;
/// It takes so long if nothing breaks: between two MiB, it waits.
const PAUSE: Duration = Duration::from_millis(60);
/// When its connection is cut.
const CUT_AFTER: Duration = Duration::from_millis(500);
/// A visitor comes so long after the cut.
const COMES_AFTER: Duration = Duration::from_millis(200);
/// Who has heard nothing for so long has lost its connection, whether it is told or not.
const STUCK: Duration = Duration::from_secs(25);
/// One attempt to be served. An sshd that has something to do does not notice that its client is gone, so
/// attempts must not come thick and fast.
const ATTEMPT: Duration = Duration::from_secs(7);

const CUTS: [Cut; 6] = [
    Cut::Killed,
    Cut::Reset,
    Cut::End,
    Cut::StallUp,
    Cut::StallDown,
    Cut::Silence,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tunnel {
    Adit,
    OpenSsh,
    Rathole,
}

/// What became of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Whole,
    Broken,
    /// It is open, and nothing comes.
    Stuck,
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Whole => "whole",
            Self::Broken => "broken",
            Self::Stuck => "stuck, never told",
        })
    }
}

impl From<&io::Error> for Fate {
    fn from(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Self::Stuck,
            _ => Self::Broken,
        }
    }
}

#[derive(Debug)]
struct Outcome {
    transfer: Fate,
    idle: Fate,
    visitor: Fate,
    served_after: Option<Duration>,
}

/// A tunnel between `data` and an echo service, over a network that can break.
struct Setup {
    network: Network,
    data: u16,
    _processes: Vec<Process>,
    _server: Option<Server>,
    _scene: Scene,
}

impl Setup {
    fn start(tunnel: Tunnel, cut: Cut) -> Self {
        let scene = Scene::new(&format!("peers-{tunnel:?}-{}", cut.name()));
        let (data, service) = (ports::free(), services::echo());
        let mut server = None;
        let mut processes = Vec::new();
        let network = |target| Network::start(&scene, target, cut, Duration::ZERO);
        let network = match tunnel {
            Tunnel::Adit => {
                let adit = Server::start(&scene, "server", &[]);
                let network = network(adit.control);
                let url = format!("wss://127.0.0.1:{}", network.port());
                let client = client(&scene, &url, &[(data, service)], &[]);
                processes.push(scene.start("client", client));
                server = Some(adit);
                network
            }
            Tunnel::OpenSsh => {
                let control = ports::free();
                keys(&scene);
                // Both ends notice a dead connection after 10 s, which is quick among those who use this.
                let alive = "ClientAliveInterval 5\nClientAliveCountMax 2\n";
                processes.push(sshd(&scene, control, alive));
                let network = network(control);
                processes.push(scene.start("client", ssh(&scene, network.port(), data, service)));
                network
            }
            Tunnel::Rathole => {
                let control = ports::free();
                processes.push(rathole(
                    &scene,
                    "server",
                    &format!(
                        "[server]\nbind_addr = \"127.0.0.1:{control}\"\ndefault_token = \"a token\"\n\
                         heartbeat_interval = 5\n[server.services.echo]\nbind_addr = \"127.0.0.1:{data}\"\n"
                    ),
                ));
                let network = network(control);
                let port = network.port();
                processes.push(rathole(
                    &scene,
                    "client",
                    &format!(
                        "[client]\nremote_addr = \"127.0.0.1:{port}\"\ndefault_token = \"a token\"\n\
                         heartbeat_timeout = 10\n[client.services.echo]\nlocal_addr = \"127.0.0.1:{service}\"\n"
                    ),
                ));
                network
            }
        };
        Self {
            network,
            data,
            _processes: processes,
            _server: server,
            _scene: scene,
        }
    }

    /// A connection whose reads and writes take no longer than `limit`.
    fn connect(&self, limit: Duration) -> io::Result<TcpStream> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.data))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(limit))?;
        stream.set_write_timeout(Some(limit))?;
        Ok(stream)
    }

    /// How long it takes until somebody new is served; nothing if nobody is for long.
    fn served(&self) -> Option<Duration> {
        let start = Instant::now();
        loop {
            let attempt = self.connect(ATTEMPT).map(|stream| echo(&stream));
            if matches!(attempt, Ok(Fate::Whole)) {
                return Some(start.elapsed());
            }
            if start.elapsed() > 2 * STUCK {
                return None;
            }
            // The port may be closed, and then answers at once.
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Restarted when it ends, as by a service manager.
fn ssh(scene: &Scene, server: u16, data: u16, service: u16) -> Recipe {
    let user = env::var("USER").unwrap_or_else(|_| "root".to_owned());
    let command = format!(
        "while :; do ssh -F none -N -T -p {server} -i '{}' -o UserKnownHostsFile='{}' \
         -o StrictHostKeyChecking=no -o BatchMode=yes -o ServerAliveInterval=5 \
         -o ServerAliveCountMax=2 -o ExitOnForwardFailure=yes -o ConnectTimeout=5 -l {user} \
         -R 127.0.0.1:{data}:127.0.0.1:{service} 127.0.0.1; sleep 1; done",
        scene.path("user"),
        scene.path("known_hosts"),
    );
    Recipe::new("sh").args(["-c", &command])
}

fn rathole(scene: &Scene, name: &str, config: &str) -> Process {
    let config = scene.file(&format!("{name}.toml"), config);
    scene.start(name, Recipe::new(peer("rathole")).args([config]))
}

/// A program that `benches/peers` has installed.
fn peer(name: &str) -> PathBuf {
    let folder = env::var_os("ADIT_PEERS").expect(
        "ADIT_PEERS names the folder into which other tunnels were installed: run benches/peers FOLDER",
    );
    let program = PathBuf::from(folder).join("bin").join(name);
    assert!(
        program.exists(),
        "{} is missing: run benches/peers",
        program.display()
    );
    program
}

/// Whether a word comes back.
fn echo(mut stream: &TcpStream) -> Fate {
    let mut word = [0; 5];
    let result = stream
        .write_all(b"hello")
        .and_then(|()| stream.read_exact(&mut word));
    match result {
        Ok(()) if word == *b"hello" => Fate::Whole,
        Ok(()) => Fate::Broken,
        Err(error) => Fate::from(&error),
    }
}

/// Writes with pauses, so that a cut falls into the middle.
struct Paced<'a>(&'a TcpStream);

impl Write for Paced<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.0.write(bytes)?;
        let share = u32::try_from(written).unwrap_or(u32::MAX);
        thread::sleep(PAUSE * share / (1 << 20));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Sends noise and takes it back.
fn transfer(stream: &TcpStream) -> Fate {
    thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let sum = noise::send(7, SIZE, Paced(stream))?;
            stream.shutdown(Shutdown::Write)?;
            Ok::<_, io::Error>(sum)
        });
        let received = noise::receive(stream);
        match (sending.join().expect("no panic"), received) {
            (Ok(sent), Ok((_, sum))) if sent == sum => Fate::Whole,
            (_, Err(error)) | (Err(error), _) => Fate::from(&error),
            _ => Fate::Broken,
        }
    })
}

fn run(tunnel: Tunnel, cut: Cut) -> Outcome {
    let mut setup = Setup::start(tunnel, cut);
    setup.served().expect("it works before the cut");
    let idle = setup.connect(STUCK).expect("it listens");
    assert_eq!(echo(&idle), Fate::Whole, "before the cut");
    let cut_one = setup.connect(STUCK).expect("it listens");
    thread::scope(|scope| {
        let transfer = scope.spawn(|| transfer(&cut_one));
        thread::sleep(CUT_AFTER);
        setup.network.cut(cut);
        let cut_at = Instant::now();
        let setup = &setup;
        let visitor = scope.spawn(move || {
            thread::sleep(COMES_AFTER);
            match setup.connect(STUCK) {
                Ok(stream) => echo(&stream),
                Err(error) => Fate::from(&error),
            }
        });
        let served_after = setup.served().map(|_| cut_at.elapsed());
        Outcome {
            idle: echo(&idle),
            transfer: transfer.join().expect("no panic"),
            visitor: visitor.join().expect("no panic"),
            served_after,
        }
    })
}

#[test]
#[ignore = "needs OpenSSH and rathole; .ci/run runs it"]
fn a_cut_that_breaks_the_connections_of_others_is_a_pause_here() {
    // Before anything takes its time.
    peer("rathole");
    for tunnel in [Tunnel::Adit, Tunnel::OpenSsh, Tunnel::Rathole] {
        // They wait for most of the time.
        let outcomes = thread::scope(|scope| {
            CUTS.map(|cut| (cut, scope.spawn(move || run(tunnel, cut))))
                .map(|(cut, outcome)| (cut, outcome.join().expect("it says why")))
        });
        for (cut, outcome) in &outcomes {
            println!(
                "FIGURE {tunnel:?}, {}: transfer {}, idle connection {}, visitor 0.2 s later {}, new ones served {}",
                cut.name(),
                outcome.transfer,
                outcome.idle,
                outcome.visitor,
                outcome.served_after.map_or_else(
                    || format!("not within {} s", 2 * STUCK.as_secs()),
                    |after| format!("after {:.1} s", after.as_secs_f64())
                ),
            );
        }
        for (cut, outcome) in outcomes {
            let what = format!("{tunnel:?}, {}: {outcome:?}", cut.name());
            let whole = [outcome.transfer, outcome.idle].map(|fate| fate == Fate::Whole);
            match tunnel {
                Tunnel::Adit => {
                    assert_eq!(whole, [true, true], "{what}");
                    assert_eq!(outcome.visitor, Fate::Whole, "{what}");
                }
                // Were it otherwise, docs/outages.md would have to say so.
                Tunnel::OpenSsh | Tunnel::Rathole => {
                    assert_eq!(whole, [false, false], "{what}");
                }
            }
        }
    }
}
