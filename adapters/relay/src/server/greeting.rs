//! The server's side of a handshake: who is it, does it know the token, which of its ports can it have.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use adit_core::{
    AdmitError, AtLimit, AuthFailure, CarrierFacts, Code, Established, Grant, HandshakeError,
    HandshakeEvent, Instant, Request, ServerFacts, ServerHandshake, ServiceId, TunnelName,
};
use bytes::Bytes;

use super::ports::{Answer, Outcome};
use super::serving::{Role, Serving};
use super::table::Pulse;
use super::{ListenerId, PeerId, Shared};
use crate::counters::Count;
use crate::io::Ask;
use crate::notice::{Notice, Who};
use crate::sockets::Sockets;

/// When a client that is refused for a passing reason is told to come back.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A handshake, and the ports that wait for it.
pub(super) struct Greeting {
    shared: Arc<Shared>,
    id: PeerId,
    pulse: Arc<Pulse>,
    source: IpAddr,
    pub(super) handshake: ServerHandshake,
    tunnel: Option<TunnelName>,
    asked: Option<Asked>,
    /// When a refusal that is held back goes out.
    answer_at: Option<Instant>,
}

/// What a handshake has come to.
pub(super) enum Next {
    /// It goes on.
    Wait,
    /// A session.
    Serve(Box<Serving>),
    /// The client goes on with a session, which that peer has.
    HandOver(PeerId),
}

/// A client that proved itself and waits for its ports.
struct Asked {
    request: Request,
    /// In the order of the request's services.
    answers: Vec<Answer>,
}

impl Greeting {
    /// Greets on a carrier that is ready; it was `accepted` earlier, which counts towards the time that a handshake may take.
    pub(super) fn new(
        now: Instant,
        shared: Arc<Shared>,
        id: PeerId,
        pulse: Arc<Pulse>,
        source: IpAddr,
        carrier: &CarrierFacts,
        accepted: Instant,
    ) -> Result<Self, AtLimit> {
        let facts = ServerFacts {
            exporter: carrier.exporter,
            tls_here: carrier.tls,
            binding: carrier.tls && shared.config.channel_binding,
            server_name: shared.config.server_name.clone(),
            software: shared.config.software.clone(),
        };
        let mut handshake = shared.with(|table| table.greet(now, facts))?;
        handshake.count_from(accepted);
        let (tunnel, asked, answer_at) = (None, None, None);
        Ok(Self {
            shared,
            id,
            pulse,
            source,
            handshake,
            tunnel,
            asked,
            answer_at,
        })
    }

    /// Bytes from the client, and what they lead to.
    pub(super) fn handle_input(
        &mut self,
        now: Instant,
        data: Bytes,
        sockets: &mut Sockets<Role>,
    ) -> Result<Next, HandshakeError> {
        self.handshake.handle_input(now, data)?;
        while let Some(event) = self.handshake.poll_event() {
            match event {
                HandshakeEvent::Authenticate { tunnel } => {
                    let found = self.shared.with(|table| table.find(&tunnel));
                    let verifier = found.as_ref().map(|tunnel| &tunnel.verifier);
                    self.handshake.authenticate(now, verifier);
                    self.tunnel = Some(tunnel);
                }
                HandshakeEvent::Resume { session } => {
                    let (id, handshake) = (self.id, &mut self.handshake);
                    let owner = self
                        .shared
                        .with(|table| table.resume(now, id, session, handshake));
                    if let Some(owner) = owner {
                        return Ok(Next::HandOver(owner));
                    }
                }
                HandshakeEvent::Failed(failure) => self.turned_away(now, failure, sockets),
                HandshakeEvent::Admit(request) => {
                    let serving = self.ask(now, request, sockets);
                    return Ok(serving.map_or(Next::Wait, |it| Next::Serve(Box::new(it))));
                }
            }
        }
        Ok(Next::Wait)
    }

    /// Where the client comes from, and its handshake.
    pub(super) fn into_parts(self) -> (IpAddr, ServerHandshake) {
        (self.source, self.handshake)
    }

    /// The client did not prove itself. The answer to a wrong proof is held back.
    fn turned_away(&mut self, now: Instant, failure: AuthFailure, sockets: &mut Sockets<Role>) {
        let (source, tunnel) = (self.source, self.tunnel.clone());
        let mut delay = Duration::ZERO;
        if failure.is_wrong_proof() {
            delay = self
                .shared
                .with(|table| table.failed(now, source, tunnel.clone()));
            self.handshake.answer_after(now + delay);
            self.answer_at = Some(now + delay);
        }
        if !failure.is_about_resuming() {
            self.pulse.tally.add(Count::AuthFailures, 1);
        }
        sockets.ask(Ask::Notice(Notice::AuthFailed {
            source,
            tunnel,
            failure,
            delay,
        }));
    }

    /// When a refusal that is held back goes out: the carrier must stay until then.
    pub(super) const fn answer_at(&self) -> Option<Instant> {
        self.answer_at
    }

    /// The client proved itself: asks for its ports.
    fn ask(
        &mut self,
        now: Instant,
        request: Request,
        sockets: &mut Sockets<Role>,
    ) -> Option<Serving> {
        let services_max = self.shared.config.services_max;
        let answers = self
            .shared
            .with(|table| table.authenticated(self.id, &request, services_max));
        self.asked = Some(Asked { request, answers });
        self.admit_if_answered(now, sockets)
    }

    /// Results of the listens that this client waits for; the session, if they were the last.
    pub(super) fn handle_listening(
        &mut self,
        now: Instant,
        outcomes: Vec<Outcome>,
        sockets: &mut Sockets<Role>,
    ) -> Option<Serving> {
        let asked = self.asked.as_mut()?;
        for outcome in outcomes {
            let waits = |answer: &&mut Answer| match answer {
                Answer::Waiting(listener) | Answer::Listen(listener, _) => {
                    *listener == outcome.listener
                }
                Answer::Refused(..) | Answer::Open(..) => false,
            };
            if let Some(answer) = asked.answers.iter_mut().find(waits) {
                *answer = match outcome.result {
                    Ok(addr) => Answer::Open(outcome.listener, addr),
                    Err((code, detail)) => Answer::Refused(code, detail),
                };
            }
        }
        self.admit_if_answered(now, sockets)
    }

    /// Once every service has its answer, makes the session.
    fn admit_if_answered(&mut self, now: Instant, sockets: &mut Sockets<Role>) -> Option<Serving> {
        let answered = |answer: &Answer| matches!(answer, Answer::Open(..) | Answer::Refused(..));
        let all = |asked: &mut Asked| asked.answers.iter().all(answered);
        let Asked { request, answers } = self.asked.take_if(all)?;
        let who = Who {
            tunnel: request.tunnel.clone(),
            client_id: request.client_id.clone(),
            source: self.source,
        };
        let (grants, services, refused) = grants(&request, answers, &who);
        let handshake = &mut self.handshake;
        let admitted = self
            .shared
            .with(|table| table.admit(now, self.id, handshake, &request, grants));
        let (established, drain) = match admitted {
            Ok(admitted) => admitted,
            Err(error) => {
                self.refuse(now, error, sockets);
                return None;
            }
        };
        let Established { session, id, .. } = established;
        let Request {
            software, bound, ..
        } = request;
        let notice = Notice::SessionOpened {
            who: who.clone(),
            session: id,
            software,
            bound,
        };
        sockets.ask(Ask::Notice(notice));
        self.pulse
            .tally
            .add(Count::ServicesRefused, refused.len() as u64);
        refused
            .into_iter()
            .for_each(|notice| sockets.ask(Ask::Notice(notice)));
        let core = self.shared.config.core.clone();
        let mut serving = Serving::new(session, who, services, self.pulse.clone(), core);
        if let Some(until) = drain {
            serving.drain(now, until, RETRY_AFTER);
        }
        Some(serving)
    }

    /// The proof was right, and there is no room.
    fn refuse(&mut self, now: Instant, error: AdmitError, sockets: &mut Sockets<Role>) {
        self.handshake.refuse(now, Code::BUSY, RETRY_AFTER);
        let (source, tunnel) = (self.source, self.tunnel.clone());
        sockets.ask(Ask::Notice(Notice::NotAdmitted {
            source,
            tunnel,
            error,
        }));
    }
}

/// What the client is told of each service, the services by their listeners, and what is to be said of those refused.
fn grants(
    request: &Request,
    answers: Vec<Answer>,
    who: &Who,
) -> (Vec<Grant>, Vec<(ListenerId, ServiceId)>, Vec<Notice>) {
    let (mut grants, mut services, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for (service, answer) in request.services.iter().zip(answers) {
        let result = match answer {
            Answer::Open(listener, addr) => {
                services.push((listener, service.id));
                Ok(addr.to_string())
            }
            Answer::Refused(code, detail) => {
                let (who, asked) = (who.clone(), service.address.clone());
                refused.push(Notice::PortRefused {
                    who,
                    asked,
                    code,
                    detail,
                });
                Err(code)
            }
            // Not answered in time.
            Answer::Waiting(_) | Answer::Listen(..) => Err(Code::BIND_FAILED),
        };
        grants.push(Grant {
            id: service.id,
            result,
        });
    }
    (grants, services, refused)
}
