//! Two clients serve one port, and one of them stops answering: visitors go to
//! the other.

use adit_e2e::adit::{Server, client, wait_served};
use adit_e2e::process::Process;
use adit_e2e::scene::Scene;
use adit_e2e::{http, ports, services, wait};
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

/// No new visitor may wait longer, and none that comes after that at all.
const LIMIT: Duration = Duration::from_secs(2);
/// What a visitor takes who waits for nobody, on a busy machine.
const AT_ONCE: Duration = Duration::from_millis(200);
const EVERY: Duration = Duration::from_millis(10);
const SPAN: Duration = Duration::from_secs(8);

/// What befalls the first of two clients.
fn when_one(befalls: &str, befall: impl FnOnce(&mut Process)) {
    let scene = Scene::new("two-clients");
    let server = Server::start(&scene, "server", &[]);
    let data = ports::free();
    let start = |name: &str| {
        let upstream = services::page(name.as_bytes().to_vec());
        let args = ["--client-id", name];
        let recipe = client(&scene, &server.url(), &[(data, upstream)], &args);
        scene.start(name, recipe)
    };
    let (mut first, _second) = (start("first"), start("second"));
    wait_served("the port", data, "/");
    let mut seen = BTreeSet::new();
    wait::until("both clients to get visitors", LIMIT * 5, || {
        seen.insert(http::get(data, "/").expect("an answer").text());
        (seen.len() == 2).then_some(())
    });

    befall(&mut first);
    let since = Instant::now();
    let mut visitors = Vec::new();
    while since.elapsed() < SPAN {
        let came = since.elapsed();
        visitors.push(thread::spawn(move || {
            let start = Instant::now();
            let answer = http::get(data, "/").map(|answer| answer.text());
            (came, start.elapsed(), answer)
        }));
        thread::sleep(EVERY);
    }
    let (mut longest, mut later) = (Duration::ZERO, Duration::ZERO);
    let count = visitors.len();
    for visitor in visitors {
        let (came, took, answer) = visitor.join().expect("a visitor");
        let answer = answer.unwrap_or_else(|e| panic!("one that came after {came:?}: {e}"));
        assert_eq!(answer, "second", "one that came after {came:?}");
        longest = longest.max(took);
        if came >= LIMIT {
            later = later.max(took);
        }
    }
    println!(
        "FIGURE {} one of two clients is {befalls}: of {count} visitors, the longest wait is {} ms, of those that came \
         after {} s it is {} ms",
        if later <= AT_ONCE { "PASS" } else { "FAIL" },
        longest.as_millis(),
        LIMIT.as_secs(),
        later.as_millis()
    );
    assert!(longest <= LIMIT, "a visitor waited {longest:?}");
}

#[test]
#[ignore = "needs Adit's programs; .ci/run runs it"]
fn visitors_go_to_the_other_client_when_one_is_stopped() {
    when_one("stopped", |client| client.signal(Signal::STOP));
}

#[test]
#[ignore = "needs Adit's programs; .ci/run runs it"]
fn visitors_go_to_the_other_client_when_one_is_killed() {
    when_one("killed", Process::kill);
}
