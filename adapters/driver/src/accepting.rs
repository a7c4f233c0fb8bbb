//! Accepts connections, whatever goes wrong with single ones.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::{Listener, Runtime, Timer};

/// How long nothing is accepted after a failure that will not go away by itself: out of files, mostly.
const PAUSE: Duration = Duration::from_millis(250);

/// A listener that waits a little when it fails. The pause is kept here and not in a future that whatever else happens would drop: a listener that fails at once
/// must not be asked again at every turn.
pub(crate) struct Accepting<R: Runtime> {
    listener: R::Listener,
    /// What it is for, as in "the control plane".
    place: String,
    pause: R::Timer,
    paused: bool,
}

impl<R: Runtime> Accepting<R> {
    /// Waits on the listener from now on, which is non-blocking. Called in a task.
    pub(crate) fn new(
        runtime: &R,
        listener: TcpListener,
        place: impl Into<String>,
    ) -> io::Result<Self> {
        Ok(Self {
            listener: runtime.listener(listener)?,
            place: place.into(),
            pause: runtime.timer(),
            paused: false,
        })
    }

    /// The next connection, non-blocking.
    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<(TcpStream, SocketAddr)> {
        loop {
            if self.paused {
                ready!(self.pause.poll(context));
                self.paused = false;
            }
            match ready!(self.listener.poll_accept(context)) {
                Ok(accepted) => return Poll::Ready(accepted),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    let place = &self.place;
                    tracing::warn!("can't accept connections on {place}: {error}; trying again");
                    self.pause.set(PAUSE);
                    self.paused = true;
                }
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}
