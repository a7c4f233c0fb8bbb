//! Instructions that core, link and relay execute for a byte, a message or a stream, beside any number of others: what does not swing with the machine. They are counted by
//! callgrind (package valgrind), in a process for each row.
//!
//! ```sh
//! cargo bench -p adit-benches --bench instructions
//! ```
//!
//! Two things are checked, and end it with an error: that a count grows by no more than 15 % from the least number of streams or sessions to the greatest, and
//! that it lies within 5 % of `benches/instructions.txt`, which was reviewed (`ADIT_WRITE_SNAPSHOT=1` writes it anew).

mod callgrind;
#[path = "../workloads/mod.rs"]
mod workloads;

use std::fmt::Write as _;
use std::hint::black_box;
use std::num::NonZero;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use workloads::ROWS;

/// Rows whose count may grow, and why.
const GROWS: &[(&str, &str)] = &[(
    "core: bulk on n streams at once",
    "10,000 busy streams share the 16 MiB that a session may hold unsent: their frames are of 4 KiB",
)];

/// Growth from the least to the greatest size, at most.
const GROWTH_MAX: f64 = 1.15;
/// Deviation from what was reviewed, at most.
const BAND: f64 = 0.05;

const SNAPSHOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.txt");

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    if let (Some(name), Some(size)) = (args.next(), args.next()) {
        return one(&name, &size);
    }
    match all() {
        Ok(wrong) if wrong.is_empty() => ExitCode::SUCCESS,
        Ok(wrong) => {
            for line in wrong {
                println!("FAIL {line}");
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("instructions: {error}");
            ExitCode::FAILURE
        }
    }
}

/// One row at one size, under callgrind. Says how many units it was.
fn one(name: &str, size: &str) -> ExitCode {
    let row = ROWS.iter().find(|row| row.name == name);
    let (Some(row), Ok(size)) = (row, size.parse()) else {
        return ExitCode::FAILURE;
    };
    let mut ready = (row.prepare)(size);
    counted(&mut *ready.run);
    println!("{}", ready.units);
    ExitCode::SUCCESS
}

/// What callgrind looks for: it counts while this runs.
#[inline(never)]
fn counted(run: &mut dyn FnMut()) {
    run();
    black_box(());
}

/// Counts all rows at all their sizes, on as many cores as there are: what is counted is not time.
fn count_all() -> Vec<Vec<std::io::Result<f64>>> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(row) = ROWS.get(at) else { return done };
            let counts = row
                .sizes
                .iter()
                .map(|size| callgrind::count(row.name, *size));
            done.push((at, counts.collect()));
        }
    };
    let mut rows: Vec<(usize, Vec<_>)> = thread::scope(|scope| {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        let done = workers
            .into_iter()
            .map(|worker| worker.join().expect("no panic"));
        done.flatten().collect()
    });
    rows.sort_by_key(|(at, _)| *at);
    rows.into_iter().map(|(_, counts)| counts).collect()
}

/// Counts everything, prints it, and says what is not as it should be.
fn all() -> std::io::Result<Vec<String>> {
    let mut table = String::new();
    let mut wrong = Vec::new();
    for (row, counted) in ROWS.iter().zip(count_all()) {
        let mut counts = Vec::new();
        for (size, each) in row.sizes.iter().zip(counted) {
            let each = each?;
            let line = format!("{} | {size} | {each:.3} | {}", row.name, row.unit);
            println!("FIGURE instructions: {line}");
            let _ = writeln!(table, "{line}");
            counts.push(each);
        }
        if let (Some(first), Some(last)) = (counts.first(), counts.last()) {
            let grown = last / first;
            let flat = grown <= GROWTH_MAX;
            let known = GROWS.iter().find(|(name, _)| *name == row.name);
            if flat == known.is_some() {
                let known = known.map_or("it should be flat", |(_, why)| why);
                wrong.push(format!("{}: {grown:.2} times as much ({known})", row.name));
            }
        }
    }
    if std::env::var_os("ADIT_WRITE_SNAPSHOT").is_some() {
        std::fs::write(SNAPSHOT, &table)?;
    }
    let reviewed = std::fs::read_to_string(SNAPSHOT).unwrap_or_default();
    wrong.extend(beyond_band(&reviewed, &table));
    Ok(wrong)
}

fn beyond_band(reviewed: &str, table: &str) -> Vec<String> {
    let number = |line: &str| -> Option<f64> { line.split(" | ").nth(2)?.parse().ok() };
    let key =
        |line: &str| -> Vec<String> { line.split(" | ").take(2).map(str::to_owned).collect() };
    let mut wrong = Vec::new();
    for line in table.lines() {
        let before = reviewed.lines().find(|known| key(known) == key(line));
        let before = before.and_then(number);
        match before.zip(number(line)) {
            Some((before, now)) if (now / before - 1.0).abs() <= BAND => {}
            Some((before, _)) => wrong.push(format!("{line}: it was {before:.3}")),
            None => wrong.push(format!("{line}: it was never reviewed")),
        }
    }
    wrong
}
