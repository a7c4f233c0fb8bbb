//! TCP sockets.

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, BytesMut};
use socket2::SockRef;
use tokio::io::{AsyncRead, Interest, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// A connection, or an attempt at one.
pub struct Socket {
    /// Shared with the watch, and with nobody while it is read.
    stream: Arc<TcpStream>,
    watch: Watch,
}

/// Whether somebody waits for an error of a socket while it isn't read.
enum Watch {
    No,
    Yes(Pin<Box<dyn Future<Output = ()> + Send + Sync>>),
    /// It fired. The runtime would fire again at once, for ever.
    Over,
}

impl Socket {
    pub(crate) fn new(stream: std::net::TcpStream) -> io::Result<Self> {
        Ok(Self {
            stream: Arc::new(TcpStream::from_std(stream)?),
            watch: Watch::No,
        })
    }

    /// The stream, to be read. The watch, if there is one, is over.
    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.watch = Watch::No;
        let stream = Arc::get_mut(&mut self.stream).map(Pin::new);
        stream.ok_or_else(|| io::ErrorKind::ResourceBusy.into())
    }
}

impl adit_driver::Socket for Socket {
    fn get(&self) -> SockRef<'_> {
        SockRef::from(&*self.stream)
    }

    fn poll_connected(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_write_ready(context)
    }

    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        ready!(self.stream()?.poll_read(context, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    fn poll_read_behind(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut BytesMut,
        limit: usize,
    ) -> Poll<io::Result<usize>> {
        self.watch = Watch::No;
        let stream = &*self.stream;
        loop {
            ready!(stream.poll_read_ready(context))?;
            let mut part = None;
            let outcome = stream.try_io(Interest::READABLE, || {
                let read = stream.try_read_buf(&mut (&mut *buffer).limit(limit))?;
                if cfg!(unix) && (1..limit).contains(&read) {
                    // There was no more, and the next edge is still to come: the next read would find nothing. The runtime's own reads end so, too.
                    part = Some(read);
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                Ok(read)
            });
            match outcome {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if let Some(read) = part {
                        return Poll::Ready(Ok(read));
                    }
                }
                outcome => return Poll::Ready(outcome),
            }
        }
    }

    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // By reference: a watch for errors goes on.
        loop {
            ready!(self.stream.poll_write_ready(context))?;
            match self.stream.try_write_vectored(slices) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return Poll::Ready(outcome),
            }
        }
    }

    fn poll_failed(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        if matches!(self.watch, Watch::No) {
            let stream = Arc::clone(&self.stream);
            self.watch = Watch::Yes(Box::pin(async move {
                // That the runtime ends is no error of the socket.
                let _ = stream.ready(Interest::ERROR).await;
            }));
        }
        let Watch::Yes(watch) = &mut self.watch else {
            return Poll::Pending;
        };
        ready!(watch.as_mut().poll(context));
        self.watch = Watch::Over;
        match self.stream.take_error() {
            Ok(None) => Poll::Pending,
            Ok(Some(error)) | Err(error) => Poll::Ready(error),
        }
    }

    fn into_std(mut self) -> io::Result<std::net::TcpStream> {
        self.watch = Watch::No;
        let stream = Arc::into_inner(self.stream).ok_or(io::ErrorKind::ResourceBusy)?;
        stream.into_std()
    }
}

/// A listener.
pub struct Listener(TcpListener);

impl Listener {
    pub(crate) fn new(listener: std::net::TcpListener) -> io::Result<Self> {
        TcpListener::from_std(listener).map(Self)
    }
}

impl adit_driver::Listener for Listener {
    fn poll_accept(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<(std::net::TcpStream, SocketAddr)>> {
        let (stream, from) = ready!(self.0.poll_accept(context))?;
        Poll::Ready(stream.into_std().map(|stream| (stream, from)))
    }
}
