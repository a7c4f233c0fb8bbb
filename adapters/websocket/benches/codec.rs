//! What framing costs for 16 KiB of payload: masking in place and while copying, and decoding a
//! masked frame that arrives whole or in pieces the size of a network packet.

use std::hint::black_box;

use adit_websocket::{Config, Decoder, Encoder, Item, Kind, Role};
use bytes::BytesMut;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

const PAYLOAD: usize = 16 * 1024;
const PACKET: usize = 1_400;

/// Few enough that the inputs of a batch stay in the second-level cache, as fresh input does.
const BATCH: BatchSize = BatchSize::NumIterations(8);

fn encoder() -> Encoder {
    Encoder::client(|| [0x37, 0xFA, 0x21, 0x3D])
}

/// One masked frame, as a client sends it.
fn frame() -> BytesMut {
    let (head, mut mask) = encoder()
        .data(Kind::Binary, PAYLOAD as u64, true)
        .expect("it fits");
    let mut wire = BytesMut::from(head.as_slice());
    mask.copy_into(&[7; PAYLOAD], &mut wire);
    wire
}

fn decode_all(decoder: &mut Decoder, input: &mut BytesMut) -> usize {
    let mut total = 0;
    while let Some(item) = decoder.decode(input).expect("the frame is valid") {
        if let Item::Data { payload, .. } = item {
            total += payload.len();
        }
    }
    total
}

fn mask(c: &mut Criterion) {
    let mut group = c.benchmark_group("mask");
    group.throughput(Throughput::Bytes(PAYLOAD as u64));
    let (_, fresh) = encoder()
        .data(Kind::Binary, PAYLOAD as u64, true)
        .expect("it fits");
    let mut payload = vec![7; PAYLOAD + 1];
    for (name, offset) in [("in place", 0), ("in place, odd address", 1)] {
        group.bench_function(name, |b| {
            b.iter(|| {
                fresh
                    .clone()
                    .apply(black_box(&mut payload[offset..offset + PAYLOAD]))
            });
        });
    }
    group.bench_function("in place, odd phase", |b| {
        let mut mask = fresh.clone();
        mask.apply(&mut [0]);
        b.iter(|| mask.clone().apply(black_box(&mut payload[..PAYLOAD])));
    });
    let mut out = BytesMut::with_capacity(PAYLOAD + 8);
    group.bench_function("while copying behind a head", |b| {
        b.iter(|| {
            out.clear();
            out.extend_from_slice(&[0; 8]);
            fresh
                .clone()
                .copy_into(black_box(&payload[..PAYLOAD]), &mut out);
            black_box(&out);
        });
    });
    group.finish();
}

fn decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode");
    group.throughput(Throughput::Bytes(PAYLOAD as u64));
    group.bench_function("whole", |b| {
        b.iter_batched_ref(
            frame,
            |input| decode_all(&mut Decoder::new(Role::Server, Config::default()), input),
            BATCH,
        );
    });
    group.bench_function("in 1,400-byte pieces", |b| {
        let wire = frame();
        b.iter_batched_ref(
            || wire.chunks(PACKET).map(BytesMut::from).collect::<Vec<_>>(),
            |pieces| {
                let mut decoder = Decoder::new(Role::Server, Config::default());
                pieces
                    .iter_mut()
                    .map(|piece| decode_all(&mut decoder, piece))
                    .sum::<usize>()
            },
            BATCH,
        );
    });
    group.finish();
}

criterion_group!(benches, mask, decode);
criterion_main!(benches);
