//! The head of a frame (RFC 6455 section 5.2): two bytes, a longer length if needed, a mask key.
//!
//! [`Head`] is a head to be sent. [`HeadReader`] reads one that may arrive byte by byte, and finds a
//! fault in the first byte that shows it.

use bytes::{Buf, BytesMut};

use crate::{Error, MAX_CONTROL_PAYLOAD, Role, frame::Opcode};

/// The longest head, in bytes: two, a 64-bit length and a mask key.
pub const MAX_HEAD: usize = 2 + 8 + 4;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const OPCODE: u8 = 0x0F;
const MASKED: u8 = 0x80;
const LENGTH: u8 = 0x7F;

/// The two values of the short length that say that a longer one follows.
const LENGTH_IS_16_BIT: u8 = 126;
const LENGTH_IS_64_BIT: u8 = 127;

/// The head of a frame to be sent; the payload, masked if need be, follows it on the wire.
#[derive(Clone, Copy)]
pub struct Head {
    bytes: [u8; MAX_HEAD],
    len: usize,
}

impl Head {
    pub(crate) fn new(opcode: Opcode, fin: bool, payload: u64, key: Option<[u8; 4]>) -> Self {
        let mut head = Self {
            bytes: [0; MAX_HEAD],
            len: 0,
        };
        let masked = if key.is_some() { MASKED } else { 0 };
        head.push([if fin { FIN } else { 0 } | opcode.bits()]);
        match (u8::try_from(payload), u16::try_from(payload)) {
            (Ok(short), _) if short < LENGTH_IS_16_BIT => head.push([masked | short]),
            (_, Ok(medium)) => {
                head.push([masked | LENGTH_IS_16_BIT]);
                head.push(medium.to_be_bytes());
            }
            _ => {
                head.push([masked | LENGTH_IS_64_BIT]);
                head.push(payload.to_be_bytes());
            }
        }
        if let Some(key) = key {
            head.push(key);
        }
        head
    }

    /// The bytes to write before the payload.
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    fn push<const N: usize>(&mut self, bytes: [u8; N]) {
        if let Some(slot) = self.bytes.get_mut(self.len..self.len + N) {
            slot.copy_from_slice(&bytes);
            self.len += N;
        }
    }
}

impl AsRef<[u8]> for Head {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

/// The bytes are left out: a mask key is among them.
impl core::fmt::Debug for Head {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Head")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

/// A head that was read and found in order.
pub(crate) struct FrameHead {
    pub(crate) opcode: Opcode,
    pub(crate) fin: bool,
    pub(crate) payload: u64,
    pub(crate) key: Option<[u8; 4]>,
}

/// Collects a head that may come in pieces.
#[derive(Default)]
pub(crate) struct HeadReader {
    bytes: [u8; MAX_HEAD],
    len: usize,
}

impl HeadReader {
    /// Takes what it needs from `input`. `None` means that all of `input` was taken and more is
    /// needed. `allowed` says whether a frame of this opcode may come now. `from` is who sent it.
    pub(crate) fn read(
        &mut self,
        input: &mut BytesMut,
        from: Role,
        allowed: impl FnOnce(Opcode) -> Result<(), Error>,
    ) -> Result<Option<FrameHead>, Error> {
        if !self.fill(input, 1) {
            return Ok(None);
        }
        let [first, ..] = self.bytes;
        if first & RESERVED != 0 {
            return Err(Error::ReservedBits((first & RESERVED) >> 4));
        }
        let opcode = Opcode::from_bits(first & OPCODE)?;
        let fin = first & FIN != 0;
        if opcode.is_control() && !fin {
            return Err(Error::ControlFragmented);
        }
        allowed(opcode)?;

        if !self.fill(input, 2) {
            return Ok(None);
        }
        let [_, second, ..] = self.bytes;
        match (from, second & MASKED != 0) {
            (Role::Client, false) => return Err(Error::NotMasked),
            (Role::Server, true) => return Err(Error::Masked),
            _ => {}
        }
        let short = second & LENGTH;
        if opcode.is_control() && usize::from(short) > MAX_CONTROL_PAYLOAD {
            return Err(Error::ControlTooLong);
        }

        let end_of_length = match short {
            LENGTH_IS_16_BIT => 4,
            LENGTH_IS_64_BIT => 10,
            _ => 2,
        };
        if !self.fill(input, end_of_length) {
            return Ok(None);
        }
        let payload = self.length(short)?;

        let key = match from {
            Role::Server => None,
            Role::Client if !self.fill(input, end_of_length + 4) => return Ok(None),
            Role::Client => self
                .bytes
                .get(end_of_length..)
                .and_then(<[u8]>::first_chunk)
                .copied(),
        };
        self.len = 0;
        Ok(Some(FrameHead {
            opcode,
            fin,
            payload,
            key,
        }))
    }

    /// The length, once all of its bytes are here.
    fn length(&self, short: u8) -> Result<u64, Error> {
        let [_, _, long @ .., _, _, _, _] = self.bytes;
        let [high, low, ..] = long;
        let (length, least) = match short {
            LENGTH_IS_16_BIT => (
                u16::from_be_bytes([high, low]).into(),
                LENGTH_IS_16_BIT.into(),
            ),
            LENGTH_IS_64_BIT => (u64::from_be_bytes(long), u64::from(u16::MAX) + 1),
            short => (short.into(), 0),
        };
        if length > u64::MAX / 2 {
            return Err(Error::LengthTopBit);
        }
        if length < least {
            return Err(Error::LengthNotMinimal(length));
        }
        Ok(length)
    }

    /// Moves bytes here until there are `want`; `false` when `input` ran out before.
    fn fill(&mut self, input: &mut BytesMut, want: usize) -> bool {
        let missing = self.bytes.get_mut(self.len..want).unwrap_or_default();
        let taken = missing.len().min(input.len());
        for (slot, byte) in missing.iter_mut().zip(input.iter()) {
            *slot = *byte;
        }
        input.advance(taken);
        self.len += taken;
        self.len >= want
    }
}

/// The bytes are left out: a mask key may be among them.
impl core::fmt::Debug for HeadReader {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("HeadReader")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}
