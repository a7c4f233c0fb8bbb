//! What decoding and encoding allocate: nothing per frame, and nothing by a declared length.

use adit_websocket::{Config, Decoder, Encoder, Item, Kind, Role};
use allocation_counter::measure;
use bytes::BytesMut;
use proptest::prelude::*;

use super::common::*;

/// A buffer's first split turns it into a shared one, which costs this much at most.
const SHARING: u64 = 64;

/// Decodes to the end and drops what comes out.
fn drain(decoder: &mut Decoder, input: &mut BytesMut) {
    while let Ok(Some(item)) = decoder.decode(input) {
        drop(item);
    }
}

#[test]
fn a_declared_length_allocates_nothing() {
    let head = [
        0x82, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 2, 3, 4,
    ];
    let mut input = BytesMut::from(&[&head[..], &[0; 100]].concat()[..]);
    let mut decoder = Decoder::new(Role::Server, Config::default());
    let allocated = measure(|| drain(&mut decoder, &mut input));
    assert!(!decoder.is_done(), "the frame goes on");
    assert!(allocated.bytes_total <= SHARING, "{allocated:?}");
}

#[test]
fn frames_in_one_buffer_allocate_once_for_all_of_them() {
    let one = [
        frame(BINARY, &[1; 300], Some([5, 6, 7, 8])),
        frame(FIN | PING, &[2; 125], Some([5, 6, 7, 8])),
        frame(FIN, &[3; 1_000], Some([5, 6, 7, 8])),
    ]
    .concat();
    let mut input = BytesMut::from(&one.repeat(1_000)[..]);
    let mut decoder = Decoder::new(Role::Server, Config::default());
    let allocated = measure(|| drain(&mut decoder, &mut input));
    assert!(input.is_empty() && !decoder.is_done());
    assert_eq!(allocated.count_total, 1);
    assert!(allocated.bytes_total <= SHARING, "{allocated:?}");
}

#[test]
fn encoding_into_room_that_is_there_allocates_nothing() {
    let payload = vec![7; 16 * 1024];
    let mut out = BytesMut::with_capacity(20 * 1024);
    let mut encoder = Encoder::client(|| [1, 2, 3, 4]);
    let allocated = measure(|| {
        for _ in 0..100 {
            out.clear();
            let (head, mut mask) = encoder
                .data(Kind::Binary, payload.len() as u64, true)
                .unwrap();
            out.extend_from_slice(head.as_slice());
            for slice in payload.chunks(1_000) {
                mask.copy_into(slice, &mut out);
            }
        }
    });
    assert_eq!(allocated.count_total, 0);
    assert_eq!(out.len(), 8 + payload.len());
}

proptest! {
    #[test]
    fn arbitrary_bytes_allocate_no_more_than_one_share_of_their_buffer(
        wire in prop::collection::vec(any::<u8>(), 1..300),
        server: bool,
        text: bool,
        // Most random bytes fail at their first one; this makes a valid head of it.
        start in prop::option::of(prop::sample::select(vec![0x82u8, 0x02, 0x89, 0x81, 0x88])),
    ) {
        let mut wire = wire;
        if let Some(start) = start {
            wire[0] = start;
            if let Some(second) = wire.get_mut(1) {
                *second = if server { *second | 0x80 } else { *second & 0x7F };
            }
        }
        let config = if text { Config::with_text(1 << 20) } else { Config::default() };
        let role = if server { Role::Server } else { Role::Client };
        let mut decoder = Decoder::new(role, config);
        let mut input = BytesMut::from(&wire[..]);
        let allocated = measure(|| drain(&mut decoder, &mut input));
        prop_assert!(allocated.bytes_total <= SHARING, "{:?}", allocated);
    }
}

#[test]
fn a_decoder_and_an_item_are_small() {
    assert!(size_of::<Decoder>() <= 384, "{}", size_of::<Decoder>());
    assert!(size_of::<Item>() <= 192, "{}", size_of::<Item>());
}
