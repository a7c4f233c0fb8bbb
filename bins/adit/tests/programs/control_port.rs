//! Strangers on the control port.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use crate::kit::{Site, Upstream, ask, connect, port_of, read_all, service_of, until};

fn control(server: &crate::kit::Program) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port_of(server)))
}

/// What comes back for these bytes; the connection ends either way.
fn answer(addr: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = connect(addr);
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    // It may end with a reset: nobody reads what a stranger still sends.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn plain_http_on_a_tls_port_is_answered_in_words() {
    let site = Site::new();
    let server = site.server(&["--log-level", "debug"]);
    let answer = answer(
        control(&server),
        b"GET /connect HTTP/1.1\r\nHost: x\r\n\r\n",
    );
    assert!(
        answer.starts_with("HTTP/1.1 400 ") && answer.contains("TLS"),
        "{answer}"
    );
    server.logged("plain HTTP");
}

#[test]
fn tls_on_a_port_without_it_is_told_in_the_log() {
    let site = Site::new();
    let server = site.server(&["--tls", "off", "--log-level", "debug"]);
    let client = site.client(&server, &["--upstream", "0=127.0.0.1:9"]);
    assert!(
        server
            .logged("the client speaks TLS")
            .contains("--tls auto")
    );
    client.logged("no session with");
}

#[test]
fn a_plain_port_answers_health_checks_and_says_what_it_is_for() {
    let site = Site::new();
    let server = site.server(&["--tls", "off"]);
    let get = |path: &str| {
        answer(
            control(&server),
            format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes(),
        )
    };
    assert!(get("/healthz").starts_with("HTTP/1.1 200 "));
    assert!(get("/connect").starts_with("HTTP/1.1 426 "));
    assert!(get("/").starts_with("HTTP/1.1 404 "));
}

#[test]
fn garbage_ends_its_own_connection_and_nothing_else() {
    let site = Site::new();
    for tls in ["auto", "off"] {
        let server = site.server(&["--tls", tls]);
        for garbage in [
            &b"\0\0\0\0\0\0\0\0"[..],
            b"SSH-2.0-x\r\n\r\n",
            &[0x16; 20_000],
            &[b'A'; 20_000],
        ] {
            let mut stream = connect(control(&server));
            // The server may be gone before all is sent.
            let _ = stream.write_all(garbage);
            let _ = stream.shutdown(Shutdown::Write);
            let _ = stream.read_to_end(&mut Vec::new());
        }
        let upstream = Upstream::echo("reply");
        let scheme = if tls == "off" { "ws" } else { "wss" };
        let url = format!("{scheme}://127.0.0.1:{}", port_of(&server));
        let client = site.client_of(&url, &["--upstream", &upstream.anywhere()]);
        let addr = service_of(&client, upstream.addr());
        assert_eq!(ask(addr, b"hello").unwrap(), b"reply:hello");
    }
}

#[test]
fn a_handshake_of_a_byte_a_second_is_ended_by_the_server() {
    let site = Site::new();
    let server = site.server(&["--tls", "off", "--log-level", "debug"]);
    let mut stream = connect(control(&server));
    let mut sender = stream.try_clone().unwrap();
    std::thread::spawn(move || {
        // Slow on purpose: this is the peer's behaviour, not a wait for something.
        for byte in b"GET /connect HTTP/1.1\r\nX-Slow: "
            .iter()
            .chain(std::iter::repeat(&b'a'))
        {
            if sender.write_all(&[*byte]).is_err() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_secs(1));
        }
    });
    let _ = stream.read_to_end(&mut Vec::new());
    server.logged("not done after 10s");
}

#[test]
fn a_thousand_silent_connections_do_not_keep_a_client_out() {
    let site = Site::new();
    let server = site.server(&["--max-handshakes", "200"]);
    let silent: Vec<TcpStream> = (0..1_000).map(|_| connect(control(&server))).collect();
    let upstream = Upstream::echo("reply");
    let client = site.client(&server, &["--upstream", &upstream.anywhere()]);
    let addr = service_of(&client, upstream.addr());
    assert_eq!(ask(addr, b"hello").unwrap(), b"reply:hello");
    assert!(
        !client.log().contains("no session"),
        "it was turned away first"
    );
    // The server rids itself of all of them.
    for stream in silent {
        let _ = read_all(stream);
    }
    until("the visitor to be served again", || {
        ask(addr, b"again").is_ok()
    });
}
