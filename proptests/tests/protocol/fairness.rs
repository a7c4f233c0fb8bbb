//! A stream that sends little now and then beside streams that send all they can: how long it waits, in bytes that others send first.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use adit_core::{Config, Decoder, Instant, Limits, Piece, Session, Side, StreamId, Transmit, kind};
use adit_proptests::Random;
use adit_proptests::pair::any_open;
use adit_proptests::wire::{frame, varint};
use bytes::Bytes;

/// What a stream may send per turn (spec/05-streams.md, section 5.5).
const QUANTUM: usize = 16_320;

/// The same on a path that carries as much in a millisecond.
const QUANTUM_FAST: usize = 4 * QUANTUM;

/// Quanta that others send before a stream that was silent for a whole round: at most the turn that has begun.
const WAIT_WHEN_SPARSE: usize = 1;

/// Quanta that each other stream sends before one that was not, or that has just got credit: everybody's turn comes once a round.
const WAIT_PER_STREAM: usize = 1;

struct Sender {
    now: Instant,
    session: Session,
    bulk: Vec<StreamId>,
    sparse: StreamId,
    /// What each bulk stream may send in all.
    credit: Vec<u64>,
}

impl Sender {
    /// `streams` with all the data that they can take, whose peer gives each `credit` to begin with.
    fn new(streams: usize, credit: u64) -> Self {
        let config = Arc::new(Config::default());
        let limits = Limits {
            stream_credit: credit,
            session_credit: 1 << 60,
            streams: 1_000,
            replay: 0,
        };
        let now = Instant::from_millis(1);
        let mut session = Session::new(config, Side::Server, limits, now);
        let mut open = || session.open(now, any_open()).expect("room");
        let bulk = (0..streams).map(|_| open()).collect();
        let sparse = open();
        let mut sender = Self {
            now,
            session,
            bulk,
            sparse,
            credit: vec![credit; streams],
        };
        sender.fill();
        // Everybody is known, and has had its first turns.
        for _ in 0..streams * 4 {
            let _ = sender.send();
            sender.fill();
        }
        sender
    }

    /// Bulk writes whatever there is room for.
    fn fill(&mut self) {
        for id in &self.bulk {
            let mut data = Bytes::from_static(&[1; 64 * 1024]);
            while self.session.write(*id, &mut data).unwrap_or(0) > 0 {}
        }
    }

    fn raise(&mut self, at: usize, by: u64) {
        self.credit[at] += by;
        let id = self.bulk[at].as_u64();
        let fields = [varint(id), varint(self.credit[at])].concat();
        let bytes = frame(kind::CREDIT, &fields);
        let slab = bytes.len();
        self.session.handle_input(self.now, bytes.into(), slab);
    }

    /// The next frame of data: its stream, and its length. The path is short: all that was sent has arrived.
    fn send(&mut self) -> Option<(StreamId, usize)> {
        let sent = self.send_unacknowledged();
        if sent.is_some() {
            let (position, ..) = self.session.positions();
            self.acknowledge(position);
        }
        sent
    }

    fn send_unacknowledged(&mut self) -> Option<(StreamId, usize)> {
        while let Some(frame) = self.session.poll_transmit(self.now, 16_384) {
            if let Some(sent) = data_of(&frame) {
                return Some(sent);
            }
        }
        None
    }

    fn acknowledge(&mut self, position: u64) {
        let bytes = frame(kind::ACK, &varint(position));
        let slab = bytes.len();
        self.session.handle_input(self.now, bytes.into(), slab);
    }

    /// The sparse stream has something to say; how many bytes others send before it, while `meanwhile` happens after each frame.
    fn wait(&mut self, mut meanwhile: impl FnMut(&mut Self)) -> usize {
        let mut word = Bytes::from_static(b"a word");
        assert_eq!(self.session.write(self.sparse, &mut word), Ok(6));
        let mut waited = 0;
        loop {
            let (id, len) = self.send().expect("the sparse stream has credit");
            if id == self.sparse {
                return waited;
            }
            waited += len;
            assert!(waited < 1_000 * QUANTUM, "its turn never comes");
            self.fill();
            meanwhile(self);
        }
    }

    /// Others send so many bytes, if they can.
    fn others(&mut self, bytes: usize) {
        let mut sent = 0;
        while sent < bytes
            && let Some((_, len)) = self.send()
        {
            sent += len;
            self.fill();
        }
    }
}

fn data_of(frame: &Transmit) -> Option<(StreamId, usize)> {
    let mut bytes = Bytes::from([frame.head(), frame.payload()].concat());
    match Decoder::default().decode(&mut bytes) {
        Ok(Some(Piece::Payload { stream, chunk })) => Some((stream, chunk.len())),
        _ => None,
    }
}

#[test]
fn beside_any_number_of_bulk_streams_a_sparse_one_waits_for_one_turn_at_most() {
    for streams in [1, 8, 64] {
        let mut sender = Sender::new(streams, 1 << 40);
        for pause in 0..200 {
            // The round that the sparse stream is in, and another.
            sender.others((2 * (streams + 1) + pause % 7) * QUANTUM);
            let waited = sender.wait(|_| ());
            let most = WAIT_WHEN_SPARSE * QUANTUM;
            assert!(waited <= most, "{waited} bytes beside {streams}");
        }
        // One that speaks again within the round is not sparse, and still waits for no more than a round.
        for pause in 0..200 {
            sender.others(pause % streams * QUANTUM);
            let waited = sender.wait(|_| ());
            let most = WAIT_PER_STREAM * streams * QUANTUM;
            assert!(waited <= most, "{waited} bytes beside {streams}");
        }
    }
}

#[test]
fn streams_that_run_out_of_credit_and_get_more_go_before_a_sparse_one_once_each_at_most() {
    for (seed, streams) in [(1, 1), (2, 8), (3, 64)] {
        let mut random = Random::new(seed);
        let mut sender = Sender::new(streams, 8_192);
        let mut longest = 0;
        for _ in 0..300 {
            // Many of them get credit at once, just before; others while it waits.
            let small = random.between(1, 20_000) as u64;
            for at in 0..streams {
                if random.one_in(2) {
                    sender.raise(at, small);
                }
            }
            sender.fill();
            let most = WAIT_PER_STREAM * streams * QUANTUM;
            let waited = sender.wait(|sender| {
                let at = random.between(0, streams - 1);
                sender.raise(at, random.between(1, 40_000) as u64);
                sender.fill();
            });
            assert!(waited <= most, "{waited} bytes beside {streams}");
            longest = longest.max(waited);
            sender.others(random.between(0, 3 * streams) * QUANTUM);
        }
        assert!(longest > 0, "nobody was ever in front of it");
    }
}

#[test]
fn bulk_streams_share_alike_and_none_waits_for_more_than_a_turn_of_each_other() {
    let streams = 8;
    let mut sender = Sender::new(streams, 1 << 40);
    let mut since = vec![0; streams];
    let mut sent = vec![0; streams];
    for _ in 0..5_000 {
        let (id, len) = sender.send().expect("there is always something");
        let at = sender.bulk.iter().position(|it| *it == id).expect("bulk");
        sent[at] += len;
        for other in 0..streams {
            since[other] = if other == at { 0 } else { since[other] + len };
            assert!(since[other] <= streams * QUANTUM, "{since:?}");
        }
        sender.fill();
    }
    let (least, most) = (sent.iter().min(), sent.iter().max());
    let (least, most) = least.zip(most).expect("eight");
    assert!(most - least <= 2 * QUANTUM, "{sent:?}");
}

/// The longest that one of eight bulk streams has sent before it was another's turn, where the path carries so many bytes per millisecond.
fn longest_turn(rate: u64) -> usize {
    let mut sender = Sender::new(8, 1 << 40);
    let mut under_way = VecDeque::new();
    let (mut whose, mut turn, mut longest) = (None, 0, 0);
    for sent in 0..2_000 {
        sender.now += Duration::from_micros(1_000 * QUANTUM as u64 / rate);
        if under_way.len() == 8 {
            sender.acknowledge(under_way.pop_front().expect("eight"));
        }
        let (id, len) = sender.send_unacknowledged().expect("something");
        under_way.push_back(sender.session.positions().0);
        sender.fill();
        turn = if whose == Some(id) { turn + len } else { len };
        whose = Some(id);
        // By then the rate was seen.
        if sent >= 1_000 {
            longest = longest.max(turn);
        }
    }
    longest
}

#[test]
fn turns_are_longer_where_they_take_no_time() {
    // 10 Mbit/s, and 10 Gbit/s.
    let (slow, fast) = (longest_turn(1_250), longest_turn(1_250_000));
    assert!(slow <= QUANTUM, "{slow}");
    assert!(fast > 3 * QUANTUM && fast <= QUANTUM_FAST, "{fast}");
}
