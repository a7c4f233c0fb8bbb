//! A client and a server that share a session which can be resumed, and carriers on which somebody asks to go on with it.

use std::sync::Arc;

use adit_core::auth::{ResumeKey, Transcript};
use adit_core::{
    CarrierFacts, ClientHandshake, Code, Config, Decoder, Established, Frame, Instant, Open, Piece,
    Resume, Resumed, Resumption, ServerFacts, ServiceId, ServiceKind, Session, VERSION,
};
use bytes::Bytes;

use crate::kit::*;

/// Units that either side keeps.
pub(crate) const KEEP: u64 = 5_000;

pub(crate) fn keeping() -> Arc<Config> {
    Arc::new(Config {
        replay: KEEP,
        ..Config::default()
    })
}

pub(crate) fn any_open() -> Open {
    Open {
        kind: ServiceKind::Tcp,
        service: ServiceId(0),
        visitor: None,
        dialled: None,
    }
}

/// Both sides of one session.
pub(crate) struct Met {
    pub(crate) server: Server,
    pub(crate) client: Established,
    config: Arc<Config>,
}

impl Met {
    pub(crate) fn new(binding: bool) -> Self {
        let config = keeping();
        let facts = if binding { self_signed() } else { plain() };
        let mut client =
            ClientHandshake::new(config.clone(), &token(), hello(), facts, [1; 32], at(0));
        let mut server = Server::with(config.clone(), server_facts(binding));
        run(&mut client, &mut server).expect("agreed");
        let client = client.poll_established(at(0)).expect("a session");
        Self {
            server,
            client,
            config,
        }
    }

    /// The server's session.
    pub(crate) fn session(&mut self) -> &mut Session {
        let established = self.server.established.as_mut();
        &mut established.expect("met").session
    }

    /// Lets both say all that they have to say.
    pub(crate) fn talk(&mut self, now: Instant) {
        loop {
            let up = said(&mut self.client.session, now);
            give(self.session(), now, &up);
            let down = said(self.session(), now);
            give(&mut self.client.session, now, &down);
            if up.is_empty() && down.is_empty() {
                return;
            }
        }
    }

    /// The carrier is gone, and both know.
    pub(crate) fn cut(&mut self, now: Instant) {
        self.client.session.handle_carrier_lost(now);
        self.session().handle_carrier_lost(now);
    }

    /// A fresh carrier: SERVER_HELLO.
    pub(crate) fn carrier(&mut self, facts: ServerFacts) -> Vec<u8> {
        let accepted = self.server.endpoint.accept(at(0), facts);
        self.server.handshake = accepted.expect("room");
        self.server.found = None;
        drain(|| self.server.handshake.poll_transmit(at(0), 1_000))
    }

    /// RESUME as it should be, at attempt `epoch`, without a binding.
    pub(crate) fn right(&self, epoch: u64) -> Resume {
        let (_, oldest, received) = self.client.session.positions();
        Resume {
            version: VERSION,
            session: self.client.id,
            nonce: [4; 32],
            epoch,
            received,
            oldest,
            binding: None,
            proof: [0; 32],
        }
    }

    /// Hands RESUME over on the fresh carrier, and the session to it if it was found; what the server answers, encoded.
    pub(crate) fn answer_to(&mut self, now: Instant, resume: Vec<u8>) -> Vec<u8> {
        self.server.handle(now, resume.into());
        let Server {
            handshake,
            established,
            found,
            ..
        } = &mut self.server;
        let mut answer = Vec::new();
        if found.is_some() {
            let session = &mut established.as_mut().expect("met").session;
            if handshake.attach(now, session).is_ok() {
                let mut first = session.poll_transmit(now, 1_000);
                answer = drain(|| first.take());
            }
        }
        self.server.answer(now);
        let refusal = drain(|| self.server.handshake.poll_transmit(now, 1_000));
        [answer, refusal].concat()
    }

    /// A fresh carrier on which somebody with the key asks to go on, and what comes of it.
    pub(crate) fn ask(
        &mut self,
        now: Instant,
        facts: ServerFacts,
        resume: Resume,
    ) -> Result<Resumed, Code> {
        let hello = self.carrier(facts);
        let resume = proved(&self.client.resume_key, &hello, resume);
        match parse(&self.answer_to(now, resume)) {
            Frame::Resumed(resumed) => Ok(resumed),
            refusal => Err(refused(&refusal).0),
        }
    }

    /// The client's own machine on a fresh carrier, at attempt `epoch`, up to its wish for the session's position.
    pub(crate) fn returning(
        &mut self,
        now: Instant,
        facts: CarrierFacts,
        hello: Vec<u8>,
        epoch: u64,
    ) -> ClientHandshake {
        let resumption = Resumption {
            id: self.client.id,
            key: self.client.resume_key.clone(),
            bound: self.client.bound,
            epoch,
        };
        let config = self.config.clone();
        let mut returning = ClientHandshake::resume(config, resumption, facts, [7; 32], now);
        // What is wrong is told again by every later call.
        let _ = returning.handle_input(now, hello.into());
        returning
    }

    /// Goes on on a fresh carrier, client and server, at attempt `epoch`.
    pub(crate) fn resume(&mut self, now: Instant, epoch: u64) {
        let hello = self.carrier(server_facts(self.client.bound));
        let facts = if self.client.bound {
            self_signed()
        } else {
            plain()
        };
        let mut returning = self.returning(now, facts, hello, epoch);
        returning
            .state_position(now, &mut self.client.session)
            .expect("a session that waits");
        let resume = drain(|| returning.poll_transmit(now, 1_000));
        let answer = self.answer_to(now, resume);
        returning
            .handle_input(now, answer.into())
            .expect("let back in");
        returning
            .attach(now, &mut self.client.session)
            .expect("the answer is here")
            .expect("the positions fit");
    }
}

/// A RESUME with the right proof of `key` on the carrier that began with `hello`.
pub(crate) fn proved(key: &ResumeKey, hello: &[u8], resume: Resume) -> Vec<u8> {
    let mut encoding = Frame::Resume(resume).encoding();
    let front = encoding.len() - 32;
    let proof = key.client_proof(&Transcript::resume(hello, &encoding[..front]));
    encoding[front..].copy_from_slice(&proof);
    encoding
}

/// All that a session has to say now.
pub(crate) fn said(session: &mut Session, now: Instant) -> Vec<u8> {
    drain(|| session.poll_transmit(now, 1_000))
}

pub(crate) fn give(session: &mut Session, now: Instant, bytes: &[u8]) {
    let slab = bytes.len();
    session.handle_input(now, Bytes::copy_from_slice(bytes), slab);
}

/// What crossed the wire, in order.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "there are few of them, for a moment"
)]
pub(crate) enum Said {
    Frame(Frame),
    /// A stream's number, and the payload.
    Data(u64, Vec<u8>),
}

impl Said {
    /// Whether it counts in the sequence space.
    pub(crate) fn counts(&self) -> bool {
        match self {
            Self::Data(..) => true,
            Self::Frame(frame) => matches!(
                frame,
                Frame::Open { .. } | Frame::Fin { .. } | Frame::Reset { .. }
            ),
        }
    }
}

/// What `bytes` say.
pub(crate) fn read(bytes: &[u8]) -> Vec<Said> {
    let (mut decoder, mut input) = (Decoder::default(), Bytes::copy_from_slice(bytes));
    let mut said = Vec::new();
    while let Some(piece) = decoder.decode(&mut input).expect("frames") {
        said.push(match &piece {
            Piece::Payload { stream, chunk } => Said::Data(stream.as_u64(), chunk.to_vec()),
            Piece::Body { kind, .. } => {
                Said::Frame(Frame::parse(*kind, piece.body()).expect("a frame"))
            }
        });
    }
    said
}
