//! Sessions that outlive their carriers: no byte lost, doubled or reordered, wherever a carrier is cut (`million.rs`: however often).

use std::sync::Arc;
use std::time::Duration;

use adit_core::{Config, Event, Instant, Limits, Session, Side, StreamId};
use adit_proptests::Ledger;
use adit_proptests::carriers::{Carriers, Cut};
use adit_proptests::pair::any_open;
use adit_proptests::pipe::Shape;
use bytes::Bytes;

fn config() -> Arc<Config> {
    Arc::new(Config {
        replay: 1 << 20,
        ..Config::default()
    })
}

fn shape() -> Shape {
    Shape {
        latency: Duration::from_millis(20),
        ..Shape::default()
    }
}

/// Two that have met.
fn met(config: &Arc<Config>, shape: Shape, seed: u64) -> Carriers {
    let mut carriers = Carriers::new(config, shape, seed);
    carriers.run(Duration::from_millis(500));
    assert!(carriers.is_attached(), "{:?}", carriers.failures);
    carriers
}

/// Writes what there is room for, out of the next `len` bytes of the stream; says how much.
fn write(
    carriers: &mut Carriers,
    ledger: &mut Ledger,
    side: Side,
    id: StreamId,
    len: usize,
) -> usize {
    let Some(session) = carriers.session(side) else {
        return 0;
    };
    let len = len.min(session.write_space(id));
    let mut data = ledger.next_bytes(id, side, len);
    let wrote = session.write(id, &mut data).unwrap_or(0);
    ledger.wrote(id, side, wrote);
    wrote
}

fn read(
    carriers: &mut Carriers,
    ledger: &mut Ledger,
    side: Side,
    id: StreamId,
    most: usize,
) -> usize {
    let now = carriers.now;
    let Some(session) = carriers.session(side) else {
        return 0;
    };
    let mut bytes = Vec::new();
    for chunk in session.chunks(id) {
        bytes.extend_from_slice(&chunk[..chunk.len().min(most - bytes.len())]);
    }
    session.consume(now, id, bytes.len());
    ledger.took(id, side.peer(), &bytes);
    bytes.len()
}

/// One stream from the server, `up` bytes to the server and `down` to the client; what is still to go.
struct Exchange {
    ledger: Ledger,
    id: StreamId,
    /// By sender: the client, the server.
    left: [usize; 2],
    read: [usize; 2],
    finished: [bool; 2],
}

impl Exchange {
    fn new(carriers: &mut Carriers, up: usize, down: usize) -> Self {
        let now = carriers.now;
        let session = carriers.server.as_mut().expect("met");
        Self {
            ledger: Ledger::default(),
            id: session.open(now, any_open()).expect("a stream"),
            left: [up, down],
            read: [0, 0],
            finished: [false, false],
        }
    }

    /// Everything that the applications can do now.
    fn work(&mut self, carriers: &mut Carriers) {
        for side in [Side::Client, Side::Server] {
            let at = side as usize;
            let wrote = write(carriers, &mut self.ledger, side, self.id, self.left[at]);
            self.left[at] -= wrote;
            self.read[at] += read(carriers, &mut self.ledger, side, self.id, usize::MAX);
            if self.left[at] == 0
                && !self.finished[at]
                && let Some(session) = carriers.session(side)
            {
                self.finished[at] = session.finish(self.id).is_ok();
            }
        }
    }

    fn is_over(&self, carriers: &Carriers) -> bool {
        let finished = |session: &Option<Session>| {
            session
                .as_ref()
                .is_some_and(|it| it.is_read_finished(self.id))
        };
        finished(&carriers.client) && finished(&carriers.server)
    }

    /// Works until both halves are finished and read.
    fn run(&mut self, carriers: &mut Carriers, most: Duration) {
        let end = carriers.now + most;
        while !self.is_over(carriers) {
            loop {
                self.work(carriers);
                if !carriers.exchange() {
                    break;
                }
            }
            assert!(
                carriers.now < end,
                "not over: {:?} left, {:?} read, failures {:?}",
                self.left,
                self.read,
                carriers.failures
            );
            carriers.advance(end - carriers.now);
        }
    }
}

#[test]
fn a_transfer_goes_on_over_a_carrier_that_is_cut_in_every_way() {
    let cuts = [
        Cut::Reset,
        Cut::After {
            down: 5_000,
            up: 70,
        },
        Cut::Silence,
        Cut::UpStalls,
        Cut::DownStalls,
    ];
    for (seed, cut) in cuts.into_iter().enumerate() {
        let mut carriers = met(&config(), shape(), seed as u64);
        let mut exchange = Exchange::new(&mut carriers, 3_000_000, 3_000_000);
        exchange.work(&mut carriers);
        carriers.run(Duration::from_millis(30));
        carriers.cut(cut);
        exchange.run(&mut carriers, Duration::from_secs(60));
        assert_eq!(exchange.read, [3_000_000, 3_000_000], "{cut:?}");
        let resumes = |session: &Option<Session>| session.as_ref().map(|it| it.stats().resumes);
        assert_eq!(resumes(&carriers.client), Some(1), "{cut:?}");
        assert_eq!(resumes(&carriers.server), Some(1), "{cut:?}");
        assert_eq!(carriers.failures, []);
    }
}

/// A short exchange with every kind of frame, whose first carrier is cut after `down` and `up` bytes.
fn cut_exchange(config: &Arc<Config>, shape: Shape, down: usize, up: usize) -> Carriers {
    let mut carriers = met(config, shape, 7);
    let mut exchange = Exchange::new(&mut carriers, 100, 150);
    carriers.cut_when(down, up);
    exchange.run(&mut carriers, Duration::from_secs(60));
    assert_eq!(exchange.read, [150, 100], "cut at {down}, {up}");
    carriers
}

#[test]
fn an_exchange_cut_at_every_pair_of_bytes_is_whole() {
    let config = config();
    let shape = Shape {
        latency: Duration::from_millis(1),
        piece_max: 64,
        ..Shape::default()
    };
    // How long it is, both ways, where nothing is cut.
    let mut cut = 0;
    for down in 0..300 {
        for up in 0..300 {
            let carriers = cut_exchange(&config, shape, down, up);
            cut += usize::from(carriers.dialled() > 1);
        }
    }
    assert!(cut > 10_000, "{cut} of the exchanges were cut");
}

#[test]
fn a_resume_that_is_cut_at_every_pair_of_bytes_twice_in_a_row_comes_through_in_the_end() {
    let config = config();
    let shape = Shape {
        latency: Duration::from_millis(1),
        piece_max: 64,
        ..Shape::default()
    };
    // How many of both attempts came to nothing, and how many went on for a while.
    let (mut failed, mut resumed) = (0, 0);
    for down in 0..170 {
        for up in 0..150 {
            let mut carriers = met(&config, shape, 7);
            let mut exchange = Exchange::new(&mut carriers, 100, 150);
            exchange.work(&mut carriers);
            carriers.run(Duration::from_micros(1_500));
            carriers.cut(Cut::After { down: 90, up: 60 });
            carriers.cut_next_when(down, up);
            carriers.cut_next_when(down, up);
            exchange.run(&mut carriers, Duration::from_secs(60));
            assert_eq!(exchange.read, [150, 100], "cut at {down}, {up}");
            match carriers.client.as_ref().map(|it| it.stats().resumes) {
                Some(1) => failed += 1,
                _ => resumed += 1,
            }
        }
    }
    println!("{failed} with no resume before the last, {resumed} with some");
    assert!(failed > 10_000 && resumed > 1_000);
}

#[test]
fn nothing_is_kept_and_the_session_ends_with_its_carrier_where_resumption_is_off() {
    let mut carriers = met(
        &Arc::new(Config {
            replay: 0,
            ..Config::default()
        }),
        shape(),
        3,
    );
    let mut exchange = Exchange::new(&mut carriers, 100_000, 100_000);
    exchange.work(&mut carriers);
    carriers.run(Duration::from_millis(15));
    let held = carriers.server.as_ref().map(Session::memory);
    assert!(held < Some(200_000), "{held:?}");
    carriers.cut(Cut::Reset);
    carriers.settle();
    for side in [Side::Client, Side::Server] {
        let closed = |event: &Event| matches!(event, Event::Closed(_));
        assert!(carriers.take_events(side).iter().any(closed), "{side:?}");
    }
}

#[test]
fn a_session_that_is_not_resumed_in_its_window_ends_on_both_sides() {
    let mut carriers = met(&config(), shape(), 4);
    carriers.redials = false;
    carriers.cut(Cut::Reset);
    carriers.run(Duration::from_secs(59));
    for side in [Side::Client, Side::Server] {
        let session = carriers.session(side).expect("met");
        assert!(!session.is_closed() && !session.is_attached());
    }
    carriers.run(Duration::from_secs(2));
    for side in [Side::Client, Side::Server] {
        let closed = |event: &Event| matches!(event, Event::Closed(_));
        assert!(carriers.take_events(side).iter().any(closed), "{side:?}");
    }
}

#[test]
fn the_first_proof_wins_where_a_second_carrier_is_dialled_beside_a_silent_one() {
    let mut carriers = met(&config(), shape(), 5);
    let mut exchange = Exchange::new(&mut carriers, 1_000_000, 1_000_000);
    exchange.work(&mut carriers);
    carriers.run(Duration::from_millis(30));
    exchange.work(&mut carriers);
    carriers.settle();
    carriers.cut(Cut::DownStalls);
    let suspect = carriers
        .client
        .as_ref()
        .and_then(Session::suspect_at)
        .expect("data under way");
    carriers.run(suspect - carriers.now);
    assert!(carriers.is_attached(), "nobody knows yet");
    carriers.dial();
    let before = carriers.now;
    exchange.run(&mut carriers, Duration::from_secs(30));
    assert!(carriers.now - before < Duration::from_secs(3));
    assert_eq!(exchange.read, [1_000_000, 1_000_000]);
    assert_eq!(
        carriers.client.as_ref().map(|it| it.stats().resumes),
        Some(1)
    );
}

#[test]
fn while_detached_a_session_takes_nothing_to_send_and_says_when_it_does_again() {
    let mut carriers = met(&config(), shape(), 6);
    let mut exchange = Exchange::new(&mut carriers, 10, 10);
    exchange.work(&mut carriers);
    carriers.run(Duration::from_millis(100));
    carriers.redials = false;
    carriers.cut(Cut::Reset);
    carriers.settle();
    let id = exchange.id;
    let session = carriers.server.as_mut().expect("met");
    assert_eq!(session.write_space(id), 0);
    let mut data = Bytes::from_static(b"late");
    assert!(session.write(id, &mut data).is_err() || data.len() == 4);
    let opened = session
        .open(carriers.now, any_open())
        .expect("held until there is a carrier");
    carriers.take_events(Side::Server);
    carriers.take_events(Side::Client);
    carriers.redials = true;
    carriers.run(Duration::from_secs(1));
    assert!(
        carriers
            .server
            .as_ref()
            .is_some_and(|it| it.write_space(opened) > 0)
    );
    assert!(
        carriers
            .take_events(Side::Server)
            .contains(&Event::Writable(opened))
    );
    let opened_there = |event: &Event| matches!(event, Event::Opened { id, .. } if *id == opened);
    assert!(carriers.take_events(Side::Client).iter().any(opened_there));
}

#[test]
fn a_detached_session_keeps_no_more_alive_of_what_it_was_given_than_it_counts() {
    let (config, now) = (config(), Instant::from_millis(1));
    let limits = Limits {
        stream_credit: 1 << 20,
        ..config.limits()
    };
    let window = Duration::from_secs(60);
    let mut session = Session::new(config, Side::Server, limits, now).resumable(window);
    let id = session.open(now, any_open()).expect("there is room");
    // A few bytes of it are kept to be sent again, and a few wait to be sent.
    let buffer = Bytes::from(vec![7; 1 << 20]);
    for written in [4_000, 5_000] {
        let wrote = session.write(id, &mut buffer.slice(..written));
        assert_eq!(wrote, Ok(written));
        while written == 4_000 && session.poll_transmit(now, 16_384).is_some() {}
    }
    assert!(!buffer.is_unique());
    session.handle_carrier_lost(now);
    assert!(buffer.is_unique());
    // The payload, and the chunk that small frames share.
    let memory = session.memory();
    assert!((9_000..30_000).contains(&memory), "{memory} bytes");
}
