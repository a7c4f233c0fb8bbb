//! A server whose process has no file descriptors left. The limit is the process's, so the test runs itself in another one.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test")]

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use adit_relay::server::{Server, ServerConfig, Tunnels};
use adit_tokio::{Clock, Env, Tokio, listen, serve, stopper};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

const CHILD: &str = "ADIT_TEST_OUT_OF_FILES";

/// Connections that wait when the server begins.
const WAITING: usize = 8;

/// Counts what is logged on this thread.
struct Lines(Arc<AtomicUsize>);

impl Subscriber for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        if *event.metadata().level() == tracing::Level::WARN {
            // A server that spins would never let the clock go on.
            assert!(self.0.fetch_add(1, Ordering::Relaxed) < 1_000, "it spins");
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[test]
fn a_server_without_files_tries_four_times_a_second_and_takes_those_who_waited_once_it_has_some() {
    if std::env::var_os(CHILD).is_some() {
        return starve();
    }
    let thread = std::thread::current();
    let name = thread.name().expect("a test's thread has its name");
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    let failed = String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success(), "{said}{failed}");
    assert!(said.contains("1 passed"), "{said}");
}

/// The clock of the runtime stands still while anything can run, and jumps when nothing can.
fn starve() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let lines = Arc::new(AtomicUsize::new(0));
    let _guard = tracing::subscriber::set_default(Lines(Arc::clone(&lines)));
    runtime.block_on(async {
        let control = listen(([127, 0, 0, 1], 0).into()).unwrap();
        let at = control.local_addr().unwrap();
        let connect = || std::net::TcpStream::connect(at).unwrap();
        let _strangers: Vec<_> = (0..WAITING).map(|_| connect()).collect();

        let before = getrlimit(Resource::Nofile);
        let open = std::fs::read_dir("/proc/self/fd").unwrap().count();
        let few = Rlimit {
            current: Some(open as u64 + 1),
            maximum: before.maximum,
        };
        setrlimit(Resource::Nofile, few).unwrap();

        let nobody = Arc::new(Tunnels::from_iter([]));
        let server = Server::new(ServerConfig::new(Arc::default(), nobody), [7; 32]);
        let (_stopper, stopping) = stopper();
        let env = Env::logging(Clock::start());
        let serving = serve(Tokio::here(), server.clone(), control, env, stopping);
        tokio::spawn(serving);
        tokio::time::sleep(Duration::from_secs(10)).await;
        let taken = server.counters().carriers_total;
        assert!(taken < WAITING as u64, "all {taken} were taken");
        let told = lines.load(Ordering::Relaxed);
        assert!(
            (38..=41).contains(&told),
            "it tried {told} times in ten seconds"
        );

        setrlimit(Resource::Nofile, before).unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(server.counters().carriers_total, WAITING as u64);
    });
}
