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
