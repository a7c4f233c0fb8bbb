//! The table of tunnels: which programs each needs, and how they are started. Every tunnel runs as
//! its authors ship it, but for what the name of its row says.
//!
//! The part on the visitors' side is called server, the one beside the upstream client, also in
//! pairs in which the visitors' side dials.

use std::fs;
use std::io;
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
    /// A port on which it listens when the next part can be started.
    pub listens: Option<u16>,
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
}

/// Nothing between visitors and upstream: what ratios are made to.
pub const DIRECT: &str = "direct";
/// The yardstick.
pub const BARE: &str = "bare";
/// Adit, at its defaults.
pub const ADIT: &str = "adit";

/// All of them.
pub const TUNNELS: &[Tunnel] = &[
    row(DIRECT, false, &[], "", |_| Ok(Vec::new())),
    row(BARE, true, &["bare"], "--version", bare),
    row(
        ADIT,
        true,
        &["adit-server", "adit-client"],
        "--version",
        |place| adit(place, true),
    ),
    row(
        "adit-ws",
        false,
        &["adit-server", "adit-client"],
        "--version",
        |place| adit(place, false),
    ),
    row("rathole-tcp", false, &["rathole"], "--version", |place| {
        rathole(place, false)
    }),
    row(
        "rathole-wss",
        true,
        &["rathole", "openssl"],
        "--version",
        |place| rathole(place, true),
    ),
    row("bore", false, &["bore"], "--version", bore),
    row("ssh", true, &["ssh", "sshd", "ssh-keygen"], "-V", |place| {
        ssh(place, None)
    }),
    row(
        "ssh-gcm",
        true,
        &["ssh", "sshd", "ssh-keygen"],
        "-V",
        |place| ssh(place, Some("aes128-gcm@openssh.com")),
    ),
    row("stunnel", true, &["stunnel"], "-version", stunnel),
    row("wstunnel-wss", true, &["wstunnel"], "--version", wstunnel),
];

const fn row(
    name: &'static str,
    encrypted: bool,
    programs: &'static [&'static str],
    version: &'static str,
    parts: fn(&Place<'_>) -> io::Result<Vec<Part>>,
) -> Tunnel {
    Tunnel {
        name,
        encrypted,
        programs,
        version,
        parts,
    }
}

/// The tunnel of that name.
pub fn named(name: &str) -> Option<&'static Tunnel> {
    TUNNELS.iter().find(|tunnel| tunnel.name == name)
}

impl Tunnel {
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
    fn part(&self, side: Side, name: &str, listens: Option<u16>) -> io::Result<Part> {
        let program = self.programs.find(name);
        let program = program.ok_or_else(|| io::Error::other(format!("no program {name}")))?;
        Ok(Part {
            side,
            command: Command::new(program),
            listens,
        })
    }

    fn server(&self, name: &str, listens: u16, args: &[&str]) -> io::Result<Part> {
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

fn bare(place: &Place<'_>) -> io::Result<Vec<Part>> {
    let certificate = place.folder.join("bare.pem").display().to_string();
    let (visitors, upstreams, between) = (place.visitors, place.upstreams, place.between);
    let routes = |from: [u16; 2], to: [u16; 2]| {
        [0, 1].map(|at| format!("127.0.0.1:{}=127.0.0.1:{}", from[at], to[at]))
    };
    let [bulk, http] = routes(between, upstreams);
    let mut far = place.client(
        "bare",
        &["far", "--certificate", &certificate, &bulk, &http],
    )?;
    far.listens = Some(between[1]);
    let [bulk, http] = routes(visitors, between);
    let near = ["near", "--certificate", &certificate, &bulk, &http];
    Ok(vec![far, place.server("bare", visitors[1], &near)?])
}

fn adit(place: &Place<'_>, tls: bool) -> io::Result<Vec<Part>> {
    let token = place.file("token", "q0zTW3mJx8bVYc5rH1uKfLd7PnA2sGeE9iRoZw4tXyQ")?;
    let control = place.between[0];
    let (address, state) = (
        format!("127.0.0.1:{control}"),
        place.folder.join("state").display().to_string(),
    );
    let mut args = vec!["--control-addr", &address, "--token-file", &token];
    args.extend(["--state-dir", &state, "--admin-addr", "off"]);
    if !tls {
        args.extend(["--tls", "off"]);
    }
    let server = place.server("adit-server", control, &args)?;
    let url = format!("{}://{address}", if tls { "wss" } else { "ws" });
    let [bulk, http] =
        [0, 1].map(|at| format!("{}=127.0.0.1:{}", place.visitors[at], place.upstreams[at]));
    let args = [
        "--url",
        &url,
        "--token-file",
        &token,
        "--upstream",
        &bulk,
        "--upstream",
        &http,
    ];
    Ok(vec![server, place.client("adit-client", &args)?])
}

fn rathole(place: &Place<'_>, wss: bool) -> io::Result<Vec<Part>> {
    let control = place.between[0];
    let (mut at_server, mut at_client) = (String::new(), String::new());
    if wss {
        place.certificate()?;
        let made = "pkcs12 -export -in cert.pem -inkey key.pem -out id.pfx -passout pass:adit";
        place.make("openssl", &made.split(' ').collect::<Vec<_>>())?;
        let folder = place.folder.display();
        let websocket = |end: &str| {
            format!(
                "[{end}.transport]\ntype = \"websocket\"\n[{end}.transport.websocket]\ntls = true\n\
                 [{end}.transport.tls]\n"
            )
        };
        at_server = websocket("server")
            + &format!("pkcs12 = \"{folder}/id.pfx\"\npkcs12_password = \"adit\"\n");
        at_client = websocket("client")
            + &format!("trusted_root = \"{folder}/cert.pem\"\nhostname = \"localhost\"\n");
    }
    let mut server = format!(
        "[server]\nbind_addr = \"127.0.0.1:{control}\"\ndefault_token = \"adit\"\n{at_server}"
    );
    let mut client = format!(
        "[client]\nremote_addr = \"127.0.0.1:{control}\"\ndefault_token = \"adit\"\n{at_client}"
    );
    for (at, name) in ["bulk", "http"].into_iter().enumerate() {
        let (visitors, upstream) = (place.visitors[at], place.upstreams[at]);
        server += &format!("[server.services.{name}]\nbind_addr = \"127.0.0.1:{visitors}\"\n");
        client += &format!("[client.services.{name}]\nlocal_addr = \"127.0.0.1:{upstream}\"\n");
    }
    let server = place.file("server.toml", &server)?;
    let client = place.file("client.toml", &client)?;
    Ok(vec![
        place.server("rathole", control, &["--server", &server])?,
        place.client("rathole", &["--client", &client])?,
    ])
}

/// bore has one port for its clients, which can't be chosen, and a client for each service.
fn bore(place: &Place<'_>) -> io::Result<Vec<Part>> {
    const CONTROL: u16 = 7835;
    let mut parts = vec![place.server("bore", CONTROL, &["server", "--min-port", "1024"])?];
    for at in [0, 1] {
        let (upstream, port) = (
            place.upstreams[at].to_string(),
            place.visitors[at].to_string(),
        );
        let args = ["local", &upstream, "--to", "127.0.0.1", "--port", &port];
        parts.push(place.client("bore", &args)?);
    }
    Ok(parts)
}

fn ssh(place: &Place<'_>, cipher: Option<&str>) -> io::Result<Vec<Part>> {
    for key in ["host", "user"] {
        place.make("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", key])?;
    }
    let (control, folder) = (place.between[0], place.folder.display());
    let config = place.file(
        "sshd_config",
        &format!(
            "Port {control}\nListenAddress 127.0.0.1\nHostKey {folder}/host\n\
             AuthorizedKeysFile {folder}/user.pub\nStrictModes no\nPidFile none\nUsePAM no\n"
        ),
    )?;
    // The server only starts where it can give up its rights.
    fs::create_dir_all("/run/sshd")?;
    let server = place.server("sshd", control, &["-D", "-e", "-f", &config])?;
    let user = std::env::var("USER").unwrap_or_else(|_| "root".to_owned());
    let (port, key) = (control.to_string(), format!("{folder}/user"));
    let target = format!("{user}@127.0.0.1");
    let mut args = vec![
        "-F",
        "none",
        "-N",
        "-p",
        &port,
        "-i",
        &key,
        "-o",
        "BatchMode=yes",
    ];
    args.extend([
        "-o",
        "StrictHostKeyChecking=no",
        "-o",
        "UserKnownHostsFile=/dev/null",
    ]);
    args.extend(["-o", "ExitOnForwardFailure=yes"]);
    if let Some(cipher) = cipher {
        args.extend(["-c", cipher]);
    }
    let [bulk, http] = [0, 1].map(|at| {
        let (visitors, upstream) = (place.visitors[at], place.upstreams[at]);
        format!("127.0.0.1:{visitors}:127.0.0.1:{upstream}")
    });
    args.extend(["-R", &bulk, "-R", &http, &target]);
    Ok(vec![server, place.client("ssh", &args)?])
}

fn stunnel(place: &Place<'_>) -> io::Result<Vec<Part>> {
    let [cert, key] = place.certificate()?;
    let services = |from: [u16; 2], to: [u16; 2]| {
        let service = |at: usize, name: &str| {
            format!(
                "[{name}]\naccept = 127.0.0.1:{}\nconnect = 127.0.0.1:{}\n",
                from[at], to[at]
            )
        };
        service(0, "bulk") + &service(1, "http")
    };
    let far = format!(
        "foreground = yes\npid =\ncert = {cert}\nkey = {key}\n{}",
        services(place.between, place.upstreams)
    );
    let near = format!(
        "foreground = yes\npid =\nclient = yes\n{}",
        services(place.visitors, place.between)
    );
    let far = place.file("far.conf", &far)?;
    let near = place.file("near.conf", &near)?;
    let mut far = place.client("stunnel", &[&far])?;
    far.listens = Some(place.between[1]);
    Ok(vec![
        far,
        place.server("stunnel", place.visitors[1], &[&near])?,
    ])
}

fn wstunnel(place: &Place<'_>) -> io::Result<Vec<Part>> {
    let control = place.between[0];
    let url = format!("wss://127.0.0.1:{control}");
    let server = place.server("wstunnel", control, &["server", &url])?;
    let [bulk, http] = [0, 1].map(|at| {
        let (visitors, upstream) = (place.visitors[at], place.upstreams[at]);
        format!("tcp://127.0.0.1:{visitors}:127.0.0.1:{upstream}")
    });
    let client = place.client("wstunnel", &["client", "-R", &bulk, "-R", &http, &url])?;
    Ok(vec![server, client])
}

#[cfg(test)]
mod tests {
    use super::*;
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
