//! Adit's own programs, as a user starts them.

use crate::process::{Process, Recipe};
use crate::scene::Scene;
use crate::{http, ports, wait};
use std::env;
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

/// The token of every scenario: 256 bits, as `adit token new` makes them.
pub const TOKEN: &str = "q0zTW3mJx8bVYc5rH1uKfLd7PnA2sGeE9iRoZw4tXyQ";

/// Long enough for anything that should happen within seconds.
pub const SOON: Duration = Duration::from_secs(30);

/// One of Adit's programs, built before: in the folder that `ADIT_BINS` names,
/// or else where cargo put this test.
///
/// # Panics
///
/// When it is not there.
pub fn program(name: &str) -> PathBuf {
    let folder = env::var_os("ADIT_BINS").map_or_else(
        || {
            let test = env::current_exe().expect("a test knows where it is");
            test.ancestors()
                .nth(2)
                .expect("target/PROFILE/deps/TEST")
                .to_owned()
        },
        PathBuf::from,
    );
    let path = folder.join(name);
    let path = path.canonicalize().unwrap_or(path);
    assert!(
        path.exists(),
        "{} is not built: cargo build --release -p {name}, and set ADIT_BINS",
        path.display()
    );
    path
}

/// A running `adit-server`.
#[derive(Debug)]
pub struct Server {
    /// The program.
    pub process: Process,
    /// The port on which it waits for clients.
    pub control: u16,
}

impl Server {
    /// Starts one that has the scenes' token, and waits until it listens. It is `adit-server`, or what `ADIT_SERVER` names.
    pub fn start(scene: &Scene, name: &str, args: &[&str]) -> Self {
        Self::of(&chosen("ADIT_SERVER", "adit-server"), scene, name, args)
    }

    /// The same by a program of another name.
    pub fn of(by: &str, scene: &Scene, name: &str, args: &[&str]) -> Self {
        let control = ports::free();
        let recipe = Recipe::new(program(by))
            .args(["--control-addr".to_owned(), format!("127.0.0.1:{control}")])
            .args(["--token-file".to_owned(), scene.file("token", TOKEN)])
            .args([
                "--state-dir".to_owned(),
                scene.path(&format!("{name}-state")),
            ])
            .args(if args.contains(&"--admin-addr") {
                vec![]
            } else {
                vec!["--admin-addr", "off"]
            })
            .args(args.iter().copied());
        let server = Self {
            process: scene.start(name, recipe),
            control,
        };
        server.wait_ready();
        server
    }

    /// Waits until the control plane takes connections.
    ///
    /// # Panics
    ///
    /// When it does not, for long.
    pub fn wait_ready(&self) {
        wait::until("the server to listen", SOON, || {
            TcpStream::connect((Ipv4Addr::LOCALHOST, self.control)).ok()
        });
    }

    /// `kill -9`, start again, listening again.
    pub fn restart(&mut self) {
        self.process.restart();
        self.wait_ready();
    }

    /// The address for clients that reach it without anything between.
    pub fn url(&self) -> String {
        format!("wss://127.0.0.1:{}", self.control)
    }
}

/// How to run an `adit-client`, or what `ADIT_CLIENT` names, that serves each data-plane port from an
/// upstream port of 127.0.0.1.
pub fn client(scene: &Scene, url: &str, ports: &[(u16, u16)], args: &[&str]) -> Recipe {
    client_of(
        &chosen("ADIT_CLIENT", "adit-client"),
        scene,
        url,
        ports,
        args,
    )
}

/// The same by a program of another name.
pub fn client_of(
    by: &str,
    scene: &Scene,
    url: &str,
    ports: &[(u16, u16)],
    args: &[&str],
) -> Recipe {
    client_by(Recipe::new(program(by)), scene, url, ports, args)
}

fn chosen(variable: &str, usual: &str) -> String {
    env::var(variable).unwrap_or_else(|_| usual.to_owned())
}

/// The same by `adit client`.
pub fn adit_client(scene: &Scene, url: &str, ports: &[(u16, u16)], args: &[&str]) -> Recipe {
    let program = Recipe::new(program("adit")).args(["client"]);
    client_by(program, scene, url, ports, args)
}

fn client_by(
    program: Recipe,
    scene: &Scene,
    url: &str,
    ports: &[(u16, u16)],
    args: &[&str],
) -> Recipe {
    let mut recipe = program.args(["--url", url]);
    if !args.contains(&"--token-file") {
        recipe = recipe.args(["--token-file".to_owned(), scene.file("token", TOKEN)]);
    }
    for (data, upstream) in ports {
        recipe = recipe.args([
            "--upstream".to_owned(),
            format!("{data}=127.0.0.1:{upstream}"),
        ]);
    }
    recipe.args(args.iter().copied())
}

/// Waits until a data-plane port answers a GET of `path` with 200.
///
/// # Panics
///
/// When it does not, for long.
pub fn wait_served(what: &str, port: u16, path: &str) {
    wait::until(what, SOON, || {
        http::get(port, path)
            .ok()
            .filter(|answer| answer.status == 200)
    });
}
