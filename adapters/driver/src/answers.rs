//! Serves plain HTTP answers on a listener of their own: one request and one answer a connection.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::{Shutdown, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use adit_link::LinkConfig;
use adit_link::http::{Answerer, Answers};
use bytes::BytesMut;
use event_listener::Event;

use crate::accepting::Accepting;
use crate::clock::Clock;
use crate::{Runtime, Socket, catch, time};

/// Connections served at a time. Others wait in the kernel, at most the ten seconds that one may take.
const CONNECTIONS_MAX: usize = 64;

/// Bytes asked for in one read: most requests are shorter.
const READ_BYTES: usize = 2 * 1024;

/// How long the other end may take to close behind its answer.
const END_MAX: Duration = Duration::from_secs(1);

/// Answers requests on a non-blocking listener for as long as it is polled: `/healthz` and whatever `answers` knows. Called in a task of the runtime.
///
/// # Errors
///
/// The runtime can't wait on the listener.
pub async fn serve_answers<R: Runtime>(
    runtime: R,
    listener: TcpListener,
    answers: Arc<dyn Answers>,
    clock: Clock,
) -> io::Result<()> {
    let mut accepting = Accepting::new(&runtime, listener, "the admin address")?;
    let places = Arc::new(Places::default());
    loop {
        let place = Places::take(&places).await;
        let (stream, _) = poll_fn(|context| accepting.poll_next(context)).await;
        let (answers, own) = (Arc::clone(&answers), runtime.clone());
        let task = async move {
            // What goes wrong with one connection is the business of its other end.
            if let Ok(socket) = own.socket(stream) {
                let _ = serve_one(&own, socket, answers, clock).await;
            }
            drop(place);
        };
        runtime.spawn_here(catch::to_the_end("an answer on the admin address", task));
    }
}

async fn serve_one<R: Runtime>(
    runtime: &R,
    mut socket: R::Socket,
    answers: Arc<dyn Answers>,
    clock: Clock,
) -> io::Result<()> {
    let mut answerer = Answerer::new(answers, &LinkConfig::default(), clock.now());
    let time = answerer.poll_timeout() - clock.now();
    let exchange = async {
        loop {
            let mut input = BytesMut::zeroed(READ_BYTES);
            let read = poll_fn(|context| socket.poll_read(context, &mut input)).await?;
            if read == 0 {
                return Ok(());
            }
            input.truncate(read);
            if let Some(answer) = answerer.handle_input(input) {
                write_all(&mut socket, &answer).await?;
                socket.get().shutdown(Shutdown::Write)?;
                time::within(runtime, END_MAX, await_end(&mut socket)).await;
                return Ok(());
            }
        }
    };
    time::within(runtime, time, exchange)
        .await
        .unwrap_or(Ok(()))
}

async fn write_all(socket: &mut impl Socket, mut data: &[u8]) -> io::Result<()> {
    while !data.is_empty() {
        let written = poll_fn(|context| socket.poll_write(context, &[IoSlice::new(data)])).await?;
        data = data.get(written..).unwrap_or_default();
    }
    Ok(())
}

/// Waits for the other end to close first: closing over unread input would be a reset, and a reset can overtake the answer.
async fn await_end(socket: &mut impl Socket) {
    let mut rest = [0; 1024];
    while let Ok(1..) = poll_fn(|context| socket.poll_read(context, &mut rest)).await {}
}

/// How many connections are served.
#[derive(Default)]
struct Places {
    taken: AtomicUsize,
    freed: Event,
}

struct Place(Arc<Places>);

impl Places {
    /// Waits until one is free. Only one task may do so.
    async fn take(places: &Arc<Self>) -> Place {
        loop {
            let freed = places.freed.listen();
            if places.taken.load(Ordering::Acquire) < CONNECTIONS_MAX {
                places.taken.fetch_add(1, Ordering::AcqRel);
                return Place(Arc::clone(places));
            }
            freed.await;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::AcqRel);
        self.0.freed.notify(usize::MAX);
    }
}
