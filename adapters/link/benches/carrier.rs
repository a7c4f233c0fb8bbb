//! How fast bytes pass from one carrier to the other in memory, for each set of layers. Both ends
//! run on one core, so each figure is one encryption and one decryption.

use std::{hint::black_box, io::IoSlice, sync::Arc};

use adit_core::Instant;
use adit_link::{
    Carrier, ClientSetup, ClientTls, ClientUpgrade, SelfSigned, ServerSetup, ServerTls,
    ServerUpgrade,
};
use bytes::{Bytes, BytesMut};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const HOST: &str = "orion.example.com";
/// What one round moves: four full batches.
const ROUND: usize = 4 * 16_376;

fn pair(tls: bool, upgrade: bool) -> (Carrier, Carrier) {
    let own = SelfSigned::generate([HOST.to_owned()]).expect("a certificate");
    let (certificate, key) = (own.certificate.as_bytes(), own.key.as_bytes());
    let client = ClientSetup {
        tls: tls.then(|| ClientTls::from_pem(Some(certificate), None).expect("a CA")),
        server_name: HOST.to_owned(),
        upgrade: upgrade.then(|| ClientUpgrade {
            host: HOST.to_owned(),
            path: "/connect".to_owned(),
            headers: Vec::new(),
        }),
        ..Default::default()
    };
    let server = ServerSetup {
        tls: tls.then(|| ServerTls::from_pem(certificate, key).expect("certificate and key")),
        upgrade: upgrade.then(|| ServerUpgrade::new("/connect").expect("a path")),
        ..Default::default()
    };
    let peer = ([192, 0, 2, 1], 4711).into();
    let mut client = Carrier::client(client, [1; 32], Instant::ORIGIN).expect("a client");
    let mut server = Carrier::server(Arc::new(server), peer, [2; 32], Instant::ORIGIN);
    for _ in 0..4 {
        carry(&mut client, &mut server);
        carry(&mut server, &mut client);
    }
    assert!(
        client.send_space() > 0 && server.send_space() > 0,
        "both are ready"
    );
    (client, server)
}

/// Moves all output, and says how much payload came out.
fn carry(from: &mut Carrier, to: &mut Carrier) -> usize {
    let mut received = 0;
    while from.has_output() {
        let mut slices = [IoSlice::new(&[]); 16];
        let used = from.gather(&mut slices);
        let mut read = BytesMut::with_capacity(64 * 1024);
        for slice in &slices[..used] {
            let room = (64 * 1024_usize).saturating_sub(read.len());
            read.extend_from_slice(slice.get(..room).unwrap_or(slice));
        }
        from.written(read.len());
        to.handle_input(Instant::ORIGIN, read)
            .expect("an honest peer");
        while to.poll_event().is_some() {}
        while let Some(payload) = to.poll_payload() {
            received += black_box(payload).len();
        }
    }
    received
}

fn bulk(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("bulk");
    group.throughput(Throughput::Bytes(ROUND as u64));
    let payload = Bytes::from(vec![7; 16_376]);
    for (name, tls, upgrade) in [
        ("bare", false, false),
        ("websocket", false, true),
        ("tls", true, false),
        ("tls and websocket", true, true),
    ] {
        for to_server in [true, false] {
            let (client, server) = pair(tls, upgrade);
            let (mut from, mut to) = if to_server {
                (client, server)
            } else {
                (server, client)
            };
            let direction = if to_server {
                "client to server"
            } else {
                "server to client"
            };
            group.bench_function(format!("{name}, {direction}"), |bencher| {
                bencher.iter(|| {
                    let mut left = ROUND;
                    let mut received = 0;
                    while left > 0 {
                        left -= from
                            .send(|room| {
                                let frame = payload.slice(..room.min(payload.len()));
                                (left > 0).then_some(frame)
                            })
                            .min(left);
                        received += carry(&mut from, &mut to);
                    }
                    received
                });
            });
        }
    }
    group.finish();
}

fn handshake(criterion: &mut Criterion) {
    criterion.bench_function("handshake, both ends, with two keys made", |bencher| {
        bencher.iter(|| pair(true, true));
    });
}

criterion_group!(benches, bulk, handshake);
criterion_main!(benches);
