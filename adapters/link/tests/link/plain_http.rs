//! Plain HTTP answers, on a server's carrier and by themselves.

use std::sync::Arc;

use adit_core::Instant;
use adit_link::{
    LinkConfig, LinkError, ServerSetup, ServerUpgrade,
    http::{Answer, Answerer, Answers, HealthOnly, Request},
};
use bytes::BytesMut;

use crate::kit::{End, Layers, PATH, at, drain_output, serve, server_setup};

fn metrics(request: &Request<'_>) -> Option<Answer> {
    (request.path() == "/metrics").then(|| Answer::text(200, "adit_sessions 1\n"))
}

fn ask(answers: Arc<dyn Answers>, request: &str) -> String {
    let mut answerer = Answerer::new(answers, &LinkConfig::default(), Instant::ORIGIN);
    let answer = answerer.handle_input(BytesMut::from(request)).unwrap();
    String::from_utf8(answer.to_vec()).unwrap()
}

#[test]
fn healthz_is_answered_everywhere() {
    let answer = ask(
        Arc::new(HealthOnly),
        "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("Content-Length: 3\r\n") && answer.ends_with("\r\n\r\nok\n"));
    assert!(answer.contains("Connection: close\r\n"));
}

#[test]
fn a_head_request_gets_the_head_alone() {
    let answer = ask(
        Arc::new(metrics),
        "HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    assert!(
        answer.contains("Content-Length: 16\r\n") && answer.ends_with("\r\n\r\n"),
        "{answer}"
    );
}

#[test]
fn the_callers_answers_come_first_and_404_last() {
    let answers: Arc<dyn Answers> = Arc::new(metrics);
    for (request, status) in [
        ("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", "200 OK"),
        ("GET /metrics?x=y HTTP/1.1\r\nHost: a\r\n\r\n", "200 OK"),
        ("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", "200 OK"),
        (
            "POST /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
            "405 Method Not Allowed",
        ),
        ("GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n", "404 Not Found"),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "404 Not Found"),
        ("nonsense\r\n\r\n", "400 Bad Request"),
    ] {
        let answer = ask(Arc::clone(&answers), request);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}\r\n")),
            "{request}: {answer}"
        );
    }
}

#[test]
fn a_servers_carrier_answers_the_same() {
    let layers = Layers {
        tls: false,
        upgrade: true,
    };
    let upgrade = ServerUpgrade::new(PATH)
        .unwrap()
        .answering(Arc::new(metrics));
    let mut end = End::new(serve(ServerSetup {
        upgrade: Some(upgrade),
        ..server_setup(layers)
    }));
    end.input(BytesMut::from("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"));
    let answer = drain_output(&mut end.carrier);
    assert!(answer.ends_with(b"adit_sessions 1\n"));
    assert!(end.carrier.is_finished());
}

#[test]
fn one_answer_per_connection_and_not_before_the_head_is_whole() {
    let mut answerer = Answerer::new(
        Arc::new(HealthOnly),
        &LinkConfig::default(),
        Instant::ORIGIN,
    );
    let request = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    for byte in &request[..request.len() - 1] {
        assert_eq!(answerer.handle_input(BytesMut::from(&[*byte][..])), None);
    }
    assert!(answerer.handle_input(BytesMut::from(&b"\n"[..])).is_some());
    assert_eq!(answerer.handle_input(BytesMut::from(&request[..])), None);
}

#[test]
fn a_request_a_byte_a_second_ends_after_ten_seconds() {
    let mut answerer = Answerer::new(
        Arc::new(HealthOnly),
        &LinkConfig::default(),
        Instant::ORIGIN,
    );
    assert_eq!(answerer.poll_timeout(), at(10.0));
    assert_eq!(answerer.handle_timeout(at(9.9)), Ok(()));
    assert!(matches!(
        answerer.handle_timeout(at(10.0)),
        Err(LinkError::TimedOut { .. })
    ));
}
