//! PostgreSQL through a tunnel: eight busy connections, no error, and books
//! that balance; also while the network under it breaks every second, and nginx is
//! reloaded every five.

use adit_e2e::adit::{Server, client};
use adit_e2e::authority::Authority;
use adit_e2e::nginx::Nginx;
use adit_e2e::ports;
use adit_e2e::postgres::{Postgres, bench, check_books, fill, wait_listening};
use adit_e2e::process::Process;
use adit_e2e::relay::{Cut, Relay};
use adit_e2e::scene::Scene;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// How long pgbench runs on a network that breaks.
const SECONDS: u32 = 60;

/// A client with PostgreSQL behind it, and its port.
fn tunnel(scene: &Scene, postgres: &Postgres, url: &str, args: &[&str]) -> (Process, u16) {
    let data = ports::free();
    let recipe = client(scene, url, &[(data, postgres.port)], args);
    let recipe = scene.with_names(recipe, &["tunnel.example.com"]);
    let client = scene.start("client", recipe);
    wait_listening("the data plane to listen", data);
    (client, data)
}

/// Runs `work`, and `disturb` beside it at every `every`; returns how often that was.
fn beside<T>(
    every: Duration,
    mut disturb: impl FnMut(usize) + Send,
    work: impl FnOnce() -> T,
) -> (T, usize) {
    let (over, wait) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let disturbing = scope.spawn(move || {
            let mut times = 0;
            // The sender is dropped when the work is over, also by a failure.
            while wait.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                disturb(times);
                times += 1;
            }
            times
        });
        let done = {
            let _over = over;
            work()
        };
        (done, disturbing.join().expect("it can't fail"))
    })
}

#[test]
#[ignore = "needs PostgreSQL; .ci/run runs it"]
fn pgbench_runs_without_an_error() {
    let scene = Scene::new("postgres");
    let postgres = Postgres::start(&scene);
    let server = Server::start(&scene, "server", &[]);
    let (_client, data) = tunnel(&scene, &postgres, &server.url(), &[]);
    fill(data);
    let rate = bench(data, 10);
    println!("FIGURE pgbench, 8 clients, through the tunnel: {rate}");
    check_books(data);
    postgres.stop();
}

#[test]
#[ignore = "needs PostgreSQL; .ci/run runs it"]
fn pgbench_loses_no_transaction_to_a_cut_every_second() {
    let scene = Scene::new("resume-postgres");
    let postgres = Postgres::start(&scene);
    let server = Server::start(&scene, "server", &[]);
    let relay = Relay::start(server.control, Duration::ZERO);
    let url = format!("wss://127.0.0.1:{}", relay.port);
    let (_client, data) = tunnel(&scene, &postgres, &url, &[]);
    fill(data);
    let cut = |n| relay.cut([Cut::Reset, Cut::End][n % 2]);
    let (rate, cuts) = beside(Duration::from_secs(1), cut, || bench(data, SECONDS));
    println!("FIGURE pgbench, 8 clients, {SECONDS} s with {cuts} cuts by RST or FIN: {rate}");
    assert!(cuts >= 58, "{cuts} cuts");
    assert!(relay.arrivals().len() > cuts, "a carrier for each cut");
    check_books(data);
    postgres.stop();
}

#[test]
#[ignore = "needs PostgreSQL and nginx; .ci/run runs it"]
fn pgbench_loses_no_transaction_to_reloads_of_nginx() {
    let scene = Scene::new("resume-nginx");
    let postgres = Postgres::start(&scene);
    let server = Server::start(&scene, "server", &["--tls", "off"]);
    let authority = Authority::new();
    let ca = scene.file("ca.pem", authority.pem());
    let host = "tunnel.example.com";
    let nginx = Nginx::proxy(&scene, &authority, &[(host, server.control)]);
    let url = format!("wss://{host}:{}", nginx.port);
    let (_client, data) = tunnel(&scene, &postgres, &url, &["--ca-file", &ca]);
    fill(data);
    let before = nginx.requests().len();
    let reload = |_| nginx.reload();
    let (rate, reloads) = beside(Duration::from_secs(5), reload, || bench(data, SECONDS));
    let carriers = nginx.requests().len() - before;
    println!(
        "FIGURE pgbench, 8 clients, {SECONDS} s with {reloads} reloads of nginx that ended \
         {carriers} carriers: {rate}"
    );
    assert!(reloads >= 11 && carriers >= 10, "{reloads}, {carriers}");
    check_books(data);
    postgres.stop();
}
