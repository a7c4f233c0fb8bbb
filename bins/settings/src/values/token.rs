//! The shared token: where it comes from, what makes it acceptable, and how it is kept out of
//! sight.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use zeroize::Zeroizing;

/// The shortest token that is accepted, in bytes.
pub const MIN_TOKEN_BYTES: usize = 16;

/// The longest token that is accepted, in bytes. It also bounds what is read of a token file, so
/// that a path like `/dev/zero` costs nothing.
pub const MAX_TOKEN_BYTES: usize = 1024;

/// Below this many bits whoever ends TLS could guess a token by trying.
const STRONG_BITS: f64 = 128.0;

/// A text that nothing prints: wiped when dropped, and `[secret]` in Debug.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    pub(crate) fn new(text: &str) -> Self {
        Self(Zeroizing::new(text.to_owned()))
    }

    /// The text itself, for the key derivation or the header that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Makes a token of `text`, white space around it left out.
    ///
    /// # Errors
    /// When what is left is shorter than [`MIN_TOKEN_BYTES`], longer than [`MAX_TOKEN_BYTES`], or
    /// holds control characters (several lines, a binary file).
    pub fn token(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(TokenError::Empty);
        }
        if text.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(TokenError::NotText);
        }
        if text.len() < MIN_TOKEN_BYTES {
            return Err(TokenError::TooShort { bytes: text.len() });
        }
        Ok(Self::new(text))
    }

    /// A warning when the token looks easier to guess than 128 random bits. The text never
    /// holds any of the token.
    ///
    /// The estimate takes a token for random characters out of the smallest usual set that holds
    /// them, for random words where separators divide it into words, and counts runs (`aaa`,
    /// `123`) for nearly nothing. It can praise a bad token; it is a hint, not a proof.
    pub fn weakness(&self) -> Option<String> {
        let bits = estimated_bits(&self.0);
        (bits < STRONG_BITS).then(|| {
            format!(
                "the token is weak: about {bits:.0} bits by its form, and 128 are needed so that \
                 nobody between client and server can guess it; make a new one with `adit token \
                 new`"
            )
        })
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// The bits of a word taken from a usual list of 2048.
const WORD_BITS: f64 = 11.0;

fn estimated_bits(token: &str) -> f64 {
    let words: Vec<&str> = token.split([' ', '-', '_', '.']).collect();
    let are_words = words
        .iter()
        .all(|word| word.len() >= 2 && word.bytes().all(|b| b.is_ascii_alphabetic()));
    if words.len() > 1 && are_words {
        return words.len() as f64 * WORD_BITS;
    }
    let any = |in_set: fn(&char) -> bool| token.chars().any(|c| in_set(&c));
    let is_hex = token.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'))
        || token.chars().all(|c| matches!(c, '0'..='9' | 'A'..='F'));
    let set = if token.bytes().all(|b| b.is_ascii_digit()) {
        10
    } else if is_hex {
        16
    } else {
        let lower = if any(char::is_ascii_lowercase) { 26 } else { 0 };
        let upper = if any(char::is_ascii_uppercase) { 26 } else { 0 };
        let digit = if any(char::is_ascii_digit) { 10 } else { 0 };
        let base64 = if any(|c| matches!(c, '+' | '/' | '-' | '_' | '=')) {
            2
        } else {
            0
        };
        let other = if any(|c| !c.is_ascii_alphanumeric() && !"+/-_=".contains(*c)) {
            30
        } else {
            0
        };
        lower + upper + digit + base64 + other
    };
    let codes: Vec<i64> = token.chars().map(|c| i64::from(u32::from(c))).collect();
    let in_run = codes
        .windows(3)
        .filter(|w| matches!(w, [a, b, c] if b - a == c - b && (b - a).abs() <= 1))
        .count();
    // A few runs are what chance makes; more are a pattern.
    let counted = if in_run > codes.len() / 8 {
        codes.len() - in_run
    } else {
        codes.len()
    };
    counted as f64 * f64::from(set).log2()
}

/// Where a token is taken from. It is read anew at every attempt to connect, so that a file that
/// changed (a rotated Secret) counts without a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenSource {
    /// A file that holds the token and nothing else.
    File(PathBuf),
    /// The token itself, already checked.
    Value(Secret),
}

impl TokenSource {
    /// The token as it is now.
    ///
    /// # Errors
    /// When the file can't be read, or holds no acceptable token.
    pub fn read(&self) -> Result<Secret, TokenError> {
        let path = match self {
            Self::Value(secret) => return Ok(secret.clone()),
            Self::File(path) => path,
        };
        let in_file = |why: TokenError| TokenError::File {
            path: path.clone(),
            why: why.into(),
        };
        let text = read_limited(path).map_err(in_file)?;
        Secret::token(&text).map_err(in_file)
    }
}

/// Room for a token of the largest size with some white space around it.
const MAX_TOKEN_FILE_BYTES: usize = MAX_TOKEN_BYTES + 64;

fn read_limited(path: &PathBuf) -> Result<Zeroizing<String>, TokenError> {
    // The full capacity at once: growing would leave copies of the token behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_TOKEN_FILE_BYTES + 1));
    let limit = (MAX_TOKEN_FILE_BYTES + 1) as u64;
    File::open(path)
        .and_then(|file| file.take(limit).read_to_end(&mut bytes))
        .map_err(TokenError::Unreadable)?;
    if bytes.len() > MAX_TOKEN_FILE_BYTES {
        return Err(TokenError::TooLong);
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| TokenError::NotText)?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// Why there is no usable token. No message holds any part of one.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file could not be opened or read.
    #[error("{0}")]
    Unreadable(io::Error),
    /// Nothing, or white space only.
    #[error("there is no token in it; make one with `adit token new`")]
    Empty,
    /// Fewer than [`MIN_TOKEN_BYTES`].
    #[error(
        "the token has {bytes} bytes and needs at least {MIN_TOKEN_BYTES}; make one with `adit \
         token new`"
    )]
    TooShort {
        /// The length given, in bytes.
        bytes: usize,
    },
    /// More than [`MAX_TOKEN_BYTES`].
    #[error("it holds more than {MAX_TOKEN_BYTES} bytes, so it is no token; is it the right file?")]
    TooLong,
    /// Not UTF-8, or with control characters inside.
    #[error("a token is one line of printable text; make one with `adit token new`")]
    NotText,
    /// One of the above, in a file.
    #[error("token file {}: {why}", path.display())]
    File {
        /// The file's path as it was given.
        path: PathBuf,
        /// What is wrong with it.
        why: Box<Self>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    fn file_with(bytes: &[u8]) -> (tempfile::NamedTempFile, TokenSource) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        let source = TokenSource::File(file.path().to_owned());
        (file, source)
    }

    #[test]
    fn a_token_file_may_end_in_a_newline_and_is_read_anew_each_time() {
        let (mut file, source) = file_with(b"\n 0123456789abcdef-one \r\n");
        assert_eq!(source.read().unwrap().expose(), "0123456789abcdef-one");
        file.as_file_mut().set_len(0).unwrap();
        assert!(matches!(source.read(), Err(TokenError::File { .. })));
    }

    #[test]
    fn a_file_that_holds_no_token_is_refused_with_its_path() {
        let too_long = vec![b'x'; MAX_TOKEN_BYTES + 1];
        let two_lines = b"0123456789abcdef\n0123456789abcdef";
        let cases: [(&[u8], &str); 6] = [
            (b"", "no token"),
            (b" \n", "no token"),
            (b"0123456789abcde", "15 bytes"),
            (&too_long, "more than 1024"),
            (two_lines, "one line"),
            (b"\xff\xfe0123456789abcdef", "one line"),
        ];
        for (bytes, complaint) in cases {
            let (file, source) = file_with(bytes);
            let why = source.read().unwrap_err().to_string();
            assert!(why.contains(complaint), "{why}");
            assert!(why.contains(&file.path().display().to_string()), "{why}");
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let why = TokenSource::File("/nowhere/token".into())
            .read()
            .unwrap_err()
            .to_string();
        assert!(why.starts_with("token file /nowhere/token: "), "{why}");
    }

    #[cfg(unix)]
    #[test]
    fn an_endless_file_costs_only_the_limit() {
        let why = TokenSource::File("/dev/zero".into()).read().unwrap_err();
        assert!(why.to_string().contains("more than 1024"), "{why}");
    }

    #[test]
    fn a_file_is_never_cut_off_in_silence() {
        let mut bytes = b"0123456789abcdef-one".to_vec();
        bytes.resize(MAX_TOKEN_FILE_BYTES, b' ');
        let (_file, source) = file_with(&bytes);
        assert_eq!(source.read().unwrap().expose(), "0123456789abcdef-one");
        bytes.extend(b" x");
        let (_file, source) = file_with(&bytes);
        assert!(
            source
                .read()
                .unwrap_err()
                .to_string()
                .contains("more than 1024")
        );
    }

    #[test]
    fn a_token_fills_its_limits_exactly() {
        assert!(Secret::token(&"x".repeat(MIN_TOKEN_BYTES)).is_ok());
        assert!(Secret::token(&"x".repeat(MAX_TOKEN_BYTES)).is_ok());
    }

    #[test]
    fn guessable_tokens_are_warned_about() {
        for weak in [
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "0123456789abcdef0123456789abcdef",
            "correct horse battery staple",
            "correct-horse-battery-staple-and-more",
            "hunter2hunter2hunter2",
            "31415926535897932384626433832795",
        ] {
            assert!(Secret::token(weak).unwrap().weakness().is_some(), "{weak}");
        }
    }

    #[test]
    fn tokens_of_128_random_bits_are_not() {
        for strong in [
            "9f86d081884c7d659a2feaa0c55ad015",
            "a94a8fe5ccb19ba61c4c0873d391e987982fbbd3",
            "4hqXNwZ0mzC9m1Jr5tTg0w==",
            "Zk3vQ8yLx0mVw1uTn5bR7cXs2dEf4gHj6kAp9iOlMqU",
            "d9428888-122b-11e1-b85c-61cd3cbb3210",
        ] {
            assert_eq!(Secret::token(strong).unwrap().weakness(), None, "{strong}");
        }
    }

    proptest! {
        #[test]
        fn no_message_and_no_debug_holds_the_token(token in "[!-~]{1,40}") {
            let shown = match Secret::token(&token) {
                Ok(secret) => format!("{secret:?} {:?}", TokenSource::Value(secret.clone())),
                Err(why) => format!("{why} {why:?}"),
            };
            // Short texts occur in messages by chance.
            prop_assert!(token.len() < 8 || !shown.contains(&token));
        }

        #[test]
        fn any_text_is_a_token_or_an_error(text in "\\PC*|[ -~]{0,40}") {
            if let Ok(token) = Secret::token(&text) {
                let warning = token.weakness().unwrap_or_default();
                prop_assert!(!warning.contains(token.expose()));
            }
        }
    }
}
