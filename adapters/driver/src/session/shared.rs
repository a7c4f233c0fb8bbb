//! The session of the core, shared by its task, its handle and its streams; and who waits for what.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::task::Waker;

use adit_core::{Code, Event, Instant, Open, Session, SessionError, StreamId};

use super::leaving::Leaving;
use crate::clock::Clock;

/// The lock is held for moments, and never while a waker is called.
pub(super) struct Shared {
    pub(super) clock: Clock,
    state: Mutex<State>,
    /// A stream was opened by the peer, or the session ended.
    pub(super) opened: event_listener::Event,
}

pub(super) struct State {
    pub(super) session: Session,
    /// Streams of the peer that nobody has taken yet. Bounded by the session's own limit of streams.
    pub(super) arrived: VecDeque<(StreamId, Open)>,
    pub(super) streams: HashMap<StreamId, Waiting>,
    pub(super) ended: Option<SessionError>,
    pub(super) leaving: Leaving,
    /// The task, while it waits.
    pub(super) task: Option<Waker>,
    /// To be woken once the lock is free.
    wake: Vec<Waker>,
}

/// Who waits on a stream, and how it ended if the peer aborted it.
#[derive(Default)]
pub(super) struct Waiting {
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
    pub(super) reset: Option<Code>,
}

impl Shared {
    pub(super) fn new(session: Session, clock: Clock) -> Self {
        let state = State {
            session,
            arrived: VecDeque::new(),
            streams: HashMap::new(),
            ended: None,
            leaving: Leaving::default(),
            task: None,
            wake: Vec::new(),
        };
        Self {
            clock,
            state: Mutex::new(state),
            opened: event_listener::Event::new(),
        }
    }

    /// Works on the session; then wakes whoever has got something to do by it.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let result = work(&mut state);
        let wake = std::mem::take(&mut state.wake);
        drop(state);
        for waker in wake {
            waker.wake();
        }
        result
    }
}

impl State {
    /// The task has to look at the session: there may be something to send.
    pub(super) fn wake_task(&mut self) {
        self.wake.extend(self.task.take());
    }

    /// Why nothing more can be done with the streams: the session ended, or this side closed it.
    pub(super) fn over(&self) -> Option<SessionError> {
        let closing = self.leaving.closing;
        self.ended
            .or(closing.then_some(SessionError::Closed(Code::DONE)))
    }

    /// Sees to what the session tells. Whether streams arrived or the session ended.
    pub(super) fn handle_events(&mut self, now: Instant) -> bool {
        let mut news = false;
        while let Some(event) = self.session.poll_event() {
            match event {
                Event::Opened { id, open } => {
                    self.streams.insert(id, Waiting::default());
                    self.arrived.push_back((id, open));
                    news = true;
                }
                Event::Readable(id) => self.wake_stream(id, true, false),
                Event::Writable(id) => self.wake_stream(id, false, true),
                Event::Reset { id, code } => {
                    if let Some(stream) = self.streams.get_mut(&id) {
                        stream.reset = Some(code);
                    }
                    self.wake_stream(id, true, true);
                }
                Event::GoAway { .. } => self.leaving.handle_go_away(now),
                Event::Drained => self.leaving.handle_drained(now),
                Event::Detached(error) | Event::Closed(error) => {
                    self.ended = Some(error);
                    self.wake_streams();
                    news = true;
                }
            }
        }
        news
    }

    /// Resets the streams that nobody has taken, as nobody can any more.
    pub(super) fn reset_arrived(&mut self) {
        while let Some((id, _)) = self.arrived.pop_front() {
            self.streams.remove(&id);
            self.session.reset(id, Code::CANCELLED);
            self.session.release(id);
        }
    }

    /// When the task has to look, if nothing happens before.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let times = [self.session.poll_timeout(), self.leaving.poll_timeout()];
        times.into_iter().flatten().min()
    }

    /// Whoever waits on a stream has to look why it is over.
    pub(super) fn wake_streams(&mut self) {
        let waiting = self.streams.values_mut();
        let wakers = waiting.flat_map(|stream| [stream.reader.take(), stream.writer.take()]);
        self.wake.extend(wakers.flatten());
    }

    fn wake_stream(&mut self, id: StreamId, reader: bool, writer: bool) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if reader {
            self.wake.extend(stream.reader.take());
        }
        if writer {
            self.wake.extend(stream.writer.take());
        }
    }
}
