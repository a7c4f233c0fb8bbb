//! What visitors and upstreams see of each other.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::mpsc;

use crate::kit::{Program, Site, Upstream, ask, connect, read_all, reset, service_of};

/// A server, a client, and the address of its one service.
fn tunnel(upstream: &Upstream) -> (Site, Program, Program, std::net::SocketAddr) {
    let site = Site::new();
    let server = site.server(&[]);
    let client = site.client(&server, &["--upstream", &upstream.anywhere()]);
    let addr = service_of(&client, upstream.addr());
    (site, server, client, addr)
}

#[test]
fn a_visitor_may_end_its_request_and_then_read_the_reply() {
    let upstream = Upstream::echo("reply");
    let (_site, _server, _client, addr) = tunnel(&upstream);
    assert_eq!(ask(addr, b"a request").unwrap(), b"reply:a request");
    // Nothing at all is a request, too.
    assert_eq!(ask(addr, b"").unwrap(), b"reply:");
}

#[test]
fn an_upstream_may_end_its_reply_and_then_read_on() {
    let (sender, heard) = mpsc::channel();
    let upstream = Upstream::start(move |mut stream| {
        stream.write_all(b"that is all").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        sender.send(read_all(stream).unwrap()).unwrap();
    });
    let (_site, _server, _client, addr) = tunnel(&upstream);
    let mut visitor = connect(addr);
    let mut reply = Vec::new();
    visitor.read_to_end(&mut reply).unwrap();
    assert_eq!(reply, b"that is all");
    visitor.write_all(b"but I go on").unwrap();
    drop(visitor);
    assert_eq!(heard.recv().unwrap(), b"but I go on");
}

#[test]
fn a_visitors_reset_reaches_the_upstream_as_a_reset() {
    let (sender, heard) = mpsc::channel();
    let upstream = Upstream::start(move |mut stream| {
        stream.write_all(b"hello").unwrap();
        sender
            .send(stream.read(&mut [0; 1]).map_err(|error| error.kind()))
            .unwrap();
    });
    let (_site, _server, _client, addr) = tunnel(&upstream);
    let mut visitor = connect(addr);
    visitor.read_exact(&mut [0; 5]).unwrap();
    reset(visitor);
    assert_eq!(heard.recv().unwrap(), Err(ErrorKind::ConnectionReset));
}

#[test]
fn an_upstreams_reset_reaches_the_visitor_as_a_reset() {
    let upstream = Upstream::start(|mut stream| {
        stream.read_exact(&mut [0; 5]).unwrap();
        reset(stream);
    });
    let (_site, _server, _client, addr) = tunnel(&upstream);
    let mut visitor = connect(addr);
    visitor.write_all(b"hello").unwrap();
    let error = visitor.read(&mut [0; 1]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn many_bytes_arrive_as_they_were_in_both_directions_at_once() {
    let upstream = Upstream::start(|mut stream| {
        let mut reader = stream.try_clone().unwrap();
        std::io::copy(&mut reader, &mut stream).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
    });
    let (_site, _server, _client, addr) = tunnel(&upstream);
    let sent: Vec<u8> = (0..20_000_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let visitor = connect(addr);
    let mut writer = visitor.try_clone().unwrap();
    let expected = sent.clone();
    let writing = std::thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let received = read_all(visitor).unwrap();
    writing.join().unwrap();
    assert!(
        received == expected,
        "{} of {} bytes",
        received.len(),
        expected.len()
    );
}

#[test]
fn two_clients_on_one_port_take_turns() {
    let site = Site::new();
    let server = site.server(&[]);
    let (one, two) = (Upstream::echo("one"), Upstream::echo("two"));
    let first = site.client(
        &server,
        &["--client-id", "one", "--upstream", &one.anywhere()],
    );
    let addr = service_of(&first, one.addr());
    let same_port = format!("{}={}", addr.port(), two.addr());
    let second = site.client(&server, &["--client-id", "two", "--upstream", &same_port]);
    assert_eq!(service_of(&second, two.addr()), addr);

    let mut answers: Vec<_> = (0..6).map(|_| ask(addr, b"").unwrap()).collect();
    answers.sort();
    assert_eq!(answers[..3], [b"one:", b"one:", b"one:"]);
    assert_eq!(answers[3..], [b"two:", b"two:", b"two:"]);
}
