//! A relay in front of a server that breaks what passes through it, again and again.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::kit::{connect, listen};

pub(super) struct Cutting {
    pub(super) addr: SocketAddr,
    cuts: Arc<AtomicUsize>,
}

impl Cutting {
    /// Each of the first `cuts_max` connections passes so many bytes, and then breaks; later ones last.
    pub(super) fn start(server: SocketAddr, bytes: usize, cuts_max: usize) -> Self {
        let (listener, addr) = listen();
        let cuts = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&cuts);
        thread::spawn(move || {
            while let Ok((near, _)) = listener.accept() {
                let lasts = counted.load(Ordering::Relaxed) >= cuts_max;
                let broke = relay(
                    &near,
                    &connect(server),
                    if lasts { usize::MAX } else { bytes },
                );
                counted.fetch_add(usize::from(broke), Ordering::Relaxed);
            }
        });
        Self { addr, cuts }
    }

    pub(super) fn cuts(&self) -> usize {
        self.cuts.load(Ordering::Relaxed)
    }
}

/// Passes at most so many bytes, both ways together. Whether it was more that came.
fn relay(near: &TcpStream, far: &TcpStream, bytes: usize) -> bool {
    let passed = Arc::new(AtomicUsize::new(0));
    let ways = [(near, far), (far, near)].map(|(from, to)| {
        let ends = [from, to].map(|end| end.try_clone().expect("a second handle"));
        let passed = Arc::clone(&passed);
        thread::spawn(move || {
            let [mut from, mut to] = ends;
            let mut buffer = [0; 16 * 1024];
            while let Ok(read @ 1..) = from.read(&mut buffer) {
                let sum = passed.fetch_add(read, Ordering::Relaxed) + read;
                if sum > bytes || to.write_all(&buffer[..read]).is_err() {
                    break;
                }
            }
            for end in [from, to] {
                // What is gone already needs no end.
                let _ = end.shutdown(Shutdown::Both);
            }
        })
    });
    for way in ways {
        way.join().expect("no panic");
    }
    passed.load(Ordering::Relaxed) > bytes
}
