//! A timer, made when it is first set and set again from then on.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// The resolution of the runtime's timers. One that has to fire sooner would fire before its time, and again and again.
const RESOLUTION: Duration = Duration::from_millis(1);

/// A timer of one task.
#[derive(Debug, Default)]
pub struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    set: bool,
}

impl adit_driver::Timer for Timer {
    fn set(&mut self, after: Duration) {
        let at = Instant::now() + after.max(RESOLUTION);
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().reset(at),
            none => *none = Some(Box::pin(tokio::time::sleep_until(at))),
        }
        self.set = true;
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.sleep {
            Some(sleep) if self.set => {
                let fired = sleep.as_mut().poll(context);
                self.set = fired.is_pending();
                fired
            }
            _ => Poll::Pending,
        }
    }
}
