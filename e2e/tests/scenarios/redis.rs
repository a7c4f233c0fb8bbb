//! Redis through a tunnel: its own benchmark, and values that come back whole.

use adit_e2e::adit::{SOON, Server, client};
use adit_e2e::process::{Recipe, run};
use adit_e2e::scene::Scene;
use adit_e2e::{ports, wait};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(120);

#[test]
#[ignore = "needs Redis; .ci/run runs it"]
fn redis_serves_its_benchmark_and_keeps_values() {
    let scene = Scene::new("redis");
    let (port, data) = (ports::free(), ports::free());
    let folder = scene.subfolder("redis").display().to_string();
    let recipe = Recipe::new("redis-server").args(["--bind", "127.0.0.1", "--save", ""]);
    let recipe = recipe.args([
        "--port".to_owned(),
        port.to_string(),
        "--dir".to_owned(),
        folder,
    ]);
    let _redis = scene.start("redis", recipe);
    let server = Server::start(&scene, "server", &[]);
    let _client = scene.start(
        "client",
        client(&scene, &server.url(), &[(data, port)], &[]),
    );
    let ask = |port: u16, args: &[&str]| {
        let recipe = Recipe::new("redis-cli").args(["-p".to_owned(), port.to_string()]);
        recipe.args(args.iter().copied())
    };
    wait::until("Redis to answer", SOON, || {
        let answer = ask(data, &["ping"]).command().output().ok()?;
        (answer.stdout == b"PONG\n").then_some(())
    });

    let (port_text, clients) = (data.to_string(), "50");
    let bench =
        Recipe::new("redis-benchmark").args(["-p", &port_text, "-c", clients, "-n", "50000"]);
    let report = run(
        "redis-benchmark",
        LONG,
        &bench.args(["-t", "set,get,lrange_100", "-q"]),
    );
    assert!(!report.to_lowercase().contains("error"), "{report}");
    for line in report
        .split(['\r', '\n'])
        .filter(|line| line.contains("requests per second"))
    {
        println!("FIGURE Redis through the tunnel: {line}");
    }

    // Written through the tunnel and read beside it, and the other way round.
    let value: String = (0..200_000).map(|i| format!("{i:x};")).collect();
    let file = scene.file("value", &value);
    for (key, write, read) in [("there", data, port), ("back", port, data)] {
        let script = format!("redis-cli -p {write} -x set {key} < {file}");
        let set = run("set", SOON, &Recipe::new("sh").args(["-c", &script]));
        assert_eq!(set.trim(), "OK");
        let got = run("get", SOON, &ask(read, &["get", key]));
        assert!(
            got.trim_end() == value,
            "{key}: {} bytes of {}",
            got.len(),
            value.len()
        );
    }
}
