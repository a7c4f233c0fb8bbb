//! Two sessions of core that talk to each other, with as little between them as can be.

use super::Ready;
use adit_core::{
    Config, DATA_FRAME_MAX, Instant, Open, ServiceId, ServiceKind, Session, Side, StreamId,
};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// What is written at once.
static BULK: [u8; 4 * DATA_FRAME_MAX] = [7; 4 * DATA_FRAME_MAX];
/// Bytes of bulk on one stream.
const ALL: usize = 8 << 20;
/// Bytes of bulk on each of many.
const EACH: usize = 4 * BULK.len();
const VISITS: usize = 100;
const REQUEST: usize = 200;
const ANSWER: usize = 1_024;

/// A client that opens streams, and a server.
struct Pair {
    now: Instant,
    client: Session,
    server: Session,
}

impl Pair {
    fn new(streams: usize) -> (Self, Vec<StreamId>) {
        let config = Arc::new(Config {
            streams_max: 20_000,
            glitches_max: u32::MAX,
            ..Config::default()
        });
        let now = Instant::from_millis(1);
        let session = |side| {
            let session = Session::new(config.clone(), side, config.limits(), now);
            session.resumable(config.resume_window)
        };
        let mut pair = Self {
            now,
            client: session(Side::Client),
            server: session(Side::Server),
        };
        let ids = (0..streams).map(|_| pair.open()).collect();
        (pair, ids)
    }

    /// A stream that has carried a byte each way.
    fn open(&mut self) -> StreamId {
        let open = Open {
            kind: ServiceKind::Tcp,
            service: ServiceId(0),
            visitor: None,
            dialled: None,
        };
        let id = self.client.open(self.now, open).expect("room");
        self.say(Side::Client, id, &BULK[..1]);
        self.say(Side::Server, id, &BULK[..1]);
        id
    }

    /// Says something short, which is heard.
    fn say(&mut self, side: Side, id: StreamId, what: &'static [u8]) {
        let from = match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        };
        let taken = from.write(id, &mut Bytes::from_static(what));
        assert_eq!(taken, Ok(what.len()));
        self.exchange(id);
    }

    /// Carries what there is both ways, and takes what came on one stream.
    fn exchange(&mut self, id: StreamId) {
        self.now += Duration::from_micros(50);
        let now = self.now;
        carry(now, &mut self.client, &mut self.server);
        carry(now, &mut self.server, &mut self.client);
        for session in [&mut self.client, &mut self.server] {
            while session.poll_event().is_some() {}
            let len = session.chunks(id).map(<[u8]>::len).sum();
            session.consume(now, id, len);
            if session.poll_timeout().is_some_and(|at| at <= now) {
                session.handle_timeout(now);
            }
        }
    }

    /// Bulk on these streams, all of it on each before the next round.
    fn bulk(&mut self, streams: &[StreamId], each: usize) {
        let mut left = vec![each; streams.len()];
        while left.iter().any(|left| *left > 0) {
            for (id, left) in streams.iter().zip(&mut left) {
                let mut bulk = Bytes::from_static(&BULK[..BULK.len().min(*left)]);
                *left -= self.client.write(*id, &mut bulk).expect("it is open");
            }
            for id in streams {
                self.exchange(*id);
            }
        }
    }

    fn visit(&mut self) {
        let id = self.open();
        self.say(Side::Client, id, &BULK[..REQUEST]);
        self.say(Side::Server, id, &BULK[..ANSWER]);
        self.server.finish(id).expect("it is open");
        self.exchange(id);
        self.client.finish(id).expect("it is open");
        self.exchange(id);
        self.client.release(id);
        self.server.release(id);
    }
}

fn carry(now: Instant, from: &mut Session, to: &mut Session) {
    while let Some(frame) = from.poll_transmit(now, 16_384) {
        let head = Bytes::copy_from_slice(frame.head());
        for part in [head, frame.into_payload()] {
            let slab = part.len();
            to.handle_input(now, part, slab);
        }
    }
}

pub(crate) fn bulk_on_one(streams: usize) -> Ready {
    let (mut pair, ids) = Pair::new(streams);
    let one = [ids[streams / 2]];
    // Windows have grown by then.
    pair.bulk(&one, ALL);
    Ready {
        run: Box::new(move || pair.bulk(&one, ALL)),
        units: ALL,
    }
}

pub(crate) fn bulk_on_all(streams: usize) -> Ready {
    let (mut pair, ids) = Pair::new(streams);
    let each = EACH.max(ALL / streams).min(ALL).min((64 << 20) / streams);
    pair.bulk(&ids, each);
    Ready {
        run: Box::new(move || pair.bulk(&ids, each)),
        units: each * streams,
    }
}

pub(crate) fn visit(streams: usize) -> Ready {
    let (mut pair, _) = Pair::new(streams);
    pair.visit();
    Ready {
        run: Box::new(move || (0..VISITS).for_each(|_| pair.visit())),
        units: VISITS,
    }
}

pub(crate) fn bulk_in_sessions(sessions: usize) -> Ready {
    let mut pairs: Vec<_> = (0..sessions).map(|_| Pair::new(1)).collect();
    let mut run = move || {
        for (pair, ids) in &mut pairs {
            pair.bulk(ids, EACH);
        }
    };
    run();
    Ready {
        run: Box::new(run),
        units: sessions * EACH,
    }
}

pub(crate) fn visit_in_sessions(sessions: usize) -> Ready {
    let mut pairs: Vec<_> = (0..sessions).map(|_| Pair::new(1)).collect();
    let mut run = move || pairs.iter_mut().for_each(|(pair, _)| pair.visit());
    run();
    Ready {
        run: Box::new(run),
        units: sessions,
    }
}
