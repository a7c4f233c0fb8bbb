//! One encoded frame on its way to the carrier.

use bytes::Bytes;

use crate::codec::write_varint;

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

    /// A control frame that is small enough to need no allocation: its body is `fields`, at most three.
    pub(crate) fn control(kind: u8, fields: &[u64]) -> Self {
        let mut body = [0; 24];
        let mut len = 0;
        for &field in fields {
            let mut bytes = [0; 8];
            let took = write_varint(&mut bytes, field);
            body[len..len + took].copy_from_slice(&bytes[..took]);
            len += took;
        }
        Self::small(kind, &body[..len])
    }

    /// A control frame with a body of at most 24 bytes.
    pub(crate) fn small(kind: u8, body: &[u8]) -> Self {
        let mut frame = Self {
            head: [0; HEAD_MAX],
            head_len: 0,
            payload: Bytes::new(),
        };
        // A body of up to 63 bytes has a length of one byte.
        frame.push(&[kind, body.len() as u8]);
        frame.push(body);
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
