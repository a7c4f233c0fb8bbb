//! The private service of the demo: a page and `/metrics`, over HTTP/1.1 on loopback.
//!
//! What it answers is a plain function of the request and a counter; the rest moves bytes.

use std::fmt::Write as _;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The longest request head that is read.
const HEAD_MAX_BYTES: usize = 8 * 1024;

/// How long a connection may stay without a request.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// What the service counts.
#[derive(Debug, Default)]
pub(crate) struct Sample {
    pages: AtomicU64,
    scrapes: AtomicU64,
    others: AtomicU64,
}

/// Serves connections for as long as the returned future is polled.
pub(crate) async fn serve(listener: TcpListener, sample: &'static Sample) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(async move {
                    // A visitor that goes away in the middle is no news.
                    let _ = connection(stream, sample).await;
                });
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn connection(mut stream: TcpStream, sample: &Sample) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut input = Vec::new();
    loop {
        let Some(end) = head_end(&input) else {
            if input.len() >= HEAD_MAX_BYTES {
                return Ok(());
            }
            let read = tokio::time::timeout(IDLE_MAX, stream.read_buf(&mut input));
            match read.await {
                Ok(Ok(1..)) => continue,
                Ok(Ok(0)) | Err(_) => return Ok(()),
                Ok(Err(error)) => return Err(error),
            }
        };
        let head: Vec<u8> = input.drain(..end).collect();
        let answer = sample.answer(&String::from_utf8_lossy(&head));
        stream.write_all(answer.bytes.as_bytes()).await?;
        if answer.close {
            return stream.shutdown().await;
        }
    }
}

/// Where the first request ends in `input`, if it is all there.
fn head_end(input: &[u8]) -> Option<usize> {
    input
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .map(|at| at + 4)
}

/// One answer, and whether the connection ends with it.
struct Answer {
    bytes: String,
    close: bool,
}

impl Sample {
    /// The answer to a request with this head. Requests with a body are not understood: the
    /// connection is closed, so that the body can't be taken for a request.
    fn answer(&self, head: &str) -> Answer {
        let mut words = head.lines().next().unwrap_or_default().split(' ');
        let (method, target) = (
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default(),
        );
        let path = target.split('?').next().unwrap_or_default();
        let mut close = head.lines().skip(1).any(|line| {
            let line = line.to_ascii_lowercase();
            line.starts_with("connection:") && line.contains("close")
        });
        let (status, kind, body) = match (method, path) {
            ("GET" | "HEAD", "/") => {
                self.pages.fetch_add(1, Ordering::Relaxed);
                ("200 OK", "text/html; charset=utf-8", PAGE.to_owned())
            }
            ("GET" | "HEAD", "/metrics") => {
                self.scrapes.fetch_add(1, Ordering::Relaxed);
                (
                    "200 OK",
                    "text/plain; version=0.0.4; charset=utf-8",
                    self.metrics(),
                )
            }
            ("GET" | "HEAD", _) => {
                self.others.fetch_add(1, Ordering::Relaxed);
                (
                    "404 Not Found",
                    "text/plain; charset=utf-8",
                    "There is / and /metrics.\n".into(),
                )
            }
            _ => {
                self.others.fetch_add(1, Ordering::Relaxed);
                close = true;
                (
                    "405 Method Not Allowed",
                    "text/plain; charset=utf-8",
                    "GET or HEAD.\n".into(),
                )
            }
        };
        let length = body.len();
        let connection = if close { "close" } else { "keep-alive" };
        let mut bytes = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: {connection}\r\n\r\n"
        );
        if method != "HEAD" {
            bytes.push_str(&body);
        }
        Answer { bytes, close }
    }

    fn metrics(&self) -> String {
        let mut text = String::from(
            "# HELP sample_requests_total Requests that the sample service answered.\n\
             # TYPE sample_requests_total counter\n",
        );
        for (path, counter) in [
            ("/", &self.pages),
            ("/metrics", &self.scrapes),
            ("other", &self.others),
        ] {
            let count = counter.load(Ordering::Relaxed);
            let _ = writeln!(text, "sample_requests_total{{path=\"{path}\"}} {count}");
        }
        text
    }
}

/// What the private service shows.
pub(crate) const PAGE: &str = "<!doctype html>
<html lang=\"en\">
<meta charset=\"utf-8\">
<title>A private page, through an adit</title>
<style>
  body { font: 18px/1.5 system-ui, sans-serif; max-width: 38em; margin: 3em auto; padding: 0 1em; color: #222 }
  pre { background: #f3f1ec; padding: 1em; overflow-x: auto; line-height: 1.3 }
  code { background: #f3f1ec; padding: 0 .2em }
</style>
<h1>It works.</h1>
<p>This page comes from a small private service. Your browser did not connect to it: it connected to a
   port of the server, and the request came here through the tunnel that the client opened.</p>
<pre>you  -->  server  ==== TLS, opened by the client ====  client  -->  this page</pre>
<p>The certificate of the server is self-signed, and still nobody can sit in between: both sides proved
   that they know the token, and the proof is bound to that TLS connection.</p>
<p>The service has <a href=\"/metrics\">metrics</a>, too, as a Prometheus would scrape them.</p>
</html>
";

#[cfg(test)]
mod tests {
    use super::*;

    fn get(path: &str) -> String {
        Sample::default()
            .answer(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"))
            .bytes
    }

    #[test]
    fn the_page_is_html_with_its_length() {
        let answer = get("/?from=test");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"));
        assert!(head.contains(&format!("Content-Length: {}", body.len())));
        assert_eq!(body, PAGE);
    }

    #[test]
    fn metrics_count_the_requests_answered() {
        let sample = Sample::default();
        for _ in 0..3 {
            sample.answer("GET / HTTP/1.1\r\n\r\n");
        }
        let answer = sample.answer("GET /metrics HTTP/1.1\r\n\r\n").bytes;
        assert!(answer.contains("sample_requests_total{path=\"/\"} 3\n"));
        assert!(answer.contains("sample_requests_total{path=\"/metrics\"} 1\n"));
    }

    #[test]
    fn a_head_request_gets_no_body() {
        let answer = Sample::default().answer("HEAD / HTTP/1.1\r\n\r\n").bytes;
        assert!(answer.ends_with("\r\n\r\n"));
    }

    #[test]
    fn what_it_does_not_know_is_said_so() {
        assert!(get("/secret").starts_with("HTTP/1.1 404"));
        let sample = Sample::default();
        let answer = sample.answer("POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n");
        assert!(answer.bytes.starts_with("HTTP/1.1 405") && answer.close);
        assert!(sample.answer("\r\n\r\n").bytes.starts_with("HTTP/1.1 405"));
    }

    #[test]
    fn a_client_that_asks_to_close_is_closed() {
        let sample = Sample::default();
        assert!(
            sample
                .answer("GET / HTTP/1.1\r\nConnection: Close\r\n\r\n")
                .close
        );
        assert!(!sample.answer("GET / HTTP/1.1\r\n\r\n").close);
    }
}
