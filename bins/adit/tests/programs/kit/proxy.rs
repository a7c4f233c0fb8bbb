//! An HTTP proxy that knows CONNECT and one password.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// A running proxy.
pub(crate) struct ConnectProxy {
    port: u16,
    targets: Arc<Mutex<Vec<String>>>,
}

impl ConnectProxy {
    /// `login` is what `Proxy-Authorization: Basic` must hold, in base64.
    pub(crate) fn start(login: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let targets = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&targets);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let seen = Arc::clone(&seen);
                // Whatever goes wrong is seen by the client.
                thread::spawn(move || serve(stream, login, &seen).unwrap_or(()));
            }
        });
        Self { port, targets }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Where it has connected clients to.
    pub(crate) fn targets(&self) -> Vec<String> {
        self.targets.lock().unwrap().clone()
    }
}

fn serve(client: TcpStream, login: &str, targets: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut reader = BufReader::with_capacity(1, client.try_clone()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let mut client = client;
    if !head.contains(&format!("Basic {login}\r\n")) {
        let answer = "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n";
        return client.write_all(answer.as_bytes());
    }
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let server = TcpStream::connect(&target)?;
    targets.lock().unwrap().push(target);
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || std::io::copy(&mut from_client, &mut to_server));
    std::io::copy(&mut &server, &mut client).map(|_| ())
}
