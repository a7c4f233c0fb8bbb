//! The WebSocket upgrade (RFC 6455 section 4), both ends, as functions of heads.

use base64::{Engine, engine::general_purpose::STANDARD};
use tungstenite::{
    error::{Error as HandshakeError, ProtocolError},
    handshake::{client::generate_request, derive_accept_key, server},
    http,
};

use super::{Answer, Answers, ParseError, Request, answer::plain, request::problem};
use crate::{
    error::{LinkError, SetupError, escape},
    limits::HEADERS_MAX,
    setup::ClientUpgrade,
};

/// Headers that are the upgrade's own.
const RESERVED: [&str; 6] = [
    "host",
    "connection",
    "upgrade",
    "content-length",
    "transfer-encoding",
    "te",
];
const RESERVED_PREFIX: &str = "sec-websocket-";

/// Whether this can be the path of a request.
pub(crate) fn check_path(path: &str) -> Result<(), SetupError> {
    let fits = path.starts_with('/')
        && path
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"#\"<>\\^`{|}".contains(&byte));
    if fits {
        Ok(())
    } else {
        Err(SetupError::BadPath { path: escape(path) })
    }
}

/// The request, and what `Sec-WebSocket-Accept` must be in its answer.
///
/// tungstenite writes what RFC 6455 asks for. The user's headers are added behind its back: it logs
/// the request, and they may be passwords.
pub(crate) fn client_request(
    upgrade: &ClientUpgrade,
    nonce: [u8; 16],
    limit: usize,
) -> Result<(Vec<u8>, String), SetupError> {
    let ClientUpgrade {
        host,
        path,
        headers,
    } = upgrade;
    check_path(path)?;
    let bad_host = || SetupError::BadHost { host: escape(host) };
    if host.is_empty() || !host.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(bad_host());
    }
    let request = http::Request::builder()
        .uri(&path[..])
        .header("Host", &host[..])
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", STANDARD.encode(nonce))
        .body(())
        .map_err(|_| bad_host())?;
    let (mut bytes, key) = generate_request(request).map_err(|_| bad_host())?;
    // The empty line moves to the end.
    bytes.truncate(bytes.len().saturating_sub(2));
    if !headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("user-agent"))
    {
        let agent = concat!("User-Agent: adit/", env!("CARGO_PKG_VERSION"), "\r\n");
        bytes.extend_from_slice(agent.as_bytes());
    }
    for (name, value) in headers {
        check_header(name, value)?;
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    if bytes.len() > limit {
        return Err(SetupError::RequestTooLarge {
            len: bytes.len(),
            limit,
        });
    }
    Ok((bytes, derive_accept_key(key.as_bytes())))
}

fn check_header(name: &str, value: &str) -> Result<(), SetupError> {
    let lower = name.to_ascii_lowercase();
    let problem = if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
        "its name holds characters that no header name may hold"
    } else if http::HeaderValue::from_str(value).is_err() {
        "its value holds characters that no header value may hold, such as a line end"
    } else if RESERVED.contains(&&lower[..]) || lower.starts_with(RESERVED_PREFIX) {
        "the upgrade itself sets it"
    } else {
        return Ok(());
    };
    Err(SetupError::BadHeader {
        name: escape(name),
        problem,
    })
}

/// Checks the answer to a [`client_request`] (RFC 6455 section 4.1).
pub(crate) fn check_answer(head: &[u8], accept: &str) -> Result<(), LinkError> {
    let mut table = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut answer = httparse::Response::new(&mut table);
    let bad = |problem| LinkError::BadAnswer { problem };
    answer.parse(head).map_err(|error| match problem(error) {
        ParseError::TooManyHeaders => bad("more than 64 headers"),
        ParseError::Malformed(problem) => bad(problem),
    })?;
    let headers = &*answer.headers;
    let values = |name: &'static str| {
        headers
            .iter()
            .filter(move |header| header.name.eq_ignore_ascii_case(name))
            .map(|header| header.value.trim_ascii())
    };
    let status = answer.code.ok_or(bad("no status"))?;
    if status != 101 {
        let location = values("location").next();
        let location = location.map(|url| escape(&String::from_utf8_lossy(url)));
        return Err(LinkError::Status { status, location });
    }
    let has_token = |name, token: &str| {
        values(name)
            .flat_map(|value| value.split(|byte| *byte == b','))
            .any(|part| part.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    };
    if !has_token("upgrade", "websocket") {
        return Err(bad("status 101, but no \"Upgrade: websocket\""));
    }
    if !has_token("connection", "upgrade") {
        return Err(bad("status 101, but no \"Connection: Upgrade\""));
    }
    let mut accepts = values("sec-websocket-accept");
    if accepts.next() != Some(accept.as_bytes()) || accepts.next().is_some() {
        return Err(bad(
            "Sec-WebSocket-Accept does not fit the key that was sent",
        ));
    }
    if values("sec-websocket-extensions").next().is_some() {
        return Err(bad("it chose a WebSocket extension, but none was offered"));
    }
    if values("sec-websocket-protocol").next().is_some() {
        return Err(bad(
            "it chose a WebSocket subprotocol, but none was offered",
        ));
    }
    Ok(())
}

/// What a server says to a request.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Say this, and a WebSocket begins. `host` is the request's, escaped.
    Upgrade { answer: Vec<u8>, host: String },
    /// Say this, and close.
    Plain(Answer),
}

/// Decides about a request: an upgrade at `path`, or a plain answer.
pub(crate) fn accept(request: &Request<'_>, path: &str, answers: &dyn Answers) -> Verdict {
    if request.path() != path {
        return Verdict::Plain(plain(answers, request));
    }
    let wants_upgrade =
        request.has_token("upgrade", "websocket") && request.has_token("connection", "upgrade");
    if !wants_upgrade || request.method() != "GET" {
        return Verdict::Plain(upgrade_required(
            "this path is for Adit clients: it speaks WebSocket (is a proxy on the way that does \
             not pass upgrades on?)\n",
        ));
    }
    // A body would be taken for frames.
    let has_body = request.headers("transfer-encoding").next().is_some()
        || request.headers("content-length").any(|len| len != b"0");
    if has_body {
        return Verdict::Plain(Answer::text(400, "bad request: an upgrade has no body\n"));
    }
    match answer_upgrade(request) {
        Ok(answer) => {
            let host = request.header("host").unwrap_or_default();
            Verdict::Upgrade {
                answer,
                host: escape(&String::from_utf8_lossy(host)),
            }
        }
        Err(HandshakeError::Protocol(ProtocolError::MissingSecWebSocketVersionHeader)) => {
            let answer = Answer::text(426, "only WebSocket version 13 is spoken here\n");
            Verdict::Plain(
                answer.with(&[("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")]),
            )
        }
        Err(_) => Verdict::Plain(Answer::text(
            400,
            "bad request: no valid Sec-WebSocket-Key\n",
        )),
    }
}

/// Hands tungstenite the headers that it looks at, in the one spelling that it knows.
fn answer_upgrade(request: &Request<'_>) -> Result<Vec<u8>, HandshakeError> {
    let request = http::Request::builder()
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header(
            "Sec-WebSocket-Version",
            request.header("sec-websocket-version").unwrap_or(b""),
        )
        .header(
            "Sec-WebSocket-Key",
            request.header("sec-websocket-key").unwrap_or(b""),
        )
        .body(())?;
    let answer = server::create_response(&request)?;
    let mut bytes = Vec::new();
    server::write_response(&mut bytes, &answer)?;
    Ok(bytes)
}

fn upgrade_required(body: &'static str) -> Answer {
    Answer::text(426, body).with(&[("Upgrade", "websocket")])
}
