//! What stands behind every tunnel: a service of bulk and echo, and an HTTP service. Both are as
//! light as they can be, so that what is measured is the tunnel.
//!
//! The first byte of a connection to the bulk service says what the visitor wants:
//! [`DOWN`], zeros for as long as it reads; [`UP`], to have what it sends counted, and told the
//! count (8 bytes, little-endian) from time to time; [`ECHO`], each byte back.

use rustix::event::epoll;
use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

/// Asks for zeros.
pub const DOWN: u8 = b'd';
/// Asks for a count of what is sent.
pub const UP: u8 = b'u';
/// Asks for an echo.
pub const ECHO: u8 = b'e';

/// Bytes of a write or read of bulk.
pub const CHUNK: usize = 128 << 10;
/// How often a count is told.
const TOLD_EVERY: Duration = Duration::from_millis(20);
/// Most bytes of a body that may be asked for.
const BODY_MAX: usize = 16 << 20;
/// Longest head of a request.
const HEAD_MAX: usize = 4096;
const EVENTS: usize = 256;

/// Serves both, for ever.
///
/// # Errors
///
/// When a listener or the kernel's event queue fails.
pub fn serve(bulk: TcpListener, http: TcpListener) -> io::Result<()> {
    let echoes = thread::spawn(move || run(&bulk, Bulk));
    let pages = thread::spawn(move || run(&http, Pages::default()));
    for service in [echoes, pages] {
        service
            .join()
            .map_err(|_| io::Error::other("a service panicked"))??;
    }
    Ok(())
}

/// What a service does with one of its connections that has something to read.
trait Service {
    /// Answers. A connection that is not to be kept here is taken out, and out of `queue`.
    fn answer(&mut self, queue: &OwnedFd, connection: &mut Option<Connection>) -> io::Result<()>;
}

struct Connection {
    stream: TcpStream,
    /// What has come of a request, or nothing yet.
    received: Vec<u8>,
}

fn run(listener: &TcpListener, mut service: impl Service) -> io::Result<()> {
    let queue = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let accepting = u64::MAX;
    let data = epoll::EventData::new_u64(accepting);
    epoll::add(&queue, listener, data, epoll::EventFlags::IN)?;
    let mut connections: HashMap<u64, Option<Connection>> = HashMap::new();
    let mut events = Vec::with_capacity(EVENTS);
    loop {
        events.clear();
        match epoll::wait(&queue, rustix::buffer::spare_capacity(&mut events), None) {
            Err(rustix::io::Errno::INTR) => continue,
            other => other?,
        };
        for event in &events {
            let id = event.data.u64();
            if id == accepting {
                let Ok((stream, _)) = listener.accept() else {
                    continue;
                };
                stream.set_nodelay(true)?;
                let id = stream.as_raw_fd() as u64;
                let data = epoll::EventData::new_u64(id);
                epoll::add(&queue, &stream, data, epoll::EventFlags::IN)?;
                let received = Vec::new();
                connections.insert(id, Some(Connection { stream, received }));
            } else if let Some(connection) = connections.get_mut(&id) {
                let failed = service.answer(&queue, connection).is_err();
                if failed || connection.is_none() {
                    connections.remove(&id);
                }
            }
        }
    }
}

/// Bulk has a thread for each connection; echoes stay with the loop.
struct Bulk;

impl Service for Bulk {
    fn answer(&mut self, queue: &OwnedFd, connection: &mut Option<Connection>) -> io::Result<()> {
        let Some(kept) = connection else {
            return Ok(());
        };
        if kept.received.is_empty() {
            let mut asked = [0];
            kept.stream.read_exact(&mut asked)?;
            match asked {
                [ECHO] => kept.received.extend(asked),
                [DOWN | UP] => {
                    if let Some(Connection { stream, .. }) = connection.take() {
                        epoll::delete(queue, &stream)?;
                        thread::spawn(move || match asked {
                            [DOWN] => zeros(stream),
                            _ => count(stream),
                        });
                    }
                }
                _ => return Err(ErrorKind::InvalidData.into()),
            }
            return Ok(());
        }
        let mut bytes = [0; 1024];
        let read = kept.stream.read(&mut bytes)?;
        if read == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        kept.stream.write_all(&bytes[..read])
    }
}

fn zeros(mut stream: TcpStream) -> io::Result<()> {
    let zeros = vec![0; CHUNK];
    loop {
        stream.write_all(&zeros)?;
    }
}

fn count(mut stream: TcpStream) -> io::Result<()> {
    let mut bytes = vec![0; CHUNK];
    let (mut counted, mut told) = (0u64, Instant::now());
    loop {
        let read = stream.read(&mut bytes)?;
        if read == 0 {
            return Ok(());
        }
        counted += read as u64;
        if told.elapsed() >= TOLD_EVERY {
            told = Instant::now();
            stream.write_all(&counted.to_le_bytes())?;
        }
    }
}

/// `GET /N` is answered with N bytes.
#[derive(Default)]
struct Pages {
    made: HashMap<usize, Vec<u8>>,
}

impl Service for Pages {
    fn answer(&mut self, _: &OwnedFd, connection: &mut Option<Connection>) -> io::Result<()> {
        let Some(Connection { stream, received }) = connection else {
            return Ok(());
        };
        let mut bytes = [0; HEAD_MAX];
        let read = stream.read(&mut bytes)?;
        if read == 0 || received.len() + read > HEAD_MAX {
            return Err(ErrorKind::InvalidData.into());
        }
        received.extend_from_slice(&bytes[..read]);
        if !received.ends_with(b"\r\n\r\n") {
            return Ok(());
        }
        let size = size(received).ok_or(ErrorKind::InvalidData)?;
        let close = received
            .windows(CLOSE.len())
            .any(|window| window == CLOSE.as_bytes());
        received.clear();
        let page = self.made.entry(size).or_insert_with(|| {
            let mut page =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n").into_bytes();
            page.resize(page.len() + size, b'.');
            page
        });
        stream.write_all(page)?;
        if close {
            *connection = None;
        }
        Ok(())
    }
}

/// The header of a request after whose answer the connection ends.
pub const CLOSE: &str = "Connection: close\r\n";

fn size(request: &[u8]) -> Option<usize> {
    let rest = request.strip_prefix(b"GET /")?;
    let end = rest.iter().position(|byte| *byte == b' ')?;
    let size = std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
    (size <= BODY_MAX).then_some(size)
}
