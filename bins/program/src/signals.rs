//! Signals: the first SIGTERM or Ctrl-C drains, the second ends at once, SIGHUP reloads. Each sort has a thread that waits for it, whatever the
//! runtime of the program.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use adit_driver::{Stop, Stopper, Stopping, stopper};
use event_listener::{Event, EventListener};

use crate::{Failure, Phase, tell_manager};

/// Turns the signals of this process into steps of its end: the first one gives what runs `grace`
/// to finish, the second ends at once.
///
/// # Errors
///
/// The system does not deliver signals.
pub fn stop_on_signals(grace: Duration) -> Result<Stopping, Failure> {
    let (stopper, stopping) = stopper();
    let mut terminations = Terminations { stopper, grace };
    each_termination(move || terminations.step()).map_err(cannot)?;
    Ok(stopping)
}

struct Terminations {
    stopper: Stopper,
    grace: Duration,
}

impl Terminations {
    fn step(&mut self) {
        if self.stopper.has_begun() {
            tracing::info!("stopping at once");
            self.stopper.stop(Stop::Now);
        } else {
            let grace = self.grace;
            tracing::info!(
                "stopping: running connections have {grace:?} to finish; a second signal ends at once"
            );
            tell_manager(Phase::Stopping);
            self.stopper.stop(Stop::Drain(grace));
        }
    }
}

fn cannot(error: io::Error) -> Failure {
    Failure::Runtime(format!("can't listen for signals: {error}"))
}

/// SIGHUP: the operator says that files have changed. Never comes where there is no such signal. A clone hears the same.
#[derive(Clone)]
pub struct Hangup(Arc<Event>);

impl Hangup {
    /// From now on SIGHUP no longer ends this process.
    ///
    /// # Errors
    ///
    /// The system does not deliver signals.
    pub fn new() -> Result<Self, Failure> {
        let event = Arc::new(Event::new());
        let heard = Arc::clone(&event);
        each_hangup(move || {
            heard.notify(usize::MAX);
        })
        .map_err(cannot)?;
        Ok(Self(event))
    }

    /// Waits for the next SIGHUP, from now on.
    #[must_use]
    pub fn heard(&self) -> EventListener {
        self.0.listen()
    }
}

#[cfg(unix)]
fn each_termination(call: impl FnMut() + Send + 'static) -> io::Result<()> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    each(&[SIGTERM, SIGINT], call)
}

#[cfg(unix)]
fn each_hangup(call: impl FnMut() + Send + 'static) -> io::Result<()> {
    each(&[signal_hook::consts::SIGHUP], call)
}

#[cfg(unix)]
fn each(signals: &[i32], mut call: impl FnMut() + Send + 'static) -> io::Result<()> {
    let mut signals = signal_hook::iterator::Signals::new(signals)?;
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            for _ in signals.forever() {
                call();
            }
        })?;
    Ok(())
}

#[cfg(not(unix))]
fn each_termination(call: impl FnMut() + Send + 'static) -> io::Result<()> {
    ctrlc::set_handler(call).map_err(io::Error::other)
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "as on other systems")]
fn each_hangup(_: impl FnMut() + Send + 'static) -> io::Result<()> {
    Ok(())
}
