//! One GiB over HTTP through a tunnel arrives as it was.

use adit_e2e::adit::{Server, client, wait_served};
use adit_e2e::nginx::Nginx;
use adit_e2e::ports;
use adit_e2e::process::{Recipe, run};
use adit_e2e::scene::Scene;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::time::{Duration, Instant};

const MIB: usize = 1 << 20;
const SIZE: usize = 1024 * MIB;
const LONG: Duration = Duration::from_secs(300);

/// Bytes that repeat nowhere near (xorshift64).
fn write_noise(path: &str) {
    let mut out = BufWriter::with_capacity(MIB, File::create(path).expect("a file"));
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    for _ in 0..SIZE / 8 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.write_all(&state.to_le_bytes())
            .expect("room on the disk");
    }
    out.flush().expect("room on the disk");
}

#[test]
#[ignore = "needs nginx and curl; .ci/run runs it"]
fn a_download_of_one_gib_has_the_right_sum() {
    let scene = Scene::new("download");
    let www = scene.subfolder("www");
    write_noise(&www.join("noise").display().to_string());
    scene.file("www/index.html", "up");
    let nginx = Nginx::files(&scene);
    let data = ports::free();
    let server = Server::start(&scene, "server", &[]);
    let _client = scene.start(
        "client",
        client(&scene, &server.url(), &[(data, nginx.port)], &[]),
    );
    wait_served("the tunnel", data, "/");

    let sum = |port: u16| {
        let script = format!("curl -fsS http://127.0.0.1:{port}/noise | sha256sum");
        let start = Instant::now();
        let sum = run(
            "curl",
            LONG,
            &Recipe::new("bash").args(["-o", "pipefail", "-c", &script]),
        );
        println!(
            "FIGURE 1 GiB with its SHA-256, {}: {:.0} MiB/s",
            if port == data {
                "through the tunnel"
            } else {
                "direct"
            },
            1024.0 / start.elapsed().as_secs_f64()
        );
        sum
    };
    let expected = sum(nginx.port);
    assert_eq!(expected.split(' ').next().map(str::len), Some(64));
    assert_eq!(sum(data), expected);
}
