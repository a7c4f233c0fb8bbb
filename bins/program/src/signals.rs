//! Signals: the first SIGTERM or Ctrl-C drains, the second ends at once, SIGHUP reloads.

use std::io;
use std::time::Duration;

use adit_tokio::{Stop, Stopping, stopper};

use crate::Failure;

/// Turns the signals of this process into steps of its end: the first one gives what runs `grace`
/// to finish, the second ends at once.
///
/// # Errors
///
/// The system does not deliver signals.
pub fn stop_on_signals(grace: Duration) -> Result<Stopping, Failure> {
    let mut signals = Terminations::new().map_err(cannot)?;
    let (stopper, stopping) = stopper();
    tokio::spawn(async move {
        signals.next().await;
        tracing::info!(
            "stopping: running connections have {grace:?} to finish; a second signal ends at once"
        );
        stopper.stop(Stop::Drain(grace));
        signals.next().await;
        tracing::info!("stopping at once");
        stopper.stop(Stop::Now);
        // Dropping the stopper would lose the step for those who look later.
        std::future::pending::<()>().await;
    });
    Ok(stopping)
}

fn cannot(error: io::Error) -> Failure {
    Failure::Runtime(format!("can't listen for signals: {error}"))
}

/// SIGTERM and SIGINT.
#[cfg(unix)]
struct Terminations {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Terminations {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Ctrl-C.
#[cfg(not(unix))]
struct Terminations;

#[cfg(not(unix))]
impl Terminations {
    #[expect(clippy::unnecessary_wraps, reason = "as on other systems")]
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// SIGHUP: the operator says that files have changed. Never comes where there is no such signal.
pub struct Hangup(#[cfg(unix)] tokio::signal::unix::Signal);

impl Hangup {
    /// From now on SIGHUP no longer ends this process.
    ///
    /// # Errors
    ///
    /// The system does not deliver signals.
    #[cfg(unix)]
    pub fn new() -> Result<Self, Failure> {
        use tokio::signal::unix::{SignalKind, signal};
        signal(SignalKind::hangup()).map(Self).map_err(cannot)
    }

    /// Never fails here.
    #[cfg(not(unix))]
    pub fn new() -> Result<Self, Failure> {
        Ok(Self())
    }

    /// Waits for the next SIGHUP.
    #[cfg(unix)]
    pub async fn heard(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }

    /// Never comes here.
    #[cfg(not(unix))]
    pub async fn heard(&mut self) {
        std::future::pending::<()>().await;
    }
}
