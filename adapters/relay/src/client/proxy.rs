//! Asking an HTTP proxy for a way through: CONNECT (RFC 9110, section 9.3.6) with basic authentication (RFC 7617).

use std::io::IoSlice;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, BytesMut};

use super::attempt::ProxyError;
use super::config::Proxy;
use crate::address::HostPort;

/// The longest answer head that is read, in bytes.
const HEAD_MAX: usize = 8 * 1024;

/// The most headers that an answer may have.
const HEADERS_MAX: usize = 64;

/// One CONNECT exchange.
pub(super) struct Asking {
    request: Vec<u8>,
    sent: usize,
    head: BytesMut,
    target: HostPort,
    has_credentials: bool,
}

impl Asking {
    pub(super) fn new(proxy: &Proxy, target: &HostPort) -> Self {
        let mut request = format!(
            "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nUser-Agent: adit/{}\r\n",
            env!("CARGO_PKG_VERSION")
        );
        if let Some((user, password)) = &proxy.credentials {
            let basic = STANDARD.encode(format!("{user}:{password}"));
            request.push_str(&format!("Proxy-Authorization: Basic {basic}\r\n"));
        }
        request.push_str("\r\n");
        Self {
            request: request.into_bytes(),
            sent: 0,
            head: BytesMut::new(),
            target: target.clone(),
            has_credentials: proxy.credentials.is_some(),
        }
    }

    /// What is left of the request.
    pub(super) fn gather<'a>(&'a self, out: &mut [IoSlice<'a>]) -> usize {
        match (self.request.get(self.sent..), out.first_mut()) {
            (Some(rest), Some(slot)) if !rest.is_empty() => {
                *slot = IoSlice::new(rest);
                1
            }
            _ => 0,
        }
    }

    pub(super) fn has_output(&self) -> bool {
        self.sent < self.request.len()
    }

    pub(super) fn written(&mut self, n: usize) {
        self.sent = self.sent.saturating_add(n).min(self.request.len());
    }

    /// Bytes that may still come before the head is too long.
    pub(super) fn read_limit(&self) -> usize {
        HEAD_MAX.saturating_sub(self.head.len())
    }

    /// The proxy said something. Once it has connected us: what came behind its answer, from the server.
    pub(super) fn handle_input(&mut self, data: &[u8]) -> Result<Option<BytesMut>, ProxyError> {
        self.head.extend_from_slice(data);
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut headers);
        match response.parse(&self.head) {
            Ok(httparse::Status::Complete(len)) => {
                let status = response.code.unwrap_or(0);
                self.check(status)?;
                self.head.advance(len);
                Ok(Some(std::mem::take(&mut self.head)))
            }
            Ok(httparse::Status::Partial) if self.head.len() < HEAD_MAX => Ok(None),
            Ok(httparse::Status::Partial) | Err(_) => Err(ProxyError::NotHttp),
        }
    }

    fn check(&self, status: u16) -> Result<(), ProxyError> {
        let target = || self.target.clone();
        match status {
            200..=299 => Ok(()),
            407 if self.has_credentials => Err(ProxyError::CredentialsRefused),
            407 => Err(ProxyError::CredentialsNeeded),
            403 => Err(ProxyError::Forbidden { target: target() }),
            500..=599 => Err(ProxyError::Unreachable {
                target: target(),
                status,
            }),
            status => Err(ProxyError::Status(status)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking(credentials: Option<(&str, &str)>) -> Asking {
        let proxy = Proxy {
            at: HostPort::new("squid", 3128),
            credentials: credentials.map(|(user, word)| (user.to_owned(), word.to_owned())),
        };
        Asking::new(&proxy, &HostPort::new("tunnel.example.com", 443))
    }

    fn answered(text: &str) -> Result<Option<BytesMut>, ProxyError> {
        asking(Some(("u", "p"))).handle_input(text.as_bytes())
    }

    #[test]
    fn the_request_names_the_server_and_carries_the_credentials() {
        let mut asking = asking(Some(("user", "pass:word")));
        let text = String::from_utf8(asking.request.clone()).unwrap();
        assert!(
            text.starts_with("CONNECT tunnel.example.com:443 HTTP/1.1\r\n"),
            "{text}"
        );
        assert!(
            text.contains("\r\nHost: tunnel.example.com:443\r\n"),
            "{text}"
        );
        assert!(
            text.contains("\r\nProxy-Authorization: Basic dXNlcjpwYXNzOndvcmQ=\r\n"),
            "{text}"
        );
        assert!(text.ends_with("\r\n\r\n"));
        asking.written(text.len() - 1);
        assert!(asking.has_output());
        asking.written(9);
        assert!(!asking.has_output());
        assert_eq!(asking.gather(&mut [IoSlice::new(&[])]), 0);
    }

    #[test]
    fn an_answer_may_come_byte_by_byte_and_what_is_behind_it_belongs_to_the_server() {
        let mut asking = asking(None);
        let answer = b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r";
        for byte in answer {
            assert_eq!(asking.handle_input(&[*byte]), Ok(None));
        }
        assert_eq!(
            asking.handle_input(b"\nhello"),
            Ok(Some(BytesMut::from("hello")))
        );
    }

    #[test]
    fn a_refusal_says_what_is_wrong() {
        assert_eq!(
            answered("HTTP/1.1 407 No\r\n\r\n"),
            Err(ProxyError::CredentialsRefused)
        );
        assert_eq!(
            asking(None).handle_input(b"HTTP/1.1 407 No\r\n\r\n"),
            Err(ProxyError::CredentialsNeeded)
        );
        assert!(matches!(
            answered("HTTP/1.1 403 No\r\n\r\n"),
            Err(ProxyError::Forbidden { .. })
        ));
        assert!(matches!(
            answered("HTTP/1.0 503 No\r\n\r\n"),
            Err(ProxyError::Unreachable { status: 503, .. })
        ));
        assert_eq!(
            answered("HTTP/1.1 302 Go\r\n\r\n"),
            Err(ProxyError::Status(302))
        );
        assert_eq!(answered("SSH-2.0-OpenSSH\r\n"), Err(ProxyError::NotHttp));
    }

    #[test]
    fn an_endless_answer_is_cut_off() {
        let mut asking = asking(None);
        asking.handle_input(b"HTTP/1.1 200 OK\r\nX-A: ").unwrap();
        let end = (0..HEAD_MAX).find_map(|_| asking.handle_input(&[b'a'; 100]).err());
        assert_eq!(end, Some(ProxyError::NotHttp));
        assert!(asking.head.len() < HEAD_MAX + 100);
        assert_eq!(asking.read_limit(), 0);
    }
}
