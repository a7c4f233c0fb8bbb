//! Plain answers: what is said to requests that are no upgrade.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use super::{ParseError, Request};

/// What to say to a request.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status, such as 200.
    pub status: u16,
    /// `Content-Type` of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: Bytes,
    /// More headers, where the status asks for them. Constants, so that no request can put anything
    /// in here.
    pub headers: &'static [(&'static str, &'static str)],
}

impl Answer {
    /// A short plain text.
    pub fn text(status: u16, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            content_type: "text/plain; charset=utf-8",
            body: body.into(),
            headers: &[],
        }
    }

    /// The same with these headers.
    #[must_use]
    pub fn with(mut self, headers: &'static [(&'static str, &'static str)]) -> Self {
        self.headers = headers;
        self
    }

    /// The answer as it goes over the wire. The connection ends behind it.
    pub(crate) fn encode(&self, head_only: bool) -> Bytes {
        let Self {
            status,
            content_type,
            body,
            headers,
        } = self;
        let mut head = format!(
            "HTTP/1.1 {status} {}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\
             Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n",
            reason(*status),
            body.len(),
        );
        for (name, value) in *headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        // RFC 9110 section 7.8: Upgrade is named in Connection, too.
        let upgrade = headers.iter().any(|(name, _)| *name == "Upgrade");
        head.push_str(if upgrade {
            "Connection: close, Upgrade\r\n"
        } else {
            "Connection: close\r\n"
        });
        head.push_str("\r\n");
        let mut out = BytesMut::with_capacity(head.len() + body.len());
        out.put_slice(head.as_bytes());
        if !head_only {
            out.put_slice(body);
        }
        out.freeze()
    }

    /// What is said to something that is no request.
    pub(crate) fn to_garbage(error: ParseError) -> Self {
        match error {
            ParseError::TooManyHeaders => Self::too_large(),
            ParseError::Malformed(problem) => Self::text(400, format!("bad request: {problem}\n")),
        }
    }

    pub(crate) fn too_large() -> Self {
        Self::text(431, "the request's head is too large\n")
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("body_len", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Where plain answers come from. Closures will do: `|request: &Request<'_>| -> Option<Answer>`.
pub trait Answers: Send + Sync {
    /// The answer to this request; `None` for paths that are not known here. `GET` and `HEAD` want
    /// the same answer, a `HEAD`'s body is left out on the way.
    fn answer(&self, request: &Request<'_>) -> Option<Answer>;
}

impl<F: Fn(&Request<'_>) -> Option<Answer> + Send + Sync> Answers for F {
    fn answer(&self, request: &Request<'_>) -> Option<Answer> {
        self(request)
    }
}

/// No answers but the built-in `/healthz`.
#[derive(Clone, Copy, Debug, Default)]
pub struct HealthOnly;

impl Answers for HealthOnly {
    fn answer(&self, _: &Request<'_>) -> Option<Answer> {
        None
    }
}

/// The answer to a request that is no upgrade: the caller's own, then `/healthz`, then 404.
pub(crate) fn plain(answers: &dyn Answers, request: &Request<'_>) -> Answer {
    if let Some(answer) = answers.answer(request) {
        return answer;
    }
    match (request.path(), request.method()) {
        ("/healthz", "GET" | "HEAD") => Answer::text(200, "ok\n"),
        ("/healthz", _) => Answer::text(405, "use GET\n").with(&[("Allow", "GET, HEAD")]),
        _ => Answer::text(404, "not found\n"),
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        426 => "Upgrade Required",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        // The phrase may be empty (RFC 9112 section 4).
        _ => "",
    }
}
