//! What each stream should carry. Every byte's value follows from its stream, its direction and its offset, so that nothing has to
//! be stored to know that a byte is the right one.

use std::collections::BTreeMap;

use adit_core::{Side, StreamId};
use bytes::Bytes;

/// The byte that `from` sends at `offset` of a stream.
#[must_use]
pub fn byte(id: StreamId, from: Side, offset: u64) -> u8 {
    let side = u64::from(from == Side::Server);
    let mixed =
        (id.as_u64() ^ (side << 40)).wrapping_mul(0x9e37_79b9) ^ offset.wrapping_mul(0x85eb_ca6b);
    (mixed >> 11) as u8
}

/// One direction of one stream.
#[derive(Clone, Copy, Debug, Default)]
pub struct Entry {
    /// Bytes written by the sender.
    pub written: u64,
    /// Bytes taken by the receiver.
    pub taken: u64,
    /// The sender finished.
    pub finished: bool,
    /// Either side reset the stream: delivery stops wherever it is.
    pub reset: bool,
}

/// All streams, both directions.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: BTreeMap<(StreamId, bool), Entry>,
}

impl Ledger {
    /// The entry of what `from` sends on `id`.
    pub fn entry(&mut self, id: StreamId, from: Side) -> &mut Entry {
        self.entries.entry((id, from == Side::Server)).or_default()
    }

    /// The next `len` bytes that `from` should write on `id`.
    pub fn next_bytes(&mut self, id: StreamId, from: Side, len: usize) -> Bytes {
        let at = self.entry(id, from).written;
        (at..at + len as u64)
            .map(|offset| byte(id, from, offset))
            .collect()
    }

    /// `from` wrote `len` bytes.
    pub fn wrote(&mut self, id: StreamId, from: Side, len: usize) {
        self.entry(id, from).written += len as u64;
    }

    /// The receiver took `bytes`: they must be exactly the next ones that were written.
    ///
    /// # Panics
    ///
    /// If a byte is wrong, or was never written.
    pub fn took(&mut self, id: StreamId, from: Side, bytes: &[u8]) {
        let entry = self.entry(id, from);
        let (at, written) = (entry.taken, entry.written);
        entry.taken += bytes.len() as u64;
        assert!(
            entry.taken <= written,
            "stream {id} from {from:?}: bytes that were never written"
        );
        for (offset, &got) in (at..).zip(bytes) {
            assert_eq!(
                got,
                byte(id, from, offset),
                "stream {id} from {from:?} at {offset}"
            );
        }
    }

    /// Both directions of `id` end wherever they are.
    pub fn reset(&mut self, id: StreamId) {
        self.entry(id, Side::Client).reset = true;
        self.entry(id, Side::Server).reset = true;
    }

    /// Every entry: stream, sender, numbers.
    pub fn iter(&self) -> impl Iterator<Item = (StreamId, Side, Entry)> + '_ {
        self.entries.iter().map(|(&(id, server), &entry)| {
            (id, if server { Side::Server } else { Side::Client }, entry)
        })
    }
}
