//! What a fuzzer calls: one function for each thing that reads bytes of strangers, which panics if something is wrong. They are plain functions, so that
//! any fuzzer can drive them; [`mutate`] is a small one of our own, which needs no other tool.

// The tests of adit-link have their own records from it as well; a crate of its own would be more than it is worth.
#[allow(
    clippy::unwrap_used,
    dead_code,
    reason = "a kit of tests, of which each uses a part"
)]
#[path = "../../../adapters/link/tests/link/by_hand.rs"]
mod by_hand;
mod bytes_in;
mod connection;
mod handshake;
mod records;

use ring as cryptography;

use crate::random::Random;

/// A target: its name, which is the folder of its corpus, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 7] = [
    ("decoder", bytes_in::decoder),
    ("websocket", bytes_in::websocket),
    ("upgrade", bytes_in::upgrade),
    ("handshake", handshake::handshake),
    ("endpoint", handshake::endpoint),
    ("connection", connection::connection),
    ("records", records::records),
];

/// The longest input that [`mutate`] makes, in bytes.
const INPUT_MAX: usize = 4_096;

/// Bytes that matter where lengths and numbers are read.
const EDGES: [u8; 12] = [
    0, 1, 0x3f, 0x40, 0x7d, 0x7e, 0x7f, 0x80, 0xbf, 0xc0, 0xfe, 0xff,
];

/// An input like those of `corpus`, changed in a few places.
#[must_use]
pub fn mutate(corpus: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let pick = |random: &mut Random| {
        let at = random.between(0, corpus.len().saturating_sub(1));
        corpus.get(at).cloned().unwrap_or_default()
    };
    let mut input = pick(random);
    for _ in 0..random.between(1, 6) {
        let at = random.between(0, input.len());
        let end = random.between(at, input.len().min(at + 16));
        match random.between(0, 6) {
            0 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << random.between(0, 7);
                }
            }
            1 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte = EDGES[random.between(0, EDGES.len() - 1)];
                }
            }
            2 => input.insert(at, random.next() as u8),
            3 => drop(input.drain(at..end)),
            4 => {
                let again = input[at..end].to_vec();
                input.splice(at..at, again);
            }
            5 => input.truncate(at),
            _ => {
                let other = pick(random);
                input.truncate(at);
                input.extend(other.iter().skip(random.between(0, other.len())));
            }
        }
    }
    input.truncate(INPUT_MAX);
    input
}

/// `bytes` in pieces, of which `seed` chooses the lengths: one byte each, or longer ones.
fn pieces(bytes: &[u8], seed: u8) -> Vec<&[u8]> {
    let mut random = Random::new(seed.into());
    let most = [1, 7, 100, 5_000][usize::from(seed) % 4];
    let mut pieces = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(random.between(1, most).min(rest.len()));
        pieces.push(piece);
        rest = behind;
    }
    pieces
}
