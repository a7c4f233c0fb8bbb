//! Serves plain HTTP answers on a listener of their own: one request and one answer a connection.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use adit_link::LinkConfig;
use adit_link::http::{Answerer, Answers};
use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::clock::Clock;
use crate::server::back_off;

/// Connections served at a time. Others wait in the kernel, at most the ten seconds that one may take.
const CONNECTIONS_MAX: usize = 64;

/// Bytes asked for in one read: most requests are shorter.
const READ_BYTES: usize = 2 * 1024;

/// Answers requests for as long as it is polled: `/healthz` and whatever `answers` knows.
pub async fn serve_answers(listener: TcpListener, answers: Arc<dyn Answers>, clock: Clock) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let answers = Arc::clone(&answers);
                tokio::spawn(async move {
                    // What goes wrong with one connection is the business of its other end.
                    let _ = serve_one(stream, answers, clock).await;
                    drop(place);
                });
            }
            Err(error) => back_off(&error, "the admin address").await,
        }
    }
}

async fn serve_one(
    mut stream: TcpStream,
    answers: Arc<dyn Answers>,
    clock: Clock,
) -> io::Result<()> {
    let mut answerer = Answerer::new(answers, &LinkConfig::default(), clock.now());
    let time = answerer.poll_timeout() - clock.now();
    let exchange = async {
        loop {
            let mut input = BytesMut::with_capacity(READ_BYTES);
            if stream.read_buf(&mut input).await? == 0 {
                return Ok(());
            }
            if let Some(answer) = answerer.handle_input(input) {
                stream.write_all(&answer).await?;
                stream.shutdown().await?;
                return await_end(&mut stream).await;
            }
        }
    };
    tokio::time::timeout(time, exchange).await.unwrap_or(Ok(()))
}

/// Waits a moment for the other end to close first: closing over unread input would be a reset, and
/// a reset can overtake the answer.
async fn await_end(stream: &mut TcpStream) -> io::Result<()> {
    let mut rest = [0; 1024];
    let end = async { while !matches!(stream.read(&mut rest).await, Ok(0) | Err(_)) {} };
    let _ = tokio::time::timeout(Duration::from_secs(1), end).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use adit_link::http::HealthOnly;

    use super::*;

    fn served() -> SocketAddr {
        let listener = crate::listen(([127, 0, 0, 1], 0).into()).unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(serve_answers(
            listener,
            Arc::new(HealthOnly),
            Clock::start(),
        ));
        addr
    }

    async fn get(addr: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn requests_are_answered_and_the_connection_ends() {
        let addr = served();
        assert!(get(addr, "/healthz").await.starts_with("HTTP/1.1 200 "));
        assert!(get(addr, "/else").await.starts_with("HTTP/1.1 404 "));
    }

    /// In virtual time, which passes when nothing else happens.
    #[tokio::test(start_paused = true)]
    async fn silent_connections_take_all_places_only_until_their_time_is_over() {
        let addr = served();
        let mut silent = Vec::new();
        for _ in 0..CONNECTIONS_MAX {
            silent.push(TcpStream::connect(addr).await.unwrap());
        }
        assert!(get(addr, "/healthz").await.starts_with("HTTP/1.1 200 "));
        for mut stream in silent {
            assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
        }
    }
}
