//! A relay in a process of its own, so that it can be killed. It passes
//! connections from one port of 127.0.0.1 on to another, and cuts each as one entry
//! of its plan says:
//!
//! ```sh
//! relay 20001 20002 reset:100 killed:5000 silence:7
//! ```
//!
//! It prints the number of an entry when it happens.

use adit_e2e::relay::{Cut, Relay};
use std::env;
use std::io::Write as _;
use std::thread;
use std::time::Duration;

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    let [port, target, plan @ ..] = args.as_slice() else {
        panic!("usage: relay PORT TARGET [CUT:BYTES ...]");
    };
    let number = |text: &str| text.parse::<u16>().expect("a port");
    let plan = plan.iter().map(|entry| {
        let (cut, after) = entry.split_once(':').expect("CUT:BYTES");
        (
            cut.parse::<Cut>().expect("a way to cut"),
            after.parse::<u64>().expect("a number of bytes"),
        )
    });
    let relay = Relay::with_plan(
        number(port),
        number(target),
        Duration::ZERO,
        plan,
        |number| {
            let mut out = std::io::stdout();
            let _ = writeln!(out, "{number}").and_then(|()| out.flush());
        },
    );
    assert_eq!(relay.port, number(port));
    loop {
        thread::park();
    }
}
