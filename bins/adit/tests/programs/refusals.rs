//! What is refused, and what people are told about it.

use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use socket2::{Domain, Socket, Type};

use crate::kit::{Bystander, Site, Upstream, ask, connect, service_of, url_of};

#[test]
fn a_wrong_token_and_an_unknown_tunnel_look_the_same_and_are_tried_for_ever() {
    let site = Site::new();
    let server = site.server(&[]);
    site.file("wrong", "0123456789abcdefghijklmnopqrstuv");
    let wrong_token = ["--token-file", "wrong", "--upstream", "0=127.0.0.1:9"];
    let wrong_tunnel = ["--tunnel", "other", "--upstream", "0=127.0.0.1:9"];
    let reason = |args: &[&str]| {
        let client = site.client(&server, args);
        client.logged_times("no session with", 2);
        let line = client.logged("no session with");
        let (_, reason) = line.split_once("no session with").unwrap();
        reason.split("; next attempt").next().unwrap().to_owned()
    };
    assert_eq!(reason(&wrong_token), reason(&wrong_tunnel));
    assert!(reason(&wrong_token).contains("token"));
    // The operator can tell them apart by name, not by content.
    server.logged("not let into tunnel other");
}

#[test]
fn a_right_token_works_beside_wrong_ones() {
    let site = Site::new();
    let server = site.server(&[]);
    let bystander = Bystander::of(&site, &url_of(&server));
    site.file("wrong", "0123456789abcdefghijklmnopqrstuv");
    let args = ["--token-file", "wrong", "--upstream", "0=127.0.0.1:9"];
    let wrong: Vec<_> = (0..5).map(|_| site.client(&server, &args)).collect();
    for client in &wrong {
        client.logged("no session with");
    }
    let upstream = Upstream::echo("reply");
    let client = site.client(&server, &["--upstream", &upstream.anywhere()]);
    let addr = service_of(&client, upstream.addr());
    assert_eq!(ask(addr, b"hello").unwrap(), b"reply:hello");
    assert!(!client.log().contains("no session with"));
    bystander.noticed_nothing();
}

#[test]
fn a_changed_token_file_lets_a_waiting_client_in() {
    let site = Site::new();
    let server = site.server(&[]);
    site.file("mine", "0123456789abcdefghijklmnopqrstuv");
    let client = site.client(
        &server,
        &["--token-file", "mine", "--upstream", "0=127.0.0.1:9"],
    );
    client.logged("no session with");
    site.file("mine", crate::kit::TOKEN);
    client.logged("connected to");
}

#[test]
fn a_port_that_another_program_has_is_refused_with_the_way_out() {
    let site = Site::new();
    let server = site.server(&[]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let client = site.client(&server, &["--upstream", &format!("{port}=127.0.0.1:9")]);
    let line = client.logged(&format!("the server refused {port}"));
    let beside = port.checked_add(1).unwrap_or(port - 1);
    assert!(
        line.contains(&format!("as in --upstream {beside}=127.0.0.1:9")),
        "{line}"
    );
    server.logged(&format!("asked for {port}"));
}

#[test]
fn a_port_outside_of_the_grant_is_refused_and_the_flag_is_named() {
    let site = Site::new();
    let server = site.server(&["--allow-ports", "2000-2001"]);
    let client = site.client(&server, &["--upstream", "2002=127.0.0.1:9"]);
    assert!(
        client
            .logged("the server refused 2002")
            .contains("--allow-ports")
    );
}

#[test]
fn one_refused_port_does_not_take_the_others_with_it() {
    let site = Site::new();
    let server = site.server(&[]);
    let upstream = Upstream::echo("reply");
    let client = site.client(
        &server,
        &[
            "--upstream",
            "80=127.0.0.1:9",
            "--upstream",
            &upstream.anywhere(),
        ],
    );
    let addr = service_of(&client, upstream.addr());
    assert_eq!(ask(addr, b"hello").unwrap(), b"reply:hello");
    assert!(
        client
            .logged("the server refused 80")
            .contains("--allow-ports")
    );
}

#[test]
fn an_upstream_that_refuses_resets_the_visitor_and_both_logs_say_why() {
    let site = Site::new();
    let server = site.server(&[]);
    let gone = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let client = site.client(&server, &["--upstream", &format!("0={gone}")]);
    let mut visitor = connect(service_of(&client, gone));
    let error = visitor.read(&mut [0; 1]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    client.logged(&format!("upstream {gone}"));
    server.logged("DIAL_REFUSED");
}

#[test]
fn an_upstream_that_does_not_answer_is_given_up_and_nobody_else_waits_for_it() {
    let site = Site::new();
    let server = site.server(&[]);
    let bystander = Bystander::of(&site, &url_of(&server));
    let (silent, _held) = silent_address();
    let upstream = Upstream::echo("reply");
    let client = site.client(
        &server,
        &[
            "--upstream",
            &upstream.anywhere(),
            "--upstream",
            &format!("0={silent}"),
        ],
    );
    let mut waiting = connect(service_of(&client, silent));
    let addr = service_of(&client, upstream.addr());
    assert_eq!(ask(addr, b"hello").unwrap(), b"reply:hello");
    let error = waiting.read(&mut [0; 1]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    server.logged("DIAL_TIMEOUT");
    client.logged(&format!("upstream {silent} can't be reached"));
    bystander.noticed_nothing();
}

/// An address that takes no connection and refuses none: its queue is full. The sockets returned
/// keep it so.
fn silent_address() -> (SocketAddr, Vec<Socket>) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener
        .bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())
        .unwrap();
    listener.listen(0).unwrap();
    let addr = listener.local_addr().unwrap();
    let mut held = vec![listener];
    for _ in 0..4 {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        // In progress, for ever.
        let _ = socket.connect(&addr);
        held.push(socket);
    }
    (addr.as_socket().unwrap(), held)
}
