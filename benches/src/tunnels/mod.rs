//! The table of tunnels: which programs each needs, and how they are started. Every tunnel runs as
//! its authors ship it, but for what the name of its row says.
//!
//! The part on the visitors' side is called server, the one beside the upstream client, also in
//! pairs in which the visitors' side dials.

mod adit;
mod peers;

use crate::network::Net;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where programs are looked for.
#[derive(Clone, Debug)]
pub struct Programs {
    /// Folders, in order.
    pub folders: Vec<PathBuf>,
}

impl Programs {
    /// Adit's and the yardstick's from `own`, the others from `peers`, its `bin`, or the system.
    pub fn new(own: PathBuf, peers: Option<PathBuf>) -> Self {
        let mut folders = vec![own];
        if let Some(peers) = peers {
            folders.push(peers.join("bin"));
            folders.push(peers);
        }
        folders.extend(["/usr/bin", "/usr/sbin", "/usr/local/bin"].map(PathBuf::from));
        Self { folders }
    }

    /// The program's path, if it is installed.
    pub fn find(&self, name: &str) -> Option<PathBuf> {
        let mut paths = self.folders.iter().map(|folder| folder.join(name));
        paths.find(|path| path.is_file())
    }
}

/// Where one start of a tunnel puts things.
#[derive(Debug)]
pub struct Place<'a> {
    /// A folder of its own.
    pub folder: &'a Path,
    /// Where programs are.
    pub programs: &'a Programs,
    /// Ports of 127.0.0.1 to which visitors come: bulk, HTTP.
    pub visitors: [u16; 2],
    /// Ports of 127.0.0.1 of the upstream: bulk, HTTP.
    pub upstreams: [u16; 2],
    /// Ports for what runs between the parts.
    pub between: [u16; 2],
    /// A port of 127.0.0.1 for a server's operator.
    pub admin: u16,
    /// What lies between the parts.
    pub net: &'a Net,
}

/// Which end of the tunnel a process is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Side {
    /// The visitors'.
    Server,
    /// The upstream's.
    Client,
}

/// One process of a tunnel.
#[derive(Debug)]
pub struct Part {
    /// Which end it is.
    pub side: Side,
    /// How it is started.
    pub command: Command,
    /// Where it listens when the next part can be started.
    pub listens: Option<SocketAddr>,
}

/// One row of the table.
#[derive(Debug)]
pub struct Tunnel {
    /// Its name on the command line and in figures.
    pub name: &'static str,
    /// Whether it encrypts.
    pub encrypted: bool,
    /// Programs that it needs; the first one tells its version.
    pub programs: &'static [&'static str],
    /// How that one is asked.
    pub version: &'static str,
    /// What is to be started, in order.
    pub parts: fn(&Place<'_>) -> io::Result<Vec<Part>>,
    /// The port on which it insists for its clients.
    pub control: Option<u16>,
    /// Workloads that it is there for; none is all.
    pub only: &'static [&'static str],
    /// Sessions that are there before anything is measured.
    pub sessions: usize,
}

/// Nothing between visitors and upstream: what ratios are made to.
pub const DIRECT: &str = "direct";
/// The yardstick.
pub const BARE: &str = "bare";
/// Adit, at its defaults.
pub const ADIT: &str = "adit";
/// Adit with windows for long, fast paths.
pub const ADIT_WIDE: &str = "adit-wide";

/// Adit's static programs.
pub const ADIT_STATIC: &str = "adit-static";
/// Adit's programs on smol.
pub const ADIT_SMOL: &str = "adit-smol";
/// Adit's programs on async-std.
pub const ADIT_ASYNC_STD: &str = "adit-async-std";
/// Adit's programs without an async runtime.
pub const ADIT_BLOCKING: &str = "adit-blocking";
/// Adit with four sessions of one client.
pub const ADIT_SESSIONS: &str = "adit-4-sessions";

const SSH: &[&str] = &["ssh", "sshd", "ssh-keygen"];

/// All of them.
pub const TUNNELS: &[Tunnel] = &[
    plain(DIRECT, &[], "", |_| Ok(Vec::new())),
    encrypted(BARE, &["bare"], "--version", peers::bare),
    adit(ADIT, adit::pair),
    Tunnel {
        encrypted: false,
        ..adit("adit-ws", adit::plain)
    },
    Tunnel {
        programs: &adit::STATIC,
        only: &["bulk-1-down", "bulk-1-up", "bulk-8-down", "bulk-8-up", "http-1k-64"],
        ..adit(ADIT_STATIC, |place| adit::pair_of(place, adit::STATIC))
    },
    adit_on(ADIT_SMOL, &adit::SMOL, |place| adit::pair_of(place, adit::SMOL)),
    adit_on(ADIT_ASYNC_STD, &adit::ASYNC_STD, |place| {
        adit::pair_of(place, adit::ASYNC_STD)
    }),
    adit_on(ADIT_BLOCKING, &adit::BLOCKING, |place| {
        adit::pair_of(place, adit::BLOCKING)
    }),
    Tunnel {
        only: &["delay-1-down", "delay-1-up"],
        ..adit(ADIT_WIDE, adit::wide)
    },
    adit_sessions("adit-2-sessions", 2, |place| adit::sessions(place, 2)),
    adit_sessions(ADIT_SESSIONS, 4, |place| adit::sessions(place, 4)),
    adit_clients("adit-10-clients", 10, |place| adit::clients(place, 10)),
    adit_clients("adit-100-clients", 100, |place| adit::clients(place, 100)),
    adit_clients("adit-1000-clients", 1000, |place| adit::clients(place, 1000)),
    plain("rathole-tcp", &["rathole"], "--version", |place| {
        peers::rathole(place, false)
    }),
    encrypted("rathole-wss", &["rathole", "openssl"], "--version", |place| {
        peers::rathole(place, true)
    }),
    Tunnel {
        control: Some(peers::BORE),
        ..plain("bore", &["bore"], "--version", peers::bore)
    },
    encrypted("ssh", SSH, "-V", |place| peers::ssh(place, None)),
    encrypted("ssh-gcm", SSH, "-V", |place| {
        peers::ssh(place, Some("aes128-gcm@openssh.com"))
    }),
    encrypted("stunnel", &["stunnel"], "-version", peers::stunnel),
    encrypted("wstunnel-wss", &["wstunnel"], "--version", peers::wstunnel),
];

const fn encrypted(
    name: &'static str,
    programs: &'static [&'static str],
    version: &'static str,
    parts: fn(&Place<'_>) -> io::Result<Vec<Part>>,
) -> Tunnel {
    Tunnel {
        name,
        encrypted: true,
        programs,
        version,
        parts,
        control: None,
        only: &[],
        sessions: 1,
    }
}

const fn plain(
    name: &'static str,
    programs: &'static [&'static str],
    version: &'static str,
    parts: fn(&Place<'_>) -> io::Result<Vec<Part>>,
) -> Tunnel {
    Tunnel {
        encrypted: false,
        ..encrypted(name, programs, version, parts)
    }
}

const fn adit(name: &'static str, parts: fn(&Place<'_>) -> io::Result<Vec<Part>>) -> Tunnel {
    encrypted(name, &["adit-server", "adit-client"], "--version", parts)
}

/// Both programs on another runtime.
const fn adit_on(
    name: &'static str,
    programs: &'static [&'static str],
    parts: fn(&Place<'_>) -> io::Result<Vec<Part>>,
) -> Tunnel {
    Tunnel {
        programs,
        only: &["bulk-1-down", "bulk-1-up", "bulk-8-down", "http-1k-64", "http-1k-1", "connect"],
        ..adit(name, parts)
    }
}

/// A client with several sessions.
const fn adit_sessions(
    name: &'static str,
    sessions: usize,
    parts: fn(&Place<'_>) -> io::Result<Vec<Part>>,
) -> Tunnel {
    Tunnel {
        only: &["loss-8-down", "loss-beside"],
        sessions,
        ..adit(name, parts)
    }
}

/// Many clients whose sessions serve the same ports in turn.
const fn adit_clients(
    name: &'static str,
    sessions: usize,
    parts: fn(&Place<'_>) -> io::Result<Vec<Part>>,
) -> Tunnel {
    Tunnel {
        only: &["bulk-8-down", "http-1k-64"],
        sessions,
        ..adit(name, parts)
    }
}

/// The tunnel of that name.
pub fn named(name: &str) -> Option<&'static Tunnel> {
    TUNNELS.iter().find(|tunnel| tunnel.name == name)
}

impl Tunnel {
    /// Whether it is there for a workload.
    pub fn is_for(&self, workload: &str) -> bool {
        self.only.is_empty() || self.only.contains(&workload)
    }

    /// Whether it is somebody else's.
    pub fn is_peer(&self) -> bool {
        !self.name.starts_with(ADIT) && self.name != DIRECT && self.name != BARE
    }

    /// The programs that are not installed.
    pub fn missing(&self, programs: &Programs) -> Vec<&'static str> {
        let names = self.programs.iter().copied();
        names.filter(|name| programs.find(name).is_none()).collect()
    }

    /// What its first program says that it is.
    pub fn version(&self, programs: &Programs) -> Option<String> {
        let program = programs.find(self.programs.first()?)?;
        let output = Command::new(program).arg(self.version).output().ok()?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        version_line(&said).map(str::to_owned)
    }
}

/// The line in which a program says its version: some say when they were built, or where their
/// settings are, before that.
fn version_line(said: &str) -> Option<&str> {
    let mut lines = said.lines().map(str::trim);
    let named = lines.clone().find(|line| line.starts_with("Build Version"));
    named.or_else(|| {
        lines.find(|line| line.contains(|c: char| c.is_ascii_digit()) && !line.contains(".conf"))
    })
}

impl Place<'_> {
    /// Where something of `side` listens for the other side, on the port number `at` of [`between`](Self::between).
    fn listen(&self, side: Side, at: usize) -> SocketAddr {
        self.net.listen(side, self.between[at])
    }

    /// Where the other side finds it.
    fn dial(&self, side: Side, at: usize) -> SocketAddr {
        self.net.dial(side, self.between[at])
    }

    /// Where visitors come to a service, 0 or 1.
    fn visit(&self, at: usize) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.visitors[at]).into()
    }

    /// Where a service's upstream is, for the client's side.
    fn upstream(&self, at: usize) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.upstreams[at]).into()
    }

    fn part(&self, side: Side, name: &str, listens: Option<SocketAddr>) -> io::Result<Part> {
        let program = self.programs.find(name);
        let program = program.ok_or_else(|| io::Error::other(format!("no program {name}")))?;
        Ok(Part {
            side,
            command: Command::new(program),
            listens,
        })
    }

    fn server(&self, name: &str, listens: SocketAddr, args: &[&str]) -> io::Result<Part> {
        let mut part = self.part(Side::Server, name, Some(listens))?;
        part.command.args(args);
        Ok(part)
    }

    fn client(&self, name: &str, args: &[&str]) -> io::Result<Part> {
        let mut part = self.part(Side::Client, name, None)?;
        part.command.args(args);
        Ok(part)
    }

    /// Writes a file and says where.
    fn file(&self, name: &str, content: &str) -> io::Result<String> {
        let path = self.folder.join(name);
        fs::write(&path, content)?;
        Ok(path.display().to_string())
    }

    /// Runs a program that makes a file, to its end.
    fn make(&self, name: &str, args: &[&str]) -> io::Result<()> {
        let mut part = self.part(Side::Server, name, None)?;
        let output = part.command.args(args).current_dir(self.folder).output()?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(io::Error::other(format!("{name}: {said}")))
    }

    /// A certificate for localhost and its key, as two files.
    fn certificate(&self) -> io::Result<[String; 2]> {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).map_err(io::Error::other)?;
        Ok([
            self.file("cert.pem", &made.cert.pem())?,
            self.file("key.pem", &made.signing_key.serialize_pem())?,
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Network;
    use std::collections::BTreeSet;

    #[test]
    fn every_tunnel_has_its_own_name_and_is_found_by_it() {
        let names: BTreeSet<_> = TUNNELS.iter().map(|tunnel| tunnel.name).collect();
        assert_eq!(names.len(), TUNNELS.len());
        for name in names {
            assert_eq!(named(name).map(|tunnel| tunnel.name), Some(name));
        }
    }

    #[test]
    fn the_version_is_found_among_other_lines() {
        let rathole = "Build Timestamp:     2026-11-25\nBuild Version:       0.5.0\n";
        assert_eq!(version_line(rathole), Some("Build Version:       0.5.0"));
        let stunnel = "Initializing\n/etc/x1.conf is read\nstunnel 5.68 on x86_64\n";
        assert_eq!(version_line(stunnel), Some("stunnel 5.68 on x86_64"));
        assert_eq!(
            version_line("adit-server 0.1.0\n"),
            Some("adit-server 0.1.0")
        );
    }

    #[test]
    fn a_tunnel_whose_program_is_not_there_says_which() {
        let programs = Programs {
            folders: vec![PathBuf::from("/nowhere")],
        };
        let missing = named(ADIT).map(|adit| adit.missing(&programs));
        assert_eq!(missing, Some(vec!["adit-server", "adit-client"]));
        assert_eq!(
            named(DIRECT).map(|direct| direct.missing(&programs)),
            Some(vec![])
        );
    }

    #[test]
    fn each_tunnel_has_a_part_on_either_side_and_says_when_the_first_is_up() -> io::Result<()> {
        let bin = tempfile::tempdir()?;
        let folder = tempfile::tempdir()?;
        for name in [
            "bare",
            "adit-server",
            "adit-client",
            "rathole",
            "bore",
            "stunnel",
            "wstunnel",
        ] {
            fs::write(bin.path().join(name), "")?;
        }
        let programs = Programs {
            folders: vec![bin.path().to_owned()],
        };
        let net = Net::start(Network::Loopback, Path::new(""))?;
        for tunnel in TUNNELS.iter().skip(1) {
            if !tunnel.missing(&programs).is_empty() {
                continue;
            }
            let place = Place {
                folder: folder.path(),
                programs: &programs,
                visitors: [1, 2],
                upstreams: [3, 4],
                between: [5, 6],
                admin: 7,
                net: &net,
            };
            let parts = (tunnel.parts)(&place)?;
            for side in [Side::Server, Side::Client] {
                assert!(
                    parts.iter().any(|part| part.side == side),
                    "{}",
                    tunnel.name
                );
            }
            assert!(parts[0].listens.is_some(), "{}", tunnel.name);
        }
        Ok(())
    }
}
