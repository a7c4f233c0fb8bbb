//! Small private services. Each runs in threads of its own until the process
//! ends, and returns the loopback port on which it answers.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use socket2::SockRef;

/// Connections that the kernel may hold for a service that is slow to accept.
///
/// A thousand may come at once. With less room than that, Linux resets some of them: the standard library asks for 128.
const BACKLOG: i32 = 4096;

/// Answers every HTTP request with this body.
pub fn page(body: Vec<u8>) -> u16 {
    let body = Arc::new(body);
    serve(move |mut stream| {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut line = String::new();
        while reader.read_line(&mut line)? > 0 && line != "\r\n" {
            line.clear();
        }
        let head = format!("HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.set_nodelay(true)?;
        stream.write_all(head.as_bytes())?;
        stream.write_all(&body)
    })
}

/// Sends back what it gets, until the end.
pub fn echo() -> u16 {
    serve(|mut stream| {
        let mut out = stream.try_clone()?;
        io::copy(&mut stream, &mut out)?;
        out.shutdown(Shutdown::Write)
    })
}

/// Says how many bytes came, but only once the visitor half-closed.
pub fn reply_after_the_end() -> u16 {
    serve(|mut stream| {
        let n = io::copy(&mut stream, &mut io::sink())?;
        write!(stream, "{n} bytes, then the end")
    })
}

/// Speaks first, half-closes at once, and then says to `report` what the
/// visitor sent after that.
pub fn end_first(report: std::sync::mpsc::Sender<Vec<u8>>) -> u16 {
    serve(move |mut stream| {
        stream.write_all(b"that is all from here")?;
        stream.shutdown(Shutdown::Write)?;
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest)?;
        // Nobody listens any more when the scenario has failed already.
        let _ = report.send(rest);
        Ok(())
    })
}

fn serve(answer: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    SockRef::from(&listener).listen(BACKLOG).expect("more room");
    let port = listener.local_addr().expect("bound").port();
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            // A visitor that goes away is no concern of the service.
            thread::spawn(move || drop(answer(stream)));
        }
    });
    port
}
