//! One client, one server with one tunnel, and a wire between them that a test may cut, bend or play itself.

use std::sync::Arc;
use std::time::Duration;

use adit_core::auth::{Keys, Transcript};
use adit_core::{
    Auth, AuthFailure, CarrierFacts, ClientHandshake, ClientHello, ClientId, Config, Endpoint,
    Established, Frame, Grant, HandshakeError, HandshakeEvent, Instance, Instant, Request, Resume,
    ServerFacts, ServerHandshake, ServerHello, Service, ServiceId, ServiceKind, SessionId, Token,
    Transmit, TunnelName, VERSION, Verifier,
};
use bytes::Bytes;

pub(crate) const TUNNEL: &str = "orion-aws";
pub(crate) const TOKEN: &[u8] = b"a token of some length";
pub(crate) const EXPORTER: [u8; 32] = [0xe4; 32];

pub(crate) fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

pub(crate) fn config() -> Arc<Config> {
    Arc::new(Config::default())
}

pub(crate) fn token() -> Token {
    Token::new(TOKEN).expect("long enough")
}

pub(crate) fn tunnel() -> TunnelName {
    TunnelName::new(TUNNEL).expect("a name")
}

pub(crate) fn verifier() -> Verifier {
    Verifier::new(&token(), &tunnel())
}

pub(crate) fn service(id: u64, address: &str) -> Service {
    Service {
        id: ServiceId(id),
        kind: ServiceKind::Tcp,
        address: address.into(),
    }
}

pub(crate) fn hello() -> ClientHello {
    ClientHello {
        tunnel: tunnel(),
        client_id: ClientId::new("host-1").expect("a name"),
        instance: Instance([5; 16]),
        services: vec![service(0, "9090"), service(7, "9091")],
        labels: vec![("zone".into(), "eu-1".into())],
        software: "test 1".into(),
    }
}

/// TLS that the server ends itself, with a certificate that nobody can check.
pub(crate) fn self_signed() -> CarrierFacts {
    CarrierFacts {
        exporter: Some(EXPORTER),
        tls: true,
        certificate_checked: false,
    }
}

/// No TLS, on a machine of one's own.
pub(crate) fn plain() -> CarrierFacts {
    CarrierFacts {
        exporter: None,
        tls: false,
        certificate_checked: false,
    }
}

pub(crate) fn server_facts(binding: bool) -> ServerFacts {
    ServerFacts {
        exporter: binding.then_some(EXPORTER),
        tls_here: binding,
        binding,
        server_name: "server-a".into(),
        software: "test 2".into(),
    }
}

pub(crate) fn client(facts: CarrierFacts) -> ClientHandshake {
    client_with(&token(), hello(), facts)
}

pub(crate) fn client_with(
    token: &Token,
    hello: ClientHello,
    facts: CarrierFacts,
) -> ClientHandshake {
    ClientHandshake::new(config(), token, hello, facts, [1; 32], at(0))
}

/// A server that knows [`TUNNEL`], with one carrier in its handshake.
pub(crate) struct Server {
    pub(crate) endpoint: Endpoint,
    pub(crate) handshake: ServerHandshake,
    /// What the owner was told.
    pub(crate) request: Option<Request>,
    pub(crate) failure: Option<AuthFailure>,
    pub(crate) established: Option<Established>,
    pub(crate) error: Option<HandshakeError>,
    /// What the tunnel's clients prove themselves against, when one wants to resume.
    pub(crate) known_verifier: Option<Verifier>,
    /// The session that a client wanted to resume, and the one found for it.
    pub(crate) wanted: Option<SessionId>,
    pub(crate) found: Option<SessionId>,
}

impl Server {
    pub(crate) fn new(facts: ServerFacts) -> Self {
        Self::with(config(), facts)
    }

    pub(crate) fn with(config: Arc<Config>, facts: ServerFacts) -> Self {
        let mut endpoint = Endpoint::new(config, [2; 32]);
        let handshake = endpoint.accept(at(0), facts).expect("below the limit");
        Self {
            endpoint,
            handshake,
            request: None,
            failure: None,
            established: None,
            error: None,
            known_verifier: Some(verifier()),
            wanted: None,
            found: None,
        }
    }

    /// Hands bytes over and answers what is asked: a client of [`TUNNEL`] with the token is let in.
    pub(crate) fn handle(&mut self, now: Instant, data: Bytes) {
        if let Err(error) = self.handshake.handle_input(now, data) {
            self.error = Some(error);
        }
        self.answer(now);
    }

    pub(crate) fn answer(&mut self, now: Instant) {
        while let Some(event) = self.handshake.poll_event() {
            match event {
                HandshakeEvent::Authenticate { tunnel: name } => {
                    let known = (name == tunnel()).then(verifier);
                    self.handshake.authenticate(now, known.as_ref());
                }
                HandshakeEvent::Admit(request) => {
                    let grants = request.services.iter().map(grant).collect();
                    let admitted = self.endpoint.admit(now, &mut self.handshake, grants);
                    self.established = Some(admitted.expect("below the limit"));
                    self.request = Some(request);
                }
                HandshakeEvent::Resume { session } => {
                    let known = self.known_verifier.clone();
                    self.found = self.endpoint.find(now, &mut self.handshake, known.as_ref());
                    self.wanted = Some(session);
                }
                HandshakeEvent::Failed(failure) => self.failure = Some(failure),
            }
        }
    }

    /// All that the server's handshake wants to send now, then one frame of its session: WELCOME, the first time.
    pub(crate) fn output(&mut self, now: Instant) -> Vec<u8> {
        let mut bytes = drain(|| self.handshake.poll_transmit(now, 1000));
        if let Some(established) = &mut self.established {
            let mut frame = established.session.poll_transmit(now, 20_000);
            bytes.extend(drain(|| frame.take()));
        }
        bytes
    }

    /// The one frame that the server wants to send now.
    pub(crate) fn answer_frame(&mut self, now: Instant) -> Frame {
        parse(&self.output(now))
    }
}

pub(crate) fn grant(service: &Service) -> Grant {
    Grant {
        id: service.id,
        result: Ok(format!("127.0.0.1:{}", service.address)),
    }
}

pub(crate) fn drain(mut poll: impl FnMut() -> Option<Transmit>) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(frame) = poll() {
        bytes.extend_from_slice(frame.head());
        bytes.extend_from_slice(frame.payload());
    }
    bytes
}

/// Runs both machines against each other on a perfect wire, at one instant.
pub(crate) fn run(client: &mut ClientHandshake, server: &mut Server) -> Result<(), HandshakeError> {
    let now = at(0);
    for _ in 0..4 {
        client.handle_input(now, server.output(now).into())?;
        server.handle(now, drain(|| client.poll_transmit(now, 1000)).into());
    }
    Ok(())
}

/// The one frame that `bytes` are.
pub(crate) fn parse(bytes: &[u8]) -> Frame {
    let mut input = Bytes::copy_from_slice(bytes);
    let piece = adit_core::Decoder::default().decode(&mut input);
    let piece = piece.expect("a frame").expect("a whole frame");
    assert!(input.is_empty(), "more than one frame");
    let adit_core::Piece::Body { kind, .. } = &piece else {
        panic!("payload")
    };
    Frame::parse(*kind, piece.body()).expect("a frame that can be read")
}

/// SERVER_HELLO of a server that a test plays itself.
pub(crate) fn played_hello(lowest: u64, highest: u64, flags: u64) -> Vec<u8> {
    let (software, name) = (None, None);
    Frame::ServerHello(ServerHello {
        lowest,
        highest,
        nonce: [3; 32],
        flags,
        software,
        name,
    })
    .encoding()
}

/// AUTH of a client that a test plays itself, with the right proof over `hello` unless it is bent later.
pub(crate) fn played_auth(hello: &[u8], change: impl FnOnce(&mut Auth)) -> Vec<u8> {
    let keys = Keys::new(&token(), &tunnel());
    let mut auth = Auth {
        version: VERSION,
        nonce: [4; 32],
        tunnel: tunnel(),
        client_id: ClientId::new("host-1").expect("a name"),
        instance: Instance([5; 16]),
        features: 0,
        binding: None,
        limits: Config::default().limits(),
        resume_window_ms: 0,
        services: vec![service(0, "9090")],
        software: None,
        labels: Vec::new(),
        proof: [0; 32],
    };
    change(&mut auth);
    let mut encoding = Frame::Auth(auth).encoding();
    let front = encoding.len() - 32;
    let proof = keys.client_proof(&Transcript::auth(hello, &encoding[..front]));
    encoding[front..].copy_from_slice(&proof);
    encoding
}

pub(crate) fn played_resume() -> Vec<u8> {
    Frame::Resume(Resume {
        version: VERSION,
        session: SessionId([6; 16]),
        nonce: [4; 32],
        epoch: 1,
        received: 0,
        oldest: 0,
        binding: None,
        proof: [0; 32],
    })
    .encoding()
}

/// What a REFUSE says.
pub(crate) fn refused(frame: &Frame) -> (adit_core::Code, Duration) {
    let Frame::Refuse {
        code,
        retry_after_ms,
        ..
    } = frame
    else {
        panic!("no REFUSE: {frame:?}")
    };
    (*code, Duration::from_millis(*retry_after_ms))
}
