//! Strangers on the control port.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use adit_core::{Code, Frame};

use crate::kit::{
    Bystander, Program, Rogue, Site, Upstream, ask, connect, port_of, read_all, service_of, until,
    url_of,
};

/// How long a slow peer takes for a byte.
const A_SECOND: Duration = Duration::from_secs(1);

/// The head of an AUTH of 16,385 bytes, one more than a body may have.
const TOO_LONG_A_BODY: [u8; 5] = [0x02, 0x80, 0x00, 0x40, 0x01];

fn control(server: &Program) -> SocketAddr {
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
    let server = site.server(&[]);
    let bystander = Bystander::of(&site, &url_of(&server));
    let answer = answer(
        control(&server),
        b"GET /connect HTTP/1.1\r\nHost: x\r\n\r\n",
    );
    assert!(
        answer.starts_with("HTTP/1.1 400 ") && answer.contains("TLS"),
        "{answer}"
    );
    server.logged("plain HTTP");
    bystander.noticed_nothing();
}

#[test]
fn tls_on_a_port_without_it_is_told_in_the_log() {
    let site = Site::new();
    let server = site.server(&["--tls", "off"]);
    let bystander = Bystander::of(&site, &url_of(&server).replace("wss:", "ws:"));
    let client = site.client(&server, &["--upstream", "0=127.0.0.1:9"]);
    assert!(
        server
            .logged("the client speaks TLS")
            .contains("--tls auto")
    );
    client.logged("no session with");
    bystander.noticed_nothing();
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
    for (tls, scheme) in [("auto", "wss"), ("off", "ws")] {
        let server = site.server(&["--tls", tls]);
        let url = format!("{scheme}://127.0.0.1:{}", port_of(&server));
        let bystander = Bystander::of(&site, &url);
        let garbage: [&[u8]; 4] = [
            &[0; 8],
            b"SSH-2.0-x\r\n\r\n",
            &[0x16; 20_000],
            &[b'A'; 20_000],
        ];
        for garbage in garbage {
            let mut stream = connect(control(&server));
            // The server may be gone before all is sent.
            let _ = stream.write_all(garbage);
            let _ = stream.shutdown(Shutdown::Write);
            let _ = stream.read_to_end(&mut Vec::new());
        }
        server.logged_times("did not become a client", garbage.len());
        bystander.noticed_nothing();
    }
}

#[test]
fn a_handshake_of_a_byte_a_second_is_ended_by_the_server_in_every_phase() {
    let site = Site::new();
    let (with_tls, without) = (site.server(&[]), site.server(&["--tls", "off"]));
    let bystander = Bystander::of(&site, &url_of(&with_tls));
    std::thread::scope(|scope| {
        // The head of a ClientHello of 512 bytes, and what may be its session id.
        scope.spawn(|| {
            send_slowly(
                control(&with_tls),
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            )
        });
        scope.spawn(|| send_slowly(control(&without), b"GET /connect HTTP/1.1\r\nX-Slow: "));
        scope.spawn(|| {
            // AUTH of 512 bytes.
            let mut rogue = Rogue::reach(port_of(&with_tls));
            for byte in [0x02, 0x42, 0x00].into_iter().chain(std::iter::repeat(0)) {
                if rogue.send(&[byte]).is_err() || rogue.is_ended_within(A_SECOND) {
                    break;
                }
            }
        });
    });
    for (server, phase) in [
        (&with_tls, "during the TLS handshake"),
        (&without, "during the WebSocket upgrade"),
    ] {
        server.logged(&format!("not done after 10s {phase}"));
    }
    with_tls.logged("the handshake took too long");
    bystander.noticed_nothing();
}

/// Sends a byte a second, the last one again and again, until the server ends the connection.
fn send_slowly(addr: SocketAddr, bytes: &[u8]) {
    let mut stream = connect(addr);
    stream.set_read_timeout(Some(A_SECOND)).unwrap();
    let last = bytes.last().unwrap();
    for byte in bytes.iter().chain(std::iter::repeat(last)) {
        let written = stream.write_all(&[*byte]);
        match stream.read(&mut [0; 512]) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => (),
            // An alert or an answer may come before the end.
            Ok(1..) if written.is_ok() => (),
            _ => return,
        }
    }
}

#[test]
fn a_frame_that_is_too_long_is_refused_before_anything_is_proved() {
    let site = Site::new();
    let server = site.server(&[]);
    let bystander = Bystander::of(&site, &url_of(&server));
    let mut rogue = Rogue::reach(port_of(&server));
    rogue.send(&TOO_LONG_A_BODY).unwrap();
    let close = rogue.wait_for(|frame| matches!(frame, Frame::Close { .. }));
    assert!(
        matches!(
            close,
            Ok(Frame::Close {
                code: Code::FRAME_TOO_LARGE,
                ..
            })
        ),
        "{close:?}"
    );
    server.logged("FRAME_TOO_LARGE");
    bystander.noticed_nothing();
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

/// What a thousand strangers may cost a server, in bytes of memory: their TLS, before a word was said.
#[cfg(target_os = "linux")]
const STRANGERS_MEMORY_MAX: u64 = 32 << 20;

#[cfg(target_os = "linux")]
#[test]
fn at_the_default_limits_silent_connections_delay_nobody_and_cost_little_memory_and_few_lines() {
    allow_files(4_096);
    let site = Site::new();
    for count in [1_000, 1_100] {
        let server = site.server(&[]);
        let before = server.memory_peak();
        let silent: Vec<TcpStream> = (0..count).map(|_| connect(control(&server))).collect();
        let upstream = Upstream::echo("reply");
        let client = site.client(&server, &["--upstream", &upstream.anywhere()]);
        let addr = service_of(&client, upstream.addr());
        assert_eq!(ask(addr, b"hello").unwrap(), b"reply:hello");
        assert!(
            !client.log().contains("no session"),
            "it was turned away first"
        );
        for stream in silent {
            let _ = read_all(stream);
        }
        assert_eq!(ask(addr, b"again").unwrap(), b"reply:again");
        let grown = server.memory_peak() - before;
        assert!(grown < STRANGERS_MEMORY_MAX, "{grown} bytes for {count}");
        let log = server.log();
        assert!(log.lines().count() < 10, "{log}");
        let told = log.contains("raise --max-handshakes");
        assert_eq!(told, count > 1_024, "{log}");
        println!("{count} silent connections: {} KiB", grown >> 10);
    }
}

/// Lets this process have so many files open.
#[cfg(target_os = "linux")]
fn allow_files(count: u64) {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.current.map(|current| current.max(count));
    setrlimit(Resource::Nofile, limit).unwrap();
}
