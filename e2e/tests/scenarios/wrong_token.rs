//! One client with a wrong token tries for ever, beside ten others that share
//! its address: the server sees them all come from nginx.

use adit_e2e::adit::{Server, client, wait_served};
use adit_e2e::authority::Authority;
use adit_e2e::nginx::Nginx;
use adit_e2e::process::Process;
use adit_e2e::prometheus::Prometheus;
use adit_e2e::scene::Scene;
use adit_e2e::{ports, services, wait};
use std::time::{Duration, Instant};

const CLIENTS: usize = 10;
/// The first ones stay; the others are killed and started again.
const STAYING: usize = 5;
const ROUNDS: usize = 3;
/// After this many failures the answer to a further one is held back for
/// several seconds, so that a delay of somebody else's would show.
const FAILURES: usize = 6;
/// Between what a start takes (well below a second) and that penalty.
const PROMPT: Duration = Duration::from_secs(3);

#[test]
#[ignore = "needs nginx and Prometheus; .ci/run runs it"]
fn a_wrong_token_delays_nobody_else() {
    let scene = Scene::new("wrong-token");
    let authority = Authority::new();
    let ca = scene.file("ca.pem", authority.pem());
    let server = Server::start(&scene, "server", &["--tls", "off"]);
    let nginx = Nginx::proxy(&scene, &authority, &[("localhost", server.control)]);
    let url = format!("wss://localhost:{}", nginx.port);
    let upstream = services::page(b"adit_e2e_served 1\n".to_vec());

    let ports: [u16; CLIENTS] = std::array::from_fn(|_| ports::free());
    let served = |start: Instant, port: u16| {
        wait_served("a client with the right token", port, "/metrics");
        start.elapsed()
    };
    let mut quiet = Duration::ZERO;
    let mut clients: Vec<Process> = Vec::new();
    for (i, &port) in ports.iter().enumerate() {
        let name = format!("client-{i}");
        let args = ["--ca-file", &ca, "--client-id", &name];
        let start = Instant::now();
        clients.push(scene.start(&name, client(&scene, &url, &[(port, upstream)], &args)));
        quiet = quiet.max(served(start, port));
    }

    let wrong = scene.file(
        "wrong-token",
        "a-token-that-nobody-gave-to-anyone-here-1234",
    );
    let args = [
        "--ca-file",
        &ca,
        "--client-id",
        "wrong",
        "--token-file",
        &wrong,
    ];
    let args = [
        &args[..],
        &["--reconnect-min", "50ms", "--reconnect-max", "100ms"],
    ]
    .concat();
    let recipe = client(&scene, &url, &[(ports::free(), upstream)], &args);
    let mut intruder = scene.start("wrong", recipe);
    // Its refused connections end; those of the others last.
    let failures = || {
        nginx
            .requests()
            .iter()
            .filter(|line| line.contains(" 101 "))
            .count()
    };
    wait::until(
        "the wrong token to be refused often",
        Duration::from_secs(90),
        || (failures() >= FAILURES).then_some(()),
    );

    let targets: Vec<String> = ports
        .iter()
        .map(|port| format!("'127.0.0.1:{port}'"))
        .collect();
    let prometheus = Prometheus::start(
        &scene,
        "prometheus",
        &format!(
            "global: {{scrape_interval: 2s, scrape_timeout: 2s}}
scrape_configs:
- job_name: ten
  static_configs: [{{targets: [{}]}}]
",
            targets.join(", ")
        ),
    );
    let mut busy = Duration::ZERO;
    for _ in 0..ROUNDS {
        for (client, &port) in clients.iter_mut().zip(&ports).skip(STAYING) {
            let start = Instant::now();
            client.restart();
            busy = busy.max(served(start, port));
        }
    }
    println!(
        "FIGURE slowest start of a client: {} ms alone, {} ms beside a wrong token",
        quiet.as_millis(),
        busy.as_millis()
    );
    assert!(busy < PROMPT, "a right token waited {busy:?}");

    wait::until("ten scrapes of each", Duration::from_secs(60), || {
        (prometheus.number("min(count_over_time(up[10m]))")? >= 10.0).then_some(())
    });
    for port in &ports[..STAYING] {
        let up = prometheus.raw(&format!("up{{instance=\"127.0.0.1:{port}\"}}[10m]"));
        let samples = up.values().next().expect("it was scraped");
        assert!(
            samples.iter().all(|(_, up)| up == "1"),
            "a scrape was lost: {samples:?}"
        );
    }
    assert!(intruder.ended().is_none(), "the wrong token still tries");
}
