//! The client's handshake on one carrier: check what the server says of itself, prove the token, check
//! the server's proof, and hand over an open session (spec/04-handshake.md).

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;

use bytes::Bytes;

use super::{
    CarrierFacts, ClientHello, Established, Outbox, PROOF_LEN, Patience, Provable, clip,
    close_frame, without_proof,
};
use crate::auth::{Keys, Transcript};
use crate::code::Code;
use crate::config::Config;
use crate::decode::{Decoder, Piece};
use crate::error::{HandshakeError, ProtocolError};
use crate::frame::{
    Auth, Frame, Grant, LIST_MAX, MAGIC, SERVICES_MAX, ServerHello, Service, VERSION, Welcome,
    flags, kind,
};
use crate::ids::Side;
use crate::random::Random;
use crate::session::Session;
use crate::time::Instant;
use crate::token::Token;
use crate::transmit::Transmit;

/// One client's handshake on one carrier.
///
/// Every error is final: what [`poll_transmit`](Self::poll_transmit) still gives may be sent (it tells
/// the server why), then the carrier is of no more use.
pub struct ClientHandshake {
    config: Arc<Config>,
    keys: Keys,
    hello: ClientHello,
    facts: CarrierFacts,
    nonce: [u8; 32],
    decoder: Decoder,
    outbox: Outbox,
    patience: Patience,
    state: State,
}

enum State {
    /// The server speaks first.
    AwaitHello,
    /// AUTH went out.
    AwaitAnswer(Box<Asked>),
    /// Done; not yet fetched.
    Established(Box<Established>),
    /// Done, and fetched.
    Fetched,
    Failed(HandshakeError),
}

/// What was said until AUTH.
struct Asked {
    server: ServerHello,
    t1: Transcript,
    proof: [u8; PROOF_LEN],
    bound: bool,
}

impl ClientHandshake {
    /// A handshake on a carrier that is ready to carry frames. `seed` must be fresh and secret.
    #[must_use]
    pub fn new(
        config: Arc<Config>,
        token: &Token,
        hello: ClientHello,
        facts: CarrierFacts,
        seed: [u8; 32],
        now: Instant,
    ) -> Self {
        Self {
            keys: Keys::new(token, &hello.tunnel),
            nonce: Random::new(seed).array(),
            patience: Patience::new(&config, now),
            config,
            hello,
            facts,
            decoder: Decoder::default(),
            outbox: Outbox::default(),
            state: State::AwaitHello,
        }
    }

    /// The carrier began at `started`, before this machine was made: its TLS and HTTP count towards
    /// the time that a handshake may take.
    pub fn count_from(&mut self, started: Instant) {
        self.patience.count_from(started);
    }

    /// Bytes arrived.
    ///
    /// # Errors
    ///
    /// Why the handshake failed; the same again when called again.
    pub fn handle_input(&mut self, now: Instant, data: Bytes) -> Result<(), HandshakeError> {
        match &mut self.state {
            State::Failed(error) => return Err(*error),
            State::Established(established) => {
                established.session.handle_input(now, data, usize::MAX);
                return Ok(());
            }
            State::Fetched => return Ok(()),
            State::AwaitHello | State::AwaitAnswer(_) => (),
        }
        if !data.is_empty() {
            self.patience.heard(now);
        }
        self.read(now, data).map_err(|error| self.fail(error))
    }

    /// Bytes came in on the carrier, whatever they are: a sign of life.
    pub fn handle_alive(&mut self, now: Instant) {
        self.patience.heard(now);
    }

    /// Time passed.
    ///
    /// # Errors
    ///
    /// [`HandshakeError::Silent`] or [`HandshakeError::TimedOut`]; after any error, the same again.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), HandshakeError> {
        match &mut self.state {
            State::Failed(error) => Err(*error),
            State::Established(established) => {
                established.session.handle_timeout(now);
                Ok(())
            }
            State::Fetched => Ok(()),
            State::AwaitHello | State::AwaitAnswer(_) => {
                self.patience.check(now).map_err(|error| self.fail(error))
            }
        }
    }

    /// Bytes to send, at most `limit`.
    #[must_use]
    pub fn poll_transmit(&mut self, now: Instant, limit: usize) -> Option<Transmit> {
        match &mut self.state {
            State::Established(established) => established.session.poll_transmit(now, limit),
            _ => self.outbox.poll(limit),
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::AwaitHello | State::AwaitAnswer(_) => Some(self.patience.next()),
            State::Established(established) => established.session.poll_timeout(),
            State::Fetched | State::Failed(_) => None,
        }
    }

    /// The session, once, when both sides have proved themselves. Whatever arrived behind WELCOME is
    /// in it already; what arrives from now on belongs to it.
    #[must_use]
    pub fn poll_established(&mut self, _now: Instant) -> Option<Established> {
        match core::mem::replace(&mut self.state, State::Fetched) {
            State::Established(established) => Some(*established),
            other => {
                self.state = other;
                None
            }
        }
    }

    fn read(&mut self, now: Instant, mut data: Bytes) -> Result<(), HandshakeError> {
        let fresh = matches!(self.state, State::AwaitHello) && self.decoder.is_between_frames();
        if fresh
            && data
                .first()
                .is_some_and(|&first| first != kind::SERVER_HELLO)
        {
            return Err(HandshakeError::NotAdit);
        }
        while let Some(piece) = self.decoder.decode(&mut data)? {
            let body = piece.body();
            let Piece::Body { kind, encoding, .. } = piece else {
                return Err(unexpected().into());
            };
            match (kind, &self.state) {
                (kind::SERVER_HELLO, State::AwaitHello) => {
                    if body.get(..MAGIC.len()) != Some(&MAGIC) {
                        return Err(HandshakeError::NotAdit);
                    }
                    if let Frame::ServerHello(hello) = Frame::parse(kind, body)? {
                        self.authenticate(hello, &encoding)?;
                    }
                }
                (kind::WELCOME, State::AwaitAnswer(asked)) => {
                    if let Frame::Welcome(welcome) = Frame::parse(kind, body)? {
                        let mut established = self.welcomed(asked, welcome, &encoding, now)?;
                        // Whatever is left belongs to the session.
                        established.session.handle_input(now, data, usize::MAX);
                        self.state = State::Established(Box::new(established));
                        return Ok(());
                    }
                }
                (kind::REFUSE, State::AwaitAnswer(_)) => {
                    if let Frame::Refuse {
                        code,
                        retry_after_ms,
                        ..
                    } = Frame::parse(kind, body)?
                    {
                        return Err(refused(code, Duration::from_millis(retry_after_ms)));
                    }
                }
                (kind::CLOSE, State::AwaitAnswer(_)) => {
                    if let Frame::Close { code, .. } = Frame::parse(kind, body)? {
                        return Err(HandshakeError::PeerClosed(code));
                    }
                }
                _ => return Err(unexpected().into()),
            }
        }
        Ok(())
    }

    /// SERVER_HELLO is here: decide whether this server gets a proof, and make it.
    fn authenticate(&mut self, server: ServerHello, encoding: &[u8]) -> Result<(), HandshakeError> {
        let ServerHello {
            lowest,
            highest,
            flags,
            ..
        } = server;
        if lowest > highest {
            return Err(
                ProtocolError::MALFORMED("a range of versions that ends before it begins").into(),
            );
        }
        if !(lowest..=highest).contains(&VERSION) {
            return Err(HandshakeError::VersionMismatch { lowest, highest });
        }
        let binding = choose_binding(&self.facts, flags & flags::BINDING != 0)?;
        let auth = Auth {
            version: VERSION,
            nonce: self.nonce,
            tunnel: self.hello.tunnel.clone(),
            client_id: self.hello.client_id.clone(),
            instance: self.hello.instance,
            features: 0,
            binding,
            limits: self.config.limits(),
            resume_window_ms: 0,
            services: self.hello.services.clone(),
            software: clip(&self.hello.software),
            labels: self.hello.labels.clone(),
            proof: [0; PROOF_LEN],
        };
        let short = auth.services.len() <= SERVICES_MAX && auth.labels.len() <= LIST_MAX;
        let auth = match Provable::new(&Frame::Auth(auth)) {
            Some(auth) if short => auth,
            _ => return Err(HandshakeError::HelloTooLarge),
        };
        let t1 = Transcript::auth(encoding, auth.without_proof());
        let proof = self.keys.client_proof(&t1);
        self.outbox.push(&auth.prove(&proof));
        let bound = binding.is_some();
        self.state = State::AwaitAnswer(Box::new(Asked {
            server,
            t1,
            proof,
            bound,
        }));
        Ok(())
    }

    /// WELCOME is here: check the server's proof before anything it says is used.
    fn welcomed(
        &self,
        asked: &Asked,
        welcome: Welcome,
        encoding: &[u8],
        now: Instant,
    ) -> Result<Established, HandshakeError> {
        let t2 = asked.t1.welcome(&asked.proof, without_proof(encoding));
        if !self.keys.check_server(&t2, &welcome.proof) {
            return Err(HandshakeError::ServerProofWrong);
        }
        check_welcome(&self.hello.services, &welcome)?;
        Ok(Established {
            session: Session::new(self.config.clone(), Side::Client, welcome.limits, now),
            id: welcome.session,
            grants: welcome.grants,
            resume_window: Duration::from_millis(welcome.resume_window_ms),
            resume_key: self.keys.resume_key(&t2),
            bound: asked.bound,
            server_name: asked.server.name.clone(),
            server_software: asked.server.software.clone(),
            others: welcome.others,
        })
    }

    fn fail(&mut self, error: HandshakeError) -> HandshakeError {
        match error {
            HandshakeError::Protocol(broken) => self.outbox.push(&close_frame(broken)),
            HandshakeError::NotAdit => self.outbox.push(&close_frame(unexpected())),
            _ => (),
        }
        self.state = State::Failed(error);
        error
    }
}

impl fmt::Debug for ClientHandshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::AwaitHello => "awaiting SERVER_HELLO",
            State::AwaitAnswer(_) => "awaiting WELCOME",
            State::Established(_) | State::Fetched => "established",
            State::Failed(_) => "failed",
        };
        f.debug_struct("ClientHandshake")
            .field("state", &state)
            .finish_non_exhaustive()
    }
}

const fn unexpected() -> ProtocolError {
    ProtocolError::UNEXPECTED_FRAME("a frame that has no place in the handshake")
}

fn refused(code: Code, retry_after: Duration) -> HandshakeError {
    match code {
        Code::BINDING_MISMATCH => HandshakeError::BindingMismatch,
        code => HandshakeError::Refused { code, retry_after },
    }
}

/// What a client binds its proof to, or why it sends none: the table of spec/04-handshake.md,
/// section 4.5.
fn choose_binding(
    facts: &CarrierFacts,
    binding_required: bool,
) -> Result<Option<[u8; 32]>, HandshakeError> {
    match (facts.tls, facts.certificate_checked, binding_required) {
        (true, _, true) => match facts.exporter {
            Some(exporter) => Ok(Some(exporter)),
            None => Err(HandshakeError::BindingImpossible),
        },
        (true, true, false) => Ok(None),
        (true, false, false) => Err(HandshakeError::CertificateUnchecked),
        (false, _, true) => Err(HandshakeError::BindingImpossible),
        (false, _, false) => Ok(None),
    }
}

/// Whether WELCOME fits what was asked for.
fn check_welcome(services: &[Service], welcome: &Welcome) -> Result<(), ProtocolError> {
    if welcome.features != 0 {
        return Err(ProtocolError::MALFORMED(
            "a feature is granted that was not offered",
        ));
    }
    if welcome.epoch != 0 || welcome.resume_window_ms != 0 {
        return Err(ProtocolError::MALFORMED(
            "a session begins as if it had been resumed",
        ));
    }
    let answered = |(service, grant): (&Service, &Grant)| service.id == grant.id;
    let all = services.len() == welcome.grants.len();
    if !all || !services.iter().zip(&welcome.grants).all(answered) {
        return Err(ProtocolError::MALFORMED(
            "the grants do not answer the services one by one",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPORTER: [u8; 32] = [7; 32];

    fn decide(
        tls: bool,
        checked: bool,
        required: bool,
    ) -> Result<Option<[u8; 32]>, HandshakeError> {
        let exporter = tls.then_some(EXPORTER);
        choose_binding(
            &CarrierFacts {
                exporter,
                tls,
                certificate_checked: checked,
            },
            required,
        )
    }

    #[test]
    fn a_checked_certificate_and_a_server_that_binds_give_the_exporter() {
        assert_eq!(decide(true, true, true), Ok(Some(EXPORTER)));
    }

    #[test]
    fn a_checked_certificate_and_a_server_that_does_not_bind_give_no_binding() {
        assert_eq!(decide(true, true, false), Ok(None));
    }

    #[test]
    fn an_unchecked_certificate_and_a_server_that_binds_give_the_exporter() {
        assert_eq!(decide(true, false, true), Ok(Some(EXPORTER)));
    }

    //= spec/04-handshake.md
    //# MUST NOT send AUTH: fail with CERTIFICATE_UNCHECKED
    #[test]
    fn an_unchecked_certificate_and_a_server_that_does_not_bind_give_no_proof() {
        assert_eq!(
            decide(true, false, false),
            Err(HandshakeError::CertificateUnchecked)
        );
    }

    //= spec/04-handshake.md
    //# MUST NOT send AUTH: fail with BINDING_IMPOSSIBLE
    #[test]
    fn without_tls_a_server_that_binds_gets_no_proof() {
        for checked in [true, false] {
            assert_eq!(
                decide(false, checked, true),
                Err(HandshakeError::BindingImpossible)
            );
        }
    }

    #[test]
    fn without_tls_a_server_that_does_not_bind_gets_an_unbound_proof() {
        for checked in [true, false] {
            assert_eq!(decide(false, checked, false), Ok(None));
        }
    }

    //= spec/04-handshake.md
    //# A client MUST NOT bind to a TLS version below 1.3: it fails with BINDING_IMPOSSIBLE instead.
    #[test]
    fn tls_without_an_exporter_is_never_bound() {
        for certificate_checked in [true, false] {
            let facts = CarrierFacts {
                exporter: None,
                tls: true,
                certificate_checked,
            };
            assert_eq!(
                choose_binding(&facts, true),
                Err(HandshakeError::BindingImpossible)
            );
        }
    }
}
