//! Frames to be sent, as a head and a mask: the payload stays with the caller.

use crate::{Close, ControlFrame, ControlPayload, Head, Kind, Mask, SendError, frame::Opcode};

/// Where a client's mask keys come from.
///
/// RFC 6455 section 5.3 wants them unpredictable to whoever chooses the payload, so use a
/// cryptographic generator seeded by the system. Any `FnMut() -> [u8; 4]` will do; a type of one's
/// own can be named in a struct.
pub trait MaskKeys {
    /// A fresh key, for one frame.
    fn next_key(&mut self) -> [u8; 4];
}

impl<F: FnMut() -> [u8; 4]> MaskKeys for F {
    fn next_key(&mut self) -> [u8; 4] {
        self()
    }
}

/// Makes the heads and masks of frames, and whole control frames.
pub struct Encoder<K = fn() -> [u8; 4]> {
    /// A client's; a server does not mask.
    keys: Option<K>,
    /// Whether a message has begun and not ended.
    in_message: bool,
}

impl<K: MaskKeys> Encoder<K> {
    /// An encoder for the end that dialled.
    pub fn client(keys: K) -> Self {
        Self {
            keys: Some(keys),
            in_message: false,
        }
    }

    /// An encoder for the end that accepted.
    pub fn server() -> Self {
        Self {
            keys: None,
            in_message: false,
        }
    }

    /// The head of a data frame with `payload` bytes, and the mask for exactly those bytes.
    ///
    /// `end` says whether the message ends with this frame. A frame after one that did not end its
    /// message continues it, and has its kind, whatever `kind` says. That a text message is UTF-8 is
    /// the caller's to see to.
    ///
    /// # Errors
    ///
    /// [`SendError::TooLong`] when `payload` does not fit 63 bits.
    pub fn data(&mut self, kind: Kind, payload: u64, end: bool) -> Result<(Head, Mask), SendError> {
        if payload > u64::MAX / 2 {
            return Err(SendError::TooLong(payload));
        }
        let opcode = if self.in_message {
            Opcode::Continuation
        } else {
            kind.into()
        };
        self.in_message = !end;
        let key = self.next_key();
        Ok((Head::new(opcode, end, payload, key), Mask::new(key)))
    }

    /// A ping. The peer answers with a pong of the same payload (RFC 6455 section 5.5.2).
    pub fn ping(&mut self, payload: ControlPayload) -> ControlFrame {
        ControlFrame::new(Opcode::Ping, payload, self.next_key())
    }

    /// A pong: an answer to a ping, or a sign of life that wants no answer.
    pub fn pong(&mut self, payload: ControlPayload) -> ControlFrame {
        ControlFrame::new(Opcode::Pong, payload, self.next_key())
    }

    /// A close; `None` is one without code and reason.
    pub fn close(&mut self, close: Option<&Close>) -> ControlFrame {
        let payload = close.map_or(ControlPayload::EMPTY, Close::payload);
        ControlFrame::new(Opcode::Close, payload, self.next_key())
    }

    fn next_key(&mut self) -> Option<[u8; 4]> {
        self.keys.as_mut().map(MaskKeys::next_key)
    }
}

impl<K> core::fmt::Debug for Encoder<K> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Encoder")
            .field("in_message", &self.in_message)
            .finish_non_exhaustive()
    }
}
