//! The corpora of the fuzz targets, and inputs like them. For longer, with other inputs each time:
//!
//!     ADIT_FUZZ_SECONDS=60 cargo test -p adit-proptests --test fuzz -- --ignored --show-output

use std::num::NonZero;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use adit_proptests::Random;
use adit_proptests::fuzz::{TARGETS, Target, mutate};
use adit_proptests::life::told;
use adit_proptests::shrink::shrink;

/// Inputs made from each corpus in an ordinary run.
const INPUTS: usize = 5_000;

/// The inputs of a target's folder, by name.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new("corpora").join(name);
    let files = std::fs::read_dir(&folder).expect("a folder for each target");
    let mut files: Vec<_> = files
        .map(|file| file.expect("a readable folder").path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    let read = |file| std::fs::read(file).expect("a readable file");
    files.into_iter().map(read).collect()
}

fn survives((_, target): Target, input: &[u8]) -> Result<(), String> {
    let result = panic::catch_unwind(AssertUnwindSafe(|| target(input)));
    result.map_err(|cause| told(&*cause))
}

/// Fails with an input that is short, and in a shape to keep.
fn fail(target: Target, input: &[u8], wrong: &str) -> ! {
    // It is told once, shortened.
    panic::set_hook(Box::new(|_| ()));
    let short = shrink(input, |input| survives(target, input).is_err());
    let hex: String = short.iter().map(|byte| format!("{byte:02x}")).collect();
    drop(panic::take_hook());
    panic!(
        "{}: {wrong}\nthese bytes, in hex, are enough: {hex}",
        target.0
    );
}

#[test]
fn every_input_of_the_corpora_and_many_like_them_do_no_harm() {
    for target in TARGETS {
        let corpus = corpus(target.0);
        let mut random = Random::new(1);
        let made = (0..INPUTS).map(|_| mutate(&corpus, &mut random));
        for input in corpus.iter().cloned().chain(made) {
            if let Err(wrong) = survives(target, &input) {
                fail(target, &input, &wrong);
            }
        }
    }
}

#[test]
#[ignore = "takes ADIT_FUZZ_SECONDS for each target, 60 if not said otherwise, and as many targets at a time as there are cores"]
fn for_a_minute_each_no_input_does_harm() {
    let seconds = std::env::var("ADIT_FUZZ_SECONDS").map_or(60, |it| it.parse().expect("a number"));
    let seed = SystemTime::now().duration_since(UNIX_EPOCH);
    let seed = seed.expect("after 1970").as_micros() as u64;
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(&target) = TARGETS.get(next.fetch_add(1, Ordering::Relaxed)) {
            fuzz(target, seed, Duration::from_secs(seconds));
        }
    };
    thread::scope(|scope| {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            // The scope alone would not say what went wrong.
            if let Err(cause) = worker.join() {
                panic::resume_unwind(cause);
            }
        }
    });
}

/// Tries inputs on a target for so long.
fn fuzz(target: Target, seed: u64, time: Duration) {
    let corpus = corpus(target.0);
    let mut random = Random::new(seed);
    let (began, mut inputs) = (Instant::now(), 0);
    while began.elapsed() < time {
        let input = mutate(&corpus, &mut random);
        if let Err(wrong) = survives(target, &input) {
            fail(target, &input, &wrong);
        }
        inputs += 1;
    }
    println!(
        "FIGURE fuzz {}: {inputs} inputs in {} s, seed {seed}",
        target.0,
        time.as_secs()
    );
}
