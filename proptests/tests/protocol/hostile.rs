//! A peer that sends whatever it likes, in any order, and comes back on other carriers with any positions: it can't make a session panic, hold more
//! than its bound, take a byte beyond credit, or send anything again but what it sent; and it is called to order only for what it really did.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use adit_core::{
    Code, Config, Decoder, Event, Frame, Instant, Piece, Session, SessionError, Side, Stated,
    StreamId, kind,
};
use adit_proptests::wire::{self, frame, varint};
use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

/// What the peer does, and what the application on our side does meanwhile.
#[derive(Clone, Debug)]
enum Act {
    Open {
        gap: u64,
        credit: u64,
    },
    Data {
        stream: usize,
        len: usize,
    },
    /// As much as credit allows, and so much more or less.
    DataAround {
        stream: usize,
        over: i64,
    },
    Fin {
        stream: usize,
    },
    Reset {
        stream: usize,
    },
    Numbers {
        kind: u8,
        fields: [u64; 3],
    },
    Raw(Vec<u8>),
    /// So many 255ths of what is not acknowledged.
    Ack(u8),
    /// The carrier is gone.
    Lose,
    /// The peer comes back, on another carrier. Of what it was sent, it says that it has so many 255ths of what is not acknowledged, and so many units more or
    /// less; and that it can send again all but so many of the units that the session has.
    Resume {
        has: u8,
        over: i64,
        lacks: i64,
    },
    Read {
        stream: usize,
        len: usize,
    },
    Write {
        stream: usize,
        len: usize,
    },
    Release {
        stream: usize,
    },
    /// The session's output is read, or not.
    Drain,
    Wait(u64),
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..40u64, 0..100_000u64, 0..(1u64 << 62)]
}

/// Mostly the truth.
fn slip() -> impl Strategy<Value = i64> {
    prop_oneof![20 => Just(0i64), 1 => -3..4i64, 1 => any::<i64>()]
}

fn act() -> impl Strategy<Value = Act> {
    let control = prop_oneof![
        Just(kind::ACK),
        Just(kind::CREDIT),
        Just(kind::SESSION_CREDIT),
        Just(kind::CREDIT_RETURN),
        Just(kind::FIN),
        Just(kind::RESET),
        Just(kind::GOAWAY),
        Just(kind::CLOSE),
        any::<u8>(),
    ];
    prop_oneof![
        6 => (0..3u64, number()).prop_map(|(gap, credit)| Act::Open { gap, credit }),
        8 => (0..6usize, 0..3_000usize).prop_map(|(stream, len)| Act::Data { stream, len }),
        6 => (0..6usize, -40..3i64).prop_map(|(stream, over)| Act::DataAround { stream, over }),
        2 => (0..6usize).prop_map(|stream| Act::Fin { stream }),
        2 => (0..6usize).prop_map(|stream| Act::Reset { stream }),
        1 => (control, [number(), number(), number()])
            .prop_map(|(kind, fields)| Act::Numbers { kind, fields }),
        1 => vec(any::<u8>(), 0..40).prop_map(Act::Raw),
        3 => any::<u8>().prop_map(Act::Ack),
        1 => Just(Act::Lose),
        3 => (any::<u8>(), slip(), slip()).prop_map(|(has, over, lacks)| Act::Resume {
            has,
            over,
            lacks,
        }),
        6 => (0..6usize, 0..5_000usize).prop_map(|(stream, len)| Act::Read { stream, len }),
        4 => (0..6usize, 0..5_000usize).prop_map(|(stream, len)| Act::Write { stream, len }),
        1 => (0..6usize).prop_map(|stream| Act::Release { stream }),
        6 => Just(Act::Drain),
        3 => (0..4_000u64).prop_map(Act::Wait),
    ]
}

/// One unit of what the session sent.
#[derive(Clone, Debug, PartialEq)]
enum Unit {
    Reset(StreamId, Code),
    Byte(StreamId, u8),
}

/// What the peer knows of one of its streams.
#[derive(Clone, Copy, Debug)]
struct Known {
    sent: u64,
    credit: u64,
    /// Since the last resume the session has not stated it.
    unstated: bool,
    /// No FIN and no reset was seen in either direction.
    live: bool,
}

struct Attack {
    config: Arc<Config>,
    now: Instant,
    session: Session,
    decoder: Decoder,
    next: u64,
    known: BTreeMap<u64, Known>,
    /// Streams in the order they were opened.
    order: Vec<u64>,
    ids: BTreeMap<u64, StreamId>,
    /// Payload in all, and the credit for it.
    sent: u64,
    credit: u64,
    /// What the peer did was right so far, whatever the session thinks.
    honest: bool,
    pieces: usize,
    epoch: u64,
    /// Every unit that the session sent, and how many of them the present carrier is past.
    units: Vec<Unit>,
    at: usize,
    /// What is written next.
    next_byte: u8,
}

impl Attack {
    fn new(pieces: usize) -> Self {
        let config = Arc::new(Config {
            streams_max: 4,
            stream_credit: 1_000,
            stream_window_first: 3_000,
            stream_window_max: 20_000,
            session_pool: 5_000,
            send_buffer_session: 8_000,
            send_buffer_stream: 4_000,
            refusals_max: 8,
            glitches_max: 60,
            glitches_per_second: 10,
            replay: 3_000,
            resume_window: Duration::from_secs(20),
            ..Config::default()
        });
        let now = Instant::from_millis(1);
        let session = Session::new(config.clone(), Side::Server, config.limits(), now)
            .resumable(config.resume_window);
        let credit = config.session_window();
        Self {
            config,
            now,
            session,
            decoder: Decoder::default(),
            next: 0,
            known: BTreeMap::new(),
            order: Vec::new(),
            ids: BTreeMap::new(),
            sent: 0,
            credit,
            honest: true,
            pieces,
            epoch: 0,
            units: Vec::new(),
            at: 0,
            next_byte: 0,
        }
    }

    fn stream(&self, index: usize) -> Option<u64> {
        self.order.iter().rev().nth(index).copied()
    }

    /// Whether a session is there that takes anything: one without a carrier does not.
    fn takes(&self) -> bool {
        self.session.is_attached() && !self.session.is_closed()
    }

    fn give(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(self.pieces) {
            self.session
                .handle_input(self.now, Bytes::copy_from_slice(piece), piece.len());
        }
    }

    fn data(&mut self, id: u64, len: usize) {
        if !self.takes() {
            return;
        }
        let len = len.min(60_000);
        let bytes = wire::data(id, len);
        let Some(known) = self.known.get_mut(&id) else {
            return;
        };
        let live = known.live;
        known.sent += len as u64;
        self.sent += len as u64;
        let beyond = (live && known.sent > known.credit) || self.sent > self.credit;
        self.give(&bytes);
        if beyond && self.honest {
            assert!(
                self.session.is_closed(),
                "{len} bytes beyond credit were taken"
            );
            self.honest = false;
        }
    }

    fn act(&mut self, act: &Act) {
        match *act {
            Act::Open { .. } if !self.takes() => {}
            Act::Open { gap, credit } => {
                let id = self.next + gap * 2;
                self.next = id + 2;
                self.known.insert(
                    id,
                    Known {
                        sent: 0,
                        credit: self.config.stream_credit,
                        unstated: false,
                        live: true,
                    },
                );
                self.order.push(id);
                let refused = self.session.stats().streams_refused;
                self.give(&wire::open(id, credit.min(1 << 61)));
                if self.session.stats().streams_refused > refused {
                    self.dead(id);
                }
            }
            Act::Data { stream, len } => {
                if let Some(id) = self.stream(stream) {
                    self.data(id, len);
                }
            }
            Act::DataAround { stream, over } => {
                if let Some(id) = self.stream(stream) {
                    let known = self.known[&id];
                    let left = (known.credit - known.sent.min(known.credit)) as i64 + over;
                    self.data(id, usize::try_from(left).unwrap_or(0));
                }
            }
            Act::Fin { stream } => self.end(stream, kind::FIN),
            Act::Reset { stream } => self.end(stream, kind::RESET),
            Act::Numbers { kind, fields } => {
                self.honest = false;
                let fields: Vec<u8> = fields.iter().flat_map(|&field| varint(field)).collect();
                for take in [fields.len(), 8.min(fields.len())] {
                    self.give(&frame(kind, &fields[..take]));
                }
            }
            Act::Raw(ref bytes) => {
                self.honest = false;
                self.give(bytes);
            }
            Act::Ack(part) => {
                let (sent, acked, _) = self.session.positions();
                let position = acked + (sent - acked) * u64::from(part) / 255;
                self.give(&frame(kind::ACK, &varint(position)));
            }
            Act::Lose => self.session.handle_carrier_lost(self.now),
            Act::Resume { has, over, lacks } => self.resume(has, over, lacks),
            Act::Read { stream, len } => {
                if let Some(id) = self
                    .stream(stream)
                    .and_then(|id| self.ids.get(&id).copied())
                {
                    self.session.consume(self.now, id, len);
                }
            }
            Act::Write { stream, len } => {
                if let Some(id) = self
                    .stream(stream)
                    .and_then(|id| self.ids.get(&id).copied())
                {
                    let first = self.next_byte;
                    let bytes = (0..len).map(|at| first.wrapping_add(at as u8));
                    let wrote = self.session.write(id, &mut bytes.collect());
                    self.next_byte = first.wrapping_add(wrote.unwrap_or(0) as u8);
                }
            }
            Act::Release { stream } => {
                if let Some(number) = self.stream(stream)
                    && let Some(&id) = self.ids.get(&number)
                {
                    self.session.release(id);
                    self.dead(number);
                }
            }
            Act::Drain => self.drain(),
            Act::Wait(ms) => {
                self.now += Duration::from_millis(ms);
                self.session.handle_timeout(self.now);
            }
        }
        self.check();
    }

    fn dead(&mut self, id: u64) {
        if let Some(known) = self.known.get_mut(&id) {
            known.live = false;
        }
    }

    /// Another carrier, and what the peer states there.
    fn resume(&mut self, has: u8, over: i64, lacks: i64) {
        let (sent, acked, received) = self.session.positions();
        let true_position = acked + (sent - acked) * u64::from(has) / 255;
        let theirs = Stated {
            received: true_position.saturating_add_signed(over),
            oldest: received.saturating_add_signed(lacks),
        };
        let fits = (acked..=sent).contains(&theirs.received) && theirs.oldest <= received;
        self.epoch += 1;
        let Some(ours) = self.session.state_position(self.now) else {
            assert!(self.session.is_closed());
            return;
        };
        assert_eq!((ours.received, ours.oldest), (received, acked));
        let attached = self.session.attach(self.now, self.epoch, theirs);
        assert_eq!(attached.is_ok(), fits, "{theirs:?}: {attached:?}");
        if fits {
            self.decoder = Decoder::default();
            self.at = theirs.received as usize;
            for known in self.known.values_mut() {
                known.unstated = true;
            }
        }
    }

    fn end(&mut self, stream: usize, kind: u8) {
        let Some(id) = self.stream(stream) else {
            return;
        };
        if !self.takes() {
            return;
        }
        let fields = if kind == kind::RESET {
            [varint(id), varint(0x300)].concat()
        } else {
            varint(id)
        };
        self.give(&frame(kind, &fields));
        self.dead(id);
    }

    fn drain(&mut self) {
        // What the peer says that it has is not sent again, even if it can't have it from this carrier.
        self.at = self.at.max(self.session.positions().1 as usize);
        let mut frames = 0;
        while let Some(frame) = self.session.poll_transmit(self.now, 16_384) {
            frames += 1;
            assert!(frames < 10_000, "output without end");
            let mut bytes = Bytes::from([frame.head(), frame.payload()].concat());
            while let Some(piece) = self.decoder.decode(&mut bytes).expect("our own frames") {
                match piece {
                    Piece::Payload { stream, chunk } => {
                        for byte in chunk {
                            self.unit(Unit::Byte(stream, byte));
                        }
                    }
                    Piece::Body { kind, .. } => {
                        self.said(Frame::parse(kind, piece.body()).expect("our own frame"));
                    }
                }
            }
        }
    }

    fn said(&mut self, frame: Frame) {
        match frame {
            Frame::Credit { stream, offset } => {
                let known = self.known.get_mut(&stream.as_u64()).expect("our stream");
                let again = known.unstated && offset == known.credit;
                assert!(offset > known.credit || again, "credit that raises nothing");
                known.unstated = false;
                known.credit = offset;
            }
            Frame::SessionCredit { offset } => self.credit = offset,
            Frame::Reset { stream, code } => {
                self.dead(stream.as_u64());
                self.unit(Unit::Reset(stream, code));
            }
            _ => (),
        }
    }

    /// A unit came out: the next new one, or one that came out before at this position.
    fn unit(&mut self, unit: Unit) {
        match self.units.get(self.at) {
            Some(before) => assert_eq!(*before, unit, "sent again at {}", self.at),
            None => self.units.push(unit),
        }
        self.at += 1;
    }

    fn check(&mut self) {
        while let Some(event) = self.session.poll_event() {
            match event {
                Event::Opened { id, .. } => drop(self.ids.insert(id.as_u64(), id)),
                Event::Reset { id, .. } => self.dead(id.as_u64()),
                Event::Closed(SessionError::Protocol(error)) => {
                    let justified = !self.honest || error.code != Code::FLOW_CONTROL;
                    assert!(justified, "called to order for nothing: {error}");
                }
                _ => (),
            }
        }
        let (memory, bound) = (self.session.memory() as u64, self.config.memory_bound());
        assert!(memory <= bound, "{memory} of at most {bound}");
        assert!(self.session.streams() as u64 <= self.config.streams_max);
        let (sent, acked, _) = self.session.positions();
        assert!(sent - acked <= self.config.replay);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, ..ProptestConfig::default() })]

    #[test]
    fn a_hostile_peer_gets_no_byte_beyond_credit_and_no_memory_beyond_the_bound(
        acts in vec(act(), 1..80),
        pieces in prop_oneof![Just(1usize), 2..100usize, Just(65_536usize)],
    ) {
        let mut attack = Attack::new(pieces);
        for act in &acts {
            attack.act(act);
        }
        attack.drain();
        attack.check();
    }
}

/// One byte in each buffer, and of each buffer nothing else is ever taken.
#[test]
fn slices_that_pin_their_buffers_are_charged_for_them() {
    let config = Arc::new(Config::default());
    let now = Instant::from_millis(1);
    let mut session = Session::new(config.clone(), Side::Server, config.limits(), now);
    session.handle_input(now, wire::open(0, 9).into(), usize::MAX);
    for _ in 0..config.stream_credit {
        let filler = frame(0xbf, &[0; 16_000]);
        let bytes = [&[kind::DATA][..], &varint(0), &varint(1), &[9], &filler].concat();
        let slab = bytes.len();
        session.handle_input(now, bytes.into(), slab);
    }
    assert!(!session.is_closed());
    let (memory, held) = (session.memory(), config.stream_credit as usize);
    assert!(
        memory <= 3 * held + adit_core::STREAM_COST,
        "{memory} for {held}"
    );
}
