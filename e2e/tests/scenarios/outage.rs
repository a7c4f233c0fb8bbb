//! What a broken network costs: a cut connection, and one that goes silent, in
//! whatever phase.

use adit_e2e::adit::{SOON, Server, client, wait_served};
use adit_e2e::process::Process;
use adit_e2e::relay::{Cut, Relay};
use adit_e2e::scene::Scene;
use adit_e2e::{http, ports, services, wait};
use std::thread;
use std::time::{Duration, Instant};

/// Within this a dead carrier is noticed, with default settings.
const NOTICED: Duration = Duration::from_secs(6);

/// How long after `since` a line of the log holds these words.
///
/// # Panics
///
/// When that is too late.
fn noticed(process: &Process, words: &str, since: Instant) {
    let name = process.name();
    let after = wait::until(&format!("{name} to say {words:?}"), SOON, || {
        process.log().contains(words).then(|| since.elapsed())
    });
    println!(
        "FIGURE {name} noticed silence after {} ms",
        after.as_millis()
    );
    assert!(after < NOTICED, "{name} took {after:?}");
}

#[test]
#[ignore = "needs Adit's programs; .ci/run runs it"]
fn a_client_comes_back_after_a_cut_and_after_silence() {
    let scene = Scene::new("outage");
    let server = Server::start(&scene, "server", &[]);
    let relay = Relay::start(server.control, Duration::ZERO);
    let data = ports::free();
    let upstream = services::page(b"up".to_vec());
    let url = format!("wss://127.0.0.1:{}", relay.port);
    let recipe = client(&scene, &url, &[(data, upstream)], &[]);
    let client = scene.start("client", recipe);
    wait_served("the page", data, "/");

    let before = relay.connections();
    let start = Instant::now();
    relay.cut(Cut::End);
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
    let silent = "the carrier went silent";
    thread::scope(|scope| {
        for process in [&client, &server.process] {
            scope.spawn(move || noticed(process, silent, start));
        }
    });
    relay.silence(false);
    wait::until("the page after silence", SOON, || http::get(data, "/").ok());
}

#[test]
#[ignore = "needs Adit's programs; .ci/run runs it"]
fn silence_is_noticed_in_every_phase_of_an_attempt() {
    let scene = Scene::new("silence");
    let with_tls = Server::start(&scene, "server", &[]);
    let without = Server::start(&scene, "plain-server", &["--tls", "off"]);
    let upstream = services::echo();
    let attempts = [
        (
            "before-tls",
            &with_tls,
            "wss",
            0,
            "during the TLS handshake",
        ),
        ("in-tls", &with_tls, "wss", 300, "during the TLS handshake"),
        (
            "in-upgrade",
            &without,
            "ws",
            60,
            "during the WebSocket upgrade",
        ),
        // The request fits, and so does the answer with SERVER_HELLO behind it; AUTH does not.
        (
            "in-handshake",
            &without,
            "ws",
            300,
            "went silent during the handshake",
        ),
    ]
    .map(|(phase, server, scheme, bytes, words)| {
        let relay = Relay::start(server.control, Duration::ZERO);
        relay.silence_after(bytes);
        let url = format!("{scheme}://127.0.0.1:{}", relay.port);
        let recipe = client(&scene, &url, &[(ports::free(), upstream)], &[]);
        let client = scene.start(phase, recipe);
        wait::until("a connection", SOON, || {
            (relay.connections() > 0).then_some(())
        });
        (client, words, Instant::now())
    });
    thread::scope(|scope| {
        for (client, words, since) in &attempts {
            scope.spawn(|| noticed(client, words, *since));
        }
    });
}
