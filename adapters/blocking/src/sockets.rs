//! TCP sockets.

use std::io::{self, IoSlice, Read, Write};
use std::net::{self, SocketAddr};
use std::task::{Context, Poll, ready};

use mio::Interest;
use mio::net::{TcpListener, TcpStream};
use socket2::SockRef;

use crate::event_loop;
use crate::sources::Registered;

/// A connection, or an attempt at one.
pub struct Socket(Registered<TcpStream>);

impl Socket {
    pub(crate) fn new(stream: net::TcpStream) -> io::Result<Self> {
        let (stream, interest) = (
            TcpStream::from_std(stream),
            Interest::READABLE | Interest::WRITABLE,
        );
        Registered::new(stream, interest, event_loop::sources()?).map(Self)
    }
}

impl adit_driver::Socket for Socket {
    fn get(&self) -> SockRef<'_> {
        SockRef::from(&self.0.socket)
    }

    fn poll_connected(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.source.poll_connected(context).map(Ok)
    }

    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.source.poll_readable(context));
            match self.0.socket.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.0.source.read_all(),
                read => {
                    if read
                        .as_ref()
                        .is_ok_and(|read| (1..buffer.len()).contains(read))
                    {
                        self.0.source.read_all();
                    }
                    return Poll::Ready(read);
                }
            }
        }
    }

    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.source.poll_writable(context));
            match self.0.socket.write_vectored(slices) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.0.source.wrote_all()
                }
                Ok(written) => {
                    if written < slices.iter().map(|slice| slice.len()).sum() {
                        self.0.source.wrote_all();
                    }
                    return Poll::Ready(Ok(written));
                }
                failed => return Poll::Ready(failed),
            }
        }
    }

    fn poll_failed(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            ready!(self.0.source.poll_failed(context));
            match self.0.socket.take_error() {
                Ok(None) => {}
                Ok(Some(error)) | Err(error) => return Poll::Ready(error),
            }
        }
    }

    fn into_std(self) -> io::Result<net::TcpStream> {
        // The loop goes on with a duplicate until it is dropped here: to take the socket out of what is dropped would need unsafe code.
        SockRef::from(&self.0.socket).try_clone().map(Into::into)
    }
}

/// A listener.
pub struct Listener(Registered<TcpListener>);

impl Listener {
    pub(crate) fn new(listener: net::TcpListener) -> io::Result<Self> {
        let listener = TcpListener::from_std(listener);
        Registered::new(listener, Interest::READABLE, event_loop::sources()?).map(Self)
    }
}

impl adit_driver::Listener for Listener {
    fn poll_accept(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<(net::TcpStream, SocketAddr)>> {
        loop {
            ready!(self.0.source.poll_readable(context));
            match self.0.socket.accept() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.0.source.read_all(),
                accepted => {
                    return Poll::Ready(accepted.map(|(stream, from)| (stream.into(), from)));
                }
            }
        }
    }
}
