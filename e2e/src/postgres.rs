//! PostgreSQL in a folder of its own, and pgbench against it.

use crate::process::{Process, Recipe, run};
use crate::scene::Scene;
use crate::{ports, wait};
use rustix::process::Signal;
use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(120);

/// A running PostgreSQL.
#[derive(Debug)]
pub struct Postgres {
    process: Process,
    /// Where it listens.
    pub port: u16,
}

impl Postgres {
    /// Starts an empty one.
    ///
    /// # Panics
    ///
    /// When it is not installed, or does not come up.
    pub fn start(scene: &Scene) -> Self {
        let folder = scene.subfolder("postgres");
        if rustix::process::geteuid().is_root() {
            let id = |flag| {
                let id = run("id", LONG, &Recipe::new("id").args([flag, "postgres"]));
                id.trim().parse::<u32>().expect("a number")
            };
            chown(&folder, Some(id("-u")), Some(id("-g"))).expect("root may");
            fs::set_permissions(scene.folder(), fs::Permissions::from_mode(0o711)).expect("ours");
        }
        let (at, port) = (folder.display().to_string(), ports::free());
        let init = Recipe::new(program("initdb"));
        run(
            "initdb",
            LONG,
            &as_postgres(init.args(["-D", &at, "-A", "trust", "-U", "postgres"])),
        );
        let recipe =
            Recipe::new(program("postgres")).args(["-D", &at, "-k", &at, "-h", "127.0.0.1"]);
        let recipe = recipe.args(["-p".to_owned(), port.to_string()]);
        let process = scene.start("postgres", as_postgres(recipe));
        wait_listening("PostgreSQL to listen", port);
        Self { process, port }
    }

    /// Ends it in order: a fast shutdown gives its shared memory back; `kill -9`
    /// would not.
    pub fn stop(mut self) {
        self.process.signal(Signal::INT);
        wait::until("PostgreSQL to end", LONG, || self.process.ended());
    }
}

/// Waits until a port of 127.0.0.1 takes connections.
///
/// # Panics
///
/// When it does not, for long.
pub fn wait_listening(what: &str, port: u16) {
    wait::until(what, LONG, || {
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()
    });
}

/// Runs one of PostgreSQL's programs against a port; returns what it printed.
///
/// # Panics
///
/// When it fails.
pub fn through(port: u16, program: &str, args: &[&str]) -> String {
    let port = port.to_string();
    let recipe = Recipe::new(program).args(["-h", "127.0.0.1", "-p", &port, "-U", "postgres"]);
    run(program, LONG, &recipe.args(args.iter().copied()))
}

/// Fills the tables that pgbench uses.
pub fn fill(port: u16) {
    through(port, "pgbench", &["-i", "-q", "-s", "10", "postgres"]);
}

/// Eight busy connections for so long: returns pgbench's line with the rate.
///
/// # Panics
///
/// When a transaction fails, or a connection breaks.
pub fn bench(port: u16, seconds: u32) -> String {
    let seconds = seconds.to_string();
    let args = ["-n", "-c", "8", "-j", "2", "-T", &seconds, "postgres"];
    let report = through(port, "pgbench", &args);
    assert!(
        report.contains("number of failed transactions: 0 "),
        "{report}"
    );
    assert!(!report.contains("aborted"), "{report}");
    let rate = report.lines().find(|line| line.starts_with("tps"));
    rate.expect("a rate").to_owned()
}

/// Asserts that what the accounts hold is what the history says.
///
/// # Panics
///
/// When it is not.
pub fn check_books(port: u16) {
    let books = "SELECT (SELECT sum(abalance) FROM pgbench_accounts) = sum(delta), count(*) > 0
                 FROM pgbench_history";
    assert_eq!(
        through(port, "psql", &["-At", "-c", books, "postgres"]).trim(),
        "t|t"
    );
}

/// A server's program, in the folder where Debian puts it.
fn program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is installed");
    let mut found: Vec<PathBuf> = versions
        .flatten()
        .map(|v| v.path().join("bin").join(name))
        .filter(|p| p.exists())
        .collect();
    found.sort();
    found
        .pop()
        .unwrap_or_else(|| panic!("no {name} under /usr/lib/postgresql"))
}

/// PostgreSQL refuses to run as root; its package brings a user.
fn as_postgres(recipe: Recipe) -> Recipe {
    if rustix::process::geteuid().is_root() {
        recipe.user("postgres")
    } else {
        recipe
    }
}
