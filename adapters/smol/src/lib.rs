//! Adit on smol.
//!
//! [`Smol`] is the runtime on which [`serve`] and [`run_client`] drive whole servers and clients. [`session`] is for programs of their own.
//!
//! ```
//! use adit_core::{CarrierFacts, ClientId, Token, TunnelName};
//! use adit_smol::Smol;
//! use adit_smol::session::{Client, Host, Io};
//! use smol::io::{AsyncReadExt, AsyncWriteExt};
//! use smol::net::unix::UnixStream;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! smol::block_on(async {
//!     let runtime = Smol::global();
//!     let token = Token::new(b"3q2-7wEjRWeJq83vEjRWeA")?;
//!     let tunnel = TunnelName::new("attic")?;
//!     let host = Host::new(Default::default())?.with_tunnel(&tunnel, &token);
//!     let client = Client::new(token, tunnel, ClientId::new("kitchen")?);
//!
//!     // Anything that is AsyncRead + AsyncWrite will do.
//!     let (near, far) = UnixStream::pair()?;
//!     let facts = CarrierFacts { exporter: None, tls: false, certificate_checked: false };
//!     let accepting = host.accept(&runtime, Io(near), None);
//!     let connecting = client.connect(&runtime, Io(far), facts);
//!     let (server, client) = smol::future::zip(accepting, connecting).await;
//!     let (server, client) = (server?, client?);
//!
//!     let mut visitor = server.open()?;
//!     visitor.write_all(b"who is there?").await?;
//!     visitor.finish()?;
//!
//!     let mut request = String::new();
//!     let mut service = client.accept().await.ok_or("the session ended")?;
//!     service.read_to_string(&mut request).await?;
//!     assert_eq!(request, "who is there?");
//!     # Ok(())
//! })
//! # }
//! ```

use std::future::Future;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::sync::{Arc, Weak};
use std::thread;

use adit_async_io::{Listener, Socket, Timer};
use adit_driver::Threads;
use smol::channel::Receiver;
use smol::{Executor, future};

pub use adit_driver::{
    Clock, Env, ReadToken, Report, Stop, Stopper, Stopping, listen, log, run_client, serve,
    serve_answers, stopper,
};

/// Sessions over any `AsyncRead + AsyncWrite` of futures-io, which [`Io`](session::Io) makes a carrier.
pub mod session {
    pub use adit_async_io::Io;
    pub use adit_driver::session::{
        AcceptError, Carrier, Client, ConnectError, Host, Session, Stream,
    };
}

/// How many tasks run before a thread looks for sockets that became ready. A busy session is ready to run again at once.
const TASKS_BETWEEN_LOOKS: u32 = 2;

/// Smol, and where its tasks run.
#[derive(Clone, Debug)]
pub struct Smol(Executors);

#[derive(Clone, Debug)]
enum Executors {
    /// That of the process.
    Global,
    /// The program's own, and one for each further thread. They end with the program, whoever has a clone of this.
    Own(Weak<Executor<'static>>, Arc<[Weak<Executor<'static>>]>),
}

impl Smol {
    /// The executor of the process, that of [`smol::spawn`].
    #[must_use]
    pub const fn global() -> Self {
        Self(Executors::Global)
    }
}

impl adit_driver::Runtime for Smol {
    type Socket = Socket;
    type Listener = Listener;
    type Timer = Timer;

    // Of the 500 threads that smol has for such things unless told otherwise.
    const LOOKUPS_MAX: usize = 64;

    fn workers(&self) -> NonZeroUsize {
        let own = match &self.0 {
            Executors::Global => 1,
            Executors::Own(_, more) => more.len(),
        };
        NonZeroUsize::new(own).unwrap_or(NonZeroUsize::MIN)
    }

    fn looks_between_turns(&self) -> bool {
        matches!(self.0, Executors::Own(..))
    }

    fn spawn(&self, worker: usize, task: impl Future<Output = ()> + Send + 'static) {
        match &self.0 {
            Executors::Own(_, more) if !more.is_empty() => {
                spawn(&more[worker % more.len()], task);
            }
            _ => self.spawn_here(task),
        }
    }

    fn spawn_here(&self, task: impl Future<Output = ()> + Send + 'static) {
        match &self.0 {
            Executors::Global => smol::spawn(task).detach(),
            Executors::Own(own, _) => spawn(own, task),
        }
    }

    fn run_blocking(&self, job: impl FnOnce() + Send + 'static) {
        smol::unblock(job).detach();
    }

    fn socket(&self, stream: TcpStream) -> io::Result<Socket> {
        Socket::new(stream)
    }

    fn listener(&self, listener: TcpListener) -> io::Result<Listener> {
        Listener::new(listener)
    }

    fn timer(&self) -> Timer {
        Timer::default()
    }
}

impl adit_driver::Start for Smol {
    fn start<F>(threads: Threads, program: impl FnOnce(Self) -> F) -> io::Result<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send,
    {
        let own = Arc::new(Executor::new());
        // Dropped at the end, it ends the threads: nobody sends.
        let (_running, ended) = smol::channel::bounded(1);
        let more = (0..threads.more()).map(|number| worker(number, ended.clone()));
        let more = more.collect::<io::Result<Vec<_>>>()?;
        let program = program(Self(Executors::Own(Arc::downgrade(&own), more.into())));
        Ok(smol::block_on(run(&own, program)))
    }
}

/// Runs tasks until `end` is ready. The executor by itself would look at sockets after 200 of them only.
async fn run<T>(executor: &Executor<'_>, end: impl Future<Output = T>) -> T {
    let tasks = async {
        loop {
            for _ in 0..TASKS_BETWEEN_LOOKS {
                executor.tick().await;
            }
            future::yield_now().await;
        }
    };
    future::or(end, tasks).await
}

/// On an executor that is gone, a task is, too.
fn spawn(executor: &Weak<Executor<'static>>, task: impl Future<Output = ()> + Send + 'static) {
    if let Some(executor) = executor.upgrade() {
        executor.spawn(task).detach();
    }
}

/// Starts a thread with an executor of its own.
fn worker(number: usize, ended: Receiver<()>) -> io::Result<Weak<Executor<'static>>> {
    let executor = Arc::new(Executor::new());
    let handle = Arc::downgrade(&executor);
    thread::Builder::new()
        .name(format!("session-{number}"))
        .spawn(move || {
            // An error: the program has ended.
            let _ = smol::block_on(run(&executor, ended.recv()));
        })?;
    Ok(handle)
}
