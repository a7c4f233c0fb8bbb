//! The workloads: what each is called, what a visitor does in it, and which figures it is judged by.

use crate::load::Work;
use crate::load::http::SMALL;

/// One workload.
#[derive(Debug)]
pub struct Workload {
    /// Its name on the command line and in figures.
    pub name: &'static str,
    /// What it is, in a few words.
    pub title: &'static str,
    /// What visitors do.
    pub work: Work,
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
    Workload {
        name: "connect",
        title: "a new connection for each request, 8 visitors",
        work: Work::Connect { workers: 8 },
        figures: CONNECT,
    },
    Workload {
        name: "beside",
        title: "a 1 KB request beside one bulk stream, down",
        work: Work::Beside,
        figures: BESIDE,
    },
    idle("idle-1000", "1,000 idle streams", 1_000),
    idle("idle-5000", "5,000 idle streams", 5_000),
];

/// The workload of that name.
pub fn named(name: &str) -> Option<&'static Workload> {
    WORKLOADS.iter().find(|workload| workload.name == name)
}

const fn bulk(name: &'static str, title: &'static str, up: bool, streams: usize) -> Workload {
    Workload {
        name,
        title,
        work: Work::Bulk { up, streams },
        figures: BULK,
    }
}

const fn pages(
    name: &'static str,
    title: &'static str,
    connections: usize,
    size: usize,
) -> Workload {
    Workload {
        name,
        title,
        work: Work::KeepAlive { connections, size },
        figures: HTTP,
    }
}

const fn idle(name: &'static str, title: &'static str, streams: usize) -> Workload {
    Workload {
        name,
        title,
        work: Work::Idle { streams },
        figures: IDLE,
    }
}
