//! A TCP relay that plays the network between two programs: it can take its
//! time, cut every connection, or go silent.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// Chunks on the way in one direction: at 64 KiB each, more than a link of
/// 100 ms and 1 Gbit/s holds.
const IN_FLIGHT: usize = 1024;
const CHUNK: usize = 64 * 1024;

/// A running relay. Its threads end with their connections, the listener's
/// thread with the process.
#[derive(Debug)]
pub struct Relay {
    /// The port to connect to instead of the real one.
    pub port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Bytes that each direction of a connection may pass on in its life.
    allowance: AtomicUsize,
    connections: Mutex<Vec<(TcpStream, TcpStream)>>,
}

impl Relay {
    /// Passes connections on to a port of 127.0.0.1; every byte arrives `delay`
    /// later, in each direction. A connection is taken at once.
    ///
    /// # Panics
    ///
    /// When it can't listen.
    pub fn start(target: u16, delay: Duration) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let shared = Arc::new(Shared {
            allowance: AtomicUsize::new(usize::MAX),
            connections: Mutex::default(),
        });
        let ours = Arc::clone(&shared);
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                // A target that is down looks like one: the connection ends.
                let _ = ours.join(near, target, delay);
            }
        });
        Self { port, shared }
    }

    /// Cuts every connection that there is now.
    pub fn cut(&self) {
        let mut connections = lock(&self.shared.connections);
        for (near, far) in connections.drain(..) {
            let _ = near.shutdown(Shutdown::Both);
            let _ = far.shutdown(Shutdown::Both);
        }
    }

    /// From now on (or no longer) nothing is passed on, and nobody is told:
    /// what an unplugged cable looks like.
    pub fn silence(&self, on: bool) {
        self.silence_after(if on { 0 } else { usize::MAX });
    }

    /// The same, but each direction of a connection goes silent only after this
    /// many bytes, counted from its beginning.
    pub fn silence_after(&self, bytes: usize) {
        self.shared.allowance.store(bytes, Ordering::SeqCst);
    }

    /// How many connections were made since the last cut.
    pub fn connections(&self) -> usize {
        lock(&self.shared.connections).len()
    }
}

impl Shared {
    fn join(self: &Arc<Self>, near: TcpStream, target: u16, delay: Duration) -> io::Result<()> {
        let far = TcpStream::connect((Ipv4Addr::LOCALHOST, target))?;
        near.set_nodelay(true)?;
        far.set_nodelay(true)?;
        self.pump(near.try_clone()?, far.try_clone()?, delay);
        self.pump(far.try_clone()?, near.try_clone()?, delay);
        lock(&self.connections).push((near, far));
        Ok(())
    }

    fn pump(self: &Arc<Self>, mut from: TcpStream, mut to: TcpStream, delay: Duration) {
        let (sender, receiver) = mpsc::sync_channel::<(Instant, Vec<u8>)>(IN_FLIGHT);
        thread::spawn(move || {
            let mut chunk = vec![0; CHUNK];
            while let Ok(n) = from.read(&mut chunk) {
                let bytes = chunk.get(..n).unwrap_or_default().to_vec();
                if sender.send((Instant::now() + delay, bytes)).is_err() || n == 0 {
                    return;
                }
            }
        });
        let shared = Arc::clone(self);
        thread::spawn(move || {
            let mut passed = 0_usize;
            while let Ok((due, bytes)) = receiver.recv() {
                thread::sleep(due.saturating_duration_since(Instant::now()));
                let allowance = shared.allowance.load(Ordering::SeqCst);
                let left = allowance.saturating_sub(passed);
                let some = bytes.get(..left).unwrap_or(&bytes);
                if bytes.is_empty() && left > 0 {
                    let _ = to.shutdown(Shutdown::Write);
                } else if to.write_all(some).is_err() {
                    return;
                }
                passed = passed.saturating_add(some.len());
            }
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services;

    #[test]
    fn both_directions_and_their_ends_pass() {
        let relay = Relay::start(services::reply_after_the_end(), Duration::from_millis(1));
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, relay.port)).expect("it listens");
        stream.write_all(b"question").expect("it takes bytes");
        stream.shutdown(Shutdown::Write).expect("it takes the end");
        let mut answer = String::new();
        stream
            .read_to_string(&mut answer)
            .expect("it answers and ends");
        assert_eq!(answer, "8 bytes, then the end");
    }

    #[test]
    fn nothing_arrives_before_the_delay() {
        let delay = Duration::from_millis(30);
        let relay = Relay::start(services::page(b"late".to_vec()), delay);
        let start = Instant::now();
        let answer = crate::http::get(relay.port, "/").expect("an answer");
        assert_eq!(answer.text(), "late");
        assert!(
            start.elapsed() >= 2 * delay,
            "there and back took {:?}",
            start.elapsed()
        );
    }

    #[test]
    fn a_cut_ends_connections() {
        let relay = Relay::start(services::echo(), Duration::ZERO);
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, relay.port)).expect("it listens");
        stream.write_all(b"x").expect("it takes bytes");
        stream.read_exact(&mut [0]).expect("it echoes");
        relay.cut();
        assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
    }

    #[test]
    fn a_relay_that_goes_silent_later_passes_the_beginning() {
        let relay = Relay::start(services::echo(), Duration::ZERO);
        relay.silence_after(3);
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, relay.port)).expect("it listens");
        stream.write_all(b"abcd").expect("it takes bytes");
        let mut answer = [0; 3];
        stream.read_exact(&mut answer).expect("the beginning");
        assert_eq!(&answer, b"abc");
        stream
            .set_read_timeout(Some(Duration::from_millis(100)))
            .expect("a time limit");
        let error = stream.read(&mut [0]).expect_err("nothing more comes");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn a_silent_relay_passes_nothing_and_ends_nothing() {
        let relay = Relay::start(services::echo(), Duration::ZERO);
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, relay.port)).expect("it listens");
        relay.silence(true);
        stream.write_all(b"x").expect("it takes bytes");
        stream
            .set_read_timeout(Some(Duration::from_millis(100)))
            .expect("a time limit");
        let error = stream
            .read(&mut [0])
            .expect_err("nothing comes, not even an end");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }
}
