//! Masking (RFC 6455 section 5.3): XOR with a four-byte key that starts over with each frame.
//!
//! The key is kept rotated to the phase of the next byte, so a payload may be handled in pieces of
//! any length, and no piece is slower for where it starts. Blocks of 32 bytes give the compiler
//! what it needs for vector instructions.

use bytes::BytesMut;

const BLOCK: usize = 32;

/// Copying goes by larger blocks, because each append to a `BytesMut` checks the room; larger ones
/// than this no longer fit the vector registers, and are slower again.
const COPY_BLOCK: usize = 128;

/// One frame's mask, and how far into the payload it is.
///
/// It is made for one frame by [`Encoder::data`](crate::Encoder::data) and is then applied to the
/// payload's pieces in order. A server's mask does nothing, so callers need not tell roles apart.
#[derive(Clone, Default)]
pub struct Mask {
    /// Rotated so that its first byte meets the next byte of payload; `None` on frames without.
    key: Option<[u8; 4]>,
}

impl Mask {
    /// The mask of a frame with this key, at the start of the payload; `None` does nothing.
    pub(crate) fn new(key: Option<[u8; 4]>) -> Self {
        Self { key }
    }

    /// Whether this mask leaves the payload as it is, so that the payload may be sent by reference.
    pub fn is_none(&self) -> bool {
        self.key.is_none()
    }

    /// Masks, or unmasks, the next piece of the payload in place.
    pub fn apply(&mut self, piece: &mut [u8]) {
        let Some(key) = self.key else { return };
        let pattern = repeat::<BLOCK>(key);
        let (blocks, rest) = piece.as_chunks_mut::<BLOCK>();
        for block in blocks {
            xor(block, &pattern);
        }
        xor(rest, &pattern);
        self.key = Some(rotate(key, rest.len()));
    }

    /// Appends the next piece of the payload to `out`, masked on the way.
    ///
    /// Also where there is no mask, this copies by blocks: where the C library copies by `rep movsb`, that takes many times as long on processors that
    /// don't like where the two ends lie.
    pub fn copy_into(&mut self, piece: &[u8], out: &mut BytesMut) {
        let pattern = repeat::<COPY_BLOCK>(self.key.unwrap_or_default());
        out.reserve(piece.len());
        let (blocks, rest) = piece.as_chunks::<COPY_BLOCK>();
        for block in blocks {
            let mut masked = *block;
            xor(&mut masked, &pattern);
            out.extend_from_slice(&masked);
        }
        let start = out.len();
        out.extend_from_slice(rest);
        if let Some(copied) = out.get_mut(start..) {
            xor(copied, &pattern);
        }
        self.key = self.key.map(|key| rotate(key, rest.len()));
    }
}

/// The key is left out: whoever has it and the wire can choose what a proxy sees.
impl core::fmt::Debug for Mask {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Mask")
            .field("is_none", &self.is_none())
            .finish()
    }
}

fn xor(bytes: &mut [u8], pattern: &[u8]) {
    for (byte, key) in bytes.iter_mut().zip(pattern) {
        *byte ^= key;
    }
}

/// The key again and again, for whole blocks.
fn repeat<const N: usize>(key: [u8; 4]) -> [u8; N] {
    let mut pattern = [0; N];
    let (words, _) = pattern.as_chunks_mut();
    words.fill(key);
    pattern
}

/// The key as it meets the byte that comes after `len` more bytes.
fn rotate(mut key: [u8; 4], len: usize) -> [u8; 4] {
    key.rotate_left(len % 4);
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 6455 section 5.3, word for word.
    fn by_the_book(key: [u8; 4], payload: &[u8]) -> Vec<u8> {
        payload
            .iter()
            .enumerate()
            .map(|(i, byte)| byte ^ key[i % 4])
            .collect()
    }

    extern crate std;
    use std::vec::Vec;

    proptest! {
        #[test]
        fn pieces_of_any_length_give_what_the_rfc_says(
            key: [u8; 4],
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..700), 0..6),
        ) {
            let whole = pieces.concat();
            let expected = by_the_book(key, &whole);

            let mut in_place = Vec::new();
            let mut mask = Mask::new(Some(key));
            for piece in &pieces {
                let mut piece = piece.clone();
                mask.apply(&mut piece);
                in_place.extend(piece);
            }
            prop_assert_eq!(&in_place, &expected);

            let mut copied = BytesMut::from(&b"before"[..]);
            let mut mask = Mask::new(Some(key));
            for piece in &pieces {
                mask.copy_into(piece, &mut copied);
            }
            prop_assert_eq!(&copied[..6], b"before");
            prop_assert_eq!(&copied[6..], &expected[..]);
        }

        #[test]
        fn masking_in_place_and_while_copying_share_one_phase(
            key: [u8; 4],
            first in prop::collection::vec(any::<u8>(), 0..300),
            second in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let mut mask = Mask::new(Some(key));
            let mut out = BytesMut::from(&first[..]);
            mask.apply(&mut out);
            mask.copy_into(&second, &mut out);
            prop_assert_eq!(&out[..], &by_the_book(key, &[first, second].concat())[..]);
        }
    }

    #[test]
    fn a_mask_of_none_changes_nothing() {
        let mut mask = Mask::new(None);
        let mut payload = *b"payload";
        mask.apply(&mut payload);
        assert_eq!(&payload, b"payload");
        let mut out = BytesMut::new();
        mask.copy_into(b"payload", &mut out);
        assert_eq!(&out[..], b"payload");
    }
}
