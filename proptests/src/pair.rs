//! A client's and a server's session, joined by two pipes, on one virtual clock.

use std::sync::Arc;
use std::time::Duration;

use adit_core::{Config, Event, Instant, Open, ServiceId, ServiceKind, Session, Side, StreamId};
use bytes::Bytes;

use crate::pipe::{Pipe, Shape};
use crate::random::Random;

/// One side of a [`Pair`].
#[derive(Debug)]
pub struct Peer {
    /// Its session.
    pub session: Session,
    /// What it sends goes in here.
    pub pipe: Pipe,
    /// What it was told and has not looked at.
    pub events: Vec<Event>,
}

/// Two sessions that talk to each other.
#[derive(Debug)]
pub struct Pair {
    /// The present.
    pub now: Instant,
    /// The client.
    pub client: Peer,
    /// The server.
    pub server: Peer,
    random: Random,
}

/// What an application asks for when a test does not care.
#[must_use]
pub const fn any_open() -> Open {
    Open {
        kind: ServiceKind::Tcp,
        service: ServiceId(0),
        visitor: None,
        dialled: None,
    }
}

impl Pair {
    /// An open session over pipes of `shape`, both ways.
    #[must_use]
    pub fn new(config: &Arc<Config>, shape: Shape, seed: u64) -> Self {
        let now = Instant::from_millis(1);
        let peer = |side, salt| Peer {
            session: Session::new(config.clone(), side, config.limits(), now),
            pipe: Pipe::new(shape, seed ^ salt),
            events: Vec::new(),
        };
        Self {
            now,
            client: peer(Side::Client, 1),
            server: peer(Side::Server, 2),
            random: Random::new(seed),
        }
    }

    /// The peer on `side`.
    pub const fn peer(&mut self, side: Side) -> &mut Peer {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    /// Opens a stream from `side`.
    pub fn open(&mut self, side: Side) -> Option<StreamId> {
        let now = self.now;
        self.peer(side).session.open(now, any_open()).ok()
    }

    /// Writes `data` as far as there is room; says how much went.
    pub fn write(&mut self, side: Side, id: StreamId, data: &[u8]) -> usize {
        let mut data = Bytes::copy_from_slice(data);
        self.peer(side).session.write(id, &mut data).unwrap_or(0)
    }

    /// Takes up to `n` received bytes.
    pub fn read(&mut self, side: Side, id: StreamId, n: usize) -> Vec<u8> {
        let now = self.now;
        let session = &mut self.peer(side).session;
        let mut bytes = Vec::new();
        for chunk in session.chunks(id) {
            bytes.extend_from_slice(&chunk[..chunk.len().min(n - bytes.len())]);
        }
        session.consume(now, id, bytes.len());
        bytes
    }

    /// Moves what can be moved at this instant; whether anything moved.
    pub fn exchange(&mut self) -> bool {
        let mut moved = false;
        let now = self.now;
        for side in [Side::Client, Side::Server] {
            let limit = self.random.between(512, 16_384);
            let peer = self.peer(side);
            while peer.pipe.room() >= limit {
                let Some(frame) = peer.session.poll_transmit(now, limit) else {
                    break;
                };
                assert!(
                    frame.len() <= limit,
                    "a frame of {} for {limit}",
                    frame.len()
                );
                peer.pipe
                    .push(now, [frame.head(), frame.payload()].concat().into());
                moved = true;
            }
            while let Some(bytes) = self.peer(side).pipe.pop(now) {
                let slab = bytes.len();
                self.peer(side.peer())
                    .session
                    .handle_input(now, bytes, slab);
                moved = true;
            }
            let peer = self.peer(side);
            while let Some(event) = peer.session.poll_event() {
                peer.events.push(event);
                moved = true;
            }
        }
        moved
    }

    /// Goes to the next moment at which something happens by itself, at most `most` away.
    pub fn advance(&mut self, most: Duration) {
        let peers = [&self.client, &self.server];
        let timeouts = peers.iter().filter_map(|peer| peer.session.poll_timeout());
        let arrivals = peers.iter().filter_map(|peer| peer.pipe.due());
        let next = timeouts.chain(arrivals).min().unwrap_or(self.now + most);
        self.now = next
            .max(self.now + Duration::from_micros(1))
            .min(self.now + most);
        let now = self.now;
        self.client.session.handle_timeout(now);
        self.server.session.handle_timeout(now);
    }

    /// Runs for `time`.
    ///
    /// # Panics
    ///
    /// If the two never come to rest at one instant: each step is bounded.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            let mut rounds = 0;
            while self.exchange() {
                rounds += 1;
                assert!(rounds < 100_000, "no rest at {}", self.now);
            }
            self.advance(end - self.now);
        }
    }
}
