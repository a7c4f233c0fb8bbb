//! A panic in one task is told, and ends that task alone, whatever the runtime makes of panics.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

/// Runs `task` to its end, be it a panic.
pub(crate) async fn to_the_end(what: &str, task: impl Future<Output = ()>) {
    let mut task = pin!(task);
    poll_fn(|context| {
        // Nothing of the task is looked at after a panic: it is dropped.
        let polled = catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(context)));
        polled.unwrap_or_else(|_| {
            tracing::error!("{what} failed; this is a bug of Adit");
            Poll::Ready(())
        })
    })
    .await;
}
