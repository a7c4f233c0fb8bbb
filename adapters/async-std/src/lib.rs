//! Adit on async-std.
//!
//! async-std is discontinued; its authors name smol as what to move to, and `adit-smol` is the same code
//! over the same traits. This crate is for programs that have not moved yet. No other crate of Adit depends on it, nor on async-std.
//!
//! [`AsyncStd`] is the runtime on which [`serve`] and [`run_client`] drive whole servers and clients. [`session`] is for programs of their own.
//!
//! ```
//! use adit_core::{CarrierFacts, ClientId, Token, TunnelName};
//! use adit_async_std::AsyncStd;
//! use adit_async_std::session::{Client, Host, Io};
//! use async_std::io::prelude::{ReadExt, WriteExt};
//! use async_std::os::unix::net::UnixStream;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! async_std::task::block_on(async {
//!     let runtime = AsyncStd;
//!     let token = Token::new(b"3q2-7wEjRWeJq83vEjRWeA")?;
//!     let tunnel = TunnelName::new("attic")?;
//!     let host = Host::new(Default::default())?.with_tunnel(&tunnel, &token);
//!     let client = Client::new(token, tunnel, ClientId::new("kitchen")?);
//!
//!     // Anything that is AsyncRead + AsyncWrite will do.
//!     let (near, far) = UnixStream::pair()?;
//!     let facts = CarrierFacts { exporter: None, tls: false, certificate_checked: false };
//!     let accepting = async move { host.accept(&runtime, Io(near), None).await };
//!     let accepting = async_std::task::spawn(accepting);
//!     let client = client.connect(&runtime, Io(far), facts).await?;
//!     let server = accepting.await?;
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

use adit_async_io::{Listener, Socket, Timer};
use adit_driver::Threads;
use async_std::task;

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

/// The one pool of threads that async-std has in a process. Its size is `ASYNC_STD_THREAD_COUNT`, or the number of cores.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsyncStd;

impl adit_driver::Runtime for AsyncStd {
    type Socket = Socket;
    type Listener = Listener;
    type Timer = Timer;

    // Of the 500 threads that async-std has for such things unless told otherwise.
    const LOOKUPS_MAX: usize = 64;

    fn workers(&self) -> NonZeroUsize {
        NonZeroUsize::MIN
    }

    fn looks_between_turns(&self) -> bool {
        false
    }

    fn spawn(&self, _: usize, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn_here(task);
    }

    fn spawn_here(&self, task: impl Future<Output = ()> + Send + 'static) {
        task::spawn(task);
    }

    fn run_blocking(&self, job: impl FnOnce() + Send + 'static) {
        task::spawn_blocking(job);
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

/// The pool is async-std's own, so the number of threads is not for a program to say.
impl adit_driver::Start for AsyncStd {
    fn start<F>(_: Threads, program: impl FnOnce(Self) -> F) -> io::Result<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send,
    {
        Ok(task::block_on(program(Self)))
    }
}
