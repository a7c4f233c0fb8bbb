//! From the first byte to the first frame: what the peer speaks, TLS, the upgrade.

use std::net::IpAddr;

use adit_core::{CarrierFacts, Instant};
use bytes::BytesMut;

use super::{Carrier, Request, Side, Stage};
use crate::{
    error::LinkError,
    event::{CarrierEvent, Ready},
    framing::Framing,
    http::{
        Answer, HeadReader, HeadResult, ParseError, Verdict, accept, check_answer, source,
        with_request,
    },
    setup::ServerUpgrade,
    sniff,
    tls::Tls,
};

impl Carrier {
    pub(super) fn sniff(&mut self, data: &[u8]) -> Result<(), LinkError> {
        let tls = self.tls.is_some();
        let result = match self.side {
            Side::Client => sniff::server_greeting(tls, data).map_err(|error| (error, None)),
            Side::Server { .. } => sniff::client_greeting(tls, data),
        };
        result.map_err(|(error, answer)| {
            // Not in TLS, and with no close_notify behind it: the peer speaks something else.
            self.tls = None;
            if let Some(answer) = answer {
                self.output.copy(&answer.encode(false));
            }
            error
        })
    }

    pub(super) fn begin_after_tls(&mut self) -> Result<(), LinkError> {
        let Stage::Tls(_) = self.stage else {
            return Ok(());
        };
        let Stage::Tls(next) = self.take_stage() else {
            return Ok(());
        };
        self.stage = *next;
        self.begin()
    }

    /// Begins the first stage above TLS.
    pub(super) fn begin(&mut self) -> Result<(), LinkError> {
        match self.take_stage() {
            Stage::Asking(request) => self.ask(request),
            Stage::Open(framing) => {
                self.stage = Stage::Open(framing);
                self.ready(None, None);
                Ok(())
            }
            other => {
                self.stage = other;
                Ok(())
            }
        }
    }

    fn ask(&mut self, request: Request) -> Result<(), LinkError> {
        let problem = self.tls.as_ref().and_then(Tls::certificate_problem);
        if let (true, Some(problem)) = (request.private, problem) {
            return Err(LinkError::HeadersUnchecked { problem });
        }
        self.emit(&request.bytes)?;
        let Request { accept, keys, .. } = request;
        self.stage = Stage::Asked {
            head: HeadReader::new(self.config.head_max),
            accept,
            keys,
        };
        Ok(())
    }

    /// Reads the peer's head; gives what came behind it, if the carrier is open now.
    pub(super) fn upgrade(
        &mut self,
        now: Instant,
        input: BytesMut,
    ) -> Result<Option<BytesMut>, LinkError> {
        match self.take_stage() {
            Stage::Asked {
                mut head,
                accept,
                keys,
            } => match head.read(input) {
                HeadResult::Partial => {
                    self.stage = Stage::Asked { head, accept, keys };
                    Ok(None)
                }
                HeadResult::TooLarge => Err(LinkError::HeadTooLarge {
                    limit: self.config.head_max,
                }),
                HeadResult::Whole { head, rest } => {
                    check_answer(&head, &accept).map_err(|error| self.turned_away(error))?;
                    self.stage = Stage::Open(Framing::client(keys));
                    self.ready(None, None);
                    Ok(Some(rest))
                }
            },
            Stage::Listening(mut head) => match head.read(input) {
                HeadResult::Partial => {
                    self.stage = Stage::Listening(head);
                    Ok(None)
                }
                HeadResult::TooLarge => self.refuse(ParseError::TooManyHeaders),
                HeadResult::Whole { head, rest } => self.answer(now, &head, rest),
            },
            other => {
                self.stage = other;
                Ok(None)
            }
        }
    }

    /// The error for an answer other than 101. Some servers finish TLS without the client's
    /// certificate, and say only by HTTP that they want one.
    fn turned_away(&self, error: LinkError) -> LinkError {
        let shown = self.tls.as_ref().and_then(Tls::certificate_shown);
        match (error, shown) {
            // 495 and 496 are nginx's own for this.
            (
                LinkError::Status {
                    status: status @ (400 | 403 | 495 | 496),
                    ..
                },
                Some(shown),
            ) => LinkError::ClientCertificate {
                shown,
                answer: format!("HTTP status {status}"),
            },
            (error, _) => error,
        }
    }

    /// Answers a request, as a server.
    fn answer(
        &mut self,
        now: Instant,
        head: &[u8],
        rest: BytesMut,
    ) -> Result<Option<BytesMut>, LinkError> {
        let Side::Server { setup, peer } = &self.side else {
            return Ok(None);
        };
        let Some(upgrade) = &setup.upgrade else {
            return Ok(None);
        };
        let result = with_request(head, |request| {
            let ServerUpgrade {
                path,
                trusted_proxies,
                answers,
            } = upgrade;
            let source = source(*peer, trusted_proxies, request.headers("x-forwarded-for"));
            (
                accept(request, path, &**answers),
                source,
                request.method() == "HEAD",
            )
        });
        let (verdict, source, head_only) = match result {
            Ok(verdict) => verdict,
            Err(error) => return self.refuse(error),
        };
        match verdict {
            Verdict::Upgrade { answer, host } => {
                self.emit(&answer)?;
                self.stage = Stage::Open(Framing::server());
                self.ready(Some(source), Some(host));
                Ok(Some(rest))
            }
            Verdict::Plain(answer) => {
                self.emit(&answer.encode(head_only))?;
                self.events.push_back(CarrierEvent::Answered {
                    status: answer.status,
                });
                self.end(now);
                Ok(None)
            }
        }
    }

    /// Answers something that is no request.
    fn refuse<T>(&mut self, error: ParseError) -> Result<T, LinkError> {
        self.emit(&Answer::to_garbage(error).encode(false))?;
        Err(match error {
            ParseError::TooManyHeaders => LinkError::HeadTooLarge {
                limit: self.config.head_max,
            },
            ParseError::Malformed(problem) => LinkError::NotHttp { problem },
        })
    }

    fn ready(&mut self, source: Option<IpAddr>, host: Option<String>) {
        let tls = self.tls.as_ref();
        let source = source.or(match &self.side {
            Side::Client => None,
            Side::Server { peer, .. } => Some(peer.to_canonical()),
        });
        self.events.push_back(CarrierEvent::Ready(Ready {
            facts: CarrierFacts {
                exporter: tls.and_then(Tls::exporter),
                tls: tls.is_some(),
                certificate_checked: tls.is_some_and(Tls::certificate_checked),
            },
            source,
            host,
            certificate_problem: tls.and_then(Tls::certificate_problem),
        }));
    }
}
