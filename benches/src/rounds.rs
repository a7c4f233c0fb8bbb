//! Runs workloads over tunnels in turns: in each round every network and on it every tunnel is started anew (for idle streams once more), and each
//! workload goes through all of them before the next one begins, so that a machine that grows slow
//! grows slow for all. Their order changes from round to round.

use crate::account;
use crate::figures::Figures;
use crate::load::{Span, Work};
use crate::network::{Net, Network};
use crate::tunnels::{DIRECT, Place, Programs, Side, Tunnel};
use crate::workloads::Workload;
use adit_e2e::ports;
use serde_json::Value;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a tunnel may take to be up.
const START: Duration = Duration::from_secs(60);
/// Time between two looks whether it is.
const LOOK: Duration = Duration::from_millis(20);
/// How long a run may take beyond its span.
const PATIENCE: Duration = Duration::from_secs(60);
/// After how long memory should have been returned.
const RETURNED: Duration = Duration::from_secs(60);

/// What is to be run.
#[derive(Debug)]
pub struct Plan {
    /// The tunnels.
    pub tunnels: Vec<&'static Tunnel>,
    /// The workloads.
    pub workloads: Vec<&'static Workload>,
    /// Where the tunnels' programs are.
    pub programs: Programs,
    /// The program that is upstream and visitors.
    pub compare: PathBuf,
    /// How often.
    pub rounds: usize,
    /// For how long each.
    pub span: Span,
    /// Whether to wait for memory to be returned after idle streams were closed.
    pub wait_for_memory: bool,
}

/// A process that ends with its owner.
#[derive(Debug)]
struct Owned(Child);

impl Owned {
    fn has_ended(&mut self) -> bool {
        self.0.try_wait().is_ok_and(|status| status.is_some())
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // One that has ended by itself can't be killed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A network with the upstream on it.
struct Stage {
    net: Net,
    /// Ports of 127.0.0.1 on the client's side: bulk, HTTP.
    upstreams: [u16; 2],
    _upstream: Owned,
}

/// A tunnel that is up.
#[derive(Debug)]
struct Up {
    tunnel: &'static Tunnel,
    parts: Vec<(Side, Owned)>,
    /// Where visitors come: bulk, HTTP.
    visitors: [SocketAddr; 2],
    _relay: Option<Owned>,
    _folder: TempDir,
}

/// Runs the plan. What can't be started or fails is in the figures' failures, and `told` of it.
pub fn run(plan: &Plan, told: &mut dyn FnMut(&str)) -> Figures {
    let mut run = Run {
        plan,
        told,
        figures: Figures::default(),
        round: 0,
    };
    let mut networks: Vec<Network> = Vec::new();
    for workload in &plan.workloads {
        if !networks.contains(&workload.network) {
            networks.push(workload.network);
        }
    }
    for round in 0..plan.rounds {
        run.round = round;
        for network in &networks {
            match Stage::start(*network, plan) {
                Ok(stage) => run.on(*network, &stage),
                Err(error) => run.fail(format!("{network}: {error}")),
            }
        }
    }
    run.figures
}

/// A run, and what has come of it.
struct Run<'a> {
    plan: &'a Plan,
    told: &'a mut dyn FnMut(&str),
    figures: Figures,
    round: usize,
}

impl Run<'_> {
    /// All workloads of one network, for one round.
    fn on(&mut self, network: Network, stage: &Stage) {
        let plan = self.plan;
        let workloads: Vec<_> = plan
            .workloads
            .iter()
            .filter(|workload| workload.network == network)
            .collect();
        let mut up: Vec<Option<Up>> = Vec::new();
        for tunnel in &plan.tunnels {
            let always = tunnel.sessions == 1;
            if always && workloads.iter().any(|work| tunnel.is_for(work.name)) {
                up.push(self.start(tunnel, stage));
            }
        }
        if !up.is_empty() {
            let turn = self.round % up.len();
            up.rotate_left(turn);
        }
        for workload in workloads {
            for slot in &mut up {
                let Some(tunnel) = slot.as_ref().map(|up| up.tunnel) else {
                    continue;
                };
                if !tunnel.is_for(workload.name) {
                    continue;
                }
                // Memory that earlier work left behind would hide what idle streams take.
                if matches!(workload.work, Work::Idle { .. }) {
                    *slot = None;
                    *slot = self.start(tunnel, stage);
                }
                if let Some(up) = slot {
                    self.measure(stage, up, workload);
                }
            }
            // What is as much as all others together is there only while it is measured.
            for tunnel in &plan.tunnels {
                if tunnel.sessions > 1
                    && tunnel.is_for(workload.name)
                    && let Some(up) = self.start(tunnel, stage)
                {
                    self.measure(stage, &up, workload);
                }
            }
        }
    }

    fn start(&mut self, tunnel: &'static Tunnel, stage: &Stage) -> Option<Up> {
        Up::start(tunnel, self.plan, stage)
            .map_err(|error| self.fail(format!("{}: {error}", tunnel.name)))
            .ok()
    }

    fn measure(&mut self, stage: &Stage, up: &Up, workload: &Workload) {
        let name = up.tunnel.name;
        match up.measure(stage, workload, self.plan) {
            Ok(outcome) => {
                for (figure, value) in &outcome {
                    self.figures
                        .add(self.round, [workload.name, name, figure], *value);
                }
                let first = workload.figures.first().copied().unwrap_or_default();
                let value = outcome.iter().find(|(figure, _)| figure == first);
                let value = value.map_or(f64::NAN, |(_, value)| *value);
                (self.told)(&format!(
                    "round {}: {}, {name}: {value:.3} {first}",
                    self.round + 1,
                    workload.name
                ));
            }
            Err(error) => self.fail(format!("{} over {name}: {error}", workload.name)),
        }
    }

    fn fail(&mut self, what: String) {
        (self.told)(&format!("FAILED {what}"));
        if !self.figures.failures.contains(&what) {
            self.figures.failures.push(what);
        }
    }
}

fn wait_for(what: &str, mut there: impl FnMut() -> bool) -> io::Result<()> {
    let start = Instant::now();
    while !there() {
        if start.elapsed() > START {
            return Err(io::Error::other(format!("{what} did not come up")));
        }
        thread::sleep(LOOK);
    }
    Ok(())
}

impl Stage {
    fn start(network: Network, plan: &Plan) -> io::Result<Self> {
        let net = Net::start(network, &plan.compare)?;
        let upstreams = [ports::free(), ports::free()];
        let mut command = Command::new(&plan.compare);
        // On a link, direct's visitors come from the other end.
        let everywhere = net.listen(Side::Client, 0).ip() != Ipv4Addr::LOCALHOST;
        let ip = if everywhere { "0.0.0.0" } else { "127.0.0.1" };
        command
            .arg("upstream")
            .args(upstreams.map(|port| format!("{ip}:{port}")));
        let upstream = Owned(net.place(Side::Client, &command).spawn()?);
        for port in upstreams {
            let at = net.listen(Side::Client, port);
            wait_for("the upstream", || net.connect(Side::Client, at).is_ok())?;
        }
        Ok(Self {
            net,
            upstreams,
            _upstream: upstream,
        })
    }

    /// Asks for a page of one byte by HTTP: whether the whole way to the upstream is open.
    fn served(&self, at: SocketAddr) -> bool {
        let said = self.ask(at, "/1");
        said.is_ok_and(|said| said.starts_with("HTTP/1.1 200"))
    }

    /// How many sessions a server tells its operator of.
    fn sessions(&self, admin: u16) -> usize {
        let at = (Ipv4Addr::LOCALHOST, admin).into();
        let said = self.ask(at, "/metrics").unwrap_or_default();
        let mut lines = said.lines();
        let count = lines.find_map(|line| line.strip_prefix("adit_sessions "));
        count.and_then(|count| count.parse().ok()).unwrap_or(0)
    }

    fn ask(&self, at: SocketAddr, path: &str) -> io::Result<String> {
        let mut stream = self.net.connect(Side::Server, at)?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: adit\r\nConnection: close\r\n\r\n")?;
        let mut said = Vec::new();
        // Whoever keeps the connection has said all when the time is up.
        let _ = stream.read_to_end(&mut said);
        Ok(String::from_utf8_lossy(&said).into_owned())
    }
}

impl Up {
    fn start(tunnel: &'static Tunnel, plan: &Plan, stage: &Stage) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let (net, upstreams) = (&stage.net, stage.upstreams);
        let visitors = [ports::free(), ports::free()];
        let control = tunnel.control.unwrap_or_else(ports::free);
        let place = Place {
            folder: folder.path(),
            programs: &plan.programs,
            visitors,
            upstreams,
            between: [control, ports::free()],
            admin: ports::free(),
            net,
        };
        let direct = tunnel.name == DIRECT;
        let relayed = if direct { upstreams } else { place.between };
        let relay = net.relay(&relayed).map(|mut relay| relay.spawn());
        let relay = relay.transpose()?.map(Owned);
        let visitors = if direct {
            upstreams.map(|port| net.dial(Side::Client, port))
        } else {
            visitors.map(|port| (Ipv4Addr::LOCALHOST, port).into())
        };
        let mut parts = Vec::new();
        for (at, part) in (tunnel.parts)(&place)?.into_iter().enumerate() {
            let path = folder.path().join(format!("{at}.log"));
            let log = File::create(&path)?;
            let mut command = net.place(part.side, &part.command);
            command
                .current_dir(folder.path())
                .stdin(Stdio::null())
                .stdout(log.try_clone()?)
                .stderr(log);
            let mut process = Owned(command.spawn()?);
            if let Some(at) = part.listens {
                let mut up = false;
                wait_for("a part", || {
                    up = net.connect(part.side, at).is_ok();
                    up || process.has_ended()
                })
                .and_then(|()| up.then_some(()).ok_or_else(|| io::Error::other("a part ended")))
                .map_err(|error| with_log(&error, &path))?;
            }
            parts.push((part.side, process));
        }
        let log = |error| with_log(&error, &folder.path().join("1.log"));
        wait_for("the tunnel", || stage.served(visitors[1])).map_err(log)?;
        if tunnel.sessions > 1 {
            let all = || stage.sessions(place.admin) >= tunnel.sessions;
            wait_for("all sessions", all).map_err(log)?;
        }
        Ok(Self {
            tunnel,
            parts,
            visitors,
            _relay: relay,
            _folder: folder,
        })
    }

    /// Sums something up over the processes of one side.
    fn sum(&self, side: Side, of: fn(u32) -> f64) -> f64 {
        let parts = self.parts.iter().filter(|part| part.0 == side);
        parts.map(|(_, owned)| of(owned.0.id())).sum()
    }

    fn both(&self, of: fn(u32) -> f64) -> [f64; 2] {
        [Side::Server, Side::Client].map(|side| self.sum(side, of))
    }

    fn measure(&self, stage: &Stage, workload: &Workload, plan: &Plan) -> io::Result<Vec<(String, f64)>> {
        for (_, owned) in &self.parts {
            account::forget_peak(owned.0.id())?;
        }
        let empty = self.both(account::resident);
        let mut visitors = Visitors::start(stage, workload, self.visitors, plan)?;
        visitors.wait("begin")?;
        let (before, full) = (self.both(account::cpu), self.both(account::resident));
        let mut input = visitors.process.0.stdin.take();
        if let Some(input) = &mut input {
            writeln!(input)?;
        }
        visitors.wait("end")?;
        let used = [0, 1].map(|at| self.both(account::cpu)[at] - before[at]);
        let said: Value = serde_json::from_str(&visitors.line()?)?;
        let said = said
            .as_object()
            .ok_or_else(|| io::Error::other("no figures"))?;
        let mut outcome: Vec<(String, f64)> = said
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), value.as_f64()?)))
            .collect();
        if self.parts.is_empty() {
            return Ok(outcome);
        }
        let got = |name: &str| said.get(name).and_then(Value::as_f64);
        let peaks = self.both(account::peak);
        for (at, side) in ["server", "client"].into_iter().enumerate() {
            if let Some(gb) = got("GB") {
                outcome.push((format!("{side} CPU s/GB"), used[at] / gb));
            }
            outcome.push((format!("{side} peak MiB"), peaks[at] / 1024.0));
        }
        if let (Network::Delay(rtt), Some(rate)) = (workload.network, got("Gbit/s")) {
            let bdp = rate * 1e9 / 8.0 * f64::from(rtt) / 1e3 / f64::from(1 << 20);
            let peak = peaks[0].max(peaks[1]) / 1024.0;
            outcome.push(("peak MiB beyond 2.5 BDP".to_owned(), peak - 2.5 * bdp));
        }
        let all = used[0] + used[1];
        if let Some(gb) = got("GB") {
            outcome.push(("CPU s/GB".to_owned(), all / gb));
        }
        if let Some(requests) = got("requests") {
            outcome.push(("CPU µs/request".to_owned(), all * 1e6 / requests));
        }
        if let Work::Idle { streams } = workload.work {
            let mut tell = |what: &str, now: [f64; 2]| {
                for (at, side) in ["server", "client"].into_iter().enumerate() {
                    let each = (now[at] - empty[at]) / streams as f64;
                    outcome.push((format!("{side} {what}KiB/stream"), each));
                }
            };
            tell("", full);
            if plan.wait_for_memory {
                thread::sleep(RETURNED);
                tell("kept ", self.both(account::resident));
            }
        }
        Ok(outcome)
    }
}

fn with_log(error: &io::Error, log: &std::path::Path) -> io::Error {
    let log = fs::read_to_string(log).unwrap_or_default();
    let last: Vec<&str> = log.lines().rev().take(3).collect();
    io::Error::other(format!("{error}; it said: {}", last.join(" / ")))
}

/// The load generator, at work.
struct Visitors {
    process: Owned,
    lines: Receiver<String>,
    patience: Duration,
}

impl Visitors {
    fn start(
        stage: &Stage,
        workload: &Workload,
        to: [SocketAddr; 2],
        plan: &Plan,
    ) -> io::Result<Self> {
        let warm_up = plan.span.warm_up + workload.settles;
        let mut command = Command::new(&plan.compare);
        command
            .args(["load", workload.name])
            .args(to.map(|to| to.to_string()))
            .args(["--warm-up", &warm_up.to_string()])
            .args(["--seconds", &plan.span.seconds.to_string()]);
        let mut command = stage.net.place(Side::Server, &command);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let output = child.stdout.take();
        let process = Owned(child);
        let output = output.ok_or_else(|| io::Error::other("no output"))?;
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let span = warm_up + plan.span.seconds;
        Ok(Self {
            process,
            lines,
            patience: PATIENCE + Duration::from_secs_f64(span),
        })
    }

    fn line(&self) -> io::Result<String> {
        self.lines
            .recv_timeout(self.patience)
            .map_err(|_| io::Error::other("the visitors failed or were not served in time"))
    }

    fn wait(&self, line: &str) -> io::Result<()> {
        let said = self.line()?;
        if said == line {
            return Ok(());
        }
        Err(io::Error::other(format!("{said:?} instead of {line:?}")))
    }
}
