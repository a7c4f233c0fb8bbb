//! Properties of the handshake: whatever happens to the bytes, to time and to the order of calls, two sides never both
//! believe in a session that they see differently.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use adit_core::{
    CarrierFacts, ClientHandshake, ClientHello, ClientId, Code, Config, Endpoint, Established,
    Frame, Grant, HandshakeError, HandshakeEvent, Instance, Instant, Piece, Request, ServerFacts,
    ServerHandshake, Service, ServiceId, ServiceKind, Token, Transmit, TunnelName, Verifier,
};
use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

const TOKEN: &[u8] = b"a token of some length";
const EXPORTER: [u8; 32] = [0xe4; 32];

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn token(bytes: &[u8]) -> Token {
    Token::new(bytes).expect("long enough")
}

fn tunnel(name: &str) -> TunnelName {
    TunnelName::new(name).expect("a name")
}

/// Everything that may differ from one handshake to the next.
#[derive(Clone, Debug)]
struct Setup {
    client: CarrierFacts,
    binding: bool,
    exporter: Option<[u8; 32]>,
    client_token: Vec<u8>,
    client_tunnel: String,
    services: usize,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            client: CarrierFacts {
                exporter: Some(EXPORTER),
                tls: true,
                certificate_checked: false,
            },
            binding: true,
            exporter: Some(EXPORTER),
            client_token: TOKEN.to_vec(),
            client_tunnel: "a".into(),
            services: 2,
        }
    }
}

/// A client, and a server that knows tunnel `a` with [`TOKEN`].
struct Pair {
    client: ClientHandshake,
    endpoint: Endpoint,
    server: ServerHandshake,
    ours: Option<Established>,
    theirs: Option<(Established, Request)>,
    client_error: Option<HandshakeError>,
    server_error: Option<HandshakeError>,
}

impl Pair {
    fn new(setup: &Setup) -> Self {
        let config: Arc<Config> = Arc::default();
        let mut endpoint = Endpoint::new(config.clone(), [2; 32]);
        let facts = ServerFacts {
            exporter: setup.exporter,
            tls_here: setup.exporter.is_some(),
            binding: setup.binding,
            server_name: "s".into(),
            software: String::new(),
        };
        let server = endpoint.accept(at(0), facts).expect("room");
        let service = |id| Service {
            id: ServiceId(id),
            kind: ServiceKind::Tcp,
            address: "9090".into(),
        };
        let hello = ClientHello {
            tunnel: tunnel(&setup.client_tunnel),
            client_id: ClientId::new("host").expect("a name"),
            instance: Instance([5; 16]),
            services: (0..setup.services as u64).map(service).collect(),
            labels: vec![("zone".into(), "1".into())],
            software: String::new(),
        };
        let token = token(&setup.client_token);
        let facts = setup.client.clone();
        Self {
            client: ClientHandshake::new(config, &token, hello, facts, [1; 32], at(0)),
            endpoint,
            server,
            ours: None,
            theirs: None,
            client_error: None,
            server_error: None,
        }
    }

    fn tell_client(&mut self, now: Instant, data: Bytes) {
        if let Err(error) = self.client.handle_input(now, data) {
            self.client_error = Some(error);
        }
        if let Some(established) = self.client.poll_established(now) {
            self.ours = Some(established);
        }
    }

    fn tell_server(&mut self, now: Instant, data: Bytes) {
        if let Err(error) = self.server.handle_input(now, data) {
            self.server_error = Some(error);
        }
        while let Some(event) = self.server.poll_event() {
            match event {
                HandshakeEvent::Authenticate { tunnel: name } => {
                    let known = name == tunnel("a");
                    let verifier = known.then(|| Verifier::new(&token(TOKEN), &name));
                    self.server.authenticate(now, verifier.as_ref());
                }
                HandshakeEvent::Admit(request) => {
                    let grants = request.services.iter().map(grant).collect();
                    let admitted = self.endpoint.admit(now, &mut self.server, grants);
                    self.theirs = Some((admitted.expect("room"), request));
                }
                HandshakeEvent::Resume { .. } => {
                    let _ = self.endpoint.find(now, &mut self.server, None);
                }
                HandshakeEvent::Failed(_) => (),
            }
        }
    }

    fn client_output(&mut self) -> Vec<u8> {
        drain(|| self.client.poll_transmit(at(0), 1_000))
    }

    /// What the server's handshake says, or its session first.
    fn server_output(&mut self) -> Vec<u8> {
        let bytes = drain(|| self.server.poll_transmit(at(0), 1_000));
        match &mut self.theirs {
            Some((established, _)) if bytes.is_empty() => {
                let mut frame = established.session.poll_transmit(at(0), 20_000);
                drain(|| frame.take())
            }
            _ => bytes,
        }
    }

    /// Both sides on a wire that `bend` may change: it is told whose turn it is, and gets the bytes.
    fn run(&mut self, mut bend: impl FnMut(usize, &mut Vec<u8>) -> Vec<Range<usize>>) {
        for turn in 0..3 {
            let mut bytes = if turn == 1 {
                self.client_output()
            } else {
                self.server_output()
            };
            let cuts = bend(turn, &mut bytes);
            let bytes = Bytes::from(bytes);
            for piece in cuts {
                let piece = bytes.slice(piece);
                if turn == 1 {
                    self.tell_server(at(0), piece);
                } else {
                    self.tell_client(at(0), piece);
                }
            }
        }
    }

    fn outcome(&self) -> String {
        let ours = self.ours.as_ref().map(view);
        let theirs = self
            .theirs
            .as_ref()
            .map(|(established, _)| view(established));
        let errors = (self.client_error, self.server_error);
        format!("{ours:?} {theirs:?} {errors:?}")
    }
}

/// All that a side knows of its session.
fn view(established: &Established) -> impl std::fmt::Debug + PartialEq + use<> {
    (
        established.id,
        established.grants.clone(),
        *established.resume_key.expose(),
        established.bound,
        established.resume_window,
    )
}

fn grant(service: &Service) -> Grant {
    Grant {
        id: service.id,
        result: Ok("127.0.0.1:9090".into()),
    }
}

fn drain(mut poll: impl FnMut() -> Option<Transmit>) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(frame) = poll() {
        bytes.extend_from_slice(frame.head());
        bytes.extend_from_slice(frame.payload());
    }
    bytes
}

/// All of `bytes` in one piece.
fn whole(bytes: &[u8]) -> Vec<Range<usize>> {
    std::iter::once(0..bytes.len()).collect()
}

fn facts() -> impl Strategy<Value = CarrierFacts> {
    (option::of(Just(EXPORTER)), any::<bool>(), any::<bool>()).prop_map(
        |(exporter, tls, certificate_checked)| CarrierFacts {
            exporter,
            tls,
            certificate_checked,
        },
    )
}

fn setup() -> impl Strategy<Value = Setup> {
    let token = prop_oneof![
        Just(TOKEN.to_vec()),
        Just(b"some other, longer token".to_vec())
    ];
    let tunnel = prop_oneof![Just("a".to_owned()), Just("b".to_owned())];
    let server = (any::<bool>(), option::of(Just(EXPORTER)));
    (facts(), server, token, tunnel, 0..40usize).prop_map(
        |(client, (binding, exporter), client_token, client_tunnel, services)| Setup {
            client,
            binding,
            exporter,
            client_token,
            client_tunnel,
            services,
        },
    )
}

proptest! {
    #[test]
    fn however_the_bytes_are_cut_the_outcome_is_the_same(
        setup in setup(),
        sizes in vec(1..80usize, 1..60),
    ) {
        let mut uncut = Pair::new(&setup);
        uncut.run(|_, bytes| whole(bytes));
        let mut cut = Pair::new(&setup);
        let mut sizes = sizes.iter().cycle();
        cut.run(|_, bytes| {
            let mut cuts = Vec::new();
            let mut start = 0;
            while start < bytes.len() {
                let end = bytes.len().min(start + sizes.next().copied().unwrap_or(1));
                cuts.push(start..end);
                start = end;
            }
            cuts
        });
        prop_assert_eq!(cut.outcome(), uncut.outcome());
        // Neither side is alone with a session when nobody bends anything.
        prop_assert_eq!(cut.ours.is_some(), cut.theirs.is_some());
        if let (Some(ours), Some((theirs, _))) = (&cut.ours, &cut.theirs) {
            prop_assert_eq!(view(ours), view(theirs));
        }
    }

    #[test]
    fn a_session_takes_the_same_token_for_the_same_tunnel(
        token in vec(33..127u8, 16..80),
        tunnel in "[a-c._-]{1,4}",
        same in any::<bool>(),
    ) {
        // Now and then the right ones, which the generator would hardly find.
        let (token, tunnel) = if same { (TOKEN.to_vec(), "a".into()) } else { (token, tunnel) };
        let right = token == TOKEN && tunnel == "a";
        let setup = Setup { client_token: token, client_tunnel: tunnel, ..Setup::default() };
        let mut pair = Pair::new(&setup);
        pair.run(|_, bytes| whole(bytes));
        prop_assert_eq!(pair.ours.is_some(), right);
        prop_assert_eq!(pair.theirs.is_some(), right);
        if !right {
            let unauthorized = HandshakeError::Refused {
                code: Code::UNAUTHORIZED,
                retry_after: Duration::ZERO,
            };
            prop_assert_eq!(pair.client_error, Some(unauthorized));
        }
    }

    #[test]
    fn bytes_that_are_replaced_inserted_or_lost_give_the_client_no_session(
        turn in 0..3usize,
        at in any::<prop::sample::Index>(),
        lost in 0..40usize,
        inserted in vec(any::<u8>(), 0..40),
    ) {
        let mut changed = false;
        let mut pair = Pair::new(&Setup::default());
        pair.run(|now, bytes| {
            if now == turn {
                let before = bytes.clone();
                let start = at.index(bytes.len());
                let end = bytes.len().min(start + lost);
                bytes.splice(start..end, inserted.iter().copied());
                changed = *bytes != before;
            }
            whole(bytes)
        });
        prop_assert_eq!(pair.ours.is_some(), !changed);
        // Only WELCOME is later than the server's decision.
        prop_assert_eq!(pair.theirs.is_some(), !changed || turn == 2);
    }

    #[test]
    fn nobody_in_the_middle_of_two_tls_connections_gets_anything(
        checked in any::<bool>(),
        flags in option::of(0..4u64),
        binding in option::of(prop_oneof![Just(None), Just(Some(EXPORTER)), any::<[u8; 32]>().prop_map(Some)]),
        range in option::of((0..3u64, 1..4u64)),
    ) {
        let his = CarrierFacts { exporter: Some([0x66; 32]), tls: true, certificate_checked: checked };
        let mut pair = Pair::new(&Setup { client: his, ..Setup::default() });
        pair.run(|turn, bytes| {
            match read(bytes) {
                Some(Frame::ServerHello(mut hello)) if turn == 0 => {
                    hello.flags = flags.unwrap_or(hello.flags);
                    (hello.lowest, hello.highest) = range.unwrap_or((hello.lowest, hello.highest));
                    *bytes = Frame::ServerHello(hello).encoding();
                }
                Some(Frame::Auth(mut auth)) if turn == 1 => {
                    auth.binding = binding.unwrap_or(auth.binding);
                    *bytes = Frame::Auth(auth).encoding();
                }
                _ => (),
            }
            whole(bytes)
        });
        prop_assert!(pair.ours.is_none() && pair.theirs.is_none());
        prop_assert!(pair.client_error.is_some());
    }

    #[test]
    fn a_slow_client_is_served_if_and_only_if_it_keeps_to_both_times(
        pauses in vec(0..7_000u64, 1..12),
    ) {
        let mut pair = Pair::new(&Setup::default());
        let hello = pair.server_output();
        pair.tell_client(at(0), hello.into());
        let auth = Bytes::from(pair.client_output());
        let step = auth.len().div_ceil(pauses.len());
        let (mut now, mut patient) = (0, true);
        for (index, pause) in pauses.iter().enumerate() {
            let due = now + pause;
            // The owner comes back whenever it is asked to.
            while let Some(wake) = pair.server.poll_timeout().filter(|wake| *wake <= at(due)) {
                if pair.server.handle_timeout(wake).is_err() {
                    break;
                }
                prop_assert!(pair.server.poll_timeout() != Some(wake), "it would spin");
            }
            now = due;
            patient &= *pause < 5_000 && now < 10_000;
            let (start, end) = (index * step, auth.len().min((index + 1) * step));
            if start < end {
                pair.tell_server(at(now), auth.slice(start..end));
            }
            if pair.theirs.is_some() {
                break;
            }
        }
        prop_assert_eq!(pair.theirs.is_some(), patient);
    }

    #[test]
    fn hostile_input_and_any_order_of_calls_never_panic_or_hold_more_than_their_bound(
        calls in vec(call(), 1..60),
    ) {
        let mut pair = Pair::new(&Setup::default());
        let (mut now, mut sessions) = (0, 0);
        for call in calls {
            match call {
                Call::Client(bytes) => pair.tell_client(at(now), bytes.into()),
                Call::Server(bytes) => {
                    let _result = pair.server.handle_input(at(now), bytes.into());
                }
                Call::Relay => {
                    let bytes = pair.server_output();
                    pair.tell_client(at(now), bytes.into());
                    let bytes = pair.client_output();
                    let _result = pair.server.handle_input(at(now), bytes.into());
                }
                Call::Wait(millis) => {
                    now += millis;
                    let _result = pair.client.handle_timeout(at(now));
                    let _result = pair.server.handle_timeout(at(now));
                }
                Call::Event => {
                    let _event = pair.server.poll_event();
                }
                Call::Authenticate(known) => {
                    let verifier = Verifier::new(&token(TOKEN), &tunnel("a"));
                    pair.server.authenticate(at(now), known.then_some(&verifier));
                }
                Call::Admit => {
                    let admitted = pair.endpoint.admit(at(now), &mut pair.server, Vec::new());
                    sessions += usize::from(admitted.is_ok());
                }
                Call::Refuse(code) => pair.server.refuse(at(now), Code(code), Duration::MAX),
                Call::AnswerAfter(millis) => pair.server.answer_after(at(millis)),
                Call::CountFrom(millis) => {
                    pair.client.count_from(at(millis));
                    pair.server.count_from(at(millis));
                }
            }
            prop_assert!(pair.server.memory() <= ServerHandshake::MEMORY_MAX);
        }
        prop_assert!(sessions <= 1);
        prop_assert_eq!(pair.endpoint.sessions().len(), sessions);
        // Without help from outside it ends by itself, soon.
        now = now.max(20_000);
        let _result = pair.client.handle_timeout(at(now));
        let _result = pair.server.handle_timeout(at(now));
        let _result = pair.server.handle_timeout(at(now + 5_000));
        prop_assert!(pair.ours.is_some() || pair.client.poll_timeout().is_none());
        prop_assert!(pair.server.poll_timeout().is_none());
    }
}

/// One call on a pair, by whomever.
#[derive(Clone, Debug)]
enum Call {
    Client(Vec<u8>),
    Server(Vec<u8>),
    /// All that each side has to say reaches the other.
    Relay,
    Wait(u64),
    Event,
    Authenticate(bool),
    Admit,
    Refuse(u64),
    AnswerAfter(u64),
    CountFrom(u64),
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        1 => input().prop_map(Call::Client),
        3 => input().prop_map(Call::Server),
        4 => Just(Call::Relay),
        1 => (0..4_000u64).prop_map(Call::Wait),
        1 => Just(Call::Event),
        2 => any::<bool>().prop_map(Call::Authenticate),
        2 => Just(Call::Admit),
        1 => (0..0x310u64).prop_map(Call::Refuse),
        1 => any::<u64>().prop_map(Call::AnswerAfter),
        1 => (0..9_000u64).prop_map(Call::CountFrom),
    ]
}

/// Bytes of a hostile peer: noise, or the head of a handshake frame and a body that begins well and is full of short entries.
fn input() -> impl Strategy<Value = Vec<u8>> {
    let frame = (1..=8u8, 0..16_384u16, any::<u8>()).prop_map(|(kind, len, fill)| {
        let len = usize::from(len);
        let mut bytes = vec![kind];
        bytes.extend_from_slice(&(0x8000_0000 | u32::try_from(len).unwrap_or(0)).to_be_bytes());
        bytes.resize(5 + len, fill);
        bytes
    });
    prop_oneof![
        vec(any::<u8>(), 0..100),
        frame,
        (0..=1_024usize, 0..=256usize).prop_map(|(services, labels)| crowded(services, labels)),
    ]
}

/// An AUTH that costs as much memory as it can.
fn crowded(services: usize, labels: usize) -> Vec<u8> {
    let service = |id| Service {
        id: ServiceId(id),
        kind: ServiceKind::Other(9),
        address: "x".into(),
    };
    Frame::Auth(adit_core::Auth {
        version: 1,
        nonce: [0; 32],
        tunnel: tunnel("a"),
        client_id: ClientId::new("h").expect("a name"),
        instance: Instance([0; 16]),
        features: 0,
        binding: None,
        limits: Config::default().limits(),
        resume_window_ms: 0,
        services: (0..services as u64).map(service).collect(),
        software: Some("y".repeat(5_000)),
        labels: vec![("k".into(), "v".into()); labels],
        proof: [0; 32],
    })
    .encoding()
}

fn read(bytes: &[u8]) -> Option<Frame> {
    let piece = adit_core::Decoder::default().decode(&mut Bytes::copy_from_slice(bytes));
    match piece {
        Ok(Some(piece @ Piece::Body { kind, .. })) => Frame::parse(kind, piece.body()).ok(),
        _ => None,
    }
}

#[test]
fn flipping_any_one_bit_of_the_handshake_gives_the_client_no_session() {
    for turn in 0..3 {
        let mut len = 0;
        Pair::new(&Setup::default()).run(|now, bytes| {
            if now == turn {
                len = bytes.len();
            }
            whole(bytes)
        });
        assert!(len > 40);
        for bit in 0..len * 8 {
            let mut pair = Pair::new(&Setup::default());
            pair.run(|now, bytes| {
                if now == turn {
                    bytes[bit / 8] ^= 1 << (bit % 8);
                }
                whole(bytes)
            });
            assert!(pair.ours.is_none(), "frame {turn}, bit {bit}");
            assert_eq!(pair.theirs.is_some(), turn == 2, "frame {turn}, bit {bit}");
        }
    }
}
