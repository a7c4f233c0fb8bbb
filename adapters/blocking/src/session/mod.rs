//! Sessions of the protocol over anything that can be read and written, for programs of their own.
//!
//! Both sides prove that they know the token, and either may open streams. A [`Stream`] is `Read` and `Write`, and each direction ends by itself. A
//! session ends with its byte stream: there is nobody to ask for another. One thread drives all sessions of the process; two more belong to each byte
//! stream, because a reader and a writer that block need a thread each.
//!
//! ```
//! use std::io::{Read, Write};
//!
//! use adit_blocking::session::{Client, Host};
//! use adit_core::{CarrierFacts, ClientId, Token, TunnelName};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let token = Token::new(b"3q2-7wEjRWeJq83vEjRWeA")?;
//! let tunnel = TunnelName::new("attic")?;
//! let host = Host::new(Default::default())?.with_tunnel(&tunnel, &token);
//! let client = Client::new(token, tunnel, ClientId::new("kitchen")?);
//!
//! // Anything that can be read and written will do; here it is two pipes.
//! let (from_client, to_host) = std::io::pipe()?;
//! let (from_host, to_client) = std::io::pipe()?;
//! let facts = CarrierFacts { exporter: None, tls: false, certificate_checked: false };
//! let connecting = std::thread::spawn(move || client.connect(from_host, to_host, facts));
//! let server = host.accept(from_client, to_client, None)?;
//! let client = connecting.join().expect("no panic")?;
//!
//! let mut visitor = server.open()?;
//! visitor.write_all(b"who is there?")?;
//! visitor.finish()?;
//!
//! let mut request = String::new();
//! let mut service = client.accept().ok_or("the session ended")?;
//! service.read_to_string(&mut request)?;
//! assert_eq!(request, "who is there?");
//! service.write_all(b"kitchen")?;
//! service.finish()?;
//!
//! let mut answer = String::new();
//! visitor.read_to_string(&mut answer)?;
//! assert_eq!(answer, "kitchen");
//! # Ok(())
//! # }
//! ```

mod carrier;
mod waiting;

use std::future::{Future, poll_fn};
use std::io::{self, Read, Write};
use std::sync::{Arc, LazyLock, mpsc};
use std::time::Duration;

use adit_core::{
    CarrierFacts, ClientId, Code, Config, Open, OpenError, SessionError, Token, TunnelName,
};
use adit_driver::Runtime;
use adit_driver::session as driver;

pub use adit_driver::session::{AcceptError, ConnectError};

use crate::Blocking;
use carrier::Carrier;
use waiting::wait_for;

/// The thread that drives all sessions of the process.
static DRIVING: LazyLock<io::Result<Blocking>> = LazyLock::new(Blocking::in_the_background);

fn driving() -> io::Result<&'static Blocking> {
    let driving = DRIVING.as_ref();
    driving.map_err(|error| io::Error::new(error.kind(), error.to_string()))
}

/// Runs `task` on the thread that drives sessions, and waits for it.
fn run<T, E, F>(task: impl FnOnce(&'static Blocking) -> F) -> Result<T, E>
where
    T: Send + 'static,
    E: From<io::Error> + Send + 'static,
    F: Future<Output = Result<T, E>> + Send + 'static,
{
    let (told, heard) = mpsc::sync_channel(1);
    let blocking = driving()?;
    let task = task(blocking);
    blocking.spawn_here(async move {
        // Whoever asked waits for it.
        let _ = told.send(task.await);
    });
    heard.recv().map_err(io::Error::other)?
}

/// Who connects, and what it knows. Good for any number of sessions.
#[derive(Clone)]
pub struct Client(driver::Client);

impl Client {
    /// A client of this tunnel, with default limits.
    #[must_use]
    pub fn new(token: Token, tunnel: TunnelName, id: ClientId) -> Self {
        Self(driver::Client::new(token, tunnel, id))
    }

    /// The same with other limits.
    #[must_use]
    pub fn with_config(self, config: Arc<Config>) -> Self {
        Self(self.0.with_config(config))
    }

    /// A session over what can be read and written, once both sides have proved that they know the token. The writer is dropped when the session has ended;
    /// the reader, when a read returns after that.
    ///
    /// `facts` say what is known of the carrier: without TLS in it, that is all `None` and `false`.
    ///
    /// # Errors
    ///
    /// [`ConnectError`] says why there is none, and what to do.
    pub fn connect(
        &self,
        reader: impl Read + Send + 'static,
        writer: impl Write + Send + 'static,
        facts: CarrierFacts,
    ) -> Result<Session, ConnectError> {
        let carrier = Carrier::new(reader, writer)?;
        let client = self.0.clone();
        let connecting = |blocking| async move { client.connect(blocking, carrier, facts).await };
        run(connecting).map(Session)
    }
}

/// What lets clients in: their tunnels, and one table of sessions with its limits.
pub struct Host(Arc<driver::Host>);

impl Host {
    /// A host with these limits that lets nobody in yet.
    ///
    /// # Errors
    ///
    /// The limits do not fit each other, or the system gives no random bytes.
    pub fn new(config: Arc<Config>) -> Result<Self, ConnectError> {
        driver::Host::new(config).map(|host| Self(Arc::new(host)))
    }

    /// Lets those in who prove to know this tunnel's token.
    #[must_use]
    pub fn with_tunnel(self, tunnel: &TunnelName, token: &Token) -> Self {
        match Arc::try_unwrap(self.0) {
            Ok(host) => Self(Arc::new(host.with_tunnel(tunnel, token))),
            // Nobody else has it: `accept` borrows this for as long as its task does.
            Err(shared) => Self(shared),
        }
    }

    /// A session over what can be read and written, once both sides have proved that they know the token. For reader and writer see
    /// [`Client::connect`].
    ///
    /// `exporter` is the channel-binding value of a TLS 1.3 connection that ends in this program (RFC 9266): proofs must then be bound to it.
    /// `None` is right for a carrier without TLS of its own.
    ///
    /// # Errors
    ///
    /// [`AcceptError`] says why there is none.
    pub fn accept(
        &self,
        reader: impl Read + Send + 'static,
        writer: impl Write + Send + 'static,
        exporter: Option<[u8; 32]>,
    ) -> Result<Session, AcceptError> {
        let carrier = Carrier::new(reader, writer)?;
        let host = Arc::clone(&self.0);
        let accepting = |blocking| async move {
            let accepted = host.accept(blocking, carrier, exporter).await;
            // Before it is told: from then on the host is the caller's alone again.
            drop(host);
            accepted
        };
        run(accepting).map(Session)
    }
}

/// A session, either side of it. Both sides may open streams.
///
/// When it is dropped, streams that are open run on; no new ones are taken, and after the last of them the session ends.
pub struct Session(driver::Session);

impl Session {
    /// Opens a stream, which may be written to at once.
    ///
    /// # Errors
    ///
    /// [`OpenError`]: the peer's limit of streams is reached, or the session ends.
    pub fn open(&self) -> Result<Stream, OpenError> {
        self.0.open().map(Stream)
    }

    /// Opens a stream and says what it should lead to.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open).
    pub fn open_to(&self, open: Open) -> Result<Stream, OpenError> {
        self.0.open_to(open).map(Stream)
    }

    /// Waits for the next stream that the peer opens; `None` when the session has ended.
    #[must_use]
    pub fn accept(&self) -> Option<Stream> {
        wait_for(self.0.accept()).map(Stream)
    }

    /// Waits for the session to end, and says why it did.
    #[must_use]
    pub fn ended(&self) -> SessionError {
        wait_for(self.0.ended())
    }

    /// Ends the session and all its streams now: the peer sees those reset that had not ended. What ended well before, it may
    /// still read; it is told of the session's end when it has done so, after 2 s at the latest.
    pub fn close(&self) {
        self.0.close();
    }

    /// The round trip that was measured last.
    #[must_use]
    pub fn rtt(&self) -> Option<Duration> {
        self.0.rtt()
    }
}

/// A stream: reliable bytes in both directions, each of which ends by itself.
///
/// A shared reference reads and writes as well, so that one thread may read while another writes. [`finish`](Self::finish) ends the sending
/// direction; the peer reads to the end of it. Dropping a stream before both directions have ended resets it: the peer gets an error instead of an end.
///
/// Errors are [`ConnectionReset`](io::ErrorKind::ConnectionReset) when the peer reset the stream,
/// [`ConnectionAborted`](io::ErrorKind::ConnectionAborted) when the session ended, and [`BrokenPipe`](io::ErrorKind::BrokenPipe) for a write
/// behind the end.
pub struct Stream(driver::Stream);

impl Stream {
    /// What the opener said that it should lead to.
    #[must_use]
    pub fn target(&self) -> &Open {
        self.0.target()
    }

    /// Ends the sending direction. Twice is no error.
    ///
    /// # Errors
    ///
    /// The stream, or the session, is over.
    pub fn finish(&self) -> io::Result<()> {
        self.0.finish()
    }

    /// Resets the stream in both directions: the peer gets an error with this reason.
    pub fn reset(self, code: Code) {
        self.0.reset(code);
    }
}

impl Read for &Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        wait_for(poll_fn(|context| self.0.poll_read(context, buffer)))
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buffer)
    }
}

impl Write for &Stream {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        wait_for(poll_fn(|context| self.0.poll_write(context, data)))
    }

    /// What was written leaves by itself.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for Stream {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        (&*self).write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
