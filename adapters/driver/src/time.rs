//! Waiting for a time, on any runtime.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use crate::{Runtime, Timer};

/// What `future` comes to, if it does within `time`.
pub async fn within<T>(
    runtime: &impl Runtime,
    time: Duration,
    future: impl Future<Output = T>,
) -> Option<T> {
    let mut future = pin!(future);
    let mut timer = runtime.timer();
    timer.set(time);
    poll_fn(|context| {
        if let Poll::Ready(value) = future.as_mut().poll(context) {
            return Poll::Ready(Some(value));
        }
        timer.poll(context).map(|()| None)
    })
    .await
}
