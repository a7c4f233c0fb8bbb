//! Connections to the admin address that say nothing, in virtual time, which passes when nothing else happens.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use adit_link::http::HealthOnly;
use adit_tokio::{Clock, Tokio, listen, serve_answers};

/// How many are served at a time.
const PLACES: usize = 64;

#[tokio::test(start_paused = true)]
async fn silent_connections_take_all_places_only_until_their_time_is_over() {
    let listener = listen(([127, 0, 0, 1], 0).into()).unwrap();
    let addr = listener.local_addr().unwrap();
    let answers = Arc::new(HealthOnly);
    tokio::spawn(serve_answers(
        Tokio::here(),
        listener,
        answers,
        Clock::start(),
    ));
    let mut silent: Vec<_> = (0..PLACES)
        .map(|_| TcpStream::connect(addr).unwrap())
        .collect();
    let asking = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(addr).unwrap();
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    // While a thread blocks, virtual time stands still: it is let go on by hand.
    while !asking.is_finished() {
        tokio::time::advance(std::time::Duration::from_millis(100)).await;
        tokio::task::yield_now().await;
    }
    assert!(asking.await.unwrap().starts_with("HTTP/1.1 200 "));
    for stream in &mut silent {
        assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
    }
}
