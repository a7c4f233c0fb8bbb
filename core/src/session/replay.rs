//! What was sent and is not acknowledged yet, kept to be sent again on the next carrier (spec/06-positions.md, section 6.3).
//!
//! Payload is kept as the slices that were sent. Small ones are copied into chunks that they share: acknowledgements free them in the order in which they were
//! sent, so at most one chunk, and never a large buffer, is kept alive by a few bytes.

use alloc::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

use crate::frame::kind;
use crate::ids::StreamId;
use crate::transmit::Transmit;

/// What keeping one frame costs beside its bytes, rounded up.
const ITEM_COST: u64 = 64;

/// A payload shorter than this is copied.
const COPY_BELOW: usize = 2_048;

/// Room of a chunk that small payloads share, in bytes.
const CHUNK: usize = 16 * 1024;

#[derive(Debug)]
enum Item {
    /// A whole frame that counts 1.
    Control(Bytes),
    /// Payload, each byte of which counts 1.
    Data(StreamId, Bytes),
}

impl Item {
    const fn units(&self) -> u64 {
        match self {
            Self::Control(_) => 1,
            Self::Data(_, payload) => payload.len() as u64,
        }
    }

    const fn cost(&self) -> u64 {
        let (Self::Control(bytes) | Self::Data(_, bytes)) = self;
        bytes.len() as u64 + ITEM_COST
    }
}

#[derive(Debug)]
pub(crate) struct Replay {
    /// Units that may be kept; `None` keeps nothing.
    limit: Option<u64>,
    items: VecDeque<Item>,
    cost: u64,
    /// Items, counted from the back, that the present carrier has not carried yet.
    left: usize,
    /// Payload bytes of the first of those that it has.
    offset: usize,
    /// The chunk that is being filled.
    chunk: BytesMut,
}

impl Replay {
    /// Keeps nothing.
    pub(crate) fn off() -> Self {
        Self::new(None)
    }

    /// Keeps up to `limit` units, at least 1.
    pub(crate) fn on(limit: u64) -> Self {
        Self::new(Some(limit.max(1)))
    }

    fn new(limit: Option<u64>) -> Self {
        Self {
            limit,
            items: VecDeque::new(),
            cost: 0,
            left: 0,
            offset: 0,
            chunk: BytesMut::new(),
        }
    }

    /// New units that may be sent now, while `unacknowledged` are on their way. What it costs to keep them is bounded as well, or a flood of tiny
    /// frames would cost more than it counts.
    pub(crate) fn room(&self, unacknowledged: u64) -> u64 {
        match self.limit {
            None => u64::MAX,
            Some(_) if self.left > 0 => 0,
            Some(limit) if self.cost >= limit => 0,
            Some(limit) => limit.saturating_sub(unacknowledged),
        }
    }

    /// A control frame that counts was sent.
    pub(crate) fn keep_control(&mut self, frame: &Transmit) {
        if self.limit.is_some() {
            let bytes = copy(&mut self.chunk, &[frame.head(), frame.payload()]);
            self.push(Item::Control(bytes));
        }
    }

    /// Payload was sent.
    pub(crate) fn keep_data(&mut self, stream: StreamId, payload: &Bytes) {
        if self.limit.is_some() {
            let payload = if payload.len() < COPY_BELOW {
                copy(&mut self.chunk, &[payload])
            } else {
                payload.clone()
            };
            self.push(Item::Data(stream, payload));
        }
    }

    /// The peer holds `units` more.
    pub(crate) fn acknowledged(&mut self, mut units: u64) {
        while units > 0 {
            let Some(front) = self.items.front_mut() else {
                return;
            };
            let held = front.units();
            if units < held {
                if let Item::Data(_, payload) = front {
                    let n = usize::try_from(units).unwrap_or(usize::MAX);
                    payload.advance(n);
                    self.cost -= units;
                    if self.left == self.items.len() {
                        self.offset = self.offset.saturating_sub(n);
                    }
                }
                return;
            }
            units -= held;
            self.cost -= front.cost();
            self.items.pop_front();
            if self.left > self.items.len() {
                self.left = self.items.len();
                self.offset = 0;
            }
        }
    }

    /// Gives buffers back that hold nothing. An idle session holds none; one that is in use keeps them from exchange to exchange.
    pub(crate) fn shrink(&mut self) {
        if self.items.is_empty() {
            self.items = VecDeque::new();
            self.chunk = BytesMut::new();
        }
    }

    /// Copies what is kept into memory of its own size, so that it keeps nothing else alive.
    pub(crate) fn compact(&mut self) {
        self.chunk = BytesMut::new();
        for item in &mut self.items {
            let (Item::Control(bytes) | Item::Data(_, bytes)) = item;
            *bytes = if bytes.len() < COPY_BELOW {
                copy(&mut self.chunk, &[bytes])
            } else {
                Bytes::copy_from_slice(bytes)
            };
        }
        self.items.shrink_to_fit();
    }

    /// Whether there are buffers that hold nothing.
    pub(crate) fn is_idle(&self) -> bool {
        self.items.is_empty() && self.items.capacity() + self.chunk.capacity() > 0
    }

    /// A new carrier: everything that is kept must go out again.
    pub(crate) fn rewind(&mut self) {
        self.left = self.items.len();
        self.offset = 0;
    }

    /// Whether something must be sent again.
    pub(crate) const fn is_behind(&self) -> bool {
        self.left > 0
    }

    /// The next frame to send again, of at most `limit` bytes, and its units; `head` bytes are the head of a DATA frame, which carries at most `payload_max`.
    pub(crate) fn next(
        &mut self,
        limit: usize,
        head: usize,
        payload_max: usize,
    ) -> Option<(Transmit, u64)> {
        let item = self.items.get(self.items.len().checked_sub(self.left)?)?;
        let (frame, units) = match item {
            Item::Control(frame) if frame.len() > limit => return None,
            Item::Control(frame) => (Transmit::raw(frame.clone()), 1),
            Item::Data(stream, payload) => {
                let room = limit.checked_sub(head)?.min(payload_max);
                let rest = payload.slice(self.offset.min(payload.len())..);
                let part = rest.slice(..rest.len().min(room));
                let units = part.len() as u64;
                if part.len() < rest.len() {
                    self.offset += part.len();
                    return (!part.is_empty()).then(|| (data(*stream, part), units));
                }
                (data(*stream, part), units)
            }
        };
        self.left -= 1;
        self.offset = 0;
        Some((frame, units))
    }

    /// Memory held, in bytes, if each slice keeps alive no more than itself.
    pub(crate) fn memory(&self) -> usize {
        let bytes = |item: &Item| match item {
            Item::Control(bytes) | Item::Data(_, bytes) => bytes.len(),
        };
        self.items.capacity() * size_of::<Item>()
            + self.items.iter().map(bytes).sum::<usize>()
            + self.chunk.capacity()
    }

    fn push(&mut self, item: Item) {
        self.cost += item.cost();
        self.items.push_back(item);
    }
}

/// A copy of `parts` in a chunk that others share.
fn copy(chunk: &mut BytesMut, parts: &[&[u8]]) -> Bytes {
    let len = parts.iter().map(|part| part.len()).sum::<usize>();
    if chunk.capacity() < len {
        *chunk = BytesMut::with_capacity(CHUNK.max(len));
    }
    for part in parts {
        chunk.extend_from_slice(part);
    }
    chunk.split().freeze()
}

/// A DATA frame.
pub(crate) fn data(stream: StreamId, payload: Bytes) -> Transmit {
    let len = payload.len() as u64;
    Transmit::with_payload(kind::DATA, [Some(stream.as_u64()), Some(len)], payload)
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::code::Code;
    use crate::frame::Frame;

    const ID: StreamId = StreamId(4);

    fn bytes(n: usize) -> Bytes {
        (0..n).map(|at| at as u8).collect()
    }

    fn sent(frame: &Transmit) -> Vec<u8> {
        [frame.head(), frame.payload()].concat()
    }

    fn reset() -> Transmit {
        Frame::Reset {
            stream: ID,
            code: Code::CANCELLED,
        }
        .encode()
    }

    #[test]
    fn what_was_not_acknowledged_goes_out_again_from_that_very_byte() {
        let mut replay = Replay::on(1 << 20);
        replay.keep_control(&reset());
        replay.keep_data(ID, &bytes(5_000));
        replay.keep_data(ID, &bytes(3));
        replay.acknowledged(1 + 4_000);
        replay.rewind();
        let first = replay.next(613, 13, 16_320).unwrap().0;
        assert_eq!(first.payload()[..], bytes(5_000)[4_000..4_600]);
        replay.acknowledged(100);
        let second = replay.next(16_384, 13, 16_320).unwrap().0;
        assert_eq!(second.payload()[..], bytes(5_000)[4_600..]);
        assert_eq!(
            replay.next(16_384, 13, 16_320).unwrap().0.payload()[..],
            [0, 1, 2]
        );
        assert!(replay.next(16_384, 13, 16_320).is_none());
        assert!(!replay.is_behind());
    }

    #[test]
    fn a_second_carrier_that_dies_too_begins_again_at_what_is_acknowledged_by_then() {
        let mut replay = Replay::on(1 << 20);
        replay.keep_data(ID, &bytes(10));
        replay.keep_control(&reset());
        replay.rewind();
        let _ = replay.next(4 + 13, 13, 16_320).unwrap().0;
        replay.acknowledged(4);
        replay.rewind();
        assert_eq!(
            replay.next(16_384, 13, 16_320).unwrap().0.payload()[..],
            bytes(10)[4..]
        );
        assert_eq!(
            sent(&replay.next(16_384, 13, 16_320).unwrap().0),
            sent(&reset())
        );
        replay.acknowledged(7);
        assert!(replay.is_idle());
        replay.shrink();
        assert_eq!(replay.memory(), 0);
    }

    #[test]
    fn no_new_unit_is_sent_beyond_the_limit_nor_before_the_old_ones_were_sent_again() {
        let mut replay = Replay::on(1_000);
        assert_eq!(replay.room(0), 1_000);
        replay.keep_data(ID, &bytes(900));
        assert_eq!(replay.room(900), 100);
        replay.rewind();
        assert_eq!(replay.room(900), 0);
        let _ = replay.next(16_384, 13, 16_320);
        replay.keep_data(ID, &bytes(36));
        assert_eq!(
            replay.room(936),
            0,
            "what it costs to keep is over the limit"
        );
        replay.acknowledged(900);
        assert_eq!(replay.room(36), 964);
    }

    #[test]
    fn a_flood_of_tiny_frames_is_bounded_by_what_keeping_them_costs() {
        let mut replay = Replay::on(64 * 1024);
        let mut units = 0;
        while replay.room(units) > 0 {
            replay.keep_data(ID, &bytes(1));
            units += 1;
        }
        assert!(units > 900, "{units}");
        assert!(
            replay.memory() < 2 * 64 * 1024 + CHUNK,
            "{}",
            replay.memory()
        );
    }

    #[test]
    fn without_resumption_nothing_is_kept() {
        let mut replay = Replay::off();
        replay.keep_data(ID, &bytes(5_000));
        replay.keep_control(&reset());
        assert_eq!(replay.memory(), 0);
        assert_eq!(replay.room(u64::MAX), u64::MAX);
    }

    #[test]
    fn what_is_compacted_keeps_no_other_memory_alive_and_goes_out_as_before() {
        let (mut replay, buffer) = (Replay::on(1 << 20), bytes(64 * 1024));
        replay.keep_data(ID, &buffer.slice(..COPY_BELOW));
        replay.keep_data(ID, &buffer.slice(..10));
        replay.keep_control(&reset());
        replay.compact();
        assert!(buffer.is_unique());
        replay.rewind();
        let mut again = || sent(&replay.next(16_384, 13, 16_320).unwrap().0);
        assert!(again().ends_with(&buffer[..COPY_BELOW]));
        assert!(again().ends_with(&buffer[..10]));
        assert_eq!(again(), sent(&reset()));
    }

    #[test]
    fn a_large_payload_is_kept_by_reference() {
        let mut replay = Replay::on(1 << 20);
        let payload = bytes(COPY_BELOW);
        replay.keep_data(ID, &payload);
        replay.rewind();
        let again = replay.next(16_384, 13, 16_320).unwrap().0;
        assert_eq!(again.payload().as_ptr(), payload.as_ptr());
    }
}
