//! A million operations on sessions whose carriers are cut all the time (`Life` says what is checked). Nightly, a hundred million:
//!
//!     cargo test -p adit-proptests --test million -- --ignored --show-output
//!
//! A failure is shrunk, told as a trace, and can be lived again: `ADIT_LIFE=SEED` in front of the command runs that life only.

use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use adit_proptests::life::{Counts, Life, told};
use adit_proptests::shrink::shrink;

/// Operations of one life; not all of them have an effect.
const LENGTH: usize = 500;

/// Lives the life of `seed`; what is wrong, if something is.
fn live(seed: u64, ops: &[adit_proptests::life::Op]) -> Result<Counts, String> {
    let lived = panic::catch_unwind(AssertUnwindSafe(|| {
        let mut life = Life::new(seed);
        life.live(ops);
        life.counts
    }));
    lived.map_err(|cause| told(&*cause))
}

/// Lives of the seeds from `first` on, two at a time, until `wanted` operations moved data or changed a stream.
fn lives(first: u64, wanted: u64) {
    // What goes wrong is told once, shortened.
    panic::set_hook(Box::new(|_| ()));
    let (next, moved) = (AtomicU64::new(first), AtomicU64::new(0));
    let work = || {
        let mut counts = Counts::default();
        while moved.load(Ordering::Relaxed) < wanted {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let lived = live(seed, &Life::ops(seed, LENGTH)).map_err(|wrong| (seed, wrong))?;
            moved.fetch_add(lived.moved(), Ordering::Relaxed);
            counts.add(&lived);
        }
        Ok(counts)
    };
    let results = thread::scope(|scope| {
        let others = [scope.spawn(work), scope.spawn(work)];
        others.map(|other| other.join().expect("failures are caught"))
    });
    let mut counts = Counts::default();
    for result in results {
        match result {
            Ok(lived) => counts.add(&lived),
            Err((seed, wrong)) => fail(seed, &wrong),
        }
    }
    drop(panic::take_hook());
    println!(
        "{} operations moved data or changed a stream; seeds {first} to {}",
        counts.moved(),
        next.into_inner() - 1
    );
    println!("{counts:#?}");
    assert!(counts.moved() >= wanted);
    assert!(counts.cuts >= wanted / 100, "{} cuts", counts.cuts);
    assert!(counts.resumes >= counts.cuts, "{counts:?}");
}

/// Shrinks what fails, tells it, and fails.
fn fail(seed: u64, wrong: &str) -> ! {
    let ops = Life::ops(seed, LENGTH);
    let short = shrink(&ops, |ops| live(seed, ops).is_err());
    let trace = Life::trace(seed, &short);
    drop(panic::take_hook());
    panic!(
        "the life of seed {seed}: {wrong}\n\n{} of its {LENGTH} operations are enough:\n\n{trace}\n",
        short.len()
    );
}

fn one_life() -> Option<u64> {
    let seed = std::env::var("ADIT_LIFE").ok()?;
    Some(seed.parse().expect("ADIT_LIFE is the number of a seed"))
}

#[test]
fn a_million_operations_with_ten_thousand_cuts_lose_double_and_reorder_nothing() {
    match one_life() {
        Some(seed) => lives(seed, 1),
        None => lives(0, 1_000_000),
    }
}

#[test]
#[ignore = "takes a hundred times as long as the one above"]
fn a_hundred_million_operations_lose_double_and_reorder_nothing() {
    lives(1 << 32, 100_000_000);
}
