//! One encoded frame on its way to the carrier.

use bytes::Bytes;

use crate::codec::{INLINE_MAX, Writer, write_varint};

/// Room for the head of any frame: a type, a stream id and a length; or a whole small control frame.
const HEAD_MAX: usize = 32;

/// One encoded frame: a head that was made without allocating, and the payload by reference.
///
/// The bytes of the frame are [`head`](Self::head), then [`payload`](Self::payload).
#[derive(Clone, Debug)]
pub struct Transmit {
    head: [u8; HEAD_MAX],
    head_len: u8,
    payload: Bytes,
}

impl Transmit {
    /// The bytes in front of the payload.
    #[must_use]
    pub fn head(&self) -> &[u8] {
        &self.head[..usize::from(self.head_len)]
    }

    /// The payload; may be empty.
    #[must_use]
    pub const fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// The payload, by value.
    #[must_use]
    pub fn into_payload(self) -> Bytes {
        self.payload
    }

    /// Bytes of the whole frame.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "a frame is never empty")]
    pub const fn len(&self) -> usize {
        self.head_len as usize + self.payload.len()
    }

    /// A frame whose head is `kind` and `fields`, followed by `payload`.
    ///
    /// At most two fields: the longest head is then 17 bytes.
    pub(crate) fn with_payload(kind: u8, fields: [Option<u64>; 2], payload: Bytes) -> Self {
        let mut frame = Self {
            head: [0; HEAD_MAX],
            head_len: 0,
            payload,
        };
        frame.push(&[kind]);
        for field in fields.into_iter().flatten() {
            let mut bytes = [0; 8];
            let len = write_varint(&mut bytes, field);
            frame.push(&bytes[..len]);
        }
        frame
    }

    /// A frame of `kind` with this body. A small body goes into the head, and nothing is allocated.
    pub(crate) fn with_body(kind: u8, body: Writer) -> Self {
        let len = body.as_slice().len() as u64;
        let mut frame = Self::with_payload(kind, [Some(len), None], Bytes::new());
        let small = body.as_slice().len() <= INLINE_MAX;
        if small {
            frame.push(body.as_slice());
        } else {
            frame.payload = body.into_spilled().into();
        }
        frame
    }

    /// A part of a handshake frame that was encoded whole: those may be longer than the carrier takes at once.
    pub(crate) const fn raw(part: Bytes) -> Self {
        Self {
            head: [0; HEAD_MAX],
            head_len: 0,
            payload: part,
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        let at = usize::from(self.head_len);
        self.head[at..at + bytes.len()].copy_from_slice(bytes);
        self.head_len += bytes.len() as u8;
    }
}
