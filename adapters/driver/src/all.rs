//! Several tasks, and their end.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use event_listener::Event;

use crate::{Runtime, catch};

/// Runs each of `tasks` as a task of its own, where the caller runs, and waits until all have ended.
pub async fn all<T>(runtime: &impl Runtime, tasks: impl IntoIterator<Item = T>)
where
    T: Future<Output = ()> + Send + 'static,
{
    let running = Arc::new(Running::default());
    for task in tasks {
        running.count.fetch_add(1, Ordering::AcqRel);
        let own = Ended(Arc::clone(&running));
        runtime.spawn_here(async move {
            catch::to_the_end("a task", task).await;
            drop(own);
        });
    }
    loop {
        let ended = running.ended.listen();
        if running.count.load(Ordering::Acquire) == 0 {
            return;
        }
        ended.await;
    }
}

#[derive(Default)]
struct Running {
    count: AtomicUsize,
    ended: Event,
}

/// Tells that a task has ended, however that came.
struct Ended(Arc<Running>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::AcqRel);
        self.0.ended.notify(usize::MAX);
    }
}
