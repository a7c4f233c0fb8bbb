//! HTTP requests, each sent in one write: on connections that are kept, on a new one each time, and
//! beside bulk.

use super::bulk::Running;
use super::{Outcome, Span, say, wait_through};
use crate::stats::quantile;
use crate::upstream::CLOSE;
use rustix::event::epoll;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes of a small page.
pub const SMALL: usize = 1024;
/// Time between two small requests beside bulk.
const APART: Duration = Duration::from_millis(2);

fn request(size: usize, close: bool) -> Vec<u8> {
    let close = if close { CLOSE } else { "" };
    format!("GET /{size} HTTP/1.1\r\nHost: adit\r\n{close}\r\n").into_bytes()
}

/// A connection on which one request at a time is under way.
struct Asking {
    stream: TcpStream,
    since: Instant,
    /// Bytes of the answer still to come; unknown until its head is here.
    left: Option<usize>,
}

impl Asking {
    fn connect(to: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(to)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            since: Instant::now(),
            left: None,
        })
    }

    fn ask(&mut self, request: &[u8]) -> io::Result<()> {
        self.since = Instant::now();
        self.left = None;
        self.stream.write_all(request)
    }

    /// Reads once. Says whether the answer is whole.
    fn read(&mut self, buffer: &mut [u8], size: usize) -> io::Result<bool> {
        let read = self.stream.read(buffer)?;
        if read == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let bytes = &buffer[..read];
        let arrived = match self.left {
            Some(left) => left.checked_sub(read),
            // The head is short and comes in one piece.
            None => {
                let end = bytes
                    .windows(4)
                    .position(|window| window == b"\r\n\r\n")
                    .filter(|_| bytes.starts_with(b"HTTP/1.1 200"))
                    .ok_or(ErrorKind::InvalidData)?;
                (size + end + 4).checked_sub(read)
            }
        };
        let left = arrived.ok_or_else(|| io::Error::other("more came than was asked for"))?;
        self.left = Some(left);
        Ok(left == 0)
    }
}

/// Requests that were answered, and how long each took, in milliseconds.
fn outcome(mut latencies: Vec<f64>, seconds: f64) -> io::Result<Outcome> {
    if latencies.is_empty() {
        return Err(io::Error::other("no request was answered in time"));
    }
    Ok(vec![
        ("req/s", latencies.len() as f64 / seconds),
        ("requests", latencies.len() as f64),
        ("p50 ms", quantile(&mut latencies, 0.50)),
        ("p99 ms", quantile(&mut latencies, 0.99)),
    ])
}

/// Asks for pages of `size` bytes on `connections` kept connections, each as soon as the last one came.
///
/// # Errors
///
/// When a connection can't be made, ends, or answers something else.
pub fn keep_alive(
    to: SocketAddr,
    connections: usize,
    size: usize,
    span: Span,
) -> io::Result<Outcome> {
    let request = request(size, false);
    let queue = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut asking: Vec<Asking> = Vec::with_capacity(connections);
    for at in 0..connections {
        let connection = Asking::connect(to)?;
        let data = epoll::EventData::new_u64(at as u64);
        epoll::add(&queue, &connection.stream, data, epoll::EventFlags::IN)?;
        asking.push(connection);
    }
    for connection in &mut asking {
        connection.ask(&request)?;
    }
    let mut buffer = vec![0; 64 << 10];
    let mut events = Vec::with_capacity(connections);
    let mut latencies = Vec::new();
    let start = Instant::now();
    let mut begun: Option<Instant> = None;
    loop {
        events.clear();
        epoll::wait(&queue, rustix::buffer::spare_capacity(&mut events), None)?;
        for event in &events {
            let at = usize::try_from(event.data.u64()).unwrap_or(usize::MAX);
            let connection = asking.get_mut(at).ok_or(ErrorKind::InvalidData)?;
            if connection.read(&mut buffer, size)? {
                if begun.is_some() {
                    latencies.push(connection.since.elapsed().as_secs_f64() * 1e3);
                }
                connection.ask(&request)?;
            }
        }
        match begun {
            None if start.elapsed().as_secs_f64() >= span.warm_up => {
                say("begin")?;
                begun = Some(Instant::now());
            }
            Some(begun) if begun.elapsed().as_secs_f64() >= span.seconds => {
                say("end")?;
                return outcome(latencies, begun.elapsed().as_secs_f64());
            }
            _ => {}
        }
    }
}

/// Asks for a small page on a new connection each time, `workers` at one time. The upstream closes.
///
/// # Errors
///
/// When one can't be made or is not answered whole.
pub fn connect(to: SocketAddr, workers: usize, span: Span) -> io::Result<Outcome> {
    let done = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicU64::new(0));
    let workers: Vec<_> = (0..workers)
        .map(|_| {
            let (done, answered) = (Arc::clone(&done), Arc::clone(&answered));
            thread::spawn(move || -> io::Result<()> {
                let request = request(SMALL, true);
                let mut answer = Vec::new();
                while !done.load(Ordering::Relaxed) {
                    let mut connection = Asking::connect(to)?;
                    connection.ask(&request)?;
                    answer.clear();
                    connection.stream.read_to_end(&mut answer)?;
                    if answer.len() <= SMALL {
                        return Err(ErrorKind::UnexpectedEof.into());
                    }
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            })
        })
        .collect();
    thread::sleep(Duration::from_secs_f64(span.warm_up));
    let before = answered.load(Ordering::Relaxed);
    let (begin, end) = wait_through(Span {
        warm_up: 0.0,
        ..span
    })?;
    let count = (answered.load(Ordering::Relaxed) - before) as f64;
    done.store(true, Ordering::Relaxed);
    for worker in workers {
        worker
            .join()
            .map_err(|_| io::Error::other("a worker panicked"))??;
    }
    let seconds = (end - begin).as_secs_f64();
    Ok(vec![("conn/s", count / seconds), ("requests", count)])
}

/// Asks for small pages on one kept connection while one stream of bulk comes down the same tunnel.
///
/// # Errors
///
/// As [`keep_alive`].
pub fn beside(http: SocketAddr, bulk: SocketAddr, span: Span) -> io::Result<Outcome> {
    let mut connection = Asking::connect(http)?;
    let running = Running::start(bulk, false, 1)?;
    let request = request(SMALL, false);
    let mut buffer = vec![0; 4 * SMALL];
    let mut latencies = Vec::new();
    let start = Instant::now();
    let mut begun: Option<(Instant, u64)> = None;
    loop {
        connection.ask(&request)?;
        while !connection.read(&mut buffer, SMALL)? {}
        if begun.is_some() {
            latencies.push(connection.since.elapsed().as_secs_f64() * 1e3);
        }
        match begun {
            None if start.elapsed().as_secs_f64() >= span.warm_up => {
                say("begin")?;
                begun = Some((Instant::now(), running.arrived()));
            }
            Some((begin, before)) if begin.elapsed().as_secs_f64() >= span.seconds => {
                say("end")?;
                let seconds = begin.elapsed().as_secs_f64();
                let bytes = (running.arrived() - before) as f64;
                let mut outcome = outcome(latencies, seconds)?;
                outcome.push(("Gbit/s", bytes * 8.0 / seconds / 1e9));
                return Ok(outcome);
            }
            _ => {}
        }
        thread::sleep(APART);
    }
}
