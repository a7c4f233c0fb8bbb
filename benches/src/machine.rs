//! What a run ran on: figures mean nothing without it.

use serde_json::{Value, json};
use std::fs;
use std::process::Command;

/// The machine, the kernel and its settings, the date and the state of the source.
pub fn describe() -> Value {
    let line = |path: &str| {
        fs::read_to_string(path)
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    let cpus = line("/proc/cpuinfo");
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or_default()
        .trim_start_matches([' ', '\t', ':']);
    json!({
        "cpu": model,
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "kernel": line("/proc/sys/kernel/osrelease"),
        "congestion control": line("/proc/sys/net/ipv4/tcp_congestion_control"),
        "tcp_rmem": line("/proc/sys/net/ipv4/tcp_rmem"),
        "tcp_wmem": line("/proc/sys/net/ipv4/tcp_wmem"),
        "date": said("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
        "commit": said("git", &["describe", "--always", "--dirty", "--abbrev=12"]),
    })
}

fn said(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    output.map_or_else(
        |_| String::new(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}
