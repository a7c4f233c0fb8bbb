//! PostgreSQL through a tunnel: eight busy connections, no error, and books
//! that balance.

use adit_e2e::adit::{SOON, Server, client};
use adit_e2e::process::{Recipe, run};
use adit_e2e::scene::Scene;
use adit_e2e::{ports, wait};
use rustix::process::Signal;
use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(120);

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

#[test]
#[ignore = "needs PostgreSQL; .ci/run runs it"]
fn pgbench_runs_without_an_error() {
    let scene = Scene::new("postgres");
    let folder = scene.subfolder("postgres");
    if rustix::process::geteuid().is_root() {
        let id = |flag| {
            let id = run("id", SOON, &Recipe::new("id").args([flag, "postgres"]));
            id.trim().parse::<u32>().expect("a number")
        };
        chown(&folder, Some(id("-u")), Some(id("-g"))).expect("root may");
        fs::set_permissions(scene.folder(), fs::Permissions::from_mode(0o711)).expect("ours");
    }
    let (at, port, data) = (folder.display().to_string(), ports::free(), ports::free());
    let init = Recipe::new(program("initdb"));
    run(
        "initdb",
        LONG,
        &as_postgres(init.args(["-D", &at, "-A", "trust", "-U", "postgres"])),
    );
    let recipe = Recipe::new(program("postgres")).args(["-D", &at, "-k", &at, "-h", "127.0.0.1"]);
    let recipe = recipe.args(["-p".to_owned(), port.to_string()]);
    let mut postgres = scene.start("postgres", as_postgres(recipe));
    wait::until("PostgreSQL to listen", LONG, || {
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()
    });

    let server = Server::start(&scene, "server", &[]);
    let _client = scene.start(
        "client",
        client(&scene, &server.url(), &[(data, port)], &[]),
    );
    wait::until("the data plane to listen", SOON, || {
        TcpStream::connect((Ipv4Addr::LOCALHOST, data)).ok()
    });
    let through = |program: &str, args: &[&str]| {
        let port = data.to_string();
        let recipe = Recipe::new(program).args(["-h", "127.0.0.1", "-p", &port, "-U", "postgres"]);
        run(program, LONG, &recipe.args(args.iter().copied()))
    };
    through("pgbench", &["-i", "-q", "-s", "10", "postgres"]);
    let report = through(
        "pgbench",
        &["-n", "-c", "8", "-j", "2", "-T", "10", "postgres"],
    );
    assert!(
        report.contains("number of failed transactions: 0 "),
        "{report}"
    );
    assert!(!report.contains("aborted"), "{report}");
    let rate = report
        .lines()
        .find(|line| line.starts_with("tps"))
        .expect("a rate");
    println!("FIGURE pgbench, 8 clients, through the tunnel: {rate}");

    let books = "SELECT (SELECT sum(abalance) FROM pgbench_accounts) = sum(delta), count(*) > 0
                 FROM pgbench_history";
    assert_eq!(
        through("psql", &["-At", "-c", books, "postgres"]).trim(),
        "t|t"
    );

    // A fast shutdown gives its shared memory back; `kill -9` would not.
    postgres.signal(Signal::INT);
    wait::until("PostgreSQL to end", LONG, || postgres.ended());
}
