//! The server's handshake on one carrier: greet, check the client's proof, ask the owner whether to let
//! it in, and answer (spec/04-handshake.md).

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use core::mem;
use core::time::Duration;

use bytes::Bytes;

use super::{
    AuthFailure, HandshakeEvent, Outbox, PROOF_LEN, Patience, Request, ServerFacts, clip,
    close_frame, millis, without_proof,
};
use crate::auth::{Keys, ResumeKey, Transcript, Verifier};
use crate::code::Code;
use crate::codec::Reader;
use crate::config::Config;
use crate::decode::{Decoder, Piece};
use crate::error::{HandshakeError, ProtocolError};
use crate::frame::{
    Auth, Frame, Limits, Resume, Resumed, ServerHello, Service, VERSION, features, flags, kind,
};
use crate::session::{Session, Stated};
use crate::time::Instant;
use crate::transmit::Transmit;

/// What stands in for the keys of tunnels and sessions that do not exist, so that checking a proof
/// against nothing costs the same as checking a wrong one.
pub(crate) struct Decoys {
    pub(crate) verifier: Verifier,
    pub(crate) resume_key: ResumeKey,
}

/// One server's handshake on one carrier. [`Endpoint::accept`](crate::Endpoint::accept) makes it.
///
/// The owner polls events and answers them: [`authenticate`](Self::authenticate) for
/// [`HandshakeEvent::Authenticate`]; [`Endpoint::admit`](crate::Endpoint::admit) or
/// [`refuse`](Self::refuse) for [`HandshakeEvent::Admit`]; [`Endpoint::find`](crate::Endpoint::find), then
/// [`attach`](Self::attach), for [`HandshakeEvent::Resume`].
pub struct ServerHandshake {
    decoys: Arc<Decoys>,
    /// Counts against the endpoint's limit for as long as it is here.
    permit: Option<Arc<()>>,
    exporter: Option<[u8; 32]>,
    binding_required: bool,
    server_name: Option<String>,
    server_software: Option<String>,
    /// SERVER_HELLO's encoding, for the transcript.
    hello: Bytes,
    decoder: Decoder,
    outbox: Outbox,
    patience: Patience,
    event: Option<HandshakeEvent>,
    penalty: Option<Instant>,
    state: State,
}

enum State {
    /// The client is to send AUTH or RESUME.
    AwaitProof,
    /// The owner is to find the tunnel's verifier.
    Judging {
        auth: Box<Auth>,
        t1: Transcript,
    },
    /// The owner is to let the client in or not.
    Asking(Box<Proven>),
    /// The endpoint is to find the session that the client wants to go on with.
    Finding(Box<Wanted>),
    /// Found, and the proof is right: the owner is to bring the session.
    Found(Box<Wanted>, ResumeKey),
    /// REFUSE waits for its time: at once, unless a wrong proof has a penalty.
    Refusing {
        refuse: Bytes,
        since: Instant,
        wrong_proof: bool,
    },
    /// REFUSE waits for the carrier, until the owner gives up.
    Refused {
        give_up: Instant,
    },
    /// The session was taken out.
    Admitted,
    Failed(HandshakeError),
}

/// What RESUME asked for.
pub(crate) struct Wanted {
    pub(crate) resume: Resume,
    pub(crate) r1: Transcript,
}

/// A client whose proof was right: what is needed to welcome it.
pub(crate) struct Proven {
    pub(crate) verifier: Verifier,
    pub(crate) keys: Keys,
    pub(crate) t1: Transcript,
    pub(crate) proof: [u8; PROOF_LEN],
    pub(crate) request: Request,
    pub(crate) limits: Limits,
    /// For how long the client wants its session to outlive a carrier; `None` if not at all.
    pub(crate) resume_window: Option<Duration>,
    pub(crate) server_name: Option<String>,
    pub(crate) server_software: Option<String>,
}

impl ServerHandshake {
    /// Bytes that a handshake holds at most, whatever its client sends: AUTH in pieces, and what is
    /// read out of it, where a short service or label takes more than on the wire. Times
    /// [`Config::handshakes_max`](crate::Config::handshakes_max), what strangers may cost.
    pub const MEMORY_MAX: usize = 256 * 1024;

    pub(crate) fn new(
        config: &Config,
        decoys: Arc<Decoys>,
        permit: Arc<()>,
        facts: ServerFacts,
        nonce: [u8; 32],
        now: Instant,
    ) -> Self {
        let tls_here = if facts.tls_here { flags::TLS_HERE } else { 0 };
        let binding = if facts.binding { flags::BINDING } else { 0 };
        let hello = ServerHello {
            lowest: VERSION,
            highest: VERSION,
            nonce,
            flags: tls_here | binding,
            software: clip(&facts.software),
            name: clip(&facts.server_name),
        };
        let (server_name, server_software) = (hello.name.clone(), hello.software.clone());
        let hello = Bytes::from(Frame::ServerHello(hello).encoding());
        let mut outbox = Outbox::default();
        outbox.push(&hello);
        Self {
            decoys,
            permit: Some(permit),
            exporter: facts.exporter,
            binding_required: facts.binding,
            server_name,
            server_software,
            hello,
            decoder: Decoder::default(),
            outbox,
            patience: Patience::new(config, now),
            event: None,
            penalty: None,
            state: State::AwaitProof,
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
    /// Why the handshake failed; the same again when called again. What
    /// [`poll_transmit`](Self::poll_transmit) still gives may be sent: it tells the client why.
    pub fn handle_input(&mut self, now: Instant, data: Bytes) -> Result<(), HandshakeError> {
        match &self.state {
            State::Failed(error) => return Err(*error),
            State::Refusing { .. } | State::Refused { .. } | State::Admitted => return Ok(()),
            State::AwaitProof
            | State::Judging { .. }
            | State::Asking(_)
            | State::Finding(_)
            | State::Found(..) => (),
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
        let checked = match &self.state {
            State::Failed(error) => return Err(*error),
            State::AwaitProof => self.patience.check(now),
            // The client has said all that it may: it is the owner who takes time.
            State::Judging { .. } | State::Asking(_) | State::Finding(_) | State::Found(..)
                if now >= self.patience.deadline =>
            {
                Err(HandshakeError::TimedOut)
            }
            State::Refusing { .. } if now >= self.refusal_due() => {
                self.release_refusal(now);
                Ok(())
            }
            State::Refused { give_up } if now >= *give_up => Err(HandshakeError::TimedOut),
            _ => Ok(()),
        };
        checked.map_err(|error| self.fail(error))
    }

    /// Bytes to send, at most `limit`.
    #[must_use]
    pub fn poll_transmit(&mut self, now: Instant, limit: usize) -> Option<Transmit> {
        // A failure is polled before it is answered: its owner may want to delay the answer.
        let refusing = matches!(self.state, State::Refusing { .. });
        if refusing && self.event.is_none() && now >= self.refusal_due() {
            self.release_refusal(now);
        }
        self.outbox.poll(limit)
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::AwaitProof => Some(self.patience.next()),
            State::Judging { .. } | State::Asking(_) | State::Finding(_) | State::Found(..) => {
                Some(self.patience.deadline)
            }
            State::Refusing { .. } => Some(self.refusal_due()),
            State::Refused { give_up } => (!self.outbox.is_empty()).then_some(*give_up),
            State::Admitted | State::Failed(_) => None,
        }
    }

    /// What the owner is asked, or told.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<HandshakeEvent> {
        self.event.take()
    }

    /// Checks the client's proof against its tunnel's verifier; `None` if there is no such tunnel,
    /// which takes as long and looks the same to the client as a wrong token. Does nothing unless
    /// [`HandshakeEvent::Authenticate`] asked for it.
    pub fn authenticate(&mut self, now: Instant, verifier: Option<&Verifier>) {
        let (auth, t1) = match mem::replace(&mut self.state, State::AwaitProof) {
            State::Judging { auth, t1 } => (*auth, t1),
            other => {
                self.state = other;
                return;
            }
        };
        self.event = None;
        let known = verifier.is_some();
        let verifier = verifier.unwrap_or(&self.decoys.verifier).clone();
        let keys = verifier.check(&t1, &auth.proof);
        let Some(keys) = keys.filter(|_| known) else {
            return self.turn_away(now, AuthFailure::Token);
        };
        match check_binding(self.binding_required, self.exporter, auth.binding) {
            Ok(bound) => {
                let (proof, limits) = (auth.proof, auth.limits);
                let resume_window = (auth.features & features::RESUMPTION != 0)
                    .then(|| Duration::from_millis(auth.resume_window_ms));
                let request = request(auth, bound);
                self.event = Some(HandshakeEvent::Admit(request.clone()));
                let (server_name, server_software) =
                    (self.server_name.clone(), self.server_software.clone());
                self.state = State::Asking(Box::new(Proven {
                    verifier,
                    keys,
                    t1,
                    proof,
                    request,
                    limits,
                    resume_window,
                    server_name,
                    server_software,
                }));
            }
            Err(failure) => self.turn_away(now, failure),
        }
    }

    /// Refuses the client, and says why; does nothing once it was answered.
    ///
    /// Before the proof was checked, a code that would tell something about the tunnel goes out as
    /// `UNAUTHORIZED`.
    pub fn refuse(&mut self, now: Instant, code: Code, retry_after: Duration) {
        let code = match self.state {
            State::Asking(_) | State::Found(..) => code,
            State::AwaitProof | State::Judging { .. } | State::Finding(_)
                if tells_nothing(code) =>
            {
                code
            }
            State::AwaitProof | State::Judging { .. } => Code::UNAUTHORIZED,
            State::Finding(_) => Code::UNKNOWN_SESSION,
            _ => return,
        };
        self.event = None;
        let refuse = refuse_frame(code, retry_after);
        self.state = State::Refusing {
            refuse,
            since: now,
            wrong_proof: false,
        };
    }

    /// Holds the answer to a wrong proof back until `at`: the penalty for earlier failures. It never
    /// touches a right proof. No answer waits for more than half of
    /// [`Config::dead_after`](crate::Config::dead_after), or the client would take the silence for a
    /// dead carrier.
    pub fn answer_after(&mut self, at: Instant) {
        self.penalty = self.penalty.max(Some(at));
    }

    /// Bytes that this handshake holds; never more than [`MEMORY_MAX`](Self::MEMORY_MAX).
    #[must_use]
    pub fn memory(&self) -> usize {
        let state = match &self.state {
            State::Judging { auth, .. } => {
                size_of::<Auth>() + lists(&auth.services, &auth.labels, &auth.software)
            }
            State::Asking(proven) => size_of::<Proven>() + proven.request.memory(),
            State::Finding(_) | State::Found(..) => size_of::<Wanted>(),
            _ => 0,
        };
        let event = match &self.event {
            Some(HandshakeEvent::Admit(request)) => request.memory(),
            _ => 0,
        };
        let frames = self.hello.len() + self.outbox.len() + self.decoder.memory();
        size_of::<Self>() + frames + state + event
    }

    /// Whether nothing is left to do: the answer went out. Drop the carrier after a refusal or an
    /// error.
    #[must_use]
    pub const fn is_finished(&self) -> bool {
        let answered = matches!(
            self.state,
            State::Refused { .. } | State::Admitted | State::Failed(_)
        );
        answered && self.outbox.is_empty()
    }

    /// The client that waits to be let in.
    pub(crate) fn proven(&self) -> Option<&Proven> {
        match &self.state {
            State::Asking(proven) => Some(proven),
            _ => None,
        }
    }

    /// The client that waits to be let in: taken out, it is the caller's to welcome.
    pub(crate) fn take_proven(&mut self) -> Option<Box<Proven>> {
        match mem::replace(&mut self.state, State::Admitted) {
            State::Asking(proven) => {
                self.permit = None;
                self.event = None;
                Some(proven)
            }
            other => {
                self.state = other;
                None
            }
        }
    }

    fn read(&mut self, now: Instant, mut data: Bytes) -> Result<(), HandshakeError> {
        while let State::AwaitProof = self.state {
            let Some(piece) = self.decoder.decode(&mut data)? else {
                return Ok(());
            };
            let body = piece.body();
            let Piece::Body { kind, encoding, .. } = piece else {
                return Err(unexpected().into());
            };
            match kind {
                kind::AUTH | kind::RESUME => {
                    // Another version's frame may look different from here on.
                    if Reader::new(body.clone()).varint()? != VERSION {
                        self.turn_away(now, AuthFailure::Version);
                        return Ok(());
                    }
                    match Frame::parse(kind, body)? {
                        Frame::Auth(auth) => self.judge(auth, &encoding),
                        Frame::Resume(resume) => self.resume(resume, &encoding),
                        _ => return Err(unexpected().into()),
                    }
                }
                kind::CLOSE => {
                    if let Frame::Close { code, .. } = Frame::parse(kind, body)? {
                        return Err(HandshakeError::PeerClosed(code));
                    }
                }
                _ => return Err(unexpected().into()),
            }
        }
        if data.is_empty() {
            Ok(())
        } else {
            Err(unexpected().into())
        }
    }

    fn judge(&mut self, auth: Auth, encoding: &[u8]) {
        let t1 = Transcript::auth(&self.hello, without_proof(encoding));
        self.event = Some(HandshakeEvent::Authenticate {
            tunnel: auth.tunnel.clone(),
        });
        self.state = State::Judging {
            auth: Box::new(auth),
            t1,
        };
    }

    fn resume(&mut self, resume: Resume, encoding: &[u8]) {
        let r1 = Transcript::resume(&self.hello, without_proof(encoding));
        self.event = Some(HandshakeEvent::Resume {
            session: resume.session,
        });
        self.state = State::Finding(Box::new(Wanted { resume, r1 }));
    }

    /// What the client wants to go on with, if it asks for that.
    pub(crate) fn wanted(&self) -> Option<&Resume> {
        match &self.state {
            State::Finding(wanted) => Some(&wanted.resume),
            _ => None,
        }
    }

    /// Checks the proof of RESUME against `key`, or against nothing that anybody knows, which takes as long; then what `check` says of
    /// the session, given whether the proof is bound. Whether the session is the client's to go on with.
    pub(crate) fn found(
        &mut self,
        now: Instant,
        key: Option<&ResumeKey>,
        check: impl FnOnce(&Resume, bool) -> Result<(), AuthFailure>,
    ) -> bool {
        let wanted = match mem::replace(&mut self.state, State::AwaitProof) {
            State::Finding(wanted) => wanted,
            other => {
                self.state = other;
                return false;
            }
        };
        self.event = None;
        let Wanted { resume, r1 } = &*wanted;
        let known = key.is_some();
        let key = key.unwrap_or(&self.decoys.resume_key);
        let right = key.check_client(r1, &resume.proof) && known;
        let checked = if right {
            check_binding(self.binding_required, self.exporter, resume.binding)
                .and_then(|bound| check(resume, bound))
        } else {
            Err(AuthFailure::UnknownSession)
        };
        match checked {
            Ok(()) => self.state = State::Found(wanted, key.clone()),
            Err(failure) => self.turn_away(now, failure),
        }
        checked.is_ok()
    }

    /// Goes on with `session` on this carrier: takes it from the carrier that it may still have, and only then states its position. RESUMED is the
    /// first thing that it sends. To be called for the session that [`Endpoint::find`](crate::Endpoint::find) named; does nothing otherwise.
    ///
    /// # Errors
    ///
    /// Why the client is refused after all; the refusal is the next thing to be [sent](Self::poll_transmit). With [`AuthFailure::Gone`], or if it was over
    /// before, the session has ended.
    pub fn attach(&mut self, now: Instant, session: &mut Session) -> Result<(), AuthFailure> {
        let State::Found(wanted, key) = &self.state else {
            return Err(AuthFailure::UnknownSession);
        };
        let Wanted { resume, r1 } = &**wanted;
        let theirs = Stated {
            received: resume.received,
            oldest: resume.oldest,
        };
        let attached = if resume.epoch <= session.epoch() {
            Err(AuthFailure::Stale)
        } else {
            session
                .state_position(now)
                .ok_or(AuthFailure::Expired)
                .and_then(|ours| {
                    let attached = session.attach(now, resume.epoch, theirs);
                    attached.map(|()| ours).map_err(|_| AuthFailure::Gone)
                })
        };
        let Stated { received, oldest } = match attached {
            Ok(ours) => ours,
            Err(failure) => {
                self.turn_away(now, failure);
                return Err(failure);
            }
        };
        let resumed = Frame::Resumed(Resumed {
            epoch: resume.epoch,
            received,
            oldest,
            proof: [0; PROOF_LEN],
        })
        .encoding();
        let r2 = r1.resumed(&resume.proof, without_proof(&resumed));
        let resumed = [without_proof(&resumed), &key.server_proof(&r2)].concat();
        session.send_first(resumed.into());
        self.state = State::Admitted;
        self.permit = None;
        Ok(())
    }

    fn turn_away(&mut self, now: Instant, failure: AuthFailure) {
        self.event = Some(HandshakeEvent::Failed(failure));
        self.state = State::Refusing {
            refuse: refuse_frame(failure.code(), Duration::ZERO),
            since: now,
            wrong_proof: failure.is_wrong_proof(),
        };
    }

    fn refusal_due(&self) -> Instant {
        match (&self.state, self.penalty) {
            (
                State::Refusing {
                    since,
                    wrong_proof: true,
                    ..
                },
                Some(penalty),
            ) => penalty.clamp(*since, *since + self.patience.dead_after / 2),
            (State::Refusing { since, .. }, _) => *since,
            _ => Instant::ORIGIN,
        }
    }

    fn release_refusal(&mut self, now: Instant) {
        let give_up = now + self.patience.dead_after;
        if let State::Refusing { refuse, .. } =
            mem::replace(&mut self.state, State::Refused { give_up })
        {
            self.outbox.push(&refuse);
        }
    }

    fn fail(&mut self, error: HandshakeError) -> HandshakeError {
        if let HandshakeError::Protocol(broken) = error {
            self.outbox.push(&close_frame(broken));
        }
        self.event = None;
        self.state = State::Failed(error);
        error
    }
}

impl fmt::Debug for ServerHandshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::AwaitProof => "awaiting AUTH",
            State::Judging { .. } => "waiting for the verifier",
            State::Asking(_) => "waiting to be admitted",
            State::Finding(_) | State::Found(..) => "waiting for the session",
            State::Refusing { .. } | State::Refused { .. } => "refusing",
            State::Admitted => "admitted",
            State::Failed(_) => "failed",
        };
        f.debug_struct("ServerHandshake")
            .field("state", &state)
            .finish_non_exhaustive()
    }
}

const fn unexpected() -> ProtocolError {
    ProtocolError::UNEXPECTED_FRAME("a frame that has no place in the handshake")
}

fn refuse_frame(code: Code, retry_after: Duration) -> Bytes {
    Frame::Refuse {
        code,
        retry_after_ms: millis(retry_after),
        detail: None,
    }
    .encoding()
    .into()
}

/// Whether a refusal may go out before the proof was checked.
const fn tells_nothing(code: Code) -> bool {
    matches!(code, Code::VERSION | Code::BUSY | Code::SHUTTING_DOWN)
}

/// Whether a right proof is bound as it must be (spec/04-handshake.md, section 4.5).
fn check_binding(
    required: bool,
    exporter: Option<[u8; 32]>,
    binding: Option<[u8; 32]>,
) -> Result<bool, AuthFailure> {
    match (binding, exporter) {
        (None, _) if required => Err(AuthFailure::BindingRequired),
        (None, _) => Ok(false),
        (Some(binding), Some(exporter)) if binding == exporter => Ok(true),
        (Some(_), _) => Err(AuthFailure::BindingMismatch),
    }
}

/// What lists and texts of AUTH take in memory.
fn lists(services: &[Service], labels: &[(String, String)], software: &Option<String>) -> usize {
    let texts = services
        .iter()
        .map(|service| service.address.capacity())
        .sum::<usize>()
        + labels
            .iter()
            .map(|(name, value)| name.capacity() + value.capacity())
            .sum::<usize>()
        + software.as_ref().map_or(0, String::capacity);
    size_of_val(services) + size_of_val(labels) + texts
}

impl Request {
    fn memory(&self) -> usize {
        lists(&self.services, &self.labels, &self.software)
    }
}

fn request(auth: Auth, bound: bool) -> Request {
    Request {
        tunnel: auth.tunnel,
        client_id: auth.client_id,
        instance: auth.instance,
        services: auth.services,
        labels: auth.labels,
        software: auth.software,
        bound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: [u8; 32] = [1; 32];
    const OTHER: [u8; 32] = [2; 32];

    //= spec/04-handshake.md
    //# A server with BINDING set MUST answer an empty binding with REFUSE and BINDING_REQUIRED.
    #[test]
    fn an_empty_binding_is_refused_where_one_is_required_and_only_there() {
        assert_eq!(
            check_binding(true, Some(OURS), None),
            Err(AuthFailure::BindingRequired)
        );
        assert_eq!(
            check_binding(true, None, None),
            Err(AuthFailure::BindingRequired)
        );
        assert_eq!(check_binding(false, Some(OURS), None), Ok(false));
        assert_eq!(check_binding(false, None, None), Ok(false));
    }

    //= spec/04-handshake.md
    //# A server MUST answer
    //# a binding that is not its own exporter (or that comes although it has none) with REFUSE and BINDING_MISMATCH
    #[test]
    fn a_binding_must_be_the_servers_own_exporter_whether_required_or_not() {
        for required in [true, false] {
            assert_eq!(check_binding(required, Some(OURS), Some(OURS)), Ok(true));
            let mismatch = Err(AuthFailure::BindingMismatch);
            assert_eq!(check_binding(required, Some(OURS), Some(OTHER)), mismatch);
            assert_eq!(check_binding(required, None, Some(OTHER)), mismatch);
        }
    }
}
