//! Bulk in one direction, counted where it arrives.

use super::{Outcome, Span, wait_through};
use crate::upstream::{CHUNK, DOWN, UP};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// Streams that run by themselves until they are dropped.
pub(super) struct Running {
    streams: Vec<TcpStream>,
    /// Bytes that arrived.
    arrived: Arc<AtomicU64>,
}

impl Running {
    /// Starts them.
    pub(super) fn start(to: SocketAddr, up: bool, streams: usize) -> io::Result<Self> {
        let arrived = Arc::new(AtomicU64::new(0));
        let streams: io::Result<Vec<_>> = (0..streams)
            .map(|_| {
                let mut stream = TcpStream::connect(to)?;
                stream.write_all(&[if up { UP } else { DOWN }])?;
                let (reading, arrived) = (stream.try_clone()?, Arc::clone(&arrived));
                if up {
                    let writing = stream.try_clone()?;
                    thread::spawn(move || write(writing));
                    thread::spawn(move || counts(reading, &arrived));
                } else {
                    thread::spawn(move || read(reading, &arrived));
                }
                Ok(stream)
            })
            .collect();
        Ok(Self {
            streams: streams?,
            arrived,
        })
    }

    /// Bytes that arrived so far.
    pub(super) fn arrived(&self) -> u64 {
        self.arrived.load(Ordering::Relaxed)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for stream in &self.streams {
            // One that has ended by itself can't be shut down again.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Runs `streams` connections to the bulk service for the span.
///
/// # Errors
///
/// When one can't be made, or nothing arrives.
pub fn run(to: SocketAddr, up: bool, streams: usize, span: Span) -> io::Result<Outcome> {
    let running = Running::start(to, up, streams)?;
    thread::sleep(Duration::from_secs_f64(span.warm_up));
    let before = running.arrived();
    let (begin, end) = wait_through(Span {
        warm_up: 0.0,
        ..span
    })?;
    let bytes = running.arrived() - before;
    if bytes == 0 {
        return Err(io::Error::other("nothing arrived"));
    }
    let seconds = (end - begin).as_secs_f64();
    Ok(vec![
        ("Gbit/s", bytes as f64 * 8.0 / seconds / 1e9),
        ("GB", bytes as f64 / 1e9),
    ])
}

fn write(mut stream: TcpStream) -> io::Result<()> {
    let bytes = vec![0; CHUNK];
    loop {
        stream.write_all(&bytes)?;
    }
}

fn read(mut stream: TcpStream, arrived: &AtomicU64) -> io::Result<()> {
    let mut bytes = vec![0; CHUNK];
    loop {
        let read = stream.read(&mut bytes)?;
        if read == 0 {
            return Ok(());
        }
        arrived.fetch_add(read as u64, Ordering::Relaxed);
    }
}

/// Adds what the upstream says that it counted.
fn counts(mut stream: TcpStream, arrived: &AtomicU64) -> io::Result<()> {
    let mut known = 0;
    loop {
        let mut told = [0; 8];
        stream.read_exact(&mut told)?;
        let told = u64::from_le_bytes(told);
        arrived.fetch_add(told.saturating_sub(known), Ordering::Relaxed);
        known = told;
    }
}
