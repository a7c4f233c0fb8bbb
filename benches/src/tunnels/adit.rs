//! Adit itself, and what it is told beyond its defaults where the name of a row says so.

use super::{Part, Place, Side};
use std::io;

/// The programs as musl's target makes them, which `benches/peers FOLDER static` builds.
pub(super) const STATIC: [&str; 2] = ["adit-server-static", "adit-client-static"];

/// The programs on other runtimes.
pub(super) const SMOL: [&str; 2] = ["adit-server-smol", "adit-client-smol"];
pub(super) const ASYNC_STD: [&str; 2] = ["adit-server-async-std", "adit-client-async-std"];
pub(super) const BLOCKING: [&str; 2] = ["adit-server-blocking", "adit-client-blocking"];

const TOKEN: &str = "q0zTW3mJx8bVYc5rH1uKfLd7PnA2sGeE9iRoZw4tXyQ";

/// For a path of 10 Gbit/s and 100 ms.
const WINDOWS: [&str; 6] = [
    "--stream-window",
    "128MiB",
    "--session-window",
    "128MiB",
    "--replay-limit",
    "128MiB",
];

/// A server and a client, at their defaults.
pub(super) fn pair(place: &Place<'_>) -> io::Result<Vec<Part>> {
    Ok(vec![server(place, &[])?, client(place, "wss", &[])?])
}

/// Without TLS.
pub(super) fn plain(place: &Place<'_>) -> io::Result<Vec<Part>> {
    let server = server(place, &["--tls", "off"])?;
    Ok(vec![server, client(place, "ws", &[])?])
}

/// Other programs of the same kinds, at their defaults.
pub(super) fn pair_of(place: &Place<'_>, names: [&str; 2]) -> io::Result<Vec<Part>> {
    let [server, client] = names.map(|name| place.part(Side::Server, name, None));
    let mut parts = pair(place)?;
    for (part, program) in parts.iter_mut().zip([server?, client?]) {
        let mut command = program.command;
        command.args(part.command.get_args());
        part.command = command;
    }
    Ok(parts)
}

/// With windows for a long and fast path.
pub(super) fn wide(place: &Place<'_>) -> io::Result<Vec<Part>> {
    Ok(vec![
        server(place, &WINDOWS)?,
        client(place, "wss", &WINDOWS)?,
    ])
}

/// A server, and a client with `count` sessions.
pub(super) fn sessions(place: &Place<'_>, count: usize) -> io::Result<Vec<Part>> {
    let admin = format!("127.0.0.1:{}", place.admin);
    Ok(vec![
        server(place, &["--admin-addr", &admin])?,
        client(place, "wss", &["--sessions", &count.to_string()])?,
    ])
}

/// A server and `count` clients that all offer the same.
pub(super) fn clients(place: &Place<'_>, count: usize) -> io::Result<Vec<Part>> {
    let admin = format!("127.0.0.1:{}", place.admin);
    let mut parts = vec![server(place, &["--admin-addr", &admin])?];
    for number in 0..count {
        let id = format!("client-{number}");
        parts.push(client(place, "wss", &["--client-id", &id])?);
    }
    Ok(parts)
}

fn server(place: &Place<'_>, more: &[&str]) -> io::Result<Part> {
    let token = place.file("token", TOKEN)?;
    let listens = place.listen(Side::Server, 0);
    let (control, state) = (listens.to_string(), place.folder.join("state"));
    let state = state.display().to_string();
    let mut args = vec!["--control-addr", &control, "--token-file", &token];
    args.extend(["--state-dir", &state]);
    if !more.contains(&"--admin-addr") {
        args.extend(["--admin-addr", "off"]);
    }
    args.extend(more);
    place.server("adit-server", listens, &args)
}

fn client(place: &Place<'_>, scheme: &str, more: &[&str]) -> io::Result<Part> {
    let token = place.file("token", TOKEN)?;
    let url = format!("{scheme}://{}", place.dial(Side::Server, 0));
    let [bulk, http] =
        [0, 1].map(|at| format!("{}=127.0.0.1:{}", place.visitors[at], place.upstreams[at]));
    let mut args = vec!["--url", &url, "--token-file", &token];
    // Where nothing is encrypted, and the way is not loopback, it has to be said.
    if scheme == "ws" {
        args.push("--insecure-plaintext");
    }
    args.extend(["--upstream", &bulk, "--upstream", &http]);
    args.extend(more);
    place.client("adit-client", &args)
}
