//! A long way without a limit: a relay of TCP connections that hands on each byte half a round trip after it came, and holds as many as come
//! meanwhile.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes of a read.
const CHUNK: usize = 128 << 10;
/// Reads that are under way in one direction of a connection, at most: 512 MiB if they are full, 10 Gbit/s for 400 ms.
const CHUNKS_MAX: usize = 4096;

/// Relays each route's connections, for ever.
///
/// # Errors
///
/// When an address can't be listened on.
pub fn serve(routes: &[(SocketAddr, SocketAddr)], rtt: Duration) -> io::Result<()> {
    let mut listening = Vec::new();
    for &(listen, to) in routes {
        let listener = TcpListener::bind(listen)?;
        listening.push(thread::spawn(move || accept(&listener, to, rtt)));
    }
    for thread in listening {
        thread
            .join()
            .map_err(|_| io::Error::other("a listener panicked"))??;
    }
    Ok(())
}

fn accept(listener: &TcpListener, to: SocketAddr, rtt: Duration) -> io::Result<()> {
    loop {
        let (visitor, _) = listener.accept()?;
        thread::spawn(move || relay(&visitor, to, rtt));
    }
}

fn relay(visitor: &TcpStream, to: SocketAddr, rtt: Duration) -> io::Result<()> {
    let upstream = TcpStream::connect(to)?;
    for (from, to) in [(visitor, &upstream), (&upstream, visitor)] {
        let (from, to) = (from.try_clone()?, to.try_clone()?);
        to.set_nodelay(true)?;
        let (sender, under_way) = sync_channel(CHUNKS_MAX);
        let (used, spare) = channel();
        thread::spawn(move || read(from, &sender, &spare, rtt / 2));
        thread::spawn(move || write(to, &under_way, &used));
    }
    Ok(())
}

/// What was read, and when it is to be written.
struct Chunk {
    bytes: Vec<u8>,
    len: usize,
    due: Instant,
}

fn read(
    mut from: TcpStream,
    under_way: &SyncSender<Chunk>,
    spare: &Receiver<Vec<u8>>,
    delay: Duration,
) {
    loop {
        let mut bytes = spare.try_recv().unwrap_or_else(|_| vec![0; CHUNK]);
        let len = match from.read(&mut bytes) {
            Ok(0) => return,
            Ok(len) => len,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        let due = Instant::now() + delay;
        if under_way.send(Chunk { bytes, len, due }).is_err() {
            return;
        }
    }
}

fn write(mut to: TcpStream, under_way: &Receiver<Chunk>, used: &Sender<Vec<u8>>) {
    while let Ok(Chunk { bytes, len, due }) = under_way.recv() {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if to.write_all(&bytes[..len]).is_err() {
            break;
        }
        // Nobody reads any more: then nobody needs it.
        let _ = used.send(bytes);
    }
    // It may be gone already.
    let _ = to.shutdown(Shutdown::Write);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn a_byte_takes_half_a_round_trip_each_way_and_the_end_comes_through() -> io::Result<()> {
        let echo = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let to = echo.local_addr()?;
        thread::spawn(move || -> io::Result<()> {
            let (mut stream, _) = echo.accept()?;
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            stream.write_all(&byte)
        });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let at = listener.local_addr()?;
        let rtt = Duration::from_millis(60);
        thread::spawn(move || accept(&listener, to, rtt));
        let mut stream = TcpStream::connect(at)?;
        let asked = Instant::now();
        stream.write_all(b"?")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        assert_eq!(answer, b"?");
        assert!(asked.elapsed() >= rtt, "{:?}", asked.elapsed());
        Ok(())
    }
}
