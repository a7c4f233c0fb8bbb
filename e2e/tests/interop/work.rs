//! What each pair has to do.

use adit_e2e::adit::SOON;
use adit_e2e::relay::{Cut, Relay};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// Bytes of bulk, each way.
const BULK_BYTES: u64 = 20 * 1024 * 1024;

/// Bytes of one write or read.
const PART_BYTES: usize = 64 * 1024;

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the port listens");
    stream.set_read_timeout(Some(SOON)).expect("a time limit");
    stream.set_write_timeout(Some(SOON)).expect("a time limit");
    stream
}

/// The byte at a place of what is sent.
fn byte(at: u64) -> u8 {
    (at % 251) as u8
}

fn part(at: u64) -> Vec<u8> {
    (at..at + PART_BYTES as u64).map(byte).collect()
}

/// Sends so much and gets it back, byte for byte; `seen` is told how much came.
fn there_and_back(port: u16, bytes: u64, seen: &AtomicU64) {
    let mut stream = connect(port);
    let mut sending = stream.try_clone().expect("a second handle");
    let sender = thread::spawn(move || {
        let mut at = 0;
        while at < bytes {
            sending.write_all(&part(at)).expect("it is taken");
            at += PART_BYTES as u64;
        }
        sending.shutdown(Shutdown::Write).expect("half-close");
    });
    let (mut at, mut buffer) = (0, vec![0; PART_BYTES]);
    loop {
        let read = stream.read(&mut buffer).expect("no reset");
        if read == 0 {
            break;
        }
        let right = (at..)
            .zip(&buffer[..read])
            .all(|(at, got)| byte(at) == *got);
        assert!(right, "another byte came after {at}");
        at += read as u64;
        seen.store(at, Ordering::Relaxed);
    }
    assert_eq!(at, bytes);
    sender.join().expect("it was sent");
}

/// Bulk, both ways at once.
pub(crate) fn bulk(port: u16) {
    there_and_back(port, BULK_BYTES, &AtomicU64::new(0));
}

/// The answer comes after the visitor's end.
pub(crate) fn half_close(port: u16) {
    let mut stream = connect(port);
    stream.write_all(&[b'q'; 300_000]).expect("it is taken");
    stream.shutdown(Shutdown::Write).expect("half-close");
    let mut reply = String::new();
    stream
        .read_to_string(&mut reply)
        .expect("a reply and its end");
    assert_eq!(reply, "300000 bytes, then the end");
}

/// A transfer under which the carrier is reset twice and ends once, each after a quarter.
pub(crate) fn cut(port: u16, relay: &Relay) {
    let seen = AtomicU64::new(0);
    let done = AtomicU64::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            there_and_back(port, BULK_BYTES, &seen);
            done.store(1, Ordering::Relaxed);
        });
        for (quarter, how) in (1..).zip([Cut::Reset, Cut::End, Cut::Reset]) {
            while seen.load(Ordering::Relaxed) < quarter * BULK_BYTES / 4 {
                assert_eq!(done.load(Ordering::Relaxed), 0, "it ended before the cut");
                thread::yield_now();
            }
            relay.cut(how);
        }
    });
}

/// So many streams, open at once, each of which was used.
pub(crate) fn many(port: u16, count: usize) -> Vec<TcpStream> {
    let mut streams: Vec<TcpStream> = (0..count).map(|_| connect(port)).collect();
    for (number, stream) in (0_u64..).zip(&mut streams) {
        stream
            .write_all(&number.to_be_bytes())
            .expect("it is taken");
    }
    for (number, stream) in (0_u64..).zip(&mut streams) {
        let mut answer = [0; 8];
        stream.read_exact(&mut answer).expect("an answer");
        assert_eq!(u64::from_be_bytes(answer), number);
    }
    streams
}
