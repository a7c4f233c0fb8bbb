//! What real programs find on a link: its rate, its round trip, its loss, its queue, and that nothing of it
//! is left behind.
#![cfg(target_os = "linux")]

use adit_benches::link::{Counts, Link, Namespace, Rate, Side, Spec};
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

/// Payload of a full TCP segment with time stamps, and of a full packet.
const SEGMENT: f64 = 1_448.0;
const PACKET: f64 = 1_500.0;

/// A program that is killed if the test fails before it ends, and what it prints.
struct Running {
    child: Child,
    lines: Receiver<String>,
}

/// Longer than anything here takes to say its next line.
const LONG: Duration = Duration::from_secs(60);

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
        let out = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    /// Reads what it prints up to a line that contains `sign`, and returns that line.
    fn wait_for(&self, sign: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(LONG);
            let line = line.unwrap_or_else(|e| panic!("it does not say {sign:?}: {e}"));
            if line.contains(sign) {
                return line;
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts iperf3 from A to B. What it reports comes from [`report`].
fn iperf(link: &Link, args: &[&str]) -> (Running, Running) {
    let mut server = link.command(Side::B, "iperf3");
    let server = Running::start(server.args(["-s", "-1", "--forceflush"]));
    server.wait_for("listening");
    let to = Side::B.address().to_string();
    let mut client = link.command(Side::A, "iperf3");
    let client = Running::start(client.args(["-J", "-c", &to]).args(args));
    (server, client)
}

fn report((_server, client): (Running, Running)) -> Value {
    let mut text = String::new();
    while let Ok(line) = client.lines.recv_timeout(LONG) {
        text.push_str(&line);
    }
    let report: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(report.get("error"), None, "{report}");
    report["end"].clone()
}

fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

/// The least and the mean of twenty round trips, in milliseconds.
fn ping(link: &Link) -> (f64, f64) {
    let to = Side::B.address().to_string();
    let args = ["-q", "-c", "20", "-i", "0.05", &to];
    let said = link
        .command(Side::A, "ping")
        .args(args)
        .output()
        .expect("ping");
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    let figures = text
        .rsplit_once(" = ")
        .unwrap_or_else(|| panic!("{text}"))
        .1;
    let mut figures = figures
        .split('/')
        .map(|figure| figure.parse().expect("a number"));
    (figures.next().expect("min"), figures.next().expect("mean"))
}

/// A machine that others use at the same time is no broken link, so this says whether a figure is right, and fails nothing.
fn within(what: &str, found: f64, least: f64, most: f64) {
    let verdict = if (least..=most).contains(&found) {
        "PASS"
    } else {
        "FAIL"
    };
    println!("FIGURE {verdict} link, {what}: {found:.3}, to be {least:.3} to {most:.3}");
}

fn sound(both: [Counts; 2]) {
    for counts in both {
        println!("{counts}");
        if (counts.refused, counts.overrun) != (0, 0) {
            println!("FIGURE FAIL link: packets were lost that should not have been");
        }
    }
}

fn rate(text: &str) -> Option<Rate> {
    Some(text.parse().expect("a rate"))
}

#[test]
#[ignore = "needs root, iproute2, iperf3 and ping; .ci/run runs it"]
fn one_cubic_connection_fills_the_rate_at_the_round_trip() {
    let spec = Spec {
        rate: rate("200mbit"),
        rtt: Duration::from_millis(20),
        ..Spec::default()
    };
    let link = Link::start(&spec).expect("a link");
    within("least round trip, ms", ping(&link).0, 20.0, 21.0);
    let end = report(iperf(&link, &["-O", "1", "-t", "4"]));
    assert_eq!(end["sender_tcp_congestion"], "cubic");
    assert_eq!(end["receiver_tcp_congestion"], "cubic");
    let payload = number(&end["sum_received"]["bits_per_second"]);
    let share = payload / 200e6 * PACKET / SEGMENT;
    within("share of the rate", share, 0.97, 1.005);
    let both = link.stop().expect("it worked");
    assert!(both[0].dropped > 0, "cubic never met the queue's end");
    sound(both);
}

#[test]
#[ignore = "needs root, iproute2, iperf3 and ping; .ci/run runs it"]
fn a_full_queue_adds_its_length_and_drops_the_rest() {
    let spec = Spec {
        rate: rate("100mbit"),
        rtt: Duration::from_millis(20),
        ..Spec::default()
    };
    let link = Link::start(&spec).expect("a link");
    let args = ["-u", "-b", "150m", "-l", "1448", "-t", "4", "-w", "1m"];
    let flood = iperf(&link, &args);
    let counted = link.end(Side::A);
    // The flood has filled the queue once the device has sent twice its length.
    let deadline = Instant::now() + Duration::from_secs(10);
    while sent(counted) < 500_000 {
        assert!(Instant::now() < deadline, "the flood does not come");
    }
    // A ping is small, and would have to be luckier than the flood to get in; the mean is of those that are.
    within(
        "mean round trip behind a full queue, ms",
        ping(&link).1,
        39.0,
        41.5,
    );
    let end = report(flood);
    within(
        "dropped of half as much again, %",
        number(&end["sum"]["lost_percent"]),
        30.0,
        36.0,
    );
    sound(link.stop().expect("it worked"));
}

fn sent(namespace: &Namespace) -> u64 {
    let said = namespace.ip(&["-j", "-s", "link", "show", "adit0"]);
    let links: Value = serde_json::from_str(&said.expect("the device")).expect("JSON");
    links[0]["stats64"]["tx"]["bytes"].as_u64().expect("bytes")
}

#[test]
#[ignore = "needs root, iproute2, iperf3 and ping; .ci/run runs it"]
fn chance_takes_its_share_of_real_packets() {
    let spec = Spec {
        rate: rate("200mbit"),
        rtt: Duration::from_millis(10),
        loss: "1%".parse().expect("a share"),
        ..Spec::default()
    };
    let link = Link::start(&spec).expect("a link");
    let args = ["-u", "-b", "100m", "-l", "1000", "-t", "3", "-w", "1m"];
    let end = report(iperf(&link, &args));
    within("lost, %", number(&end["sum"]["lost_percent"]), 0.8, 1.2);
    sound(link.stop().expect("it worked"));
}

#[test]
#[ignore = "needs root, iproute2, iperf3 and ping; .ci/run runs it"]
fn without_a_rate_it_is_not_what_holds_up_half_a_gigabit() {
    let link = Link::start(&Spec::default()).expect("a link");
    within(
        "least round trip without delay, ms",
        ping(&link).0,
        0.0,
        1.0,
    );
    let end = report(iperf(&link, &["-O", "1", "-t", "3"]));
    let payload = number(&end["sum_received"]["bits_per_second"]);
    within("Gbit/s without a rate", payload / 1e9, 1.0, 100.0);
    sound(link.stop().expect("it worked"));
}

#[test]
#[ignore = "needs root, iproute2, iperf3 and ping; .ci/run runs it"]
fn a_link_leaves_nothing_and_clears_away_what_a_killed_one_left() {
    let killed = Running::start(
        Command::new(env!("CARGO_BIN_EXE_link"))
            .args(["--rate", "1mbit"])
            .stdin(Stdio::piped()),
    );
    let line = killed.wait_for("B: ");
    let left = line.split(' ').nth(1).expect("a name").to_owned();
    drop(killed);
    assert!(
        Namespace::existing(&left).is_ok(),
        "it had no time to clear away"
    );
    let link = Link::start(&Spec::default()).expect("a link");
    assert!(Namespace::existing(&left).is_err(), "{left} is still there");
    let own = link.end(Side::A).name().to_owned();
    assert!(Namespace::existing(&own).is_ok());
    drop(link);
    assert!(Namespace::existing(&own).is_err(), "{own} is still there");
}

#[test]
#[ignore = "needs root, iproute2, iperf3 and ping; .ci/run runs it"]
fn the_program_ends_with_its_input_and_says_what_it_carried() {
    let mut program = Running::start(
        Command::new(env!("CARGO_BIN_EXE_link"))
            .args([
                "--rate", "200mbit", "--rtt", "2ms", "--queue", "64k", "--loss", "0.5%",
            ])
            .stdin(Stdio::piped()),
    );
    let line = program.wait_for("queue");
    assert!(
        line.contains("200 Mbit/s, round trip 2ms, loss 0.5%, queue 65536 bytes"),
        "{line}"
    );
    program.wait_for("B: ");
    drop(program.child.stdin.take());
    program.wait_for("from B: 0 packets");
    assert!(program.child.wait().expect("it ends").success());
}
