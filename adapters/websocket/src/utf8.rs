//! UTF-8 checked as it arrives: a character may be cut anywhere, and the first byte that makes the
//! text invalid is found in the piece that holds it.

/// A check that remembers the start of a character whose rest has not come yet.
#[derive(Debug, Default)]
pub(crate) struct Utf8 {
    /// The first bytes of a character, at most three, valid so far.
    cut: [u8; 4],
    cut_len: usize,
}

/// The text is not UTF-8.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Invalid;

impl Utf8 {
    /// Checks the next piece of the text.
    pub(crate) fn push(&mut self, mut piece: &[u8]) -> Result<(), Invalid> {
        while self.cut_len > 0 {
            let Some((byte, rest)) = piece.split_first() else {
                return Ok(());
            };
            piece = rest;
            self.complete(*byte)?;
        }
        let Err(error) = core::str::from_utf8(piece) else {
            return Ok(());
        };
        if error.error_len().is_some() {
            return Err(Invalid);
        }
        for byte in piece.iter().skip(error.valid_up_to()) {
            self.keep(*byte)?;
        }
        Ok(())
    }

    /// Checks that the text does not end inside a character.
    pub(crate) fn finish(&self) -> Result<(), Invalid> {
        if self.cut_len == 0 {
            Ok(())
        } else {
            Err(Invalid)
        }
    }

    /// Adds one byte to the character that was cut.
    fn complete(&mut self, byte: u8) -> Result<(), Invalid> {
        self.keep(byte)?;
        let character = self.cut.get(..self.cut_len).unwrap_or_default();
        match core::str::from_utf8(character) {
            Ok(_) => self.cut_len = 0,
            Err(error) if error.error_len().is_some() => return Err(Invalid),
            Err(_) => {}
        }
        Ok(())
    }

    fn keep(&mut self, byte: u8) -> Result<(), Invalid> {
        *self.cut.get_mut(self.cut_len).ok_or(Invalid)? = byte;
        self.cut_len += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    extern crate std;
    use std::{string::String, vec::Vec};

    fn check(pieces: &[&[u8]]) -> Result<(), Invalid> {
        let mut utf8 = Utf8::default();
        pieces.iter().try_for_each(|piece| utf8.push(piece))?;
        utf8.finish()
    }

    /// Bytes that are nearly always close to UTF-8, valid or not.
    fn nearly_text() -> impl Strategy<Value = Vec<u8>> {
        let lone = prop::sample::select(vec![
            0x7F, 0x80, 0xBF, 0xC0, 0xC1, 0xC2, 0xE0, 0xED, 0xA0, 0xEF, 0xF0, 0xF4, 0x90, 0xF5,
            0xFF,
        ]);
        let part = prop_oneof![
            4 => any::<char>().prop_map(|c| String::from(c).into_bytes()),
            1 => lone.prop_map(|byte| vec![byte]),
        ];
        prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
    }

    use std::vec;

    proptest! {
        #[test]
        fn any_cutting_agrees_with_the_standard_library(text in nearly_text(), cut in 1usize..5) {
            let pieces: Vec<&[u8]> = text.chunks(cut).collect();
            prop_assert_eq!(check(&pieces).is_ok(), std::str::from_utf8(&text).is_ok());
        }
    }

    #[test]
    fn a_surrogate_is_refused_at_its_second_byte() {
        let mut utf8 = Utf8::default();
        assert_eq!(utf8.push(&[0xED]), Ok(()));
        assert_eq!(utf8.push(&[0xA0]), Err(Invalid));
    }

    #[test]
    fn a_text_that_ends_inside_a_character_is_refused() {
        assert_eq!(check(&["κ".as_bytes()]), Ok(()));
        assert_eq!(check(&[&"κ".as_bytes()[..1]]), Err(Invalid));
    }
}
