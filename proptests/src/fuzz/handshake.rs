//! Targets in front of a session: what a stranger says in a handshake, and what a server's owner may do with its endpoint.

use std::sync::Arc;

use adit_core::{
    CarrierFacts, ClientHandshake, ClientHello, ClientId, Config, Endpoint, HandshakeEvent,
    Instance, Instant, ServerFacts, ServerHandshake, SessionId, Token, TunnelName, Verifier,
};
use bytes::Bytes;

use super::pieces;

/// The token and the tunnel of [`Owner`].
fn secret() -> Option<(Token, TunnelName)> {
    let token = Token::new(b"a token that nobody guesses").ok()?;
    Some((token, TunnelName::new("default").ok()?))
}

fn config() -> Arc<Config> {
    Arc::new(Config {
        replay: 10_000,
        handshakes_max: 8,
        sessions_max: 4,
        detached_max: 2,
        ..Config::default()
    })
}

fn facts() -> ServerFacts {
    ServerFacts {
        exporter: None,
        tls_here: false,
        binding: false,
        server_name: String::new(),
        software: String::new(),
    }
}

fn client(config: &Arc<Config>, seed: u8) -> Option<ClientHandshake> {
    let (token, tunnel) = secret()?;
    let hello = ClientHello {
        tunnel,
        client_id: ClientId::new("host").ok()?,
        instance: Instance([seed; 16]),
        services: Vec::new(),
        labels: Vec::new(),
        software: String::new(),
    };
    let facts = CarrierFacts {
        exporter: None,
        tls: false,
        certificate_checked: false,
    };
    let (config, now) = (config.clone(), Instant::ORIGIN);
    let client = ClientHandshake::new(config, &token, hello, facts, [seed; 32], now);
    Some(client)
}

/// A stranger in front of a server, and in front of a client: without the token he gets no session from either.
pub(super) fn handshake(input: &[u8]) {
    let Some((&seed, bytes)) = input.split_first() else {
        return;
    };
    let now = Instant::ORIGIN;
    let mut owner = Owner::new();
    owner.accept();
    for piece in pieces(bytes, seed) {
        owner.hand_over(0, piece);
        if let Some(handshake) = owner.handshakes.first() {
            assert!(handshake.memory() <= ServerHandshake::MEMORY_MAX);
        }
    }
    assert_eq!(owner.endpoint.sessions().len(), 0, "let in without a proof");

    let Some(mut client) = client(&owner.config, seed) else {
        return;
    };
    for piece in pieces(bytes, seed) {
        // What is wrong is told again by every later call.
        let _ = client.handle_input(now, Bytes::copy_from_slice(piece));
        while client.poll_transmit(now, 1_000).is_some() {}
    }
    assert!(client.poll_established(now).is_none(), "no proof was given");
}

/// An owner that calls its endpoint in any order, with clients that have the token among the strangers: an input is a list of calls.
pub(super) fn endpoint(input: &[u8]) {
    let mut owner = Owner::new();
    for call in input.chunks(2) {
        let (what, which) = (call[0] % 8, usize::from(call.get(1).copied().unwrap_or(0)));
        match what {
            0 => owner.accept(),
            1 | 2 => owner.meet(which),
            3 => owner.hand_over(which, &[call[0], 0x40, 1, 1]),
            4 => {
                if let Some(id) = owner.session(which) {
                    let now = Instant::from_millis(which as u64);
                    for given_up in owner.endpoint.detached(now, id, which << 10) {
                        owner.endpoint.ended(given_up);
                    }
                }
            }
            5 => {
                if let Some(id) = owner.session(which) {
                    owner
                        .endpoint
                        .attached(Instant::from_millis(which as u64), id);
                }
            }
            6 => {
                let id = owner.session(which).unwrap_or(SessionId([call[0]; 16]));
                owner.endpoint.ended(id);
            }
            _ => {
                if which < owner.handshakes.len() {
                    let handshake = owner.handshakes.swap_remove(which);
                    owner.endpoint.abandon(handshake);
                }
            }
        }
        owner.check();
    }
}

/// A server's owner.
struct Owner {
    config: Arc<Config>,
    endpoint: Endpoint,
    handshakes: Vec<ServerHandshake>,
}

impl Owner {
    fn new() -> Self {
        let config = config();
        Self {
            endpoint: Endpoint::new(config.clone(), [3; 32]),
            config,
            handshakes: Vec::new(),
        }
    }

    fn session(&self, which: usize) -> Option<SessionId> {
        self.endpoint.sessions().nth(which % 8).map(|(id, _)| id)
    }

    fn accept(&mut self) {
        let accepted = self.endpoint.accept(Instant::ORIGIN, facts());
        let full = self.endpoint.handshakes() >= self.config.handshakes_max;
        assert!(accepted.is_ok() || full, "turned away for nothing");
        self.handshakes.extend(accepted);
    }

    /// A client with the token comes to a handshake.
    fn meet(&mut self, which: usize) {
        let now = Instant::ORIGIN;
        let Some(mut client) = client(&self.config, which as u8) else {
            return;
        };
        let Some(server) = self.handshakes.get_mut(which % 8) else {
            return;
        };
        while let Some(frame) = server.poll_transmit(now, 1_000) {
            let bytes = [frame.head(), frame.payload()].concat();
            let _ = client.handle_input(now, bytes.into());
        }
        let mut auth = Vec::new();
        while let Some(frame) = client.poll_transmit(now, 1_000) {
            auth.extend_from_slice(frame.head());
            auth.extend_from_slice(frame.payload());
        }
        self.hand_over(which % 8, &auth);
    }

    /// Hands bytes to a handshake and does what it asks for.
    fn hand_over(&mut self, which: usize, bytes: &[u8]) {
        let now = Instant::ORIGIN;
        let Some((token, tunnel)) = secret() else {
            return;
        };
        let verifier = Verifier::new(&token, &tunnel);
        let Some(handshake) = self.handshakes.get_mut(which) else {
            return;
        };
        // What is wrong is told again by every later call.
        let _ = handshake.handle_input(now, Bytes::copy_from_slice(bytes));
        while let Some(event) = handshake.poll_event() {
            match event {
                HandshakeEvent::Authenticate { tunnel: wanted } => {
                    let known = (wanted == tunnel).then_some(&verifier);
                    handshake.authenticate(now, known);
                }
                HandshakeEvent::Admit(_) => {
                    let full = self.endpoint.sessions().len() >= self.config.sessions_max;
                    let admitted = self.endpoint.admit(now, handshake, Vec::new());
                    assert_eq!(admitted.is_err(), full);
                }
                HandshakeEvent::Resume { .. } => {
                    let found = self.endpoint.find(now, handshake, Some(&verifier));
                    assert_eq!(found, None, "nobody has the key");
                }
                HandshakeEvent::Failed(_) => {}
            }
        }
        while handshake.poll_transmit(now, 1_000).is_some() {}
    }

    fn check(&self) {
        let (endpoint, config) = (&self.endpoint, &self.config);
        assert!(endpoint.handshakes() <= config.handshakes_max);
        assert!(endpoint.sessions().len() <= config.sessions_max);
        let detached = |(_, record): &(SessionId, &adit_core::SessionRecord)| {
            matches!(record.attachment, adit_core::Attachment::Detached { .. })
        };
        let detached = endpoint.sessions().filter(detached).count();
        assert!(detached <= config.detached_max, "{detached} detached");
    }
}
