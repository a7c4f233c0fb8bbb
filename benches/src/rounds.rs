//! Runs workloads over tunnels in turns: in each round every tunnel is started anew (for idle streams once more), and each
//! workload goes through all of them before the next one begins, so that a machine that grows slow
//! grows slow for all. Their order changes from round to round.

use crate::account;
use crate::figures::Figures;
use crate::load::{Span, Work};
use crate::tunnels::{DIRECT, Place, Programs, Side, Tunnel};
use crate::workloads::Workload;
use adit_e2e::ports;
use serde_json::Value;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a tunnel may take to be up.
const START: Duration = Duration::from_secs(20);
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

impl Drop for Owned {
    fn drop(&mut self) {
        // One that has ended by itself can't be killed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A tunnel that is up.
#[derive(Debug)]
struct Up {
    tunnel: &'static Tunnel,
    parts: Vec<(Side, Owned)>,
    /// Where visitors come: bulk, HTTP.
    visitors: [u16; 2],
    _folder: TempDir,
}

/// Runs the plan. What can't be started or fails is in the figures' failures, and `told` of it.
///
/// # Errors
///
/// When the upstream can't be started.
pub fn run(plan: &Plan, told: &mut dyn FnMut(&str)) -> io::Result<Figures> {
    let upstreams = [ports::free(), ports::free()];
    let mut command = Command::new(&plan.compare);
    command
        .arg("upstream")
        .args(upstreams.map(|port| port.to_string()));
    let _upstream = Owned(command.spawn()?);
    for port in upstreams {
        wait_for("the upstream", || connects(port))?;
    }
    let mut figures = Figures::default();
    for round in 0..plan.rounds {
        let mut up = Vec::new();
        for tunnel in &plan.tunnels {
            match Up::start(tunnel, plan, upstreams) {
                Ok(tunnel) => up.push(tunnel),
                Err(error) => fail(&mut figures, told, format!("{}: {error}", tunnel.name)),
            }
        }
        if !up.is_empty() {
            let turn = round % up.len();
            up.rotate_left(turn);
        }
        for workload in &plan.workloads {
            for tunnel in &up {
                let name = tunnel.tunnel.name;
                // Memory that earlier work left behind would hide what idle streams take.
                let measured = if matches!(workload.work, Work::Idle { .. }) {
                    Up::start(tunnel.tunnel, plan, upstreams)
                        .and_then(|fresh| fresh.measure(workload, plan))
                } else {
                    tunnel.measure(workload, plan)
                };
                match measured {
                    Ok(outcome) => {
                        for (figure, value) in &outcome {
                            figures.add(workload.name, name, figure, *value);
                        }
                        let first = workload.figures.first().copied().unwrap_or_default();
                        let value = outcome.iter().find(|(figure, _)| figure == first);
                        let value = value.map_or(f64::NAN, |(_, value)| *value);
                        told(&format!(
                            "round {}: {}, {name}: {value:.3} {first}",
                            round + 1,
                            workload.name
                        ));
                    }
                    Err(error) => {
                        let what = format!("{} over {name}: {error}", workload.name);
                        fail(&mut figures, told, what);
                    }
                }
            }
        }
    }
    Ok(figures)
}

fn fail(figures: &mut Figures, told: &mut dyn FnMut(&str), what: String) {
    told(&format!("FAILED {what}"));
    if !figures.failures.contains(&what) {
        figures.failures.push(what);
    }
}

fn connects(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
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

/// Asks for a byte by HTTP: whether the whole way to the upstream is open.
fn served(port: u16) -> bool {
    let ask = || -> io::Result<bool> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"GET /1 HTTP/1.1\r\nHost: adit\r\n\r\n")?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        Ok(line.starts_with("HTTP/1.1 200"))
    };
    ask().unwrap_or(false)
}

impl Up {
    fn start(tunnel: &'static Tunnel, plan: &Plan, upstreams: [u16; 2]) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let direct = tunnel.name == DIRECT;
        let visitors = if direct {
            upstreams
        } else {
            [ports::free(), ports::free()]
        };
        let place = Place {
            folder: folder.path(),
            programs: &plan.programs,
            visitors,
            upstreams,
            between: [ports::free(), ports::free()],
        };
        let mut parts = Vec::new();
        for (at, mut part) in (tunnel.parts)(&place)?.into_iter().enumerate() {
            let path = folder.path().join(format!("{at}.log"));
            let log = File::create(&path)?;
            part.command
                .current_dir(folder.path())
                .stdin(Stdio::null())
                .stdout(log.try_clone()?)
                .stderr(log);
            parts.push((part.side, Owned(part.command.spawn()?)));
            if let Some(port) = part.listens {
                let up = wait_for("a part", || connects(port));
                up.map_err(|error| with_log(&error, &path))?;
            }
        }
        wait_for("the tunnel", || served(visitors[1]))
            .map_err(|error| with_log(&error, &folder.path().join("1.log")))?;
        Ok(Self {
            tunnel,
            parts,
            visitors,
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

    fn measure(&self, workload: &Workload, plan: &Plan) -> io::Result<Vec<(String, f64)>> {
        for (_, owned) in &self.parts {
            account::forget_peak(owned.0.id())?;
        }
        let empty = self.both(account::resident);
        let mut visitors = Visitors::start(workload, self.visitors, plan)?;
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
    fn start(workload: &Workload, ports: [u16; 2], plan: &Plan) -> io::Result<Self> {
        let addresses = ports.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)).to_string());
        let mut command = Command::new(&plan.compare);
        command
            .args(["load", workload.name])
            .args(addresses)
            .args(["--warm-up", &plan.span.warm_up.to_string()])
            .args(["--seconds", &plan.span.seconds.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
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
        let span = plan.span.warm_up + plan.span.seconds;
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
