//! The test vectors of spec/vectors: replayed, and kept fresh.
//!
//! Each file must say what this code would write; after a change that is meant, `ADIT_WRITE_VECTORS=1 cargo test
//! -p adit-proptests --test vectors` writes them anew.

mod fields;
mod frames;
mod handshake;
mod invalid;

use std::path::PathBuf;

use adit_core::{Decoder, Frame, Piece, ProtocolError};
use bytes::Bytes;
use serde_json::{Value, json};

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../spec/vectors")
        .join(name)
}

/// The vectors that stand in a file.
fn recorded(name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(path(name)).expect("the file of vectors");
    let file: Value = serde_json::from_str(&text).expect("JSON");
    let vectors = file["vectors"]
        .as_array()
        .expect("a list of vectors")
        .clone();
    assert!(!vectors.is_empty());
    vectors
}

/// Compares a file with what it should say, or writes it.
fn compare(name: &str, about: &str, vectors: &[Value]) {
    let fresh = json!({ "about": about, "vectors": vectors });
    let text = serde_json::to_string_pretty(&fresh).expect("JSON") + "\n";
    if std::env::var_os("ADIT_WRITE_VECTORS").is_some() {
        std::fs::write(path(name), &text).expect("the folder of vectors");
    }
    let old = std::fs::read_to_string(path(name)).unwrap_or_default();
    let differs = old.lines().zip(text.lines()).find(|(old, new)| old != new);
    assert!(
        old == text,
        "spec/vectors/{name} is not what the code makes, first at {differs:?}; if the change is meant, run this \
         with ADIT_WRITE_VECTORS=1"
    );
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(value: &Value) -> Vec<u8> {
    let digits = value.as_str().expect("hex digits");
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("two hex digits");
    (0..digits.len()).step_by(2).map(byte).collect()
}

fn key(value: &Value) -> [u8; 32] {
    unhex(value).try_into().expect("32 bytes")
}

/// The first frame with a body at the front of `bytes`, and how many bytes it took.
fn read(bytes: &[u8]) -> Result<Option<Frame>, ProtocolError> {
    let mut input = Bytes::copy_from_slice(bytes);
    match Decoder::default().decode(&mut input)? {
        Some(piece @ Piece::Body { kind, .. }) => Frame::parse(kind, piece.body()).map(Some),
        Some(Piece::Payload { .. }) | None => Ok(None),
    }
}
