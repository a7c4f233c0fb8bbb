//! Properties of two sessions that talk over any carrier: exact delivery, bounded memory, nothing stuck, any order of calls.

use std::sync::Arc;
use std::time::Duration;

use adit_core::{Code, Config, Event, Side, StreamId};
use adit_proptests::pipe::Shape;
use adit_proptests::{Ledger, Pair, Random};
use proptest::collection::vec;
use proptest::prelude::*;

/// What an application may do, at any time, to any of its streams.
#[derive(Clone, Debug)]
enum Op {
    Open(Side),
    Write {
        side: Side,
        stream: usize,
        len: usize,
    },
    Read {
        side: Side,
        stream: usize,
        len: usize,
    },
    Finish {
        side: Side,
        stream: usize,
    },
    Reset {
        side: Side,
        stream: usize,
    },
    Release {
        side: Side,
        stream: usize,
    },
    GoAway(Side),
    Ping(Side),
    Exchange,
    Run {
        ms: u64,
    },
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Client), Just(Side::Server)]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => side().prop_map(Op::Open),
        12 => (side(), 0..8usize, 1..90_000usize).prop_map(|(side, stream, len)| Op::Write { side, stream, len }),
        10 => (side(), 0..8usize, 1..90_000usize).prop_map(|(side, stream, len)| Op::Read { side, stream, len }),
        2 => (side(), 0..8usize).prop_map(|(side, stream)| Op::Finish { side, stream }),
        1 => (side(), 0..8usize).prop_map(|(side, stream)| Op::Reset { side, stream }),
        1 => (side(), 0..8usize).prop_map(|(side, stream)| Op::Release { side, stream }),
        1 => side().prop_map(Op::Ping),
        6 => Just(Op::Exchange),
        6 => (0..200u64).prop_map(|ms| Op::Run { ms }),
    ]
}

fn small_config() -> Config {
    Config {
        streams_max: 6,
        stream_credit: 512,
        stream_window_first: 4_096,
        stream_window_max: 64 * 1024,
        session_pool: 100 * 1024,
        send_buffer_stream: 20_000,
        send_buffer_session: 60_000,
        ..Config::default()
    }
}

fn shape() -> impl Strategy<Value = Shape> {
    (
        0..80u64,
        20_000..200_000usize,
        prop_oneof![1..4usize, 1..20_000usize],
    )
        .prop_map(|(ms, capacity, piece_max)| Shape {
            latency: Duration::from_millis(ms),
            capacity,
            piece_max,
        })
}

/// A pair, what it should carry, and the streams it has.
struct Run {
    pair: Pair,
    ledger: Ledger,
    streams: Vec<StreamId>,
    /// Events other than resets.
    seen: Vec<(Side, Event)>,
    config: Arc<Config>,
}

impl Run {
    fn new(config: Config, shape: Shape, seed: u64) -> Self {
        let config = Arc::new(config);
        let pair = Pair::new(&config, shape, seed);
        Self {
            pair,
            ledger: Ledger::default(),
            streams: Vec::new(),
            seen: Vec::new(),
            config,
        }
    }

    fn stream(&self, index: usize) -> Option<StreamId> {
        self.streams.get(index % self.streams.len().max(1)).copied()
    }

    fn write(&mut self, side: Side, id: StreamId, len: usize) -> usize {
        let space = self.pair.peer(side).session.write_space(id);
        let data = self.ledger.next_bytes(id, side, len.min(space + 10));
        let wrote = self.pair.write(side, id, &data);
        assert!(wrote <= space);
        self.ledger.wrote(id, side, wrote);
        wrote
    }

    fn read(&mut self, side: Side, id: StreamId, len: usize) -> usize {
        let bytes = self.pair.read(side, id, len);
        self.ledger.took(id, side.peer(), &bytes);
        bytes.len()
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Open(side) => self.streams.extend(self.pair.open(side)),
            Op::Exchange => drop(self.pair.exchange()),
            Op::Run { ms } => self.pair.run(Duration::from_millis(ms)),
            Op::Ping(side) => {
                let now = self.pair.now;
                self.pair.peer(side).session.ping(now);
            }
            Op::GoAway(side) => {
                let now = self.pair.now;
                self.pair.peer(side).session.go_away(now, Duration::ZERO);
            }
            Op::Write { side, stream, len } => {
                if let Some(id) = self.stream(stream) {
                    self.write(side, id, len);
                }
            }
            Op::Read { side, stream, len } => {
                if let Some(id) = self.stream(stream) {
                    self.read(side, id, len);
                }
            }
            Op::Finish { side, stream } => {
                if let Some(id) = self.stream(stream)
                    && self.pair.peer(side).session.finish(id).is_ok()
                {
                    self.ledger.entry(id, side).finished = true;
                }
            }
            Op::Reset { side, stream } => {
                if let Some(id) = self.stream(stream) {
                    self.pair.peer(side).session.reset(id, Code::CANCELLED);
                    self.ledger.reset(id);
                }
            }
            Op::Release { side, stream } => {
                // Mostly an abort, and at times the end of a stream that is done: neither may lose anything for the others.
                if let Some(id) = self.stream(stream) {
                    self.pair.peer(side).session.release(id);
                    self.ledger.reset(id);
                }
            }
        }
        self.check();
    }

    /// An application that is told of a reset lets go of the stream. At the limit of streams the peer may reset a stream that was just opened.
    fn see_to_resets(&mut self) {
        for side in [Side::Client, Side::Server] {
            let events = std::mem::take(&mut self.pair.peer(side).events);
            for event in events {
                if let Event::Reset { id, .. } = event {
                    self.ledger.reset(id);
                    self.pair.peer(side).session.release(id);
                } else {
                    self.seen.push((side, event));
                }
            }
        }
    }

    fn check(&mut self) {
        self.see_to_resets();
        for peer in [&self.pair.client, &self.pair.server] {
            let (memory, bound) = (peer.session.memory() as u64, self.config.memory_bound());
            assert!(memory <= bound, "{memory} of at most {bound}");
            assert!(!peer.session.is_closed(), "{:?}", self.seen.last());
        }
    }

    /// Reads and runs until nothing is left to be delivered, then checks that everything was.
    fn settle(&mut self) {
        let mut idle = 0;
        while idle < 3 {
            self.pair.run(Duration::from_millis(400));
            let mut moved = 0;
            for side in [Side::Client, Side::Server] {
                for id in self.streams.clone() {
                    moved += self.read(side, id, usize::MAX);
                }
            }
            idle = if moved == 0 { idle + 1 } else { 0 };
            self.check();
        }
        for (id, from, entry) in self.ledger.iter() {
            if entry.reset {
                continue;
            }
            assert_eq!(
                entry.taken, entry.written,
                "stream {id} from {from:?} is stuck"
            );
            let receiver = match from {
                Side::Client => &self.pair.server.session,
                Side::Server => &self.pair.client.session,
            };
            assert_eq!(
                receiver.is_read_finished(id),
                entry.finished,
                "the end of {id} from {from:?}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_stream_delivers_exactly_what_was_written_whatever_the_order_of_calls(
        ops in vec(op(), 1..120),
        shape in shape(),
        seed in any::<u64>(),
    ) {
        let mut run = Run::new(small_config(), shape, seed);
        for op in &ops {
            run.apply(op);
        }
        run.settle();
    }

    #[test]
    fn with_the_shipped_limits_bulk_in_both_directions_arrives_whole(
        shape in shape(),
        seed in any::<u64>(),
        totals in vec(1..600_000usize, 1..6),
    ) {
        let mut run = Run::new(Config::default(), shape, seed);
        let mut random = Random::new(seed);
        for _ in &totals {
            let side = if random.one_in(2) { Side::Client } else { Side::Server };
            run.streams.extend(run.pair.open(side));
        }
        let mut left: Vec<[usize; 2]> = totals.iter().map(|&total| [total, total / 2]).collect();
        let mut rounds = 0;
        while left.iter().flatten().any(|&left| left > 0) {
            for (index, left) in left.iter_mut().enumerate() {
                for (side, left) in [Side::Client, Side::Server].into_iter().zip(left) {
                    let id = run.streams[index];
                    *left -= run.write(side, id, (*left).min(100_000));
                    run.read(side, id, random.between(1, 200_000));
                }
            }
            run.pair.run(Duration::from_millis(50));
            rounds += 1;
            prop_assert!(rounds < 5_000, "stuck with {left:?} left");
        }
        run.settle();
    }

    #[test]
    fn a_session_that_is_asked_to_go_away_drains_and_says_so(
        ops in vec(op(), 1..40),
        shape in shape(),
        seed in any::<u64>(),
        leaver in side(),
    ) {
        let mut run = Run::new(small_config(), shape, seed);
        for op in &ops {
            run.apply(op);
        }
        run.apply(&Op::GoAway(leaver));
        run.settle();
        prop_assert_eq!(run.pair.open(leaver), None);
        prop_assert_eq!(run.pair.open(leaver.peer()), None);
        for stream in 0..run.streams.len() {
            run.apply(&Op::Finish { side: Side::Client, stream });
            run.apply(&Op::Finish { side: Side::Server, stream });
        }
        run.settle();
        for id in run.streams.clone() {
            for side in [Side::Client, Side::Server] {
                run.pair.peer(side).session.release(id);
            }
        }
        run.pair.run(Duration::from_secs(1));
        run.check();
        prop_assert!(run.seen.contains(&(leaver, Event::Drained)));
    }
}

#[test]
fn a_deadline_that_was_seen_to_is_not_named_again() {
    let config = Arc::new(Config::default());
    let mut pair = Pair::new(&config, Shape::default(), 7);
    let id = pair.open(Side::Server).expect("room for one");
    for _ in 0..2_000 {
        pair.write(Side::Server, id, &[1; 100]);
        while pair.exchange() {}
        pair.read(Side::Client, id, 100);
        while pair.exchange() {}
        for peer in [&pair.client, &pair.server] {
            let next = peer
                .session
                .poll_timeout()
                .expect("an open session has deadlines");
            assert!(next > pair.now, "{next} at {}", pair.now);
        }
        pair.advance(Duration::from_millis(60));
    }
}

#[test]
fn a_stream_that_was_reset_behind_its_end_never_looks_as_if_it_had_ended_well() {
    let mut pair = Pair::new(&Arc::new(Config::default()), Shape::default(), 1);
    let id = pair.open(Side::Client).expect("room");
    pair.write(Side::Client, id, b"not all of this is read");
    pair.client.session.finish(id).expect("an open stream");
    pair.run(Duration::from_millis(15));
    assert_eq!(pair.read(Side::Server, id, 3), b"not");
    pair.client.session.reset(id, Code::CANCELLED);
    pair.run(Duration::from_millis(15));
    assert!(pair.server.session.chunks(id).next().is_none());
    assert!(!pair.server.session.is_read_finished(id));
}
