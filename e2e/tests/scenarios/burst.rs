//! A hundred visitors at once on a link with 100 ms round trip, and silent
//! connections on the control port.

use adit_e2e::adit::{Server, client, wait_served};
use adit_e2e::relay::Relay;
use adit_e2e::scene::Scene;
use adit_e2e::{http, ports, services};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

const VISITORS: usize = 100;
const ROUND_TRIP: Duration = Duration::from_millis(100);

/// When the last of all visitors has its whole answer.
fn last_answer(port: u16, size: usize) -> Duration {
    let barrier = Arc::new(Barrier::new(VISITORS));
    let visitors: Vec<_> = (0..VISITORS)
        .map(|_| {
            let barrier = Arc::clone(&barrier);
            thread::spawn(move || {
                barrier.wait();
                let start = Instant::now();
                let answer = http::get(port, "/").expect("an answer");
                assert_eq!(answer.body.len(), size);
                start.elapsed()
            })
        })
        .collect();
    let times = visitors
        .into_iter()
        .map(|visitor| visitor.join().expect("a visitor"));
    times.max().unwrap_or_default()
}

#[test]
#[ignore = "a figure, best alone; .ci/run runs it"]
fn a_hundred_visitors_are_served_within_three_round_trips() {
    let scene = Scene::new("burst");
    let server = Server::start(&scene, "server", &[]);
    let relay = Relay::start(server.control, ROUND_TRIP / 2);
    let sizes = [1_000, 8_000, 64_000];
    let services = sizes.map(|size| (ports::free(), services::page(vec![b'x'; size])));
    let url = format!("wss://127.0.0.1:{}", relay.port);
    let _client = scene.start("client", client(&scene, &url, &services, &[]));
    wait_served("the tunnel", services[0].0, "/");
    let limit = 3 * ROUND_TRIP + Duration::from_millis(100);
    for ((port, _), size) in services.into_iter().zip(sizes) {
        let last = last_answer(port, size);
        println!(
            "FIGURE {} {VISITORS} visitors, {} ms round trip, answers of {size} bytes: \
             last whole after {} ms (limit {} ms)",
            if last <= limit { "PASS" } else { "FAIL" },
            ROUND_TRIP.as_millis(),
            last.as_millis(),
            limit.as_millis()
        );
    }
}

#[test]
#[ignore = "a figure, best alone; .ci/run runs it"]
fn silent_connections_delay_nobody() {
    let scene = Scene::new("silent");
    let server = Server::start(&scene, "server", &[]);
    let upstream = services::page(b"up".to_vec());
    let start_one = |name: &str| {
        let data = ports::free();
        let recipe = client(
            &scene,
            &server.url(),
            &[(data, upstream)],
            &["--client-id", name],
        );
        let start = Instant::now();
        let client = scene.start(name, recipe);
        wait_served("the tunnel", data, "/");
        (client, start.elapsed())
    };
    let (_first, alone) = start_one("alone");
    let _silent: Vec<TcpStream> = (0..3)
        .map(|_| TcpStream::connect((Ipv4Addr::LOCALHOST, server.control)).expect("it listens"))
        .collect();
    let (_second, beside) = start_one("beside");
    let limit = alone + Duration::from_millis(500);
    println!(
        "FIGURE {} a client is served after {} ms alone, {} ms beside three silent connections",
        if beside <= limit { "PASS" } else { "FAIL" },
        alone.as_millis(),
        beside.as_millis()
    );
}
