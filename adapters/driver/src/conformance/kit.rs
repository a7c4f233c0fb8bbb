//! What the cases have in common: sockets of the test's own, and patience that ends.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::options;
use socket2::SockRef;

/// How long anything may take before the case is called failed.
pub(super) const DEADLINE: Duration = Duration::from_secs(60);

/// Any free port.
pub(super) fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

pub(super) fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(loopback()).expect("a free port");
    let addr = listener.local_addr().expect("its address");
    (listener, addr)
}

/// A port that nobody listens on.
pub(super) fn free_port() -> u16 {
    listen().1.port()
}

/// A connection whose reads and writes end.
pub(super) fn connect(addr: impl Into<SocketAddr>) -> TcpStream {
    with_deadline(TcpStream::connect(addr.into()).expect("a connection"))
}

pub(super) fn accept(listener: &TcpListener) -> TcpStream {
    with_deadline(listener.accept().expect("a connection").0)
}

fn with_deadline(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(DEADLINE)).expect("an option");
    stream.set_write_timeout(Some(DEADLINE)).expect("an option");
    stream
}

/// A connected pair; the second is non-blocking, for a machine.
pub(super) fn pair() -> (TcpStream, TcpStream) {
    let (listener, addr) = listen();
    let near = connect(addr);
    let far = listener.accept().expect("a connection").0;
    far.set_nonblocking(true).expect("an option");
    (near, far)
}

/// Ends a connection with a reset.
pub(super) fn reset(stream: TcpStream) {
    options::reset_on_close(&SockRef::from(&stream));
}

/// Waits for the reset of a connection without reading from it.
pub(super) fn reset_unread(stream: &TcpStream) {
    until(|| stream.take_error().expect("the error").is_some());
}

/// Waits for something that another thread brings about.
pub(super) fn until(mut reached: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !reached() {
        assert!(Instant::now() < deadline, "waited in vain");
        thread::sleep(Duration::from_millis(2));
    }
}

pub(super) fn numbered(count: u32) -> Vec<u8> {
    (0..count).map(|n| (n % 251) as u8).collect()
}

/// Everything up to the end.
pub(super) fn read_all(mut stream: &TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).expect("no reset");
    all
}

/// Writes in a thread of its own, and ends the sending direction.
pub(super) fn send(stream: &TcpStream, data: Vec<u8>) -> thread::JoinHandle<()> {
    let mut stream = stream.try_clone().expect("a second handle");
    thread::spawn(move || {
        stream.write_all(&data).expect("no reset");
        stream.shutdown(std::net::Shutdown::Write).expect("open");
    })
}
