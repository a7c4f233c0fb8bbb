//! What may happen in a [`Life`](super::Life), and how often it did.

use adit_core::Side;

use crate::random::Random;

/// Something that happens in a life. `pick` chooses among the streams that it could be about.
#[derive(Clone, Copy, Debug)]
pub enum Op {
    /// An application opens a stream.
    Open(Side),
    /// Writes as much as there is room for, up to `len` bytes.
    Write {
        /// Who.
        side: Side,
        /// Which stream.
        pick: usize,
        /// How much.
        len: usize,
    },
    /// Takes up to `len` bytes that were received.
    Read {
        /// Who.
        side: Side,
        /// Which stream.
        pick: usize,
        /// How much.
        len: usize,
    },
    /// Ends its half of a stream.
    Finish {
        /// Who.
        side: Side,
        /// Which stream.
        pick: usize,
    },
    /// Aborts a stream.
    Reset {
        /// Who.
        side: Side,
        /// Which stream.
        pick: usize,
    },
    /// Wants no new streams.
    GoAway(Side),
    /// Calls that make no sense now, about a stream that may not exist: they must do no harm.
    Nonsense {
        /// Who.
        side: Side,
        /// Which stream.
        pick: usize,
    },
    /// The newest carrier ends; of what is under way, so many 65,536ths still arrive.
    Cut {
        /// How: one of five ways.
        way: u8,
        /// Towards the client.
        down: u16,
        /// Towards the server.
        up: u16,
    },
    /// The client dials a carrier beside those that there are.
    Dial,
    /// Bytes move, without time passing.
    Exchange,
    /// Time passes, in microseconds.
    Run(u32),
}

/// How often what happened, of what had an effect.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Streams opened.
    pub opened: u64,
    /// Writes that found room.
    pub written: u64,
    /// Reads that found bytes.
    pub read: u64,
    /// Halves finished.
    pub finished: u64,
    /// Streams reset by an application.
    pub reset: u64,
    /// Streams that ended well, given back by an application.
    pub released: u64,
    /// Working carriers that were cut.
    pub cuts: u64,
    /// Times that both sides went on on another carrier.
    pub resumes: u64,
    /// Payload bytes that were read.
    pub bytes: u64,
}

impl Counts {
    /// Operations that moved data or changed the state of a stream.
    #[must_use]
    pub const fn moved(&self) -> u64 {
        self.opened + self.written + self.read + self.finished + self.reset + self.released
    }

    /// Adds what happened in another life.
    pub const fn add(&mut self, other: &Self) {
        self.opened += other.opened;
        self.written += other.written;
        self.read += other.read;
        self.finished += other.finished;
        self.reset += other.reset;
        self.released += other.released;
        self.cuts += other.cuts;
        self.resumes += other.resumes;
        self.bytes += other.bytes;
    }
}

impl Op {
    /// Any of them, the likely ones more often.
    pub(super) fn random(random: &mut Random) -> Self {
        let side = if random.one_in(2) {
            Side::Client
        } else {
            Side::Server
        };
        let pick = random.between(0, 11);
        match random.between(0, 999) {
            0..=109 => Self::Open(side),
            110..=399 => {
                let most = if random.one_in(30) { 30_000 } else { 300 };
                let len = random.between(1, most);
                Self::Write { side, pick, len }
            }
            400..=649 => {
                let len = random.between(1, 20_000);
                Self::Read { side, pick, len }
            }
            650..=729 => Self::Finish { side, pick },
            730..=749 => Self::Reset { side, pick },
            750 => Self::GoAway(side),
            751..=759 => Self::Nonsense { side, pick },
            760..=779 => Self::Cut {
                way: [0, 1, 1, 1, 2, 3, 4][random.between(0, 6)],
                down: random.next() as u16,
                up: random.next() as u16,
            },
            780..=783 => Self::Dial,
            784..=959 => Self::Exchange,
            _ => Self::Run(random.between(0, 60_000) as u32),
        }
    }
}
