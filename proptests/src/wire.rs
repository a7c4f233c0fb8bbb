//! Bytes as a peer would put them on a carrier, right or wrong, without asking core.

use adit_core::kind;

/// A varint of RFC 9000, section 16, in its shortest form.
#[must_use]
pub fn varint(value: u64) -> Vec<u8> {
    match value {
        0..=0x3f => vec![value as u8],
        0x40..=0x3fff => (value as u16 | 0x4000).to_be_bytes().to_vec(),
        0x4000..=0x3fff_ffff => (value as u32 | 0x8000_0000).to_be_bytes().to_vec(),
        _ => (value | 0xc000_0000_0000_0000).to_be_bytes().to_vec(),
    }
}

/// A frame of `kind` with this body.
#[must_use]
pub fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &varint(body.len() as u64), body].concat()
}

/// A frame whose body is numbers.
#[must_use]
pub fn numbers(kind: u8, fields: &[u64]) -> Vec<u8> {
    let body: Vec<u8> = fields.iter().flat_map(|&field| varint(field)).collect();
    frame(kind, &body)
}

/// OPEN of a stream to service 0, without attributes.
#[must_use]
pub fn open(id: u64, credit: u64) -> Vec<u8> {
    let body = [varint(id), varint(0), varint(0), varint(credit), vec![0]].concat();
    frame(kind::OPEN, &body)
}

/// DATA with `len` bytes of payload.
#[must_use]
pub fn data(id: u64, len: usize) -> Vec<u8> {
    let head = [&[kind::DATA][..], &varint(id), &varint(len as u64)].concat();
    [head, vec![7; len]].concat()
}
