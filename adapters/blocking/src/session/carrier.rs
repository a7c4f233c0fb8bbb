//! A carrier made of a reader and a writer that block, each with a thread of its own and a buffer between it and the session.

use std::io::{self, IoSlice, Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;

use adit_driver::session;

/// Bytes that wait between a thread and the session, in each direction, at most.
const BUFFER_MAX: usize = 64 * 1024;

/// Bytes asked for in one read.
const READ_BYTES: usize = 16 * 1024;

/// One direction.
#[derive(Default)]
struct Way {
    state: Mutex<State>,
    /// The thread has something to do.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    /// Nothing follows: the input has ended, or the session wants no more.
    ended: bool,
    /// The reader or the writer failed. Told once.
    failed: Option<io::Error>,
    /// What the session wrote has not all been handed to the writer.
    busy: bool,
    /// The session waits.
    session: Option<Waker>,
}

impl Way {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is something to do, by this condition on the state.
    fn wait_while(&self, idle: impl FnMut(&mut State) -> bool) -> MutexGuard<'_, State> {
        let waited = self.changed.wait_while(self.state(), idle);
        waited.unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, and wakes the session.
    fn tell(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        let session = state.session.take();
        drop(state);
        if let Some(session) = session {
            session.wake();
        }
    }

    /// Changes the state, and wakes the thread.
    fn ask(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }
}

/// A reader and a writer, as what carries a session.
pub(super) struct Carrier {
    input: Arc<Way>,
    output: Arc<Way>,
}

impl Carrier {
    pub(super) fn new(
        reader: impl Read + Send + 'static,
        writer: impl Write + Send + 'static,
    ) -> io::Result<Self> {
        // Made first: if a thread is not to be had, the other ends by its drop.
        let carrier = Self {
            input: Arc::default(),
            output: Arc::default(),
        };
        let (input, output) = (Arc::clone(&carrier.input), Arc::clone(&carrier.output));
        let thread = |name: &str| thread::Builder::new().name(name.to_owned());
        thread("reader").spawn(move || read_all(reader, &input))?;
        thread("writer").spawn(move || write_all(writer, &output))?;
        Ok(carrier)
    }
}

fn read_all(mut reader: impl Read, way: &Way) {
    let mut buffer = [0; READ_BYTES];
    loop {
        if way
            .wait_while(|state| !state.ended && state.bytes.len() >= BUFFER_MAX)
            .ended
        {
            return;
        }
        match reader.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(read @ 1..) => way.tell(|state| state.bytes.extend_from_slice(&buffer[..read])),
            end => {
                return way.tell(|state| {
                    state.ended = true;
                    state.failed = end.err();
                });
            }
        }
    }
}

fn write_all(mut writer: impl Write, way: &Way) {
    let mut taken = Vec::new();
    loop {
        {
            let mut state = way.wait_while(|state| !state.ended && state.bytes.is_empty());
            if state.bytes.is_empty() {
                return;
            }
            std::mem::swap(&mut state.bytes, &mut taken);
            state.busy = true;
        }
        let written = writer.write_all(&taken).and_then(|()| writer.flush());
        taken.clear();
        let failed = written.is_err();
        way.tell(|state| {
            state.busy = false;
            state.ended |= failed;
            state.failed = written.err();
        });
        if failed {
            return;
        }
    }
}

impl session::Carrier for Carrier {
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.input.state();
        if state.bytes.is_empty() {
            if let Some(error) = state.failed.take() {
                return Poll::Ready(Err(error));
            }
            if state.ended {
                return Poll::Ready(Ok(0));
            }
            state.session = Some(context.waker().clone());
            return Poll::Pending;
        }
        let read = buffer.len().min(state.bytes.len());
        for (to, from) in buffer.iter_mut().zip(state.bytes.drain(..read)) {
            *to = from;
        }
        drop(state);
        self.input.changed.notify_all();
        Poll::Ready(Ok(read))
    }

    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.output.state();
        if state.ended {
            let error = state.failed.take();
            return Poll::Ready(Err(error.unwrap_or(io::ErrorKind::BrokenPipe.into())));
        }
        let room = BUFFER_MAX.saturating_sub(state.bytes.len());
        if room == 0 {
            state.session = Some(context.waker().clone());
            return Poll::Pending;
        }
        let mut written = 0;
        for slice in slices {
            let some = slice.len().min(room - written);
            state.bytes.extend_from_slice(&slice[..some]);
            written += some;
        }
        drop(state);
        self.output.changed.notify_all();
        Poll::Ready(Ok(written))
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.output.state();
        if let Some(error) = state.failed.take() {
            return Poll::Ready(Err(error));
        }
        if state.bytes.is_empty() && !state.busy || state.ended {
            return Poll::Ready(Ok(()));
        }
        state.session = Some(context.waker().clone());
        Poll::Pending
    }

    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.output.ask(|state| state.ended = true);
        Poll::Ready(Ok(()))
    }
}

/// The writer gets what was written before; the reader is left alone once a read returns.
impl Drop for Carrier {
    fn drop(&mut self) {
        for way in [&self.input, &self.output] {
            way.ask(|state| state.ended = true);
        }
    }
}
