//! The handle of a session.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use adit_core::{Open, OpenError, ServiceId, ServiceKind, SessionError};

use super::Carrier;
use super::shared::{Shared, Waiting};
use super::stream::Stream;
use super::task::Task;
use crate::clock::Clock;
use crate::{Runtime, catch};

/// A session, either side of it. Both sides may open streams.
///
/// When it is dropped, streams that are open run on; no new ones are taken, and after the last of them the session ends.
pub struct Session {
    shared: Arc<Shared>,
}

impl Session {
    /// Runs a session in a task of its own; `ended` is called when it is over.
    pub(super) fn start(
        runtime: &impl Runtime,
        carrier: impl Carrier,
        session: adit_core::Session,
        clock: Clock,
        ended: impl FnOnce() + Send + 'static,
    ) -> Self {
        let shared = Arc::new(Shared::new(session, clock));
        let mut task = Task::new(carrier, runtime.timer(), Arc::clone(&shared));
        runtime.spawn_here(async move {
            let turns = poll_fn(|context| task.poll(context));
            catch::to_the_end("the task of a session", turns).await;
            ended();
        });
        Self { shared }
    }

    /// Opens a stream, which may be written to at once.
    ///
    /// # Errors
    ///
    /// [`OpenError`]: the peer's limit of streams is reached, or the session ends.
    pub fn open(&self) -> Result<Stream, OpenError> {
        self.open_to(Open {
            kind: ServiceKind::Tcp,
            service: ServiceId(0),
            visitor: None,
            dialled: None,
        })
    }

    /// Opens a stream and says what it should lead to.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open).
    pub fn open_to(&self, open: Open) -> Result<Stream, OpenError> {
        let now = self.shared.clock.now();
        let id = self.shared.with(|state| {
            let id = state.session.open(now, open.clone())?;
            state.streams.insert(id, Waiting::default());
            state.wake_task();
            Ok(id)
        })?;
        Ok(Stream::new(Arc::clone(&self.shared), id, open))
    }

    /// The next stream that the peer opened; `None` when the session has ended. May be dropped while it waits.
    pub async fn accept(&self) -> Option<Stream> {
        loop {
            let opened = self.shared.opened.listen();
            let (arrived, ended) = self
                .shared
                .with(|state| (state.arrived.pop_front(), state.over().is_some()));
            match arrived {
                Some((id, open)) => return Some(Stream::new(Arc::clone(&self.shared), id, open)),
                None if ended => return None,
                None => opened.await,
            }
        }
    }

    /// Waits for the session to end, and says why it did.
    pub async fn ended(&self) -> SessionError {
        loop {
            let opened = self.shared.opened.listen();
            if let Some(error) = self.shared.with(|state| state.ended) {
                return error;
            }
            opened.await;
        }
    }

    /// Ends the session and all its streams now: the peer sees those reset that had not ended. What ended well before, it may
    /// still read; it is told of the session's end when it has done so, after 2 s at the latest.
    pub fn close(&self) {
        let now = self.shared.clock.now();
        self.shared.with(|state| {
            state.reset_arrived();
            let ids: Vec<_> = state.streams.keys().copied().collect();
            for id in ids {
                state.session.release(id);
            }
            state.leaving.close(now, &mut state.session);
            state.wake_streams();
            state.wake_task();
        });
        self.shared.opened.notify(usize::MAX);
    }

    /// The round trip that was measured last.
    #[must_use]
    pub fn rtt(&self) -> Option<Duration> {
        self.shared.with(|state| state.session.rtt())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let now = self.shared.clock.now();
        self.shared.with(|state| {
            state.reset_arrived();
            state.leaving.begin(now, &mut state.session);
            state.wake_task();
        });
    }
}
