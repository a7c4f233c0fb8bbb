//! One stream of a session, as something to read and write.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use adit_core::{Code, Open, StreamError, StreamId};
use bytes::Bytes;

use super::shared::{Shared, State};

/// The most that one write takes: what is copied here would otherwise wait in the caller's buffer.
const WRITE_MAX_BYTES: usize = 64 * 1024;

/// A stream: reliable bytes in both directions, each of which ends by itself.
///
/// [`finish`](Self::finish) ends the sending direction; the peer reads to the end of it. Dropping a stream before both directions
/// have ended resets it: the peer gets an error instead of an end.
///
/// Errors are [`ConnectionReset`](io::ErrorKind::ConnectionReset) when the peer reset the stream,
/// [`ConnectionAborted`](io::ErrorKind::ConnectionAborted) when the session ended, and [`BrokenPipe`](io::ErrorKind::BrokenPipe) for a write
/// behind its end.
pub struct Stream {
    shared: Arc<Shared>,
    id: StreamId,
    open: Open,
}

impl Stream {
    pub(super) fn new(shared: Arc<Shared>, id: StreamId, open: Open) -> Self {
        Self { shared, id, open }
    }

    /// What the opener said that it should lead to.
    #[must_use]
    pub fn target(&self) -> &Open {
        &self.open
    }

    /// Resets the stream in both directions: the peer gets an error with this reason.
    pub fn reset(self, code: Code) {
        self.shared.with(|state| {
            state.session.reset(self.id, code);
            state.wake_task();
        });
    }
}

/// Reading and writing, for the traits of a runtime. What is pending wakes the context's waker; of several who read, or write, only the last is woken.
impl Stream {
    /// Reads once. `Ok(0)` is the end of the input, or of the room in `buffer`.
    ///
    /// # Errors
    ///
    /// As said [above](Self).
    pub fn poll_read(
        &self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let now = self.shared.clock.now();
        self.shared.with(|state| {
            if state.leaving.closing {
                failure(state, self.id)?;
            }
            let mut read = 0;
            for chunk in state.session.chunks(self.id) {
                let some = chunk.len().min(buffer.len() - read);
                if some == 0 {
                    break;
                }
                buffer[read..read + some].copy_from_slice(&chunk[..some]);
                read += some;
            }
            if read > 0 {
                state.session.consume(now, self.id, read);
                // Credit for the peer may be due.
                state.wake_task();
            }
            if read > 0 || buffer.is_empty() || state.session.is_read_finished(self.id) {
                return Poll::Ready(Ok(read));
            }
            failure(state, self.id)?;
            if let Some(stream) = state.streams.get_mut(&self.id) {
                stream.reader = Some(context.waker().clone());
            }
            Poll::Pending
        })
    }

    /// Writes a prefix of `data` once. What was written leaves by itself.
    ///
    /// # Errors
    ///
    /// As said [above](Self).
    pub fn poll_write(&self, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.shared.with(|state| {
            failure(state, self.id)?;
            let space = state
                .session
                .write_space(self.id)
                .min(data.len())
                .min(WRITE_MAX_BYTES);
            let mut bytes = Bytes::copy_from_slice(&data[..space]);
            let written = state.session.write(self.id, &mut bytes).map_err(broken)?;
            if written > 0 {
                state.wake_task();
            }
            if written > 0 || data.is_empty() {
                return Poll::Ready(Ok(written));
            }
            if let Some(stream) = state.streams.get_mut(&self.id) {
                stream.writer = Some(context.waker().clone());
            }
            Poll::Pending
        })
    }

    /// Ends the sending direction. Twice is no error.
    ///
    /// # Errors
    ///
    /// The stream, or the session, is over.
    pub fn finish(&self) -> io::Result<()> {
        self.shared.with(|state| {
            failure(state, self.id)?;
            match state.session.finish(self.id) {
                Ok(()) => state.wake_task(),
                // Ended already.
                Err(StreamError::Finished | StreamError::Unknown) => {}
            }
            Ok(())
        })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.shared.with(|state| {
            state.streams.remove(&self.id);
            state.session.release(self.id);
            state.wake_task();
        });
    }
}

/// Why nothing more will come of a stream.
fn failure(state: &State, id: StreamId) -> io::Result<()> {
    if let Some(code) = state.streams.get(&id).and_then(|stream| stream.reset) {
        let text = format!("the other side reset the stream: {code}");
        return Err(io::Error::new(io::ErrorKind::ConnectionReset, text));
    }
    match state.over() {
        Some(error) => Err(io::Error::new(io::ErrorKind::ConnectionAborted, error)),
        None => Ok(()),
    }
}

fn broken(error: StreamError) -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, error)
}

#[cfg(feature = "futures-io")]
mod futures {
    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use futures_io::{AsyncRead, AsyncWrite};

    use super::Stream;

    impl AsyncRead for Stream {
        fn poll_read(
            self: Pin<&mut Self>,
            context: &mut Context<'_>,
            buffer: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            Self::poll_read(&self, context, buffer)
        }
    }

    impl AsyncWrite for Stream {
        fn poll_write(
            self: Pin<&mut Self>,
            context: &mut Context<'_>,
            data: &[u8],
        ) -> Poll<io::Result<usize>> {
            Self::poll_write(&self, context, data)
        }

        /// What was written leaves by itself.
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        /// Ends the sending direction.
        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(self.finish())
        }
    }
}
