//! The token: from where the user keeps it to where the protocol needs it.

use std::sync::Arc;

use adit_core::Token;
use adit_driver::ReadToken;
use adit_settings::TokenSource;
use zeroize::Zeroizing;

use crate::Failure;

/// Random bytes of a new token: 256 bits.
const NEW_TOKEN_BYTES: usize = 32;

/// The letters of base64url (RFC 4648 section 5).
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The token as it is now. The error is for people and holds nothing of it.
///
/// # Errors
///
/// It can't be read, or is none.
pub fn read_token(source: &TokenSource) -> Result<Token, String> {
    let secret = source.read().map_err(|error| error.to_string())?;
    Token::new(secret.expose().as_bytes()).map_err(|error| error.to_string())
}

/// Reads the token for the first time, so that a missing file is noticed at the start, and says
/// whether it is weak; then gives what reads it again whenever it is needed.
///
/// # Errors
///
/// It can't be read, or is none.
pub fn token_reader(source: TokenSource) -> Result<ReadToken, Failure> {
    let secret = source
        .read()
        .map_err(|error| Failure::Runtime(error.to_string()))?;
    if let Some(warning) = secret.weakness() {
        tracing::warn!("{warning}");
    }
    read_token(&source).map_err(Failure::Runtime)?;
    Ok(Arc::new(move || read_token(&source)))
}

/// A new token: 256 random bits as base64url, on one line without its end.
///
/// # Errors
///
/// The system gives no random bytes.
pub fn new_token() -> Result<Zeroizing<String>, Failure> {
    let bytes: [u8; NEW_TOKEN_BYTES] = crate::seed()?;
    Ok(base64url(&Zeroizing::new(bytes)[..]))
}

/// Without padding.
fn base64url(bytes: &[u8]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(bytes.len().div_ceil(3) * 4));
    for group in bytes.chunks(3) {
        let mut bits = 0_u32;
        for n in 0..3 {
            bits = bits << 8 | u32::from(group.get(n).copied().unwrap_or(0));
        }
        for n in 0..=group.len() {
            let index = bits >> (18 - 6 * n) & 63;
            text.push(char::from(ALPHABET[index as usize]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64url_matches_the_rfc() {
        // RFC 4648 section 10, and the two letters that base64url has for itself.
        for (bytes, text) in [
            (&b""[..], ""),
            (b"f", "Zg"),
            (b"fo", "Zm8"),
            (b"foo", "Zm9v"),
            (b"foobar", "Zm9vYmFy"),
            (&[0xfb, 0xff], "-_8"),
        ] {
            assert_eq!(base64url(bytes).as_str(), text);
        }
    }

    #[test]
    fn a_new_token_is_accepted_strong_and_never_the_same() {
        let (one, two) = (new_token().unwrap(), new_token().unwrap());
        assert_eq!(one.len(), 43);
        assert_ne!(*one, *two);
        assert!(!Token::new(one.as_bytes()).unwrap().looks_weak());
    }

    #[test]
    fn a_missing_token_file_is_named() {
        let source = TokenSource::File("/no/such/token".into());
        let Err(failure) = token_reader(source) else {
            panic!("it was read")
        };
        assert!(failure.to_string().contains("/no/such/token"), "{failure}");
    }
}
