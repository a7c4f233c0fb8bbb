//! Upstreams and visitors, as plain blocking sockets.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// How long a socket may be silent, or a condition unmet, before the test is called failed.
const DEADLINE: Duration = Duration::from_secs(40);

/// A private service. Its listener goes when the test ends; connections end by themselves.
pub(crate) struct Upstream {
    addr: SocketAddr,
}

impl Upstream {
    /// Each connection gets a thread that runs `serve`.
    pub(crate) fn start(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serve = serve.clone();
                patient(&stream);
                thread::spawn(move || serve(stream));
            }
        });
        Self { addr }
    }

    /// Reads a whole request, to its end, and only then answers: the name, a colon, the request.
    pub(crate) fn echo(name: &'static str) -> Self {
        Self::start(move |mut stream| {
            let mut request = Vec::new();
            if stream.read_to_end(&mut request).is_ok() {
                let _ = stream.write_all(format!("{name}:").as_bytes());
                let _ = stream.write_all(&request);
            }
        })
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `--upstream` for any port of the server.
    pub(crate) fn anywhere(&self) -> String {
        format!("0={}", self.addr)
    }
}

/// A visitor.
pub(crate) fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    patient(&stream);
    stream
}

/// Sends a request, ends the sending direction, and reads the answer to its end.
pub(crate) fn ask(addr: SocketAddr, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(addr)?;
    patient(&stream);
    stream.write_all(request)?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

/// An address that nobody listens on.
pub(crate) fn free() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// A number that a program says at its admin address.
pub(crate) fn metric(admin: SocketAddr, name: &str) -> u64 {
    let text = ask(admin, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let text = String::from_utf8(text).unwrap();
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap().parse().unwrap()
}

/// Everything up to the end of the input.
pub(crate) fn read_all(mut stream: TcpStream) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Ends a connection with RST.
pub(crate) fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
}

/// Waits until something holds that can be looked at again and again.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A socket that is silent for too long fails its test instead of hanging it.
fn patient(stream: &TcpStream) {
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream.set_nodelay(true).unwrap();
}
