//! Plain HTTP answers by themselves: bytes in, bytes out, one request per connection.

use std::sync::Arc;

use adit_core::Instant;
use bytes::{Bytes, BytesMut};

use super::{Answer, Answers, HeadReader, HeadResult, ParseError, answer::plain, with_request};
use crate::{
    error::{LinkError, Phase},
    limits::LinkConfig,
};

/// Reads one request and gives one answer, for a listener that never upgrades.
///
/// Feed it what arrives; when it gives an answer, write that and close the connection. A request's
/// body is not read.
pub struct Answerer {
    answers: Arc<dyn Answers>,
    head: HeadReader,
    limit: std::time::Duration,
    until: Instant,
    answered: bool,
}

impl Answerer {
    /// For a connection that was accepted now. Paths that `answers` does not know are answered by
    /// `/healthz` with 200 and everything else with 404.
    pub fn new(answers: Arc<dyn Answers>, config: &LinkConfig, now: Instant) -> Self {
        Self {
            answers,
            head: HeadReader::new(config.head_max),
            limit: config.handshake_timeout,
            until: now + config.handshake_timeout,
            answered: false,
        }
    }

    /// The whole answer, once the request's head is complete, or once it is clear that none will
    /// come. Later input is ignored.
    pub fn handle_input(&mut self, data: BytesMut) -> Option<Bytes> {
        if self.answered {
            return None;
        }
        let answer = match self.head.read(data) {
            HeadResult::Partial => return None,
            HeadResult::TooLarge => Answer::too_large().encode(false),
            HeadResult::Whole { head, .. } => self.answer(&head),
        };
        self.answered = true;
        Some(answer)
    }

    /// When to call [`handle_timeout`](Self::handle_timeout): the whole exchange, the writing of
    /// the answer included, has [`handshake_timeout`](LinkConfig::handshake_timeout).
    pub fn poll_timeout(&self) -> Instant {
        self.until
    }

    /// Looks at the time.
    ///
    /// # Errors
    ///
    /// [`LinkError::TimedOut`]: close the connection.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), LinkError> {
        if now < self.until {
            return Ok(());
        }
        let phase = if self.answered {
            Phase::Closing
        } else {
            Phase::Upgrade
        };
        Err(LinkError::TimedOut {
            phase,
            limit: self.limit,
        })
    }

    fn answer(&self, head: &[u8]) -> Bytes {
        with_request(head, |request| {
            plain(&*self.answers, request).encode(request.method() == "HEAD")
        })
        .unwrap_or_else(|error: ParseError| Answer::to_garbage(error).encode(false))
    }
}

impl std::fmt::Debug for Answerer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answerer")
            .field("answered", &self.answered)
            .finish_non_exhaustive()
    }
}
