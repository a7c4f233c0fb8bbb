//! A timer that can be set again.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// A timer of one task.
#[derive(Debug)]
pub struct Timer(async_io::Timer);

impl Default for Timer {
    /// One that is not set.
    fn default() -> Self {
        Self(async_io::Timer::never())
    }
}

impl adit_driver::Timer for Timer {
    fn set(&mut self, after: Duration) {
        self.0.set_after(after);
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        // It is not set any more once it has fired.
        Pin::new(&mut self.0).poll(context).map(drop)
    }
}
