//! Frames written and read by the book, one byte after the other, with no code of the crate's own:
//! what the tests compare it to.

use adit_websocket::{Decoder, Error, Item, Kind};
use bytes::BytesMut;

pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CONTINUATION: u8 = 0x0;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xA;
pub(crate) const FIN: u8 = 0x80;

/// A frame with any first byte, its length in the shortest form, and a mask if there is a key.
pub(crate) fn frame(first: u8, payload: &[u8], key: Option<[u8; 4]>) -> Vec<u8> {
    let mut wire = vec![first];
    let mask_bit = if key.is_some() { 0x80 } else { 0 };
    match payload.len() {
        len @ 0..=125 => wire.push(mask_bit | len as u8),
        len @ 126..=65_535 => {
            wire.push(mask_bit | 126);
            wire.extend((len as u16).to_be_bytes());
        }
        len => {
            wire.push(mask_bit | 127);
            wire.extend((len as u64).to_be_bytes());
        }
    }
    let key = key.inspect(|key| wire.extend(key)).unwrap_or_default();
    wire.extend(
        payload
            .iter()
            .enumerate()
            .map(|(i, byte)| byte ^ key[i % 4]),
    );
    wire
}

/// A frame read by the book: its first byte, its unmasked payload, whether it was masked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReadFrame {
    pub(crate) first: u8,
    pub(crate) payload: Vec<u8>,
    pub(crate) masked: bool,
}

/// Reads the whole frames that `wire` consists of.
pub(crate) fn read_frames(mut wire: &[u8]) -> Vec<ReadFrame> {
    let mut frames = Vec::new();
    while let [first, second, rest @ ..] = wire {
        let (len, rest) = match second & 0x7F {
            126 => (u16::from_be_bytes([rest[0], rest[1]]) as usize, &rest[2..]),
            127 => (
                u64::from_be_bytes(rest[..8].try_into().expect("the frame is whole")) as usize,
                &rest[8..],
            ),
            len => (len as usize, rest),
        };
        let masked = second & 0x80 != 0;
        let (key, rest) = if masked {
            (
                rest[..4].try_into().expect("the frame is whole"),
                &rest[4..],
            )
        } else {
            ([0; 4], rest)
        };
        let (payload, rest) = rest.split_at(len);
        let payload = payload
            .iter()
            .enumerate()
            .map(|(i, byte)| byte ^ key[i % 4])
            .collect();
        frames.push(ReadFrame {
            first: *first,
            payload,
            masked,
        });
        wire = rest;
    }
    assert!(wire.is_empty(), "half a head is left over");
    frames
}

/// What a decoder said, without the borders between slices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// All payload between two other events, and whether its message ended.
    Data(Kind, Vec<u8>, bool),
    Other(Item),
    Failed(Error),
}

/// Decodes `pieces` one after the other, up to the first error.
pub(crate) fn events<'a>(
    decoder: &mut Decoder,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Vec<Event> {
    let mut events = Vec::new();
    for piece in pieces {
        let mut input = BytesMut::from(piece);
        loop {
            match decoder.decode(&mut input) {
                Ok(None) => break,
                Ok(Some(Item::Data { kind, payload, end })) => match events.last_mut() {
                    Some(Event::Data(_, whole, ended @ false)) => {
                        whole.extend(payload);
                        *ended = end;
                    }
                    _ => events.push(Event::Data(kind, payload.to_vec(), end)),
                },
                Ok(Some(item)) => events.push(Event::Other(item)),
                Err(error) => {
                    events.push(Event::Failed(error));
                    return events;
                }
            }
        }
        assert!(
            input.is_empty(),
            "the decoder asked for more and left {} bytes",
            input.len()
        );
    }
    events
}

/// Cuts `wire` into pieces of these lengths, again and again.
pub(crate) fn cut<'a>(wire: &'a [u8], lengths: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    let mut rest = wire;
    for len in lengths.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, after) = rest.split_at((*len).clamp(1, rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces
}
