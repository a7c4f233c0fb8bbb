//! What surrounds a machine and is the caller's choice: the clock, where notices go, where the token
//! is kept, and when to stop.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use adit_core::Token;
use adit_relay::{Level, Notice};
use event_listener::Event;

use crate::clock::Clock;

/// Takes what a machine has to say to people.
pub type Report = Arc<dyn Fn(Notice) + Send + Sync>;

/// Gives the token whenever a client is about to authenticate. It may read a file: it is called where
/// blocking is allowed. The error is for people, and must not hold any part of a token.
pub type ReadToken = Arc<dyn Fn() -> Result<Token, String> + Send + Sync>;

/// The clock of a program, and where its notices go.
#[derive(Clone)]
pub struct Env {
    /// The one clock of all machines in the program.
    pub clock: Clock,
    /// Called for every notice, from any of the program's tasks. It must not block.
    pub report: Report,
}

impl Env {
    /// Notices go to [`tracing`], at their level.
    #[must_use]
    pub fn logging(clock: Clock) -> Self {
        Self {
            clock,
            report: Arc::new(|notice| log(&notice)),
        }
    }
}

/// Logs a notice through [`tracing`].
pub fn log(notice: &Notice) {
    match notice.level() {
        Level::Debug => tracing::debug!("{notice}"),
        Level::Info => tracing::info!("{notice}"),
        Level::Warn => tracing::warn!("{notice}"),
    }
}

/// How far the end of a program has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// Not yet.
    No,
    /// Take nothing new, and end when what runs has ended or this time has passed.
    Drain(Duration),
    /// End at once.
    Now,
}

/// Tells a running server or client to stop.
#[derive(Debug)]
pub struct Stopper(Arc<Shared>);

/// The running side's end of a [`Stopper`].
#[derive(Clone, Debug)]
pub struct Stopping {
    shared: Arc<Shared>,
    /// The step that was last given out.
    seen: Stop,
}

#[derive(Debug)]
struct Shared {
    stop: Mutex<Stop>,
    further: Event,
}

impl Shared {
    fn stop(&self) -> MutexGuard<'_, Stop> {
        self.stop.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A pair: the program keeps the first, and gives clones of the second to what it runs.
#[must_use]
pub fn stopper() -> (Stopper, Stopping) {
    let shared = Arc::new(Shared {
        stop: Mutex::new(Stop::No),
        further: Event::new(),
    });
    let stopping = Stopping {
        shared: Arc::clone(&shared),
        seen: Stop::No,
    };
    (Stopper(shared), stopping)
}

impl Stopper {
    /// Whether the first step was taken.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        *self.0.stop() != Stop::No
    }

    /// Goes one step further. A step back is ignored.
    pub fn stop(&self, stop: Stop) {
        let mut known = self.0.stop();
        *known = stop.max(*known);
        drop(known);
        self.0.further.notify(usize::MAX);
    }
}

impl Stopping {
    /// Another hand on what stops this.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        Stopper(Arc::clone(&self.shared))
    }

    /// Whether the first step was taken.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        *self.shared.stop() != Stop::No
    }

    /// The next step, when it comes. Never, if the [`Stopper`] is gone. May be dropped while it waits.
    pub async fn next(&mut self) -> Stop {
        loop {
            // First the ear, then the look: a step between the two is heard.
            let further = self.shared.further.listen();
            let stop = *self.shared.stop();
            if stop > self.seen {
                self.seen = stop;
                return stop;
            }
            further.await;
        }
    }
}
