//! A carrier in memory: two queues with little room.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::session::Carrier;

/// Bytes that are under way in one direction at most.
const ROOM: usize = 1_500;

#[derive(Default)]
struct Queue {
    bytes: VecDeque<u8>,
    ended: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

#[derive(Clone, Default)]
struct Way(Arc<Mutex<Queue>>);

impl Way {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) {
        let mut queue = self.queue();
        queue.ended = true;
        let wakers = [queue.reader.take(), queue.writer.take()];
        drop(queue);
        for waker in wakers.into_iter().flatten() {
            waker.wake();
        }
    }
}

/// One end of a pipe in memory that takes 1,500 bytes at a time.
pub struct Pipe {
    from: Way,
    to: Way,
}

/// Two connected ends.
#[must_use]
pub fn pipe() -> (Pipe, Pipe) {
    let (there, back) = (Way::default(), Way::default());
    let near = Pipe {
        from: back.clone(),
        to: there.clone(),
    };
    let far = Pipe {
        from: there,
        to: back,
    };
    (near, far)
}

impl Carrier for Pipe {
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut queue = self.from.queue();
        if queue.bytes.is_empty() && !queue.ended {
            queue.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        let read = buffer.len().min(queue.bytes.len());
        for (to, from) in buffer.iter_mut().zip(queue.bytes.drain(..read)) {
            *to = from;
        }
        let writer = queue.writer.take();
        drop(queue);
        if let Some(writer) = writer {
            writer.wake();
        }
        Poll::Ready(Ok(read))
    }

    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut queue = self.to.queue();
        if queue.ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = ROOM - queue.bytes.len();
        if room == 0 {
            queue.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        let before = queue.bytes.len();
        let all = slices.iter().flat_map(|slice| slice.iter());
        queue.bytes.extend(all.take(room));
        let written = queue.bytes.len() - before;
        let reader = queue.reader.take();
        drop(queue);
        if let Some(reader) = reader {
            reader.wake();
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.to.end();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.from.end();
        self.to.end();
    }
}
