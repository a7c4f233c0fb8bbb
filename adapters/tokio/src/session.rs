//! Sessions of the protocol over any byte stream, for programs of their own.
//!
//! [`serve`](crate::serve) and [`run_client`](crate::run_client) are whole programs: ports, upstreams, TLS,
//! reconnecting. This module is the opposite: one [`Session`] over whatever carries bytes in both
//! directions (a pipe, a Unix socket, a TLS stream), and [`Stream`]s that are read and written as usual.
//! Both sides prove that they know the token, and either may open streams. A session ends with its byte stream: there is nobody to ask for another.
//!
//! ```
//! use adit_core::{CarrierFacts, ClientId, Token, TunnelName};
//! use adit_tokio::session::{Client, Host};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let token = Token::new(b"3q2-7wEjRWeJq83vEjRWeA")?;
//! let tunnel = TunnelName::new("attic")?;
//! let host = Host::new(Default::default())?.with_tunnel(&tunnel, &token);
//! let client = Client::new(token, tunnel, ClientId::new("kitchen")?);
//!
//! // Any AsyncRead + AsyncWrite will do; here it is a pipe in memory.
//! let (near, far) = tokio::io::duplex(16 * 1024);
//! let facts = CarrierFacts { exporter: None, tls: false, certificate_checked: false };
//! let (server, client) = tokio::join!(host.accept(near, None), client.connect(far, facts));
//! let (server, client) = (server?, client?);
//!
//! let mut visitor = server.open()?;
//! visitor.write_all(b"who is there?").await?;
//! visitor.shutdown().await?;
//!
//! let mut request = String::new();
//! let mut service = client.accept().await.ok_or("the session ended")?;
//! service.read_to_string(&mut request).await?;
//! assert_eq!(request, "who is there?");
//! service.write_all(b"kitchen").await?;
//! service.shutdown().await?;
//!
//! let mut answer = String::new();
//! visitor.read_to_string(&mut answer).await?;
//! assert_eq!(answer, "kitchen");
//! # Ok(())
//! # }
//! ```

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use adit_core::{
    CarrierFacts, ClientId, Code, Config, Open, OpenError, SessionError, Token, TunnelName,
};
use adit_driver::session as driver;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub use adit_driver::session::{AcceptError, ConnectError};

use crate::Tokio;

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

    /// A session over `io`, once both sides have proved that they know the token.
    ///
    /// `facts` say what is known of the carrier: without TLS in it, that is all `None` and `false`. The session runs in a task
    /// of its own. Dropping the future ends the handshake.
    ///
    /// # Errors
    ///
    /// [`ConnectError`] says why there is none, and what to do.
    pub async fn connect<T>(&self, io: T, facts: CarrierFacts) -> Result<Session, ConnectError>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let session = self.0.connect(&Tokio::here(), Io(io), facts).await?;
        Ok(Session(session))
    }
}

/// What lets clients in: their tunnels, and one table of sessions with its limits.
pub struct Host(driver::Host);

impl Host {
    /// A host with these limits that lets nobody in yet.
    ///
    /// # Errors
    ///
    /// The limits do not fit each other, or the system gives no random bytes.
    pub fn new(config: Arc<Config>) -> Result<Self, ConnectError> {
        driver::Host::new(config).map(Self)
    }

    /// Lets those in who prove to know this tunnel's token.
    #[must_use]
    pub fn with_tunnel(self, tunnel: &TunnelName, token: &Token) -> Self {
        Self(self.0.with_tunnel(tunnel, token))
    }

    /// A session over `io`, once both sides have proved that they know the token.
    ///
    /// `exporter` is the channel-binding value of a TLS 1.3 connection that ends in this program (RFC 9266): proofs must then be bound to it.
    /// `None` is right for a carrier without TLS of its own. The session runs in a task of its own. Dropping the
    /// future ends the handshake.
    ///
    /// # Errors
    ///
    /// [`AcceptError`] says why there is none.
    pub async fn accept<T>(&self, io: T, exporter: Option<[u8; 32]>) -> Result<Session, AcceptError>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let session = self.0.accept(&Tokio::here(), Io(io), exporter).await?;
        Ok(Session(session))
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

    /// The next stream that the peer opened; `None` when the session has ended. May be dropped while it waits.
    pub async fn accept(&self) -> Option<Stream> {
        self.0.accept().await.map(Stream)
    }

    /// Waits for the session to end, and says why it did.
    pub async fn ended(&self) -> SessionError {
        self.0.ended().await
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
/// `shutdown` ends the sending direction; the peer reads to the end of it. Dropping a stream before both directions
/// have ended resets it: the peer gets an error instead of an end.
///
/// Errors are [`ConnectionReset`](io::ErrorKind::ConnectionReset) when the peer reset the stream,
/// [`ConnectionAborted`](io::ErrorKind::ConnectionAborted) when the session ended, and [`BrokenPipe`](io::ErrorKind::BrokenPipe) for a write
/// behind a shutdown.
pub struct Stream(driver::Stream);

impl Stream {
    /// What the opener said that it should lead to.
    #[must_use]
    pub fn target(&self) -> &Open {
        self.0.target()
    }

    /// Resets the stream in both directions: the peer gets an error with this reason.
    pub fn reset(self, code: Code) {
        self.0.reset(code);
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(self.0.poll_read(context, buffer.initialize_unfilled()))?;
        buffer.advance(read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_write(context, data)
    }

    /// What was written leaves by itself.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.finish())
    }
}

/// A byte stream of tokio's, as what carries a session: for the suite (`adit_driver::transport_conformance!`) that a transport of one's own should pass.
#[derive(Debug)]
pub struct Io<T>(pub T);

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> driver::Carrier for Io<T> {
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        ready!(Pin::new(&mut self.0).poll_read(context, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(context, slices)
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_close(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests;
