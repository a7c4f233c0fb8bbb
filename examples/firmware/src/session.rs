//! The session: limits for a small device, the handshake, and the exchange.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use adit_core::{
    CarrierFacts, ClientHandshake, ClientHello, ClientId, Config, Endpoint, Event, Grant,
    HandshakeEvent, Instance, Instant, Open, ServerFacts, ServiceId, ServiceKind, Session,
    StreamId, Token, Transmit, TunnelName, Verifier,
};
use bytes::Bytes;

/// The longest frame that the line takes at once.
const FRAME_MAX: usize = 256;

/// What goes each way in each stream.
const STREAM_BYTES: usize = 8 * 1024;

const STREAMS: usize = 2;

type Outcome<T> = Result<T, &'static str>;

/// What a device gives: four streams of 1 KiB, and nothing is kept for a resume.
fn config() -> Config {
    Config {
        streams_max: 4,
        stream_credit: 1024,
        stream_window_first: 1024,
        stream_window_max: 1024,
        session_pool: 0,
        send_buffer_stream: 1024,
        send_buffer_session: 2048,
        replay: 0,
        handshakes_max: 1,
        sessions_max: 1,
        ..Config::default()
    }
}

/// Hands over what one side sends. It takes a step's time, as on a line.
fn carry(
    now: &mut Instant,
    next: &mut dyn FnMut(Instant) -> Option<Transmit>,
    to: &mut dyn FnMut(Instant, Bytes),
) {
    while let Some(frame) = next(*now) {
        *now += Duration::from_micros(100);
        for part in [frame.head(), frame.payload()] {
            if !part.is_empty() {
                to(*now, Bytes::copy_from_slice(part));
            }
        }
    }
}

fn established(config: &Arc<Config>, now: &mut Instant) -> Outcome<(Session, Session)> {
    let token = Token::new(b"3q2-7wEjRWeJq83vEjRWeA").map_err(|_| "the token")?;
    let tunnel = TunnelName::new("attic").map_err(|_| "the name of the tunnel")?;
    let verifier = Verifier::new(&token, &tunnel);
    // A real device takes these from its source of randomness.
    let mut endpoint = Endpoint::new(Arc::clone(config), [1; 32]);
    let facts = ServerFacts {
        exporter: None,
        tls_here: false,
        binding: false,
        server_name: String::new(),
        software: String::new(),
    };
    let mut server = endpoint.accept(*now, facts).map_err(|_| "a handshake")?;
    let hello = ClientHello {
        tunnel,
        client_id: ClientId::new("kitchen").map_err(|_| "the client's id")?,
        instance: Instance([3; 16]),
        services: Vec::new(),
        labels: Vec::new(),
        software: String::new(),
    };
    let facts = CarrierFacts {
        exporter: None,
        tls: false,
        certificate_checked: false,
    };
    let mut client = ClientHandshake::new(Arc::clone(config), &token, hello, facts, [2; 32], *now);
    let mut host: Option<Session> = None;
    for _ in 0..16 {
        let mut failed = false;
        let mut to_client = |now, bytes| failed |= client.handle_input(now, bytes).is_err();
        carry(
            now,
            &mut |now| server.poll_transmit(now, FRAME_MAX),
            &mut to_client,
        );
        if let Some(host) = &mut host {
            carry(
                now,
                &mut |now| host.poll_transmit(now, FRAME_MAX),
                &mut to_client,
            );
        }
        let mut to_server = |now, bytes| failed |= server.handle_input(now, bytes).is_err();
        carry(
            now,
            &mut |now| client.poll_transmit(now, FRAME_MAX),
            &mut to_server,
        );
        if failed {
            return Err("the handshake failed");
        }
        match server.poll_event() {
            Some(HandshakeEvent::Authenticate { .. }) => server.authenticate(*now, Some(&verifier)),
            Some(HandshakeEvent::Admit(request)) => {
                let asked = request.services.into_iter();
                let grants = asked.map(|service| Grant {
                    id: service.id,
                    result: Ok(service.address),
                });
                let admitted = endpoint.admit(*now, &mut server, grants.collect());
                host = Some(admitted.map_err(|_| "no place for a session")?.session);
            }
            Some(_) => return Err("the client was refused"),
            None => {}
        }
        if host.is_some()
            && let Some(established) = client.poll_established(*now)
        {
            return Ok((host.ok_or("a session")?, established.session));
        }
    }
    Err("the handshake did not end")
}

/// The byte at a place of a stream.
fn byte(stream: usize, at: usize) -> u8 {
    (at * 7 + stream * 31) as u8
}

/// How far one side is with its streams.
#[derive(Default)]
struct Progress {
    written: usize,
    read: usize,
    finished: bool,
    ended: bool,
}

/// Writes and reads what it can; `false` if a wrong byte came.
fn work(now: Instant, session: &mut Session, streams: &mut BTreeMap<StreamId, Progress>) -> bool {
    for (number, (id, progress)) in streams.iter_mut().enumerate() {
        let space = session
            .write_space(*id)
            .min(STREAM_BYTES - progress.written)
            .min(FRAME_MAX);
        if space > 0 {
            let places = progress.written..progress.written + space;
            let mut data = Bytes::from(places.map(|at| byte(number, at)).collect::<Vec<u8>>());
            progress.written += session.write(*id, &mut data).unwrap_or(0);
        }
        if progress.written == STREAM_BYTES && !progress.finished {
            progress.finished = session.finish(*id).is_ok();
        }
        let mut came = 0;
        for chunk in session.chunks(*id) {
            for got in chunk {
                if *got != byte(number, progress.read + came) {
                    return false;
                }
                came += 1;
            }
        }
        progress.read += came;
        session.consume(now, *id, came);
        progress.ended = session.is_read_finished(*id);
    }
    true
}

/// Everything. How many bytes came whole.
pub fn run() -> Outcome<usize> {
    let config = Arc::new(config());
    config
        .validate()
        .map_err(|_| "limits that do not fit each other")?;
    let mut now = Instant::ORIGIN + Duration::from_secs(1);
    let (mut host, mut client) = established(&config, &mut now)?;
    let (mut of_host, mut of_client) = (BTreeMap::new(), BTreeMap::new());
    for _ in 0..STREAMS {
        let open = Open {
            kind: ServiceKind::Tcp,
            service: ServiceId(0),
            visitor: None,
            dialled: None,
        };
        let id = host.open(now, open).map_err(|_| "no stream")?;
        of_host.insert(id, Progress::default());
    }
    for _ in 0..100_000 {
        let right = work(now, &mut host, &mut of_host) && work(now, &mut client, &mut of_client);
        if !right {
            return Err("other bytes came than were sent");
        }
        carry(
            &mut now,
            &mut |now| host.poll_transmit(now, FRAME_MAX),
            &mut |now, bytes| {
                let held = bytes.len();
                client.handle_input(now, bytes, held);
            },
        );
        carry(
            &mut now,
            &mut |now| client.poll_transmit(now, FRAME_MAX),
            &mut |now, bytes| {
                let held = bytes.len();
                host.handle_input(now, bytes, held);
            },
        );
        while let Some(event) = client.poll_event() {
            match event {
                Event::Opened { id, .. } => {
                    of_client.insert(id, Progress::default());
                }
                Event::Closed(_) | Event::Detached(_) | Event::Reset { .. } => {
                    return Err("the client's side ended");
                }
                _ => {}
            }
        }
        while host.poll_event().is_some() {}
        for session in [&mut host, &mut client] {
            if session.poll_timeout().is_some_and(|at| at <= now) {
                session.handle_timeout(now);
            }
        }
        now += Duration::from_millis(1);
        let sides = [&of_host, &of_client];
        if of_client.len() == STREAMS && sides.iter().all(|side| side.values().all(|it| it.ended)) {
            return Ok(sides
                .iter()
                .flat_map(|side| side.values())
                .map(|it| it.read)
                .sum());
        }
    }
    Err("it did not come to an end")
}
