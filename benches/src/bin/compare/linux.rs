//! What the command does, where it can be done.

use adit_benches::figures::Figures;
use adit_benches::load::{self, Span};
use adit_benches::rounds::{self, Plan};
use adit_benches::routes::route;
use adit_benches::tunnels::{self, Programs, TUNNELS, Tunnel};
use adit_benches::workloads::{self, WORKLOADS, Workload};
use adit_benches::{delay, machine, page, upstream};
use clap::{Args, Parser, Subcommand};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Map, Value, json};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;
use std::{env, fs};

/// Measures tunnels in turns
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Starts tunnels, measures them in turns and prints the tables
    Run(Run),
    /// Writes the page of the documentation from runs
    Page {
        /// What `run --json` wrote; of what several have measured, the last one counts
        #[arg(required = true)]
        runs: Vec<PathBuf>,
        /// Notes that go into the page
        #[arg(long, default_value = "benches/notes.md")]
        notes: PathBuf,
        /// The page
        #[arg(long, default_value = "docs/performance.md")]
        out: PathBuf,
    },
    /// Lists the tunnels, and which of them are installed, and the workloads
    List {
        /// Folder of the peers' programs
        #[arg(long)]
        peers: Option<PathBuf>,
    },
    /// The upstream, on two addresses
    #[command(hide = true)]
    Upstream { bulk: SocketAddr, http: SocketAddr },
    /// A long way, for each route
    #[command(hide = true)]
    Delay {
        /// Milliseconds
        #[arg(long)]
        rtt: u32,
        #[arg(required = true, value_name = "LISTEN=TO", value_parser = route)]
        routes: Vec<(SocketAddr, SocketAddr)>,
    },
    /// The visitors of one workload
    #[command(hide = true)]
    Load {
        #[arg(value_parser = workload)]
        workload: &'static Workload,
        bulk: SocketAddr,
        http: SocketAddr,
        #[arg(long)]
        warm_up: f64,
        #[arg(long)]
        seconds: f64,
    },
}

#[derive(Debug, Args)]
struct Run {
    /// Tunnels, comma separated [default: all that are installed]
    #[arg(long, value_delimiter = ',', value_parser = tunnel)]
    tunnels: Vec<&'static Tunnel>,
    /// Workloads, comma separated [default: all]
    #[arg(long, value_delimiter = ',', value_parser = workload)]
    workloads: Vec<&'static Workload>,
    /// How often each is measured
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// For how long
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Seconds before that
    #[arg(long, default_value_t = 0.5)]
    warm_up: f64,
    /// One round of one second each
    #[arg(long, conflicts_with_all = ["rounds", "seconds"])]
    quick: bool,
    /// Waits a minute after idle streams were closed, to see what memory is kept
    #[arg(long)]
    wait_for_memory: bool,
    /// Folder of adit-server, adit-client and bare [default: that of this program]
    #[arg(long)]
    bins: Option<PathBuf>,
    /// Folder of the peers' programs
    #[arg(long)]
    peers: Option<PathBuf>,
    /// Where to write the run, for `page` and for machines
    #[arg(long)]
    json: Option<PathBuf>,
}

fn tunnel(name: &str) -> Result<&'static Tunnel, String> {
    let names = || {
        TUNNELS
            .iter()
            .map(|t| t.name)
            .collect::<Vec<_>>()
            .join(", ")
    };
    tunnels::named(name).ok_or_else(|| format!("there are: {}", names()))
}

fn workload(name: &str) -> Result<&'static Workload, String> {
    let names = || {
        WORKLOADS
            .iter()
            .map(|w| w.name)
            .collect::<Vec<_>>()
            .join(", ")
    };
    workloads::named(name).ok_or_else(|| format!("there are: {}", names()))
}

pub(crate) fn main() -> io::Result<()> {
    match Arguments::parse().what {
        What::Run(arguments) => run(arguments),
        What::Page { runs, notes, out } => {
            let read = |run| Ok(serde_json::from_str(&fs::read_to_string(run)?)?);
            let runs: Vec<Value> = runs.iter().map(read).collect::<io::Result<_>>()?;
            let notes = fs::read_to_string(notes)?;
            let page = page::page(&runs, &notes);
            let page = page.ok_or_else(|| io::Error::other("that is not a run"))?;
            fs::write(out, page)
        }
        What::List { peers } => {
            let programs = Programs::new(own_folder()?, peers);
            for (name, version) in versions(TUNNELS.iter(), &programs) {
                println!("{name}: {}", version.as_str().unwrap_or_default());
            }
            for workload in WORKLOADS {
                println!("{}: {}", workload.name, workload.title);
            }
            Ok(())
        }
        What::Upstream { bulk, http } => {
            upstream::serve(TcpListener::bind(bulk)?, TcpListener::bind(http)?)
        }
        What::Delay { rtt, routes } => delay::serve(&routes, Duration::from_millis(rtt.into())),
        What::Load {
            workload,
            bulk,
            http,
            warm_up,
            seconds,
        } => load::run(workload.work, bulk, http, Span { warm_up, seconds }),
    }
}

fn run(arguments: Run) -> io::Result<()> {
    allow_many_files()?;
    let own = arguments.bins.map_or_else(own_folder, fs::canonicalize)?;
    let peers = arguments.peers.map(fs::canonicalize).transpose()?;
    let programs = Programs::new(own, peers);
    let mut tunnels = arguments.tunnels;
    if tunnels.is_empty() {
        tunnels.extend(TUNNELS);
    }
    let mut workloads = arguments.workloads;
    if workloads.is_empty() {
        workloads.extend(WORKLOADS);
    }
    let versions = versions(tunnels.iter().copied(), &programs);
    for (name, version) in &versions {
        println!("{name}: {}", version.as_str().unwrap_or_default());
    }
    tunnels.retain(|tunnel| tunnel.missing(&programs).is_empty());
    let quick = arguments.quick;
    let plan = Plan {
        tunnels,
        workloads,
        programs,
        compare: env::current_exe()?,
        rounds: if quick { 1 } else { arguments.rounds.into() },
        span: Span {
            warm_up: arguments.warm_up,
            seconds: if quick { 1.0 } else { arguments.seconds },
        },
        wait_for_memory: arguments.wait_for_memory,
    };
    let machine = machine::describe();
    let figures = rounds::run(&plan, &mut |line| eprintln!("{line}"));
    print(&figures);
    if let Some(path) = arguments.json {
        let command: Vec<String> = env::args().skip(1).collect();
        let run = json!({
            "command": format!("target/dist/compare {}", command.join(" ")),
            "machine": machine,
            "versions": versions,
            "figures": figures.to_json(),
        });
        fs::write(path, serde_json::to_string_pretty(&run)?)?;
    }
    Ok(())
}

fn print(figures: &Figures) {
    let (tables, goals, peers) = (
        page::tables(figures),
        page::goals(figures),
        page::peers(figures),
    );
    println!("\n{tables}{goals}\n{peers}");
    for failure in &figures.failures {
        println!("FAILED {failure}");
    }
}

fn versions<'a>(
    tunnels: impl Iterator<Item = &'a Tunnel>,
    programs: &Programs,
) -> Map<String, Value> {
    tunnels
        .filter(|tunnel| !tunnel.programs.is_empty())
        .map(|tunnel| {
            let missing = tunnel.missing(programs);
            let text = if missing.is_empty() {
                tunnel.version(programs).unwrap_or_default()
            } else {
                format!("not installed ({})", missing.join(", "))
            };
            (tunnel.name.to_owned(), text.into())
        })
        .collect()
}

fn own_folder() -> io::Result<PathBuf> {
    let own = env::current_exe()?;
    own.parent()
        .map(PathBuf::from)
        .ok_or_else(|| io::Error::other("a program lies in a folder"))
}

/// Thousands of streams are thousands of files. What is started from here may open as many.
fn allow_many_files() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    Ok(setrlimit(Resource::Nofile, raised)?)
}
