//! The visitors: each workload as one run of a process of its own, so that what it costs is never
//! taken for what the tunnel costs.
//!
//! A run says `begin` on its output when its warm-up is over, `end` when it has measured, and then
//! its figures as one line of JSON. Between the first two, whoever started it reads what the tunnel
//! costs.

pub mod bulk;
pub mod http;
pub mod idle;

use serde_json::{Map, Value};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// The figures of a run: a name with its unit, and a number.
pub type Outcome = Vec<(&'static str, f64)>;

/// When a run measures.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// Seconds before it does.
    pub warm_up: f64,
    /// Seconds while it does.
    pub seconds: f64,
}

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Work {
    /// Reads from, or writes to, the bulk service on this many connections.
    Bulk {
        /// From the visitor to the upstream.
        up: bool,
        /// Connections.
        streams: usize,
    },
    /// Asks for pages on connections that are kept.
    KeepAlive {
        /// Connections.
        connections: usize,
        /// Bytes of a page.
        size: usize,
    },
    /// Asks for a page of 1 KiB on a new connection each time.
    Connect {
        /// Visitors at one time.
        workers: usize,
    },
    /// Asks for pages of 1 KiB on one connection, some milliseconds apart, while another one reads bulk.
    Beside,
    /// Opens connections that then say nothing.
    Idle {
        /// How many.
        streams: usize,
    },
}

/// Runs `work` against a tunnel's two services, and tells it.
///
/// # Errors
///
/// When a connection can't be made or ends early.
pub fn run(work: Work, bulk: SocketAddr, http: SocketAddr, span: Span) -> io::Result<()> {
    let outcome = match work {
        Work::Bulk { up, streams } => bulk::run(bulk, up, streams, span)?,
        Work::KeepAlive { connections, size } => http::keep_alive(http, connections, size, span)?,
        Work::Connect { workers } => http::connect(http, workers, span)?,
        Work::Beside => http::beside(http, bulk, span)?,
        Work::Idle { streams } => idle::run(bulk, streams)?,
    };
    let object: Map<String, Value> = outcome
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    say(&Value::from(object).to_string())
}

/// Says one line, at once.
fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// Says when the span begins and ends, and waits for both. The work is done by other threads.
fn wait_through(span: Span) -> io::Result<(Instant, Instant)> {
    std::thread::sleep(Duration::from_secs_f64(span.warm_up));
    say("begin")?;
    let begin = Instant::now();
    std::thread::sleep(Duration::from_secs_f64(span.seconds));
    say("end")?;
    Ok((begin, Instant::now()))
}
