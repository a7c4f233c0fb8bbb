//! Connections that were used once and then say nothing.

use super::{Outcome, say};
use crate::upstream::ECHO;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// Visitors that open connections at one time.
const WORKERS: usize = 16;
/// How long a connection may take to be answered.
const PATIENCE: Duration = Duration::from_secs(30);

/// Opens `streams` connections, each of which has carried a byte there and back, says `begin`, and
/// holds them until a line comes in.
///
/// # Errors
///
/// When one can't be made or is not answered.
pub fn run(to: SocketAddr, streams: usize) -> io::Result<Outcome> {
    let start = Instant::now();
    let workers: Vec<_> = (0..WORKERS)
        .map(|at| {
            let share = streams / WORKERS + usize::from(at < streams % WORKERS);
            thread::spawn(move || (0..share).map(|_| open(to)).collect::<io::Result<Vec<_>>>())
        })
        .collect();
    let mut held = Vec::with_capacity(streams);
    for worker in workers {
        held.extend(
            worker
                .join()
                .map_err(|_| io::Error::other("a worker panicked"))??,
        );
    }
    let seconds = start.elapsed().as_secs_f64();
    say("begin")?;
    io::stdin().read_line(&mut String::new())?;
    drop(held);
    say("end")?;
    Ok(vec![("open s", seconds)])
}

fn open(to: SocketAddr) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&[ECHO, b'?'])?;
    let mut back = [0];
    stream.read_exact(&mut back)?;
    if back == *b"?" {
        Ok(stream)
    } else {
        Err(ErrorKind::InvalidData.into())
    }
}
