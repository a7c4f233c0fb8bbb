//! The least of HTTP that the scenarios ask with: one GET, one answer.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// How long a connection may say nothing before it counts as broken.
const SILENCE: Duration = Duration::from_secs(20);

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// For example 200.
    pub status: u16,
    /// What follows the head.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Asks 127.0.0.1 for `path`. HTTP/1.0, so that the end of the connection is
/// the end of the answer.
///
/// # Errors
///
/// What the socket says, or `InvalidData` for an answer that is no HTTP or
/// shorter than its head promises.
pub fn get(port: u16, path: &str) -> io::Result<Answer> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    get_on(stream, path)
}

/// The same on a connection that is there already.
///
/// # Errors
///
/// As [`get`].
pub fn get_on(mut stream: TcpStream, path: &str) -> io::Result<Answer> {
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_nodelay(true)?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut all = Vec::new();
    stream.read_to_end(&mut all)?;
    parse(&all).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no whole HTTP answer"))
}

fn parse(all: &[u8]) -> Option<Answer> {
    let end = all.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(all.get(..end)?).ok()?;
    let body = all.get(end + 4..)?.to_vec();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let promised = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())?
    });
    (promised.is_none_or(|length| length == body.len())).then_some(Answer { status, body })
}

/// Makes text fit into a query.
pub fn escape(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_split_into_status_and_body() {
        let answer =
            parse(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno").expect("whole");
        assert_eq!((answer.status, answer.text().as_str()), (404, "no"));
    }

    #[test]
    fn a_truncated_answer_is_no_answer() {
        assert!(parse(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nno").is_none());
        assert!(parse(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n").is_none());
    }

    #[test]
    fn a_query_is_escaped() {
        assert_eq!(escape("up{a=\"b\"}[1m]"), "up%7Ba%3D%22b%22%7D%5B1m%5D");
    }
}
