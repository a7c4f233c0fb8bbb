//! A parsed request.

use crate::limits::HEADERS_MAX;

/// A request's head. What it holds is the peer's: escape it before showing it.
#[derive(Debug)]
pub struct Request<'a> {
    method: &'a str,
    path: &'a str,
    query: Option<&'a str>,
    headers: &'a [httparse::Header<'a>],
}

impl<'a> Request<'a> {
    /// The method, such as `GET`.
    pub fn method(&self) -> &'a str {
        self.method
    }

    /// The path, as sent (not percent-decoded), without the query.
    pub fn path(&self) -> &'a str {
        self.path
    }

    /// What stood behind `?`.
    pub fn query(&self) -> Option<&'a str> {
        self.query
    }

    /// The values of all headers of this name, in order; the name's case does not matter.
    pub fn headers(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.headers
            .iter()
            .filter(move |header| header.name.eq_ignore_ascii_case(name))
            .map(|header| header.value.trim_ascii())
    }

    /// The value of the header of this name, if there is exactly one.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        let mut values = self.headers(name);
        values.next().filter(|_| values.next().is_none())
    }

    /// Whether a comma-separated header holds this token, in any case (RFC 9110 section 5.6.1).
    pub(crate) fn has_token(&self, name: &str, token: &str) -> bool {
        self.headers(name)
            .flat_map(|value| value.split(|byte| *byte == b','))
            .any(|part| part.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    }
}

/// Why a head is no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ParseError {
    /// More headers than the table has room for.
    TooManyHeaders,
    /// Anything else, in words.
    Malformed(&'static str),
}

/// Parses a whole head and hands the request, which borrows from it, to `then`.
pub(crate) fn with_request<T>(
    head: &[u8],
    then: impl FnOnce(&Request<'_>) -> T,
) -> Result<T, ParseError> {
    let mut table = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut table);
    parsed.parse(head).map_err(problem)?;
    let (Some(method), Some(target), Some(1)) = (parsed.method, parsed.path, parsed.version) else {
        return Err(ParseError::Malformed("only HTTP/1.1 is spoken here"));
    };
    let (path, query) = split_target(target).ok_or(ParseError::Malformed("bad request target"))?;
    let request = Request {
        method,
        path,
        query,
        headers: parsed.headers,
    };
    // RFC 9112 section 3.2: a request without Host, or with two, is refused.
    if request.headers("host").count() != 1 {
        return Err(ParseError::Malformed("it has no Host header, or several"));
    }
    Ok(then(&request))
}

pub(crate) fn problem(error: httparse::Error) -> ParseError {
    ParseError::Malformed(match error {
        httparse::Error::TooManyHeaders => return ParseError::TooManyHeaders,
        httparse::Error::HeaderName => "bad header name",
        httparse::Error::HeaderValue => "bad header value",
        httparse::Error::NewLine => "bad line end",
        httparse::Error::Status => "bad status",
        httparse::Error::Token => "bad request line",
        httparse::Error::Version => "only HTTP/1.1 is spoken here",
    })
}

/// Path and query of a request target in origin form, or in absolute form as proxies send it
/// (RFC 9112 section 3.2).
fn split_target(target: &str) -> Option<(&str, Option<&str>)> {
    let target = match target.split_once("://") {
        Some((scheme, rest)) if !scheme.contains('/') => match rest.find(['/', '?']) {
            Some(at) => rest.get(at..)?,
            None => "/",
        },
        _ => target,
    };
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    match path {
        "" => Some(("/", query)),
        // `OPTIONS *`; no answer has this path.
        "*" => Some((path, query)),
        _ => path.starts_with('/').then_some((path, query)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_in_origin_form_and_in_absolute_form() {
        for (target, expected) in [
            ("/connect", Some(("/connect", None))),
            ("/connect?a=b?c", Some(("/connect", Some("a=b?c")))),
            ("http://host:1/connect", Some(("/connect", None))),
            ("http://host", Some(("/", None))),
            ("http://host?q", Some(("/", Some("q")))),
            (
                "/redirect?to=http://host/x",
                Some(("/redirect", Some("to=http://host/x"))),
            ),
            ("*", Some(("*", None))),
            ("connect", None),
            ("host:443", None),
        ] {
            assert_eq!(split_target(target), expected, "{target}");
        }
    }

    #[test]
    fn a_header_that_comes_twice_has_no_single_value() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\nx: 2\r\nY: 3\r\n\r\n";
        with_request(head, |request| {
            assert_eq!(request.header("X"), None);
            assert_eq!(request.header("y"), Some(&b"3"[..]));
            assert_eq!(request.headers("x").collect::<Vec<_>>(), [b"1", b"2"]);
        })
        .unwrap();
    }

    #[test]
    fn what_is_no_request_is_refused_with_a_reason() {
        let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(64));
        for (head, expected) in [
            (
                "GET / HTTP/1.0\r\nHost: a\r\n\r\n",
                ParseError::Malformed("only HTTP/1.1 is spoken here"),
            ),
            (
                "PRI * HTTP/2.0\r\n\r\n",
                ParseError::Malformed("only HTTP/1.1 is spoken here"),
            ),
            ("GET /\r\n\r\n", ParseError::Malformed("bad request line")),
            (
                "GET / HTTP/1.1\r\n\r\n",
                ParseError::Malformed("it has no Host header, or several"),
            ),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
                ParseError::Malformed("it has no Host header, or several"),
            ),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nB d: x\r\n\r\n",
                ParseError::Malformed("bad header name"),
            ),
            (
                "GET x HTTP/1.1\r\nHost: a\r\n\r\n",
                ParseError::Malformed("bad request target"),
            ),
            (&many, ParseError::TooManyHeaders),
        ] {
            assert_eq!(
                with_request(head.as_bytes(), |_| ()),
                Err(expected),
                "{head}"
            );
        }
    }
}
