//! A server and its clients with one token, in a folder of their own.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::Program;

/// The token of every test.
pub(crate) const TOKEN: &str = "8xTq2L0vYw5uJm9aRb3NcKe7ZsGd1HfP";

/// A folder with a token.
pub(crate) struct Site {
    dir: TempDir,
}

impl Site {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("token"), format!("{TOKEN}\n")).unwrap();
        Self { dir }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Puts a file into the folder.
    pub(crate) fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.dir().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// A server on a free port, unless `args` say otherwise, that has begun to listen.
    pub(crate) fn server(&self, args: &[&str]) -> Program {
        let server = self.starting_server(args);
        server.logged("clients connect to");
        server
    }

    /// A server that may fail to start.
    pub(crate) fn starting_server(&self, args: &[&str]) -> Program {
        self.server_in(args, &[])
    }

    /// The same with these environment variables.
    pub(crate) fn server_in(&self, args: &[&str], variables: &[(&str, &str)]) -> Program {
        let mut all = vec!["server", "--state-dir", "state"];
        if !args.contains(&"--admin-addr") {
            all.extend(["--admin-addr", "off"]);
        }
        if !args.contains(&"--control-addr") {
            all.extend(["--control-addr", "127.0.0.1:0"]);
        }
        if !args.contains(&"--token-file") {
            all.extend(["--token-file", "token"]);
        }
        all.extend(args);
        Program::start(self.dir(), &all, variables)
    }

    /// A client of this server.
    pub(crate) fn client(&self, server: &Program, args: &[&str]) -> Program {
        self.client_of(&url_of(server), args)
    }

    /// A client of the server at this URL.
    pub(crate) fn client_of(&self, url: &str, args: &[&str]) -> Program {
        self.client_in(url, args, &[])
    }

    /// The same with these environment variables.
    pub(crate) fn client_in(
        &self,
        url: &str,
        args: &[&str],
        variables: &[(&str, &str)],
    ) -> Program {
        let mut all = vec!["client", "--url", url];
        if !args.contains(&"--token-file") {
            all.extend(["--token-file", "token"]);
        }
        all.extend(args);
        Program::start(self.dir(), &all, variables)
    }
}

/// The control port that a server took.
pub(crate) fn port_of(server: &Program) -> u16 {
    let line = server.logged("clients connect to");
    let (_, after) = line.split_once("127.0.0.1:").unwrap();
    after.split('/').next().unwrap().parse().unwrap()
}

/// How clients reach a server that ends TLS itself.
pub(crate) fn url_of(server: &Program) -> String {
    format!("wss://127.0.0.1:{}", port_of(server))
}

/// The address at which visitors reach a client's service.
pub(crate) fn service_of(client: &Program, upstream: SocketAddr) -> SocketAddr {
    let line = client.logged(&format!("of the server leads to {upstream}"));
    let (before, _) = line.split_once(" of the server").unwrap();
    before.rsplit(' ').next().unwrap().parse().unwrap()
}
