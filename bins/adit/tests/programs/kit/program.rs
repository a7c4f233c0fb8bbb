//! A process of `adit` that does not outlive its test, and all that it prints.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::until;

/// How long anything may take before the test is called failed.
const DEADLINE: Duration = Duration::from_secs(40);

/// A running program.
pub(crate) struct Program {
    child: Child,
    out: Arc<Printed>,
    log: Arc<Printed>,
}

#[derive(Default)]
struct Printed {
    lines: Mutex<Vec<String>>,
    more: Condvar,
}

impl Program {
    /// Starts `adit` in `dir`, in an environment that holds nothing but `variables`.
    pub(crate) fn start(dir: &Path, args: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_adit"))
            .args(args)
            .current_dir(dir)
            .env_clear()
            .env("HOME", dir)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let out = collect(child.stdout.take().unwrap());
        let log = collect(child.stderr.take().unwrap());
        Self { child, out, log }
    }

    /// The first line of the log that holds `part`.
    pub(crate) fn logged(&self, part: &str) -> String {
        self.logged_times(part, 1)
    }

    /// The `times`-th line of the log that holds `part`.
    pub(crate) fn logged_times(&self, part: &str, times: usize) -> String {
        self.log.wait_for(part, times, || self.log())
    }

    /// The first line on standard output.
    pub(crate) fn first_line(&self) -> String {
        self.out.wait_for("", 1, || self.log())
    }

    /// Everything logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.text()
    }

    /// Everything printed to standard output so far.
    pub(crate) fn output(&self) -> String {
        self.out.text()
    }

    /// How many files it has open.
    #[cfg(target_os = "linux")]
    pub(crate) fn files(&self) -> usize {
        let files = std::fs::read_dir(format!("/proc/{}/fd", self.child.id()));
        files.unwrap().count()
    }

    /// The memory that it has now, in bytes.
    #[cfg(target_os = "linux")]
    pub(crate) fn memory(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// The most memory that it has had so far, in bytes.
    #[cfg(target_os = "linux")]
    pub(crate) fn memory_peak(&self) -> u64 {
        self.status("VmHWM:")
    }

    /// What the kernel says of its memory, in bytes.
    #[cfg(target_os = "linux")]
    fn status(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap();
        let value = status.lines().find_map(|line| line.strip_prefix(field));
        let kib = value.unwrap().trim().trim_end_matches(" kB");
        kib.parse::<u64>().unwrap() * 1024
    }

    /// SIGTERM.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Ctrl-C.
    pub(crate) fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// SIGHUP.
    pub(crate) fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the program to end by itself.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        until("the program to end", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            eprintln!("--- log of process {}\n{}", self.child.id(), self.log());
        }
    }
}

impl Printed {
    fn wait_for(&self, part: &str, times: usize, log: impl Fn() -> String) -> String {
        let deadline = Instant::now() + DEADLINE;
        let mut lines = self.lines.lock().unwrap();
        loop {
            if let Some(line) = lines
                .iter()
                .filter(|line| line.contains(part))
                .nth(times - 1)
            {
                return line.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(lines);
                panic!("no {times} lines with {part:?} in:\n{}", log());
            }
            lines = self.more.wait_timeout(lines, left).unwrap().0;
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for line in self.lines.lock().unwrap().iter() {
            let _ = writeln!(text, "{line}");
        }
        text
    }
}

/// Reads lines in a thread of its own, until the program ends.
fn collect(stream: impl Read + Send + 'static) -> Arc<Printed> {
    let printed = Arc::new(Printed::default());
    let sink = Arc::clone(&printed);
    thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            sink.lines
                .lock()
                .unwrap()
                .push(String::from_utf8_lossy(&line).into_owned());
            sink.more.notify_all();
        }
    });
    printed
}
