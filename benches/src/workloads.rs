//! The workloads: what each is called, what a visitor does in it, over which network, and which figures it is judged by.

use crate::load::Work;
use crate::load::http::SMALL;
use crate::network::{Line, Network};

/// One workload.
#[derive(Debug)]
pub struct Workload {
    /// Its name on the command line and in figures.
    pub name: &'static str,
    /// What it is, in a few words.
    pub title: &'static str,
    /// What visitors do.
    pub work: Work,
    /// What lies between the ends of the tunnel.
    pub network: Network,
    /// Seconds that it takes until it is under way, beside the warm-up.
    pub settles: f64,
    /// The figures in its table, the first of which is compared with direct's.
    pub figures: &'static [&'static str],
}

const BULK: &[&str] = &[
    "Gbit/s",
    "CPU s/GB",
    "server CPU s/GB",
    "client CPU s/GB",
    "server peak MiB",
    "client peak MiB",
];
const HTTP: &[&str] = &["req/s", "p50 ms", "p99 ms", "CPU µs/request"];
const CONNECT: &[&str] = &["conn/s", "CPU µs/request"];
const BESIDE: &[&str] = &["p99 ms", "p50 ms", "Gbit/s"];
const DELAY: &[&str] = &[
    "Gbit/s",
    "CPU s/GB",
    "peak MiB beyond 2.5 BDP",
    "server peak MiB",
    "client peak MiB",
];
const LINE: &[&str] = &["Gbit/s", "server peak MiB", "client peak MiB"];
const IDLE: &[&str] = &[
    "open s",
    "server KiB/stream",
    "client KiB/stream",
    "server kept KiB/stream",
    "client kept KiB/stream",
];

/// All of them, in the order in which they run.
pub const WORKLOADS: &[Workload] = &[
    bulk("bulk-1-down", "bulk, 1 stream, down", false, 1),
    bulk("bulk-1-up", "bulk, 1 stream, up", true, 1),
    bulk("bulk-8-down", "bulk, 8 streams, down", false, 8),
    bulk("bulk-8-up", "bulk, 8 streams, up", true, 8),
    pages("http-1k-64", "keep-alive 1 KB, 64 connections", 64, SMALL),
    pages("http-1k-1", "keep-alive 1 KB, 1 connection", 1, SMALL),
    pages(
        "http-100k-64",
        "keep-alive 100 KB, 64 connections",
        64,
        100 * SMALL,
    ),
    on_loopback(
        "connect",
        "a new connection for each request, 8 visitors",
        Work::Connect { workers: 8 },
        CONNECT,
    ),
    on_loopback(
        "beside",
        "a 1 KB request beside one bulk stream, down",
        Work::Beside,
        BESIDE,
    ),
    idle("idle-1000", "1,000 idle streams", 1_000),
    idle("idle-5000", "5,000 idle streams", 5_000),
    delayed("delay-1-down", "bulk, 1 stream, down, 100 ms without a limit", false),
    delayed("delay-1-up", "bulk, 1 stream, up, 100 ms without a limit", true),
    on(
        LINE_200,
        "line-beside",
        "a 1 KB request beside one bulk stream, down, 200 Mbit/s, 20 ms",
        Work::Beside,
        BESIDE,
    ),
    on(
        LINE_500,
        "line-1-down",
        "bulk, 1 stream, down, 500 Mbit/s, 100 ms, after 2 s",
        Work::Bulk {
            up: false,
            streams: 1,
        },
        LINE,
    ),
    on(
        LINE_LOSS,
        "loss-8-down",
        "bulk, 8 streams, down, 200 Mbit/s, 50 ms, 1 % loss",
        Work::Bulk {
            up: false,
            streams: 8,
        },
        LINE,
    ),
    on(
        LINE_LOSS,
        "loss-beside",
        "a 1 KB request beside one bulk stream, down, 200 Mbit/s, 50 ms, 1 % loss",
        Work::Beside,
        BESIDE,
    ),
];

const LINE_200: Line = Line {
    rate: "200mbit",
    rtt: 20,
    loss: "0%",
};
const LINE_500: Line = Line {
    rate: "500mbit",
    rtt: 100,
    loss: "0%",
};
const LINE_LOSS: Line = Line {
    rate: "200mbit",
    rtt: 50,
    loss: "1%",
};

/// Milliseconds of the long way.
pub const DELAY_MS: u32 = 100;

/// The workload of that name.
pub fn named(name: &str) -> Option<&'static Workload> {
    WORKLOADS.iter().find(|workload| workload.name == name)
}

const fn on_loopback(
    name: &'static str,
    title: &'static str,
    work: Work,
    figures: &'static [&'static str],
) -> Workload {
    Workload {
        name,
        title,
        work,
        network: Network::Loopback,
        settles: 0.0,
        figures,
    }
}

/// On a line it takes TCP some round trips to find out how fast it is.
const fn on(
    line: Line,
    name: &'static str,
    title: &'static str,
    work: Work,
    figures: &'static [&'static str],
) -> Workload {
    Workload {
        network: Network::Link(line),
        settles: 2.0,
        ..on_loopback(name, title, work, figures)
    }
}

const fn delayed(name: &'static str, title: &'static str, up: bool) -> Workload {
    Workload {
        network: Network::Delay(DELAY_MS),
        settles: 2.0,
        ..on_loopback(name, title, Work::Bulk { up, streams: 1 }, DELAY)
    }
}

const fn bulk(name: &'static str, title: &'static str, up: bool, streams: usize) -> Workload {
    on_loopback(name, title, Work::Bulk { up, streams }, BULK)
}

const fn pages(
    name: &'static str,
    title: &'static str,
    connections: usize,
    size: usize,
) -> Workload {
    on_loopback(name, title, Work::KeepAlive { connections, size }, HTTP)
}

const fn idle(name: &'static str, title: &'static str, streams: usize) -> Workload {
    on_loopback(name, title, Work::Idle { streams }, IDLE)
}
