//! Control frames (RFC 6455 section 5.5): at most 125 bytes of payload, so both the payload and the
//! whole frame fit fixed arrays.

use core::fmt;

use crate::{Mask, frame::Opcode, head::Head};

/// The longest payload of a control frame, in bytes (RFC 6455 section 5.5).
pub const MAX_CONTROL_PAYLOAD: usize = 125;

/// The head of a control frame (two bytes and a mask key) and its payload.
const MAX_CONTROL_FRAME: usize = 2 + 4 + MAX_CONTROL_PAYLOAD;

/// The payload of a control frame, held inline.
#[derive(Clone, Copy)]
pub struct ControlPayload {
    bytes: [u8; MAX_CONTROL_PAYLOAD],
    len: usize,
}

impl ControlPayload {
    /// No payload.
    pub const EMPTY: Self = Self {
        bytes: [0; MAX_CONTROL_PAYLOAD],
        len: 0,
    };

    /// A payload with these bytes; `None` when there are more than [`MAX_CONTROL_PAYLOAD`].
    pub fn new(payload: &[u8]) -> Option<Self> {
        let mut this = Self::EMPTY;
        (this.extend(payload) == payload.len()).then_some(this)
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// Appends as much of `piece` as fits, and says how much that was.
    pub(crate) fn extend(&mut self, piece: &[u8]) -> usize {
        let room = self.bytes.get_mut(self.len..).unwrap_or_default();
        let taken = room.len().min(piece.len());
        for (slot, byte) in room.iter_mut().zip(piece) {
            *slot = *byte;
        }
        self.len += taken;
        taken
    }

    pub(crate) fn mask(&mut self, mut mask: Mask) {
        mask.apply(self.bytes.get_mut(..self.len).unwrap_or_default());
    }
}

/// Formatting into a payload cuts off what does not fit, between two characters.
impl fmt::Write for ControlPayload {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = MAX_CONTROL_PAYLOAD.saturating_sub(self.len);
        let end = (0..=room.min(text.len()))
            .rev()
            .find(|end| text.is_char_boundary(*end));
        let fits = text.get(..end.unwrap_or(0)).unwrap_or_default();
        self.extend(fits.as_bytes());
        if fits.len() == text.len() {
            Ok(())
        } else {
            Err(fmt::Error)
        }
    }
}

impl AsRef<[u8]> for ControlPayload {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl PartialEq for ControlPayload {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for ControlPayload {}

impl fmt::Debug for ControlPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.as_slice().escape_ascii())
    }
}

/// A whole control frame, ready to be written as it is.
///
/// It must not be written inside another frame: only between two.
#[derive(Clone, Copy)]
pub struct ControlFrame {
    bytes: [u8; MAX_CONTROL_FRAME],
    len: usize,
}

impl ControlFrame {
    pub(crate) fn new(opcode: Opcode, mut payload: ControlPayload, key: Option<[u8; 4]>) -> Self {
        payload.mask(Mask::new(key));
        let head = Head::new(opcode, true, payload.len as u64, key);
        let mut frame = Self {
            bytes: [0; MAX_CONTROL_FRAME],
            len: 0,
        };
        let content = head.as_slice().iter().chain(payload.as_slice());
        for (slot, byte) in frame.bytes.iter_mut().zip(content) {
            *slot = *byte;
            frame.len += 1;
        }
        frame
    }

    /// The frame's bytes.
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl AsRef<[u8]> for ControlFrame {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl fmt::Debug for ControlFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlFrame")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}
