//! Looking for secrets where none may be: each in every shape in which it
//! could slip into a log or onto the wire.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;

/// A secret's shapes: as it is, in hex, in base64 at each of the three offsets
/// that a text around it can give, as a list of numbers, as Rust prints bytes,
/// and all of that for its SHA-256 as well.
#[derive(Debug)]
pub struct Needles {
    shapes: Vec<(String, Vec<u8>)>,
}

impl Needles {
    /// The shapes of one secret.
    pub fn new(name: &str, secret: &[u8]) -> Self {
        let mut needles = Self { shapes: Vec::new() };
        needles.add(name, secret);
        needles.add(&format!("SHA-256 of {name}"), &Sha256::digest(secret));
        needles
    }

    /// Names of the shapes that are in `hay`.
    pub fn found_in(&self, hay: &[u8]) -> Vec<&str> {
        let found = self.shapes.iter().filter(|(_, shape)| contains(hay, shape));
        found.map(|(name, _)| name.as_str()).collect()
    }

    fn add(&mut self, name: &str, secret: &[u8]) {
        let hex = secret.iter().fold(String::new(), |mut out, byte| {
            let _ = write!(out, "{byte:02x}");
            out
        });
        let numbers: Vec<String> = secret.iter().map(u8::to_string).collect();
        let escaped: String = secret.escape_ascii().to_string();
        let mut shapes = vec![
            ("as it is", secret.to_vec()),
            ("in hex", hex.clone().into_bytes()),
            ("in HEX", hex.to_uppercase().into_bytes()),
            ("as numbers", numbers.join(", ").into_bytes()),
            ("escaped", escaped.into_bytes()),
        ];
        for offset in 0..3 {
            let text = [vec![0; offset], secret.to_vec()].concat();
            for (shape, engine) in [("in base64", STANDARD), ("in base64url", URL_SAFE)] {
                // The first characters also hold what stands before the secret,
                // the last ones what comes behind it.
                let coded = engine.encode(&text).into_bytes();
                let from = (offset * 8).div_ceil(6);
                let to = text.len() * 8 / 6;
                shapes.push((shape, coded.get(from..to).unwrap_or_default().to_vec()));
            }
        }
        self.shapes.extend(
            shapes
                .into_iter()
                .map(|(shape, bytes)| (format!("{name} {shape}"), bytes)),
        );
    }
}

/// Whether `needle` stands somewhere in `hay`.
pub fn contains(hay: &[u8], needle: &[u8]) -> bool {
    let Some((&first, rest)) = needle.split_first() else {
        return true;
    };
    let mut left = hay;
    while let Some(at) = left.iter().position(|&byte| byte == first) {
        left = left.get(at + 1..).unwrap_or_default();
        if left.starts_with(rest) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"\x00\xffsixteen bytes!\"";

    #[test]
    fn every_shape_is_found() {
        let needles = Needles::new("key", SECRET);
        let hash = Sha256::digest(SECRET);
        for around in 0..3 {
            let text = [vec![b'.'; around], SECRET.to_vec(), vec![b'.'; around]].concat();
            for hay in [
                text.clone(),
                STANDARD.encode(&text).into_bytes(),
                URL_SAFE.encode(&text).into_bytes(),
                format!("{:?}", &text[..]).into_bytes(),
                STANDARD.encode(hash).into_bytes(),
                hash.to_vec(),
            ] {
                assert!(!needles.found_in(&hay).is_empty(), "{}", hay.escape_ascii());
            }
        }
        for hay in [
            "00ff7369787465656e20627974657321",
            "00FF7369787465656E20627974657321",
        ] {
            assert_eq!(needles.found_in(format!("{hay}22").as_bytes()).len(), 1);
        }
    }

    #[test]
    fn other_text_holds_no_shape() {
        let needles = Needles::new("key", SECRET);
        assert!(
            needles
                .found_in(b"sixteen bytes, and other things")
                .is_empty()
        );
        assert!(needles.found_in(b"").is_empty());
    }
}
