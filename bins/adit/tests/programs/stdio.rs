//! A client whose connection is its standard input and output, as one that ssh starts.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};

use super::kit::{Site, Upstream, ask, url_of};

/// A client, and what passes bytes between it and the server's control port: what ssh and a program beside the server would be.
struct Bridged {
    client: Child,
    log: JoinHandle<String>,
    connection: TcpStream,
}

impl Bridged {
    fn start(site: &Site, url: &str, args: &[&str]) -> Self {
        let mut client = Command::new(env!("CARGO_BIN_EXE_adit"))
            .args(["client", "--stdio", "--url", url, "--token-file", "token"])
            .args(args)
            .current_dir(site.dir())
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let addr = url
            .trim_start_matches("wss://")
            .trim_end_matches("/connect");
        let connection = TcpStream::connect(addr).unwrap();
        let (input, output) = (client.stdin.take().unwrap(), client.stdout.take().unwrap());
        let server = connection.try_clone().unwrap();
        thread::spawn(move || pass(&server, input));
        let server = connection.try_clone().unwrap();
        thread::spawn(move || pass(output, &server));
        let mut errors = client.stderr.take().unwrap();
        let log = thread::spawn(move || {
            let mut log = String::new();
            let _ = errors.read_to_string(&mut log);
            log
        });
        Self {
            client,
            log,
            connection,
        }
    }
}

/// At once, whatever comes: `io::copy` would wait for more, between a socket and a pipe.
fn pass(mut from: impl Read, mut to: impl Write) {
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
}

impl Drop for Bridged {
    fn drop(&mut self) {
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

#[test]
fn a_client_serves_over_its_standard_input_and_output_and_ends_with_them() {
    let (site, upstream) = (Site::new(), Upstream::echo("reply"));
    let server = site.server(&[]);
    let offer = upstream.anywhere();
    // The name is looked up nowhere: nothing is dialled.
    let url = url_of(&server);
    let mut bridged = Bridged::start(&site, &url, &["--upstream", &offer]);
    let opened = server.logged("is served on");
    let at = opened.rsplit(' ').next().unwrap().trim().parse().unwrap();
    assert_eq!(ask(at, b"hello").unwrap(), b"reply:hello");

    bridged.connection.shutdown(Shutdown::Both).unwrap();
    let status = bridged.client.wait().unwrap();
    assert_eq!(status.code(), Some(1));
    let log = std::mem::replace(&mut bridged.log, thread::spawn(String::new));
    let log = log.join().unwrap();
    assert!(
        log.contains("--stdio") && log.contains("has ended"),
        "{log}"
    );
}
