//! The HTTP upgrade at both ends.

use std::net::IpAddr;

use adit_core::Instant;
use adit_link::{Carrier, LinkError, ServerSetup, ServerUpgrade};
use bytes::BytesMut;

use crate::kit::{
    End, HOST, Layers, PATH, Pair, client, client_setup, drain_output, serve, server, server_setup,
};

const PLAIN: Layers = Layers {
    tls: false,
    upgrade: true,
};

/// A request that a server takes, with a change.
fn request(change: impl FnOnce(&mut Vec<String>)) -> BytesMut {
    let mut lines: Vec<String> = [
        "GET /connect HTTP/1.1",
        "Host: orion.example.com",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ]
    .map(String::from)
    .into();
    change(&mut lines);
    BytesMut::from(&(lines.join("\r\n") + "\r\n\r\n")[..])
}

fn answer_to(request: BytesMut) -> (End, String) {
    let mut end = End::new(server(PLAIN));
    end.input(request);
    let answer = drain_output(&mut end.carrier);
    (end, String::from_utf8(answer.to_vec()).unwrap())
}

#[test]
fn the_request_is_what_rfc_6455_asks_for_and_names_the_program() {
    let mut setup = client_setup(PLAIN);
    setup.upgrade.as_mut().unwrap().headers = vec![("X-Team".into(), "blue; \"1\"".into())];
    let mut client = Carrier::client(setup, [7; 32], Instant::ORIGIN).unwrap();
    let request = String::from_utf8(drain_output(&mut client).to_vec()).unwrap();
    let lines: Vec<&str> = request.split("\r\n").collect();
    assert_eq!(lines[0], format!("GET {PATH} HTTP/1.1"));
    for line in [
        &format!("Host: {HOST}")[..],
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        concat!("User-Agent: adit/", env!("CARGO_PKG_VERSION")),
        "X-Team: blue; \"1\"",
    ] {
        assert_eq!(
            lines.iter().filter(|found| **found == line).count(),
            1,
            "{line}: {request}"
        );
    }
    assert!(request.ends_with("\r\n\r\n"));
    assert!(!request.contains("Sec-WebSocket-Protocol"));
}

#[test]
fn two_clients_have_different_keys() {
    let key = |seed| {
        let mut client = Carrier::client(client_setup(PLAIN), seed, Instant::ORIGIN).unwrap();
        let request = String::from_utf8(drain_output(&mut client).to_vec()).unwrap();
        request.split("Sec-WebSocket-Key: ").nth(1).unwrap()[..24].to_owned()
    };
    assert_ne!(key([1; 32]), key([2; 32]));
}

//= spec/02-carriers.md
//# A client MUST NOT send anything behind its request before it has the whole answer.
#[test]
fn a_client_sends_nothing_behind_the_request_before_the_answer() {
    let mut end = End::new(client(PLAIN));
    drain_output(&mut end.carrier);
    assert_eq!(end.carrier.send_space(), 0);
    assert_eq!(end.send(b"early"), 0);
    assert!(!end.carrier.has_output());
}

#[test]
fn a_server_tells_host_and_source() {
    let mut end = End::new(server(PLAIN));
    end.input(request(|_| ()));
    assert_eq!(end.ready().host.as_deref(), Some(HOST));
    assert_eq!(
        end.ready().source,
        Some("192.0.2.1".parse::<IpAddr>().unwrap())
    );
}

//= spec/02-carriers.md
//# A server MUST NOT believe it from a peer that it was not told to trust
#[test]
fn the_source_comes_from_x_forwarded_for_only_behind_a_trusted_proxy() {
    let source = |trusted: &[&str]| {
        let trusted = trusted.iter().map(|net| net.parse().unwrap()).collect();
        let upgrade = ServerUpgrade::new(PATH).unwrap().trusting(trusted);
        let mut end = End::new(serve(ServerSetup {
            upgrade: Some(upgrade),
            ..server_setup(PLAIN)
        }));
        end.input(request(|lines| {
            lines.push("X-Forwarded-For: 6.6.6.6, 203.0.113.9".into())
        }));
        end.ready().source.unwrap().to_string()
    };
    assert_eq!(source(&[]), "192.0.2.1");
    assert_eq!(source(&["192.0.2.0/24"]), "203.0.113.9");
    assert_eq!(source(&["192.0.2.0/24", "203.0.113.0/24"]), "6.6.6.6");
}

#[test]
fn spellings_that_proxies_produce_are_taken() {
    for change in [
        |lines: &mut Vec<String>| lines[2] = "connection: keep-alive, UPGRADE".into(),
        |lines: &mut Vec<String>| {
            lines[2] = "Connection: keep-alive".into();
            lines.push("Connection: upgrade".into());
        },
        |lines: &mut Vec<String>| lines[3] = "upgrade: WebSocket".into(),
        |lines: &mut Vec<String>| lines[0] = "GET http://orion.example.com/connect HTTP/1.1".into(),
        |lines: &mut Vec<String>| lines[0] = "GET /connect?from=proxy HTTP/1.1".into(),
        |lines: &mut Vec<String>| lines.push("Content-Length: 0".into()),
    ] {
        let (end, answer) = answer_to(request(change));
        end.ready();
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        // RFC 6455 section 1.3's own example.
        assert!(answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{answer}");
    }
}

//= spec/02-carriers.md
//# A server MUST close the connection after a plain answer.
#[test]
fn what_is_no_upgrade_gets_the_status_that_says_why() {
    type Change = fn(&mut Vec<String>);
    let cases: [(&str, Change, &str); 9] = [
        (
            "426",
            |lines| drop(lines.remove(2)),
            "Upgrade: websocket\r\n",
        ),
        (
            "426",
            |lines| drop(lines.remove(3)),
            "Upgrade: websocket\r\n",
        ),
        (
            "426",
            |lines| lines[0] = "POST /connect HTTP/1.1".into(),
            "Upgrade: websocket\r\n",
        ),
        (
            "426",
            |lines| lines[4] = "Sec-WebSocket-Version: 8".into(),
            "Sec-WebSocket-Version: 13",
        ),
        ("400", |lines| drop(lines.remove(5)), "Sec-WebSocket-Key"),
        (
            "400",
            |lines| lines[5] = "Sec-WebSocket-Key: short".into(),
            "Sec-WebSocket-Key",
        ),
        (
            "400",
            |lines| lines.push("Transfer-Encoding: chunked".into()),
            "no body",
        ),
        (
            "400",
            |lines| lines.push("Content-Length: 3".into()),
            "no body",
        ),
        (
            "404",
            |lines| lines[0] = "GET /other HTTP/1.1".into(),
            "not found",
        ),
    ];
    for (status, change, words) in cases {
        let (end, answer) = answer_to(request(change));
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{status}: {answer}"
        );
        assert!(answer.contains(words), "{words}: {answer}");
        assert!(answer.contains("Connection: close"), "{answer}");
        assert!(end.carrier.is_finished() && end.error.is_none());
        assert!(format!("{:?}", end.events).contains(&format!("Answered {{ status: {status} }}")));
    }
}

//= spec/02-carriers.md
//# A server MUST NOT keep more than 8,192 bytes of a head that is not complete.
#[test]
fn a_head_that_is_too_large_gets_431_and_is_not_kept() {
    for head in [
        "GET /connect HTTP/1.1\r\nX: ".to_owned() + &"y".repeat(10_000),
        "GET /connect HTTP/1.1\r\nHost: a\r\n".to_owned() + &"X: y\r\n".repeat(64) + "\r\n",
    ] {
        let (end, answer) = answer_to(BytesMut::from(&head[..]));
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
        assert_eq!(end.error, Some(LinkError::HeadTooLarge { limit: 8_192 }));
    }
}

/// What a client makes of this answer to its request.
fn client_meets(answer: impl FnOnce(&str) -> String) -> End {
    let mut pair = Pair::new(client(PLAIN), server(PLAIN));
    pair.server.input(drain_output(&mut pair.client.carrier));
    let good = drain_output(&mut pair.server.carrier);
    let answer = answer(std::str::from_utf8(&good).unwrap());
    pair.client.input(BytesMut::from(&answer[..]));
    pair.client
}

#[test]
fn a_client_takes_an_answer_that_proxies_respelt() {
    let respelt = |good: &str| good.to_lowercase().replace("http/1.1", "HTTP/1.1");
    assert!(
        client_meets(respelt).error.is_some(),
        "the accept value is case-sensitive"
    );
    let respelt = |good: &str| {
        good.replace("connection: ", "CONNECTION: keep-alive, ")
            .replace("websocket\r", "WebSocket\r")
    };
    client_meets(respelt).ready();
}

//= spec/02-carriers.md
//# It MUST refuse an answer that is not status 101 with `Upgrade: websocket`, `Connection: Upgrade`
//# and the right `Sec-WebSocket-Accept`, or that names an extension or a subprotocol.
#[test]
fn a_client_takes_no_answer_that_lacks_something() {
    type Change = fn(&str) -> String;
    let cases: [(&str, Change); 6] = [
        ("Upgrade: websocket", |good| {
            good.replace("upgrade: websocket\r\n", "")
        }),
        ("Connection: Upgrade", |good| {
            good.replace("connection: Upgrade\r\n", "")
        }),
        ("Sec-WebSocket-Accept", |good| {
            good.replace("sec-websocket-accept: ", "x: ")
        }),
        ("Sec-WebSocket-Accept", |good| {
            good.replace("sec-websocket-accept: ", "sec-websocket-accept: A")
        }),
        ("extension", |good| {
            good.replace("\r\n\r\n", "\r\nSec-WebSocket-Extensions: x\r\n\r\n")
        }),
        ("subprotocol", |good| {
            good.replace("\r\n\r\n", "\r\nSec-WebSocket-Protocol: x\r\n\r\n")
        }),
    ];
    for (words, change) in cases {
        let end = client_meets(change);
        let Some(LinkError::BadAnswer { problem }) = end.error else {
            panic!("{words}")
        };
        assert!(problem.contains(words), "{problem}");
    }
}

#[test]
fn other_statuses_are_told_with_what_to_look_at() {
    for (status, words) in [
        (200, "something else answers"),
        (401, "--header"),
        (403, "access rules"),
        (404, "the path of the URL"),
        (407, "--header"),
        (426, "pass WebSocket upgrades on"),
        (500, "a fault in the server"),
        (502, "does not reach the Adit server"),
        (503, "does not reach the Adit server"),
        (504, "does not reach the Adit server"),
    ] {
        let end = client_meets(|_| format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n"));
        let error = end.error.unwrap();
        assert_eq!(
            error,
            LinkError::Status {
                status,
                location: None
            }
        );
        let text = error.to_string();
        assert!(
            text.contains(&status.to_string()) && text.contains(words),
            "{text}"
        );
    }
}

//= spec/02-carriers.md
//# A client MUST NOT follow redirects
#[test]
fn a_redirect_is_not_followed_and_its_target_is_shown_escaped() {
    let end = client_meets(|_| {
        "HTTP/1.1 302 Found\r\nLocation: https://login.example.com/\u{1b}[31m\r\n\r\n"
            .replace('\u{1b}', "\u{e9}")
    });
    let text = end.error.unwrap().to_string();
    assert!(text.contains("redirects are not followed"), "{text}");
    assert!(
        text.contains("https://login.example.com/") && text.is_ascii(),
        "{text}"
    );
}
