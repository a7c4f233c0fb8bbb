//! spec/vectors/handshake.json: whole handshakes and resumptions, with every value on the way.
//!
//! The keys are derived here a second time, from the primitives; spec/vectors/check.py does it a third.

use std::sync::Arc;

use adit_core::auth::{Keys, Transcript};
use adit_core::{
    CarrierFacts, ClientHandshake, ClientHello, ClientId, Config, Endpoint, Established, Grant,
    HandshakeEvent, Instance, Instant, Resumption, ServerFacts, ServerHandshake, Service,
    ServiceId, ServiceKind, Session, StreamId, Token, Transmit, TunnelName, Verifier,
};
use adit_proptests::pair::any_open;
use bytes::Bytes;
use hkdf::Hkdf;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{compare, hex, key, recorded, unhex};

const ABOUT: &str = "Whole handshakes of chapter 4: frames as they cross the wire, and every value on the way, in hex. \
    Each goes on with a resumption by its resume key (chapter 4.7). A token is text, white space around it included.";

struct Case {
    name: &'static str,
    token: &'static str,
    tunnel: &'static str,
    exporter: Option<[u8; 32]>,
    services: &'static [&'static str],
    seed: u8,
}

const CASES: [Case; 2] = [
    Case {
        name: "bound to TLS that the server ends itself",
        token: "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg",
        tunnel: "orion-aws",
        exporter: Some([0xe4; 32]),
        services: &["9090", "127.0.0.1:5432"],
        seed: 1,
    },
    Case {
        name: "unbound, with white space around the token and no services",
        token: "\t3q2-7wEjRWeJq83vEjRWeA \r\n",
        tunnel: "default",
        exporter: None,
        services: &[],
        seed: 2,
    },
];

const NOW: Instant = Instant::ORIGIN;

fn config() -> Arc<Config> {
    Arc::new(Config {
        streams_max: 1_000,
        stream_credit: 8_192,
        session_pool: 16_777_216,
        ..Config::default()
    })
}

fn bytes(mut poll: impl FnMut() -> Option<Transmit>) -> Vec<u8> {
    let frame = poll().expect("a frame");
    [frame.head(), frame.payload()].concat()
}

impl Case {
    fn token(&self) -> Token {
        Token::new(self.token.as_bytes()).expect("long enough")
    }

    fn tunnel(&self) -> TunnelName {
        TunnelName::new(self.tunnel).expect("a name")
    }

    fn accept(&self, endpoint: &mut Endpoint) -> ServerHandshake {
        let facts = ServerFacts {
            exporter: self.exporter,
            tls_here: self.exporter.is_some(),
            binding: self.exporter.is_some(),
            server_name: "server-0".into(),
            software: "adit-server 0.1.0".into(),
        };
        endpoint.accept(NOW, facts).expect("room")
    }

    fn client(&self) -> ClientHandshake {
        let service = |(id, address): (u64, &&str)| Service {
            id: ServiceId(id),
            kind: ServiceKind::Tcp,
            address: (*address).into(),
        };
        let hello = ClientHello {
            tunnel: self.tunnel(),
            client_id: ClientId::new("host-1").expect("a name"),
            instance: Instance([0x17; 16]),
            services: (0..).zip(self.services).map(service).collect(),
            labels: vec![("region".into(), "eu-1".into())],
            software: "adit-client 0.1.0".into(),
        };
        let (facts, seed) = (self.facts(), [self.seed; 32]);
        ClientHandshake::new(config(), &self.token(), hello, facts, seed, NOW)
    }

    const fn facts(&self) -> CarrierFacts {
        CarrierFacts {
            exporter: self.exporter,
            tls: self.exporter.is_some(),
            certificate_checked: false,
        }
    }

    fn record(&self) -> Value {
        let mut endpoint = Endpoint::new(config(), [self.seed + 100; 32]);
        let mut server = self.accept(&mut endpoint);
        let mut client = self.client();

        let hello = bytes(|| server.poll_transmit(NOW, 20_000));
        client
            .handle_input(NOW, hello.clone().into())
            .expect("a hello");
        let auth = bytes(|| client.poll_transmit(NOW, 20_000));
        server
            .handle_input(NOW, auth.clone().into())
            .expect("an AUTH");
        let verifier = Verifier::new(&self.token(), &self.tunnel());
        server.authenticate(NOW, Some(&verifier));
        let mut admitted = admit(&mut endpoint, &mut server);
        let welcome = bytes(|| admitted.session.poll_transmit(NOW, 20_000));
        client
            .handle_input(NOW, welcome.clone().into())
            .expect("a welcome");
        let established = client.poll_established(NOW).expect("a session");
        assert_eq!(
            established.resume_key.expose(),
            admitted.resume_key.expose()
        );

        let (auth_front, client_proof) = split(&auth);
        let (welcome_front, server_proof) = split(&welcome);
        let t1 = Transcript::auth(&hello, auth_front);
        let t2 = t1.welcome(&client_proof, welcome_front);
        let derived = Derived::new(self.token, self.tunnel);
        let resume_key = *established.resume_key.expose();
        json!({
            "name": self.name,
            "token": self.token,
            "tunnel": self.tunnel,
            "exporter": self.exporter.map_or(String::new(), |exporter| hex(&exporter)),
            "prk": hex(&derived.prk),
            "client key": hex(&derived.client_key),
            "server key": hex(&derived.server_key),
            "stored key": hex(&Sha256::digest(derived.client_key)),
            "SERVER_HELLO": hex(&hello),
            "AUTH": hex(&auth),
            "T1": hex(t1.as_bytes()),
            "client proof": hex(&client_proof),
            "WELCOME": hex(&welcome),
            "T2": hex(t2.as_bytes()),
            "server proof": hex(&server_proof),
            "resume key": hex(&resume_key),
            "resumption": self.resumption(&mut endpoint, established, admitted),
        })
    }

    /// The session on its second carrier. Some of what each side sent on the first has not arrived.
    fn resumption(&self, endpoint: &mut Endpoint, ours: Established, theirs: Established) -> Value {
        let (mut client, mut session) = (ours.session, theirs.session);
        let id = session.open(NOW, any_open()).expect("an open session");
        write(&mut session, id, 70);
        let down = all(&mut session);
        let slab = down.len();
        client.handle_input(NOW, down.into(), slab);
        write(&mut client, id, 5_000);
        write(&mut session, id, 100);
        let _lost = (all(&mut client), all(&mut session));

        let mut server = self.accept(endpoint);
        let hello = bytes(|| server.poll_transmit(NOW, 20_000));
        let resumption = Resumption {
            id: ours.id,
            key: ours.resume_key,
            bound: ours.bound,
            epoch: 1,
        };
        let seed = [self.seed + 50; 32];
        let mut again = ClientHandshake::resume(config(), resumption, self.facts(), seed, NOW);
        again
            .handle_input(NOW, hello.clone().into())
            .expect("a hello");
        again
            .state_position(NOW, &mut client)
            .expect("a session that waits");
        let resume = bytes(|| again.poll_transmit(NOW, 20_000));
        server
            .handle_input(NOW, resume.clone().into())
            .expect("a RESUME");
        let verifier = Verifier::new(&self.token(), &self.tunnel());
        let found = endpoint.find(NOW, &mut server, Some(&verifier));
        assert_eq!(found, Some(theirs.id));
        server.attach(NOW, &mut session).expect("the positions fit");
        let resumed = bytes(|| session.poll_transmit(NOW, 20_000));
        again
            .handle_input(NOW, resumed.clone().into())
            .expect("a RESUMED");
        assert_eq!(again.attach(NOW, &mut client), Some(Ok(())));

        let (resume_front, client_proof) = split(&resume);
        let r1 = Transcript::resume(&hello, resume_front);
        let (resumed_front, server_proof) = split(&resumed);
        let r2 = r1.resumed(&client_proof, resumed_front);
        json!({
            "SERVER_HELLO": hex(&hello),
            "RESUME": hex(&resume),
            "R1": hex(r1.as_bytes()),
            "client proof": hex(&client_proof),
            "RESUMED": hex(&resumed),
            "R2": hex(r2.as_bytes()),
            "server proof": hex(&server_proof),
        })
    }
}

fn write(session: &mut Session, id: StreamId, len: usize) {
    let mut data = Bytes::from(vec![0x61; len]);
    session.write(id, &mut data).expect("an open stream");
    assert!(data.is_empty(), "room for all of it");
}

/// All that a session has to say.
fn all(session: &mut Session) -> Vec<u8> {
    let mut said = Vec::new();
    while let Some(frame) = session.poll_transmit(NOW, 20_000) {
        said.extend_from_slice(frame.head());
        said.extend_from_slice(frame.payload());
    }
    said
}

fn admit(endpoint: &mut Endpoint, server: &mut ServerHandshake) -> Established {
    let Some(HandshakeEvent::Admit(request)) = server.poll_event() else {
        panic!("the proof is right");
    };
    let grant = |service: &Service| Grant {
        id: service.id,
        result: Ok("127.0.0.1:9090".into()),
    };
    let grants = request.services.iter().map(grant).collect();
    endpoint.admit(NOW, server, grants).expect("room")
}

/// A frame's encoding without its proof, and the proof.
fn split(encoding: &[u8]) -> (&[u8], [u8; 32]) {
    let (front, proof) = encoding.split_last_chunk::<32>().expect("a proof");
    (front, *proof)
}

/// Section 4.1, from the primitives.
struct Derived {
    prk: [u8; 32],
    client_key: [u8; 32],
    server_key: [u8; 32],
}

impl Derived {
    fn new(token: &str, tunnel: &str) -> Self {
        let salt = format!("adit-1 {tunnel}");
        let (prk, hkdf) = Hkdf::<Sha256>::extract(Some(salt.as_bytes()), token.trim().as_bytes());
        let expand = |info: &str| {
            let mut key = [0; 32];
            hkdf.expand(info.as_bytes(), &mut key).expect("one block");
            key
        };
        Self {
            prk: prk.into(),
            client_key: expand("adit client key"),
            server_key: expand("adit server key"),
        }
    }
}

#[test]
fn the_file_says_what_the_code_makes() {
    let fresh: Vec<_> = CASES.iter().map(Case::record).collect();
    compare("handshake.json", ABOUT, &fresh);
}

#[test]
fn every_recorded_value_follows_from_the_token_and_the_frames() {
    for vector in recorded("handshake.json") {
        let text = |name: &str| vector[name].as_str().expect("text");
        let token = Token::new(text("token").as_bytes()).expect("long enough");
        let keys = Keys::new(&token, &TunnelName::new(text("tunnel")).expect("a name"));
        let (hello, auth, welcome) = (
            unhex(&vector["SERVER_HELLO"]),
            unhex(&vector["AUTH"]),
            unhex(&vector["WELCOME"]),
        );

        let t1 = Transcript::auth(&hello, split(&auth).0);
        assert_eq!(t1.as_bytes(), &key(&vector["T1"]));
        let proof = keys.client_proof(&t1);
        assert_eq!(proof, key(&vector["client proof"]));
        assert_eq!(proof, split(&auth).1);
        let known = keys.verifier().check(&t1, &proof).expect("a right proof");

        let t2 = t1.welcome(&proof, split(&welcome).0);
        assert_eq!(t2.as_bytes(), &key(&vector["T2"]));
        assert_eq!(known.server_proof(&t2), key(&vector["server proof"]));
        assert!(keys.check_server(&t2, &split(&welcome).1));
        let resume_key = keys.resume_key(&t2);
        assert_eq!(resume_key.expose(), &key(&vector["resume key"]));

        let again = &vector["resumption"];
        let (hello, resume, resumed) = (
            unhex(&again["SERVER_HELLO"]),
            unhex(&again["RESUME"]),
            unhex(&again["RESUMED"]),
        );
        let r1 = Transcript::resume(&hello, split(&resume).0);
        assert_eq!(r1.as_bytes(), &key(&again["R1"]));
        assert!(resume_key.check_client(&r1, &split(&resume).1));
        let r2 = r1.resumed(&split(&resume).1, split(&resumed).0);
        assert_eq!(r2.as_bytes(), &key(&again["R2"]));
        assert!(resume_key.check_server(&r2, &split(&resumed).1));
    }
}

#[test]
fn nothing_secret_crosses_the_wire() {
    for vector in recorded("handshake.json") {
        let frames = ["SERVER_HELLO", "AUTH", "WELCOME"].map(|name| unhex(&vector[name]));
        let token = vector["token"]
            .as_str()
            .expect("text")
            .trim()
            .as_bytes()
            .to_vec();
        let keys = [
            "prk",
            "client key",
            "server key",
            "stored key",
            "resume key",
        ];
        let secrets = keys
            .map(|name| unhex(&vector[name]))
            .into_iter()
            .chain([token]);
        for secret in secrets {
            for frame in &frames {
                assert!(!frame.windows(secret.len()).any(|part| part == secret));
            }
        }
    }
}
