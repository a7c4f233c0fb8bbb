//! Reading and writing the fields of frames: varints, blobs, texts and attributes (spec/03-frames.md, section 3.1).

use alloc::string::String;
use alloc::vec::Vec;

use bytes::{Buf, Bytes};

use crate::error::ProtocolError;

/// The largest value a varint can hold: 2^62 - 1.
pub const VARINT_MAX: u64 = (1 << 62) - 1;

/// Bytes that `value` takes as a varint: 1, 2, 4 or 8.
pub(crate) const fn varint_len(value: u64) -> usize {
    match value {
        0..=0x3f => 1,
        0x40..=0x3fff => 2,
        0x4000..=0x3fff_ffff => 4,
        _ => 8,
    }
}

/// Writes `value` to the front of `out` and says how many bytes it took.
///
/// Values above [`VARINT_MAX`] are written as that maximum: every count of the protocol is far below it.
pub(crate) fn write_varint(out: &mut [u8; 8], value: u64) -> usize {
    let value = value.min(VARINT_MAX);
    let len = varint_len(value);
    let tag = (len.trailing_zeros() as u64) << (len * 8 - 2);
    let be = (value | tag).to_be_bytes();
    out[..len].copy_from_slice(&be[8 - len..]);
    len
}

/// What came of reading a varint from the front of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Varint {
    /// The value, and how many bytes it took.
    Value(u64, usize),
    /// More bytes are needed.
    Short,
    /// Not in its shortest form.
    Overlong,
}

/// Reads a varint from the front of `bytes`.
pub(crate) fn read_varint(bytes: &[u8]) -> Varint {
    let Some(&first) = bytes.first() else {
        return Varint::Short;
    };
    let len = 1usize << (first >> 6);
    let Some(field) = bytes.get(..len) else {
        return Varint::Short;
    };
    let value = field[1..]
        .iter()
        .fold(u64::from(first & 0x3f), |value, &byte| {
            (value << 8) | u64::from(byte)
        });
    if varint_len(value) == len {
        Varint::Value(value, len)
    } else {
        Varint::Overlong
    }
}

/// Bytes of a body that are kept without allocating: any frame of three numbers.
pub(crate) const INLINE_MAX: usize = 24;

/// Appends fields to a body. Small bodies stay inline.
#[derive(Default)]
pub(crate) struct Writer {
    inline: [u8; INLINE_MAX],
    inline_len: usize,
    spilled: Vec<u8>,
}

impl Writer {
    /// What was written.
    pub(crate) fn as_slice(&self) -> &[u8] {
        if self.spilled.is_empty() {
            &self.inline[..self.inline_len]
        } else {
            &self.spilled
        }
    }

    /// What was written, if it did not fit inline.
    pub(crate) fn into_spilled(self) -> Vec<u8> {
        self.spilled
    }

    pub(crate) fn varint(&mut self, value: u64) -> &mut Self {
        let mut field = [0; 8];
        let len = write_varint(&mut field, value);
        self.raw(&field[..len])
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        let end = self.inline_len + bytes.len();
        if self.spilled.is_empty() && end <= INLINE_MAX {
            self.inline[self.inline_len..end].copy_from_slice(bytes);
            self.inline_len = end;
        } else {
            if self.spilled.is_empty() {
                self.spilled
                    .extend_from_slice(&self.inline[..self.inline_len]);
            }
            self.spilled.extend_from_slice(bytes);
        }
        self
    }

    pub(crate) fn blob(&mut self, bytes: &[u8]) -> &mut Self {
        self.varint(bytes.len() as u64).raw(bytes)
    }

    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        self.blob(text.as_bytes())
    }

    /// A blob whose content `fill` writes.
    pub(crate) fn nested(&mut self, fill: impl FnOnce(&mut Self)) -> &mut Self {
        let mut inner = Self::default();
        fill(&mut inner);
        self.blob(inner.as_slice())
    }

    /// One entry of attributes; the caller keeps the keys rising.
    pub(crate) fn attribute(&mut self, key: u64, value: &[u8]) -> &mut Self {
        self.varint(key).blob(value)
    }
}

/// Takes fields off the front of a body.
pub(crate) struct Reader(Bytes);

impl Reader {
    pub(crate) const fn new(body: Bytes) -> Self {
        Self(body)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn varint(&mut self) -> Result<u64, ProtocolError> {
        match read_varint(&self.0) {
            Varint::Value(value, len) => {
                self.0.advance(len);
                Ok(value)
            }
            Varint::Short => Err(ProtocolError::MALFORMED("a field is cut short")),
            Varint::Overlong => Err(ProtocolError::MALFORMED(
                "a number is not in its shortest form",
            )),
        }
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<Bytes, ProtocolError> {
        if len > self.0.len() {
            return Err(ProtocolError::MALFORMED("a field is cut short"));
        }
        Ok(self.0.split_to(len))
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], ProtocolError> {
        let field = self.take(N)?;
        let mut out = [0; N];
        out.copy_from_slice(&field);
        Ok(out)
    }

    pub(crate) fn blob(&mut self) -> Result<Bytes, ProtocolError> {
        let len = self.varint()?;
        let len = usize::try_from(len)
            .map_err(|_| ProtocolError::MALFORMED("a field is longer than its frame"))?;
        self.take(len)
    }

    pub(crate) fn text(&mut self) -> Result<String, ProtocolError> {
        text(&self.blob()?)
    }

    /// Attributes: calls `entry` for each, in order. Unknown keys are for `entry` to ignore.
    pub(crate) fn attributes(
        &mut self,
        mut entry: impl FnMut(u64, Bytes) -> Result<(), ProtocolError>,
    ) -> Result<(), ProtocolError> {
        let mut inner = Self(self.blob()?);
        let mut last = None;
        while !inner.is_empty() {
            let key = inner.varint()?;
            if last.is_some_and(|last| key <= last) {
                return Err(ProtocolError::MALFORMED("attribute keys do not rise"));
            }
            last = Some(key);
            entry(key, inner.blob()?)?;
        }
        Ok(())
    }

    /// Whatever is left.
    pub(crate) fn rest(&mut self) -> Bytes {
        core::mem::take(&mut self.0)
    }

    pub(crate) fn end(&self) -> Result<(), ProtocolError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(ProtocolError::MALFORMED(
                "bytes are left after the last field",
            ))
        }
    }
}

pub(crate) fn text(bytes: &Bytes) -> Result<String, ProtocolError> {
    match core::str::from_utf8(bytes) {
        Ok(text) => Ok(text.into()),
        Err(_) => Err(ProtocolError::MALFORMED("a text is not UTF-8")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= spec/03-frames.md
    //# A varint MUST be written in its shortest
    //# form.
    #[test]
    fn varints_take_the_length_of_rfc_9000_and_come_back() {
        let cases = [
            (0, 1),
            (0x3f, 1),
            (0x40, 2),
            (0x3fff, 2),
            (0x4000, 4),
            (0x3fff_ffff, 4),
            (0x4000_0000, 8),
            (VARINT_MAX, 8),
        ];
        for (value, len) in cases {
            let mut out = [0; 8];
            assert_eq!(write_varint(&mut out, value), len);
            assert_eq!(read_varint(&out[..len]), Varint::Value(value, len));
            assert_eq!(read_varint(&out[..len - 1]), Varint::Short);
        }
        // RFC 9000, appendix A.1.
        assert_eq!(
            read_varint(&[0x9d, 0x7f, 0x3e, 0x7d]),
            Varint::Value(494_878_333, 4)
        );
    }

    //= spec/03-frames.md
    //# A receiver MUST refuse a longer form with MALFORMED.
    #[test]
    fn a_varint_in_a_longer_form_is_refused() {
        for bytes in [
            &[0x40, 0x25][..],
            &[0x80, 0, 0x3f, 0xff],
            &[0xc0, 0, 0, 0, 0, 0, 0, 1],
        ] {
            assert_eq!(read_varint(bytes), Varint::Overlong);
            let read = Reader::new(Bytes::copy_from_slice(bytes)).varint();
            assert!(matches!(read, Err(error) if error.code == crate::Code::MALFORMED));
        }
    }

    //= spec/03-frames.md
    //# A receiver MUST refuse a text that is not UTF-8 with MALFORMED.
    #[test]
    fn a_text_that_is_not_utf8_is_refused() {
        let read = Reader::new(Bytes::from_static(&[2, 0xc3, 0x28])).text();
        assert!(matches!(read, Err(error) if error.code == crate::Code::MALFORMED));
    }

    //= spec/03-frames.md
    //# Keys MUST rise strictly; a receiver
    //# MUST refuse keys that do not with MALFORMED and MUST ignore keys that it does not know.
    #[test]
    fn attribute_keys_must_rise_strictly() {
        let read = |keys: &[u64]| {
            let mut writer = Writer::default();
            writer.nested(|list| {
                for &key in keys {
                    list.attribute(key, b"x");
                }
            });
            let mut seen = Vec::new();
            Reader::new(Bytes::copy_from_slice(writer.as_slice()))
                .attributes(|key, _| {
                    seen.push(key);
                    Ok(())
                })
                .map(|()| seen)
        };
        assert_eq!(read(&[1, 2, 900]), Ok(alloc::vec![1, 2, 900]));
        assert!(read(&[1, 1]).is_err());
        assert!(read(&[2, 1]).is_err());
    }

    #[test]
    fn a_blob_longer_than_its_body_is_refused_before_anything_is_allocated() {
        let mut writer = Writer::default();
        writer.varint(VARINT_MAX).raw(b"abc");
        assert!(
            Reader::new(Bytes::copy_from_slice(writer.as_slice()))
                .blob()
                .is_err()
        );
    }
}
