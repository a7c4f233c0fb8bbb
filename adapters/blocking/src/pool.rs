//! Threads for what may block for long: names that are looked up, files that are read.

use std::collections::VecDeque;
use std::sync::{Condvar, LazyLock, Mutex, PoisonError};
use std::thread;

/// How many there are at most, for all of the process. They are started when there is work for them, and stay.
pub(crate) const THREADS_MAX: usize = 4;

type Job = Box<dyn FnOnce() + Send>;

static POOL: LazyLock<Pool> = LazyLock::new(Pool::default);

#[derive(Default)]
struct Pool {
    state: Mutex<State>,
    more: Condvar,
}

#[derive(Default)]
struct State {
    /// As many as machines ask; those bound it.
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
}

/// Runs `job` on one of the threads, once one is free.
pub(crate) fn run(job: impl FnOnce() + Send + 'static) {
    let pool = &*POOL;
    let mut state = pool.state.lock().unwrap_or_else(PoisonError::into_inner);
    state.jobs.push_back(Box::new(job));
    if state.idle < state.jobs.len() && state.threads < THREADS_MAX {
        let thread = thread::Builder::new().name("look-ups".to_owned());
        // Where the system gives no more threads, those that there are have to do, or the next job tries again.
        state.threads += usize::from(thread.spawn(work).is_ok());
    }
    drop(state);
    pool.more.notify_one();
}

fn work() {
    let pool = &*POOL;
    let mut state = pool.state.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let Some(job) = state.jobs.pop_front() else {
            state.idle += 1;
            state = pool
                .more
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
            continue;
        };
        drop(state);
        // What panics has told its asker nothing; the thread is there for the next.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
        state = pool.state.lock().unwrap_or_else(PoisonError::into_inner);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn jobs_beyond_the_threads_wait_and_a_job_that_panics_takes_no_thread_with_it() {
        let (told, heard) = mpsc::channel();
        for number in 0..50 {
            let told = told.clone();
            run(move || {
                told.send((number, thread::current().id())).unwrap();
                assert!(number % 2 == 0, "as every second one does");
            });
        }
        drop(told);
        let (mut numbers, threads): (Vec<_>, HashSet<_>) = heard.into_iter().unzip();
        numbers.sort_unstable();
        assert_eq!(numbers, Vec::from_iter(0..50));
        assert!(threads.len() <= THREADS_MAX, "{}", threads.len());
    }
}
