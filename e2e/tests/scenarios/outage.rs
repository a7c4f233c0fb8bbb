//! What a broken network costs: a cut connection, and one that goes silent.

use adit_e2e::adit::{SOON, Server, client, wait_served};
use adit_e2e::relay::Relay;
use adit_e2e::scene::Scene;
use adit_e2e::{http, ports, services, wait};
use std::time::{Duration, Instant};

#[test]
#[ignore = "needs Adit's programs; .ci/run runs it"]
fn a_client_comes_back_after_a_cut_and_after_silence() {
    let scene = Scene::new("outage");
    let server = Server::start(&scene, "server", &[]);
    let relay = Relay::start(server.control, Duration::ZERO);
    let data = ports::free();
    let upstream = services::page(b"up".to_vec());
    let url = format!("wss://127.0.0.1:{}", relay.port);
    let recipe = client(
        &scene,
        &url,
        &[(data, upstream)],
        &["--reconnect-max", "1s"],
    );
    let _client = scene.start("client", recipe);
    wait_served("the page", data, "/");

    let before = relay.connections();
    let start = Instant::now();
    relay.cut();
    assert_eq!(before, 1);
    wait::until("a new connection", SOON, || {
        (relay.connections() == 1).then_some(())
    });
    wait_served("the page after a cut", data, "/");
    println!(
        "FIGURE served again {} ms after a cut",
        start.elapsed().as_millis()
    );

    let start = Instant::now();
    relay.silence(true);
    wait::until("the client to try again", SOON, || {
        (relay.connections() > 1).then_some(())
    });
    let noticed = start.elapsed();
    relay.silence(false);
    wait::until("the page after silence", SOON, || http::get(data, "/").ok());
    println!(
        "FIGURE silence was noticed after {} ms",
        noticed.as_millis()
    );
}
