//! What the other side speaks, by its first byte, so that a mix-up of TLS and plain HTTP is told as
//! what it is and not as garbage.

use crate::{
    error::LinkError,
    escape::Escaped,
    http::Answer,
    tls::{ALERT_RECORD, HANDSHAKE_RECORD},
};

/// How much of a stranger's greeting an error shows, in bytes.
const SHOWN: usize = 32;

/// What is wrong with a server's first bytes, for a client.
pub(crate) fn server_greeting(tls: bool, data: &[u8]) -> Result<(), LinkError> {
    let speaks_tls = matches!(data.first(), Some(&(HANDSHAKE_RECORD | ALERT_RECORD)));
    let http = b"HTTP/";
    let speaks_http = data.starts_with(http) || http.starts_with(data);
    match (tls, speaks_tls, speaks_http) {
        (true, true, _) | (false, _, true) => Ok(()),
        (true, _, true) => Err(LinkError::ServerWithoutTls),
        (false, true, _) => Err(LinkError::ServerSpeaksTls),
        _ => Err(LinkError::NotAServer {
            start: Escaped::new(data, SHOWN).to_string(),
        }),
    }
}

/// What is wrong with a client's first bytes, for a server, and what to answer in the clear.
pub(crate) fn client_greeting(tls: bool, data: &[u8]) -> Result<(), (LinkError, Option<Answer>)> {
    let Some(&first) = data.first() else {
        return Ok(());
    };
    let speaks_tls = first == HANDSHAKE_RECORD;
    // A method is a token, and all that are registered are in capitals (RFC 9110 section 9).
    let speaks_http = first.is_ascii_uppercase();
    match (tls, speaks_tls, speaks_http) {
        (true, true, _) | (false, _, true) => Ok(()),
        (true, _, true) => Err((
            LinkError::HttpOnTlsPort,
            Some(Answer::text(
                400,
                "this port speaks TLS: use https:// or wss://\n",
            )),
        )),
        (true, _, false) => Err((LinkError::NotTls { first }, None)),
        (false, true, _) => Err((
            LinkError::TlsOnPlainPort,
            Some(Answer::text(
                400,
                "this port does not speak TLS: use http:// or ws://\n",
            )),
        )),
        (false, _, false) => Err((
            LinkError::NotHttp {
                problem: "it does not begin with a method",
            },
            Some(Answer::text(
                400,
                "bad request: it does not begin with a method\n",
            )),
        )),
    }
}
