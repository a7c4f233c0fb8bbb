//! Half-close is kept in both directions.

use adit_e2e::adit::{SOON, Server, client, wait_served};
use adit_e2e::process::Process;
use adit_e2e::scene::Scene;
use adit_e2e::{ports, services};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::sync::mpsc;

/// More than any window that a stream starts with.
const MUCH: usize = 3_000_000;

/// Server and client, with a service whose answers show that the tunnel is up.
fn tunnel(scene: &Scene, upstream: u16) -> (Server, Process, u16) {
    let (data, page) = (ports::free(), ports::free());
    let server = Server::start(scene, "server", &[]);
    let services = [(data, upstream), (page, services::page(b"up".to_vec()))];
    let client = scene.start("client", client(scene, &server.url(), &services, &[]));
    wait_served("the tunnel", page, "/");
    (server, client, data)
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the port listens");
    stream.set_read_timeout(Some(SOON)).expect("a time limit");
    stream
}

#[test]
#[ignore = "needs Adit's programs; .ci/run runs it"]
fn a_visitor_that_half_closes_still_gets_its_reply() {
    let scene = Scene::new("half-close");
    let (_server, _client, data) = tunnel(&scene, services::reply_after_the_end());
    let mut stream = connect(data);
    stream
        .write_all(&vec![b'q'; MUCH])
        .expect("the question is taken");
    stream.shutdown(Shutdown::Write).expect("half-close");
    let mut reply = String::new();
    stream
        .read_to_string(&mut reply)
        .expect("a reply and its end");
    assert_eq!(reply, format!("{MUCH} bytes, then the end"));
}

#[test]
#[ignore = "needs Adit's programs; .ci/run runs it"]
fn a_service_that_half_closes_still_gets_what_the_visitor_sends() {
    let scene = Scene::new("half-close");
    let (sender, receiver) = mpsc::channel();
    let (_server, _client, data) = tunnel(&scene, services::end_first(sender));
    let mut stream = connect(data);
    let mut first = String::new();
    stream
        .read_to_string(&mut first)
        .expect("the service's words and its end");
    assert_eq!(first, "that is all from here");
    let sent: Vec<u8> = (0..MUCH).map(|i| (i % 251) as u8).collect();
    stream.write_all(&sent).expect("the service still listens");
    stream.shutdown(Shutdown::Write).expect("the end");
    let got = receiver
        .recv_timeout(SOON)
        .expect("the service saw the end");
    assert!(
        got == sent,
        "{} bytes of {MUCH} arrived, or others",
        got.len()
    );
}
