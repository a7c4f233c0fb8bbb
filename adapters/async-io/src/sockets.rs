//! TCP sockets.

use std::io::{self, IoSlice, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use adit_driver::Timer as _;
use async_io::Async;
use socket2::SockRef;

use crate::Timer;

/// How often a socket with input that nobody reads is asked for an error: to wait for it would mean to be woken by the input, again and again.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A connection, or an attempt at one.
#[derive(Debug)]
pub struct Socket {
    stream: Async<TcpStream>,
    /// The last read, or write, left nothing to be done: to try again before the reactor says so would be in vain.
    read_all: bool,
    wrote_all: bool,
    watch: Watch,
}

/// How an error is waited for while nobody reads.
#[derive(Debug)]
enum Watch {
    ByReactor,
    /// There is input.
    ByTime(Timer),
}

impl Socket {
    /// Waits on a non-blocking socket from now on.
    ///
    /// # Errors
    ///
    /// The system can't wait for one more.
    pub fn new(stream: TcpStream) -> io::Result<Self> {
        Ok(Self {
            stream: Async::new_nonblocking(stream)?,
            read_all: false,
            wrote_all: false,
            watch: Watch::ByReactor,
        })
    }
}

impl adit_driver::Socket for Socket {
    fn get(&self) -> SockRef<'_> {
        SockRef::from(self.stream.get_ref())
    }

    fn poll_connected(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_writable(context)
    }

    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.watch = Watch::ByReactor;
        loop {
            if self.read_all {
                ready!(self.stream.poll_readable(context))?;
                self.read_all = false;
            }
            match self.stream.get_ref().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.read_all = true,
                read => {
                    self.read_all = read.as_ref().is_ok_and(|read| *read < buffer.len());
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
            if self.wrote_all {
                ready!(self.stream.poll_writable(context))?;
                self.wrote_all = false;
            }
            match self.stream.get_ref().write_vectored(slices) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wrote_all = true,
                Ok(written) => {
                    self.wrote_all = written < slices.iter().map(|slice| slice.len()).sum();
                    return Poll::Ready(Ok(written));
                }
                failed => return Poll::Ready(failed),
            }
        }
    }

    fn poll_failed(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            match &mut self.watch {
                Watch::ByReactor => {
                    if let Err(error) = ready!(self.stream.poll_readable(context)) {
                        return Poll::Ready(error);
                    }
                    self.watch = Watch::ByTime(Timer::default());
                }
                Watch::ByTime(timer) => {
                    ready!(timer.poll(context));
                }
            }
            match self.stream.get_ref().take_error() {
                Ok(None) => {}
                Ok(Some(error)) | Err(error) => return Poll::Ready(error),
            }
            if let Watch::ByTime(timer) = &mut self.watch {
                timer.set(LOOK_EVERY);
            }
        }
    }

    fn into_std(self) -> io::Result<TcpStream> {
        self.stream.into_inner()
    }
}

/// A listener.
#[derive(Debug)]
pub struct Listener(Async<TcpListener>);

impl Listener {
    /// Waits on a non-blocking listener from now on.
    ///
    /// # Errors
    ///
    /// The system can't wait for one more.
    pub fn new(listener: TcpListener) -> io::Result<Self> {
        Async::new_nonblocking(listener).map(Self)
    }
}

impl adit_driver::Listener for Listener {
    fn poll_accept(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        loop {
            match self.0.get_ref().accept() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.0.poll_readable(context))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
                Ok((stream, from)) => {
                    let ready = stream.set_nonblocking(true).map(|()| (stream, from));
                    return Poll::Ready(ready);
                }
            }
        }
    }
}
