//! What is to be written to the socket: bytes in order, by reference where they are large.

use std::{collections::VecDeque, io::IoSlice};

use bytes::{Buf, Bytes, BytesMut};

/// Payloads below this many bytes are copied behind what is in front of them: a reference of its
/// own and a slice in the vectored write would cost more, and a queue of tiny pieces would hold
/// far more memory than it has bytes.
const COPY_BELOW: usize = 512;

/// An output that is empty keeps its buffer if so many bytes went out since it was empty before.
const KEEP_FOR: usize = 16 * 1024;

/// A queue of bytes on their way out.
///
/// It has no limit of its own: whoever appends to it looks at [`len`](Self::len) first.
#[derive(Debug, Default)]
pub(crate) struct Output {
    /// In front of `tail`.
    queue: VecDeque<Bytes>,
    tail: BytesMut,
    len: usize,
    /// Bytes written since it was empty.
    run: usize,
}

impl Output {
    /// Bytes that wait.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends a copy.
    pub(crate) fn copy(&mut self, bytes: &[u8]) {
        self.append(|tail| tail.extend_from_slice(bytes));
    }

    /// Appends what `fill` appends.
    pub(crate) fn append<T>(&mut self, fill: impl FnOnce(&mut BytesMut) -> T) -> T {
        let before = self.tail.len();
        let result = fill(&mut self.tail);
        self.len += self.tail.len() - before;
        result
    }

    /// Appends by reference, if that is worth it.
    pub(crate) fn push(&mut self, bytes: Bytes) {
        if bytes.len() < COPY_BELOW {
            return self.copy(&bytes);
        }
        if !self.tail.is_empty() {
            self.queue.push_back(self.tail.split().freeze());
        }
        self.len += bytes.len();
        self.queue.push_back(bytes);
    }

    /// Fills `out` with what to write next, and says how many slices that took.
    pub(crate) fn gather<'a>(&'a self, out: &mut [IoSlice<'a>]) -> usize {
        let tail = Some(&self.tail[..]).filter(|tail| !tail.is_empty());
        let slices = self.queue.iter().map(|bytes| &bytes[..]).chain(tail);
        let mut filled = 0;
        for (slot, slice) in out.iter_mut().zip(slices) {
            *slot = IoSlice::new(slice);
            filled += 1;
        }
        filled
    }

    /// The first `n` bytes were written.
    pub(crate) fn written(&mut self, n: usize) {
        let mut left = n.min(self.len);
        self.len -= left;
        while let Some(front) = self.queue.front_mut() {
            if left < front.len() {
                front.advance(left);
                return;
            }
            left -= front.len();
            self.queue.pop_front();
        }
        self.tail.advance(left.min(self.tail.len()));
        self.run = self.run.saturating_add(n);
        if self.len == 0 {
            // Bulk uses its buffer again and again; who is idle has none.
            if self.run < KEEP_FOR {
                self.tail = BytesMut::new();
            }
            self.run = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn front(output: &Output) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 3];
        let filled = output.gather(&mut slices);
        slices[..filled]
            .iter()
            .flat_map(|slice| slice.to_vec())
            .collect()
    }

    proptest! {
        #[test]
        fn bytes_leave_in_the_order_in_which_they_came(
            pieces in prop::collection::vec((any::<bool>(), 0..1_500_usize), 0..20),
            writes in prop::collection::vec(1..2_000_usize, 1..10),
        ) {
            let mut output = Output::default();
            let mut expected = Vec::new();
            for (number, (copied, len)) in pieces.into_iter().enumerate() {
                let piece = vec![number as u8; len];
                expected.extend_from_slice(&piece);
                if copied { output.copy(&piece) } else { output.push(piece.into()) }
            }
            prop_assert_eq!(output.len(), expected.len());
            let mut got = Vec::new();
            for n in writes.iter().cycle() {
                let gathered = front(&output);
                prop_assert_eq!(gathered.is_empty(), output.is_empty());
                if gathered.is_empty() { break }
                let n = gathered.len().min(*n);
                got.extend_from_slice(&gathered[..n]);
                output.written(n);
                prop_assert_eq!(output.len(), expected.len() - got.len());
            }
            prop_assert_eq!(got, expected);
        }
    }

    #[test]
    fn a_large_payload_is_not_copied() {
        let payload = Bytes::from(vec![7; 4_096]);
        let mut output = Output::default();
        output.copy(b"head");
        output.push(payload.clone());
        let mut slices = [IoSlice::new(&[]); 4];
        assert_eq!(output.gather(&mut slices), 2);
        assert_eq!(slices[1].as_ptr(), payload.as_ptr());
    }

    #[test]
    fn many_tiny_payloads_become_one_slice() {
        let mut output = Output::default();
        for _ in 0..1_000 {
            output.push(Bytes::from_static(b"tiny"));
        }
        assert_eq!(output.queue.len(), 0);
        assert_eq!(output.len(), 4_000);
    }
}
