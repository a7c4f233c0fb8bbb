//! Text that a peer chose, made fit for an error message or a log line.

use std::fmt;

/// Shows bytes from a peer with everything but printable ASCII escaped, and cut to a length.
pub(crate) struct Escaped<'a> {
    bytes: &'a [u8],
    longest: usize,
}

impl<'a> Escaped<'a> {
    /// At most `longest` bytes of `bytes`, before escaping.
    pub(crate) fn new(bytes: &'a [u8], longest: usize) -> Self {
        Self { bytes, longest }
    }
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.bytes.get(..self.longest).unwrap_or(self.bytes);
        for (number, part) in shown.split(|byte| *byte == b'\'').enumerate() {
            // An apostrophe is as harmless as a letter.
            f.write_str(if number > 0 { "'" } else { "" })?;
            write!(f, "{}", part.escape_ascii())?;
        }
        if shown.len() < self.bytes.len() {
            f.write_str("...")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_gets_through() {
        let nasty = "a\u{1b}[31m\r\n\u{202e}é";
        let shown = Escaped::new(nasty.as_bytes(), 100).to_string();
        assert!(
            shown.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
            "{shown}"
        );
        assert_eq!(Escaped::new(b"abcdef", 3).to_string(), "abc...");
        assert_eq!(
            Escaped::new(br#"it's "x"\"#, 20).to_string(),
            r#"it's \"x\"\\"#
        );
    }
}
