//! A tunnel's shared secret, as people hand it over: trimmed, long enough, never printed.

use alloc::vec::Vec;
use core::fmt;

use thiserror::Error;
use zeroize::Zeroizing;

/// Estimated bits of entropy under which a token counts as weak. Below the 128 bits that
/// spec/04-handshake.md asks for, so that a good token that happens to look plain gets no warning.
const WEAK_BITS: u64 = 112;

/// A tunnel's shared secret.
///
/// ```
/// use adit_core::Token;
///
/// let token = Token::new(b"3q2-7wEjRWeJq83vEjRWeA\n")?;
/// assert!(!token.looks_weak());
/// assert_eq!(format!("{token:?}"), "[token]");
/// # Ok::<(), adit_core::TokenError>(())
/// ```
#[derive(Clone)]
pub struct Token(Zeroizing<Vec<u8>>);

impl Token {
    /// The fewest bytes a token may have (spec/04-handshake.md, section 4.1).
    pub const MIN_LEN: usize = 16;

    /// The token in `bytes`, without the white space around it.
    ///
    /// # Errors
    ///
    /// When fewer than [`MIN_LEN`](Self::MIN_LEN) bytes are left.
    pub fn new(bytes: &[u8]) -> Result<Self, TokenError> {
        let token = bytes.trim_ascii();
        if token.len() < Self::MIN_LEN {
            return Err(TokenError { len: token.len() });
        }
        Ok(Self(Zeroizing::new(token.to_vec())))
    }

    /// The token's bytes.
    pub(crate) fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Whether the token looks as if it could be guessed by whoever ends TLS: an estimate from its
    /// length and alphabet, for a warning. It can't tell a random token from a well-mixed phrase.
    #[must_use]
    pub fn looks_weak(&self) -> bool {
        let alphabet = Alphabet::of(&self.0);
        // Repeated and counted-up characters (`aaaa`, `1234`) add nothing.
        let steps = self
            .0
            .windows(2)
            .filter(|pair| pair[1].wrapping_sub(pair[0]) > 1)
            .count();
        let chars = u64::try_from(steps).unwrap_or(u64::MAX).saturating_add(1);
        chars.saturating_mul(alphabet.centibits) / 100 < WEAK_BITS
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[token]")
    }
}

/// A token that is too short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "the token has {len} bytes, and {min} is the least; `adit token new` makes a good one",
    min = Token::MIN_LEN
)]
pub struct TokenError {
    /// How many bytes it has without the white space around it.
    pub len: usize,
}

/// What a token seems to be written in.
struct Alphabet {
    /// Hundredths of a bit that one random character is worth.
    centibits: u64,
}

impl Alphabet {
    fn of(token: &[u8]) -> Self {
        let any = |class: fn(&u8) -> bool| token.iter().any(class);
        let mixed_case = any(u8::is_ascii_lowercase) && any(u8::is_ascii_uppercase);
        let centibits = if token.iter().all(u8::is_ascii_digit) {
            332
        } else if token
            .iter()
            .all(|byte| byte.is_ascii_hexdigit() || *byte == b'-')
            && !mixed_case
        {
            400
        } else if mixed_case {
            595
        } else if any(u8::is_ascii_digit) {
            500
        } else {
            470
        };
        Self { centibits }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= spec/04-handshake.md
    //# A token MUST have at least 16 bytes
    #[test]
    fn a_token_of_fewer_than_16_bytes_is_none() {
        assert_eq!(
            Token::new(b"fifteen bytes..").err(),
            Some(TokenError { len: 15 })
        );
        assert!(Token::new(b"sixteen bytes...").is_ok());
        assert_eq!(Token::new(b"").err(), Some(TokenError { len: 0 }));
        // White space does not make a token long enough.
        assert_eq!(
            Token::new(b"    short    \n\n\n\n\n").err(),
            Some(TokenError { len: 5 })
        );
    }

    #[test]
    fn guessable_tokens_look_weak_and_generated_ones_do_not() {
        let looks_weak = |text: &str| {
            let token = Token::new(text.as_bytes()).expect("long enough");
            token.looks_weak()
        };
        let weak = [
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "0123456789012345678901234567890123456789",
            "password12345678",
            "abcdefghijklmnopqrstuvwxyz",
            "correct horse staple",
        ];
        for text in weak {
            assert!(looks_weak(text), "{text}");
        }
        let strong = [
            // 128 bits as hex, as base64, as a UUID; 256 bits as base64url.
            "9f86d081884c7d659a2feaa0c55ad015",
            "n4bQgYhMfWWaL+qgxVrQFQ",
            "7d444840-9dc0-11d1-b245-5ffdce74fad2",
            "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg",
        ];
        for text in strong {
            assert!(!looks_weak(text), "{text}");
        }
    }
}
