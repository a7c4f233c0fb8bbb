//! The client's handshake on one carrier: check what the server says of itself, prove the token, check
//! the server's proof, and hand over an open session (spec/04-handshake.md).

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;

use bytes::Bytes;

use super::{
    CarrierFacts, ClientHello, Established, Outbox, PROOF_LEN, Patience, Provable, Resumption,
    clip, close_frame, millis, without_proof,
};
use crate::auth::{Keys, Transcript};
use crate::code::Code;
use crate::config::Config;
use crate::decode::{Decoder, Piece};
use crate::error::{HandshakeError, ProtocolError, SessionError};
use crate::frame::{
    Auth, Frame, Grant, LIST_MAX, MAGIC, Resume, Resumed, SERVICES_MAX, ServerHello, Service,
    VERSION, Welcome, features, flags, kind,
};
use crate::ids::Side;
use crate::random::Random;
use crate::session::{Session, Stated};
use crate::time::Instant;
use crate::token::Token;
use crate::transmit::Transmit;

/// One client's handshake on one carrier.
///
/// Every error is final: what [`poll_transmit`](Self::poll_transmit) still gives may be sent (it tells
/// the server why), then the carrier is of no more use.
pub struct ClientHandshake {
    config: Arc<Config>,
    intent: Intent,
    facts: CarrierFacts,
    nonce: [u8; 32],
    decoder: Decoder,
    outbox: Outbox,
    patience: Patience,
    state: State,
}

/// What the client is here for.
enum Intent {
    /// A new session.
    Begin { keys: Keys, hello: ClientHello },
    /// To go on with one.
    Resume(Resumption),
}

enum State {
    /// The server speaks first.
    AwaitHello,
    /// SERVER_HELLO, encoded, and what RESUME will be bound to: the session's position is all that is missing.
    AwaitPosition {
        hello: Bytes,
        binding: Option<[u8; 32]>,
    },
    /// RESUME went out.
    AwaitResumed {
        r1: Transcript,
        proof: [u8; PROOF_LEN],
    },
    /// RESUMED is here, and its proof was right: what the server stated, and what came behind it.
    Resumed {
        theirs: Stated,
        rest: Bytes,
    },
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
        let keys = Keys::new(token, &hello.tunnel);
        Self::with(config, Intent::Begin { keys, hello }, facts, seed, now)
    }

    /// A handshake that goes on with a session, on a carrier that is ready to carry frames. `seed` must be fresh and secret.
    ///
    /// It [asks for the session's position](Self::wants_position) once, and ends in [`attach`](Self::attach). A refusal with
    /// `UNKNOWN_SESSION`, `EXPIRED`, `GONE`, `UNAUTHORIZED` or a code of binding means that the session is lost.
    #[must_use]
    pub fn resume(
        config: Arc<Config>,
        resumption: Resumption,
        facts: CarrierFacts,
        seed: [u8; 32],
        now: Instant,
    ) -> Self {
        Self::with(config, Intent::Resume(resumption), facts, seed, now)
    }

    fn with(
        config: Arc<Config>,
        intent: Intent,
        facts: CarrierFacts,
        seed: [u8; 32],
        now: Instant,
    ) -> Self {
        Self {
            nonce: Random::new(seed).array(),
            patience: Patience::new(&config, now),
            config,
            intent,
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
            State::Resumed { rest, .. } => {
                *rest = [&rest[..], &data[..]].concat().into();
                return Ok(());
            }
            State::Fetched => return Ok(()),
            State::AwaitHello
            | State::AwaitPosition { .. }
            | State::AwaitResumed { .. }
            | State::AwaitAnswer(_) => (),
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
            State::Resumed { .. } | State::Fetched => Ok(()),
            State::AwaitHello
            | State::AwaitPosition { .. }
            | State::AwaitResumed { .. }
            | State::AwaitAnswer(_) => self.patience.check(now).map_err(|error| self.fail(error)),
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
            State::AwaitHello
            | State::AwaitPosition { .. }
            | State::AwaitResumed { .. }
            | State::AwaitAnswer(_) => Some(self.patience.next()),
            State::Established(established) => established.session.poll_timeout(),
            State::Resumed { .. } | State::Fetched | State::Failed(_) => None,
        }
    }

    /// Whether [`state_position`](Self::state_position) is waited for. To be looked at after each input.
    #[must_use]
    pub const fn wants_position(&self) -> bool {
        matches!(self.state, State::AwaitPosition { .. })
    }

    /// Sends RESUME for `session`, which leaves its old carrier, if it still has one, here and now. Does nothing unless it is
    /// [waited for](Self::wants_position).
    ///
    /// # Errors
    ///
    /// [`HandshakeError::SessionOver`] if the session has ended or can't be resumed.
    pub fn state_position(
        &mut self,
        now: Instant,
        session: &mut Session,
    ) -> Result<(), HandshakeError> {
        let (State::AwaitPosition { hello, binding }, Intent::Resume(resumption)) =
            (&self.state, &self.intent)
        else {
            return Ok(());
        };
        let Some(Stated { received, oldest }) = session.state_position(now) else {
            return Err(self.fail(HandshakeError::SessionOver));
        };
        let resume = Frame::Resume(Resume {
            version: VERSION,
            session: resumption.id,
            nonce: self.nonce,
            epoch: resumption.epoch,
            received,
            oldest,
            binding: *binding,
            proof: [0; PROOF_LEN],
        })
        .encoding();
        let r1 = Transcript::resume(hello, without_proof(&resume));
        let proof = resumption.key.client_proof(&r1);
        self.outbox.push(&[without_proof(&resume), &proof].concat());
        self.state = State::AwaitResumed { r1, proof };
        Ok(())
    }

    /// Goes on with `session` on this carrier, once the server has answered RESUME: `None` until then, and afterwards. Whatever
    /// arrived behind the answer is in it already; what arrives from now on belongs to it.
    ///
    /// The result is what [`Session::attach`] says.
    #[must_use]
    pub fn attach(
        &mut self,
        now: Instant,
        session: &mut Session,
    ) -> Option<Result<(), SessionError>> {
        let (State::Resumed { .. }, Intent::Resume(resumption)) = (&self.state, &self.intent)
        else {
            return None;
        };
        let State::Resumed { theirs, rest } = core::mem::replace(&mut self.state, State::Fetched)
        else {
            return None;
        };
        let attached = session.attach(now, resumption.epoch, theirs);
        if attached.is_ok() {
            session.handle_input(now, rest, usize::MAX);
        }
        Some(attached)
    }

    /// Whether [`attach`](Self::attach) has a session to go on with.
    #[must_use]
    pub const fn is_resumed(&self) -> bool {
        matches!(self.state, State::Resumed { .. })
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
                        self.greeted(hello, encoding)?;
                    }
                }
                (kind::RESUMED, State::AwaitResumed { r1, proof }) => {
                    if let Frame::Resumed(resumed) = Frame::parse(kind, body)? {
                        let theirs = self.resumed(r1, proof, &resumed, &encoding)?;
                        self.state = State::Resumed { theirs, rest: data };
                        return Ok(());
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
                (kind::REFUSE, State::AwaitAnswer(_) | State::AwaitResumed { .. }) => {
                    if let Frame::Refuse {
                        code,
                        retry_after_ms,
                        ..
                    } = Frame::parse(kind, body)?
                    {
                        return Err(refused(code, Duration::from_millis(retry_after_ms)));
                    }
                }
                (kind::CLOSE, State::AwaitAnswer(_) | State::AwaitResumed { .. }) => {
                    if let Frame::Close { code, .. } = Frame::parse(kind, body)? {
                        return Err(HandshakeError::PeerClosed(code));
                    }
                }
                _ => return Err(unexpected().into()),
            }
        }
        Ok(())
    }

    /// SERVER_HELLO is here: decide whether this server gets a proof.
    fn greeted(&mut self, server: ServerHello, encoding: Bytes) -> Result<(), HandshakeError> {
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
        let required = flags & flags::BINDING != 0;
        match &self.intent {
            Intent::Begin { .. } => {
                let binding = choose_binding(&self.facts, required)?;
                self.authenticate(server, &encoding, binding)
            }
            Intent::Resume(resumption) => {
                let binding = choose_binding(&self.facts, required || resumption.bound)?;
                self.state = State::AwaitPosition {
                    hello: encoding,
                    binding,
                };
                Ok(())
            }
        }
    }

    /// Makes the proof.
    fn authenticate(
        &mut self,
        server: ServerHello,
        encoding: &[u8],
        binding: Option<[u8; 32]>,
    ) -> Result<(), HandshakeError> {
        let Intent::Begin { keys, hello } = &self.intent else {
            return Ok(());
        };
        let keeps = self.config.keeps();
        let auth = Auth {
            version: VERSION,
            nonce: self.nonce,
            tunnel: hello.tunnel.clone(),
            client_id: hello.client_id.clone(),
            instance: hello.instance,
            features: if keeps { features::RESUMPTION } else { 0 },
            binding,
            limits: self.config.limits(),
            resume_window_ms: if keeps {
                millis(self.config.resume_window)
            } else {
                0
            },
            services: hello.services.clone(),
            software: clip(&hello.software),
            labels: hello.labels.clone(),
            proof: [0; PROOF_LEN],
        };
        let short = auth.services.len() <= SERVICES_MAX && auth.labels.len() <= LIST_MAX;
        let auth = match Provable::new(&Frame::Auth(auth)) {
            Some(auth) if short => auth,
            _ => return Err(HandshakeError::HelloTooLarge),
        };
        let t1 = Transcript::auth(encoding, auth.without_proof());
        let proof = keys.client_proof(&t1);
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
        let Intent::Begin { keys, hello } = &self.intent else {
            return Err(unexpected().into());
        };
        let t2 = asked.t1.welcome(&asked.proof, without_proof(encoding));
        if !keys.check_server(&t2, &welcome.proof) {
            return Err(HandshakeError::ServerProofWrong);
        }
        let asked_window = self.config.keeps().then_some(self.config.resume_window);
        check_welcome(&hello.services, asked_window, &welcome)?;
        let resume_window = Duration::from_millis(welcome.resume_window_ms);
        let mut session = Session::new(self.config.clone(), Side::Client, welcome.limits, now);
        if welcome.features & features::RESUMPTION != 0 {
            session = session.resumable(resume_window);
        }
        Ok(Established {
            session,
            id: welcome.session,
            grants: welcome.grants,
            resume_window,
            resume_key: keys.resume_key(&t2),
            bound: asked.bound,
            server_name: asked.server.name.clone(),
            server_software: asked.server.software.clone(),
            others: welcome.others,
        })
    }

    /// RESUMED is here: check the server's proof before anything it says is used.
    fn resumed(
        &self,
        r1: &Transcript,
        proof: &[u8; PROOF_LEN],
        resumed: &Resumed,
        encoding: &[u8],
    ) -> Result<Stated, HandshakeError> {
        let Intent::Resume(resumption) = &self.intent else {
            return Err(unexpected().into());
        };
        let r2 = r1.resumed(proof, without_proof(encoding));
        if !resumption.key.check_server(&r2, &resumed.proof) {
            return Err(HandshakeError::ServerProofWrong);
        }
        if resumed.epoch != resumption.epoch {
            return Err(ProtocolError::MALFORMED("an answer to another attempt to resume").into());
        }
        Ok(Stated {
            received: resumed.received,
            oldest: resumed.oldest,
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
            State::AwaitPosition { .. } => "awaiting the session's position",
            State::AwaitResumed { .. } => "awaiting RESUMED",
            State::Established(_) | State::Resumed { .. } | State::Fetched => "established",
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
fn check_welcome(
    services: &[Service],
    asked_window: Option<Duration>,
    welcome: &Welcome,
) -> Result<(), ProtocolError> {
    let resumable = welcome.features & features::RESUMPTION != 0;
    if welcome.features & !features::RESUMPTION != 0 || (resumable && asked_window.is_none()) {
        return Err(ProtocolError::MALFORMED(
            "a feature is granted that was not offered",
        ));
    }
    if resumable && asked_window.is_some_and(|asked| welcome.resume_window_ms > millis(asked)) {
        return Err(ProtocolError::MALFORMED(
            "a longer resume window is granted than was asked for",
        ));
    }
    if welcome.epoch != 0 || (welcome.resume_window_ms != 0 && !resumable) {
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
