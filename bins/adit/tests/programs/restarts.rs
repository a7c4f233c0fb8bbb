//! Programs that die and come back; everything else finds them again by itself.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::mpsc;

use crate::kit::{Program, Site, Upstream, ask, port_of, service_of, until};

fn serves(addr: SocketAddr) -> bool {
    ask(addr, b"hello").is_ok_and(|answer| answer == b"reply:hello")
}

/// A server, a client with a port of its own choice, and where visitors go.
fn running(site: &Site, upstream: &Upstream) -> (Program, Program, SocketAddr) {
    let server = site.server(&[]);
    let client = site.client(&server, &["--upstream", &upstream.anywhere()]);
    let addr = service_of(&client, upstream.addr());
    (server, client, addr)
}

#[test]
fn a_killed_client_takes_over_its_own_port_when_it_comes_back() {
    let (site, upstream) = (Site::new(), Upstream::echo("reply"));
    let (server, mut client, addr) = running(&site, &upstream);
    assert!(serves(addr));
    client.kill();
    let offer = format!("{}={}", addr.port(), upstream.addr());
    let again = site.client(&server, &["--upstream", &offer]);
    assert_eq!(service_of(&again, upstream.addr()), addr);
    until("the visitor to be served", || serves(addr));
}

#[test]
fn a_killed_server_is_found_again_by_its_client() {
    let (site, upstream) = (Site::new(), Upstream::echo("reply"));
    let (mut server, client, first) = running(&site, &upstream);
    let control = format!("127.0.0.1:{}", port_of(&server));
    server.kill();
    client.logged("next attempt");
    let _server = site.server(&["--control-addr", &control]);
    client.logged_times("connected to", 2);
    let line = client.logged_times("of the server leads to", 2);
    let addr: SocketAddr = line
        .split(" of the server")
        .next()
        .unwrap()
        .rsplit(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert!(serves(addr), "{first} before, {addr} now");
}

#[test]
fn an_answer_that_a_killed_server_cut_short_does_not_look_complete() {
    let (site, upstream) = (Site::new(), half_an_answer());
    let (mut server, _client, addr) = running(&site, &upstream);
    let mut visitor = crate::kit::connect(addr);
    visitor.read_exact(&mut [0; 4]).unwrap();
    server.kill();
    let error = visitor.read(&mut [0; 1]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_request_that_a_killed_client_cut_short_does_not_look_complete() {
    let (sender, heard) = mpsc::channel();
    let upstream = Upstream::start(move |mut stream| {
        stream.read_exact(&mut [0; 4]).unwrap();
        sender.send(None).unwrap();
        let end = stream.read(&mut [0; 1]).map_err(|error| error.kind());
        sender.send(Some(end)).unwrap();
    });
    let site = Site::new();
    let (_server, mut client, addr) = running(&site, &upstream);
    let mut visitor = crate::kit::connect(addr);
    visitor.write_all(b"half").unwrap();
    assert_eq!(heard.recv().unwrap(), None);
    client.kill();
    assert_eq!(heard.recv().unwrap(), Some(Err(ErrorKind::ConnectionReset)));
}

/// Sends the beginning of an answer, and then nothing until its visitor goes.
fn half_an_answer() -> Upstream {
    Upstream::start(|mut stream| {
        stream.write_all(b"half").unwrap();
        let _ = stream.read(&mut [0; 1]);
    })
}

#[test]
fn a_stopped_server_lets_running_connections_finish_and_ends_with_0() {
    let (site, upstream) = (Site::new(), Upstream::echo("reply"));
    let (mut server, _client, addr) = running(&site, &upstream);
    let mut visitor = crate::kit::connect(addr);
    visitor.write_all(b"hel").unwrap();
    until("the stream to be open", || {
        // A second visitor's answer shows that the first one's stream was opened before.
        serves(addr)
    });
    server.terminate();
    server.logged("stopping");
    until("new visitors to be refused", || {
        std::net::TcpStream::connect(addr).is_err()
    });
    visitor.write_all(b"lo").unwrap();
    visitor.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    visitor.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"reply:hello");
    assert!(server.ended().success());
}

#[test]
fn a_second_signal_ends_a_server_at_once() {
    let (site, upstream) = (Site::new(), Upstream::echo("reply"));
    let (mut server, _client, addr) = running(&site, &upstream);
    let mut visitor = crate::kit::connect(addr);
    until("the stream to be open", || serves(addr));
    server.terminate();
    server.logged("stopping");
    server.terminate();
    assert!(server.ended().success());
    // What it was served has not ended well.
    let error = visitor.read(&mut [0; 1]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_stopped_client_ends_with_0_and_its_port_closes() {
    let (site, upstream) = (Site::new(), Upstream::echo("reply"));
    let (server, mut client, addr) = running(&site, &upstream);
    client.terminate();
    assert!(client.ended().success());
    server.logged(&format!("no longer served on {addr}"));
    until("the port to close", || {
        std::net::TcpStream::connect(addr).is_err()
    });
}
