//! The tunnels that are compared, each set up as careful people do it, over a network that can
//! break.

use super::super::resume_cost::Network;
use super::super::resume_ssh::{keys, sshd};
use super::service::Service;
use adit_e2e::adit::{Server, client};
use adit_e2e::ports;
use adit_e2e::process::{Process, Recipe};
use adit_e2e::relay::Cut;
use adit_e2e::scene::Scene;
use std::env;
use std::io;
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tunnel {
    Adit,
    OpenSsh,
    Rathole,
}

/// A tunnel from `data` to an echo service.
pub(super) struct Setup {
    pub(super) network: Network,
    pub(super) service: Service,
    data: u16,
    _processes: Vec<Process>,
    _server: Option<Server>,
    _scene: Scene,
}

impl Setup {
    /// For a network that will be cut in this way, if at all.
    pub(super) fn start(tunnel: Tunnel, cut: Option<Cut>) -> Self {
        let scene = Scene::new(&format!("peers-{tunnel:?}"));
        // Any but `Killed`, for which it would be in a process of its own.
        let cut = cut.unwrap_or(Cut::Reset);
        let service = Service::start();
        let (data, upstream) = (ports::free(), service.port);
        let mut server = None;
        let mut processes = Vec::new();
        let network = |target| Network::start(&scene, target, cut, Duration::ZERO);
        let network = match tunnel {
            Tunnel::Adit => {
                let adit = Server::start(&scene, "server", &[]);
                let network = network(adit.control);
                let url = format!("wss://127.0.0.1:{}", network.port());
                let client = client(&scene, &url, &[(data, upstream)], &[]);
                processes.push(scene.start("client", client));
                server = Some(adit);
                network
            }
            Tunnel::OpenSsh => {
                let control = ports::free();
                keys(&scene);
                // Both ends notice a dead connection after 10 s, which is quick among those who use this.
                let alive = "ClientAliveInterval 5\nClientAliveCountMax 2\n";
                processes.push(sshd(&scene, control, alive));
                let network = network(control);
                processes.push(scene.start("client", ssh(&scene, network.port(), data, upstream)));
                network
            }
            Tunnel::Rathole => {
                let control = ports::free();
                processes.push(rathole(
                    &scene,
                    "server",
                    &format!(
                        "[server]\nbind_addr = \"127.0.0.1:{control}\"\ndefault_token = \"a token\"\n\
                         heartbeat_interval = 5\n[server.services.echo]\nbind_addr = \"127.0.0.1:{data}\"\n"
                    ),
                ));
                let network = network(control);
                let port = network.port();
                processes.push(rathole(
                    &scene,
                    "client",
                    &format!(
                        "[client]\nremote_addr = \"127.0.0.1:{port}\"\ndefault_token = \"a token\"\n\
                         heartbeat_timeout = 10\n[client.services.echo]\nlocal_addr = \"127.0.0.1:{upstream}\"\n"
                    ),
                ));
                network
            }
        };
        Self {
            network,
            service,
            data,
            _processes: processes,
            _server: server,
            _scene: scene,
        }
    }

    /// A connection whose reads and writes take no longer than `limit`.
    pub(super) fn connect(&self, limit: Duration) -> io::Result<TcpStream> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.data))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(limit))?;
        stream.set_write_timeout(Some(limit))?;
        Ok(stream)
    }
}

/// Restarted when it ends, as by a service manager.
fn ssh(scene: &Scene, server: u16, data: u16, service: u16) -> Recipe {
    let user = env::var("USER").unwrap_or_else(|_| "root".to_owned());
    let command = format!(
        "while :; do ssh -F none -N -T -p {server} -i '{}' -o UserKnownHostsFile='{}' \
         -o StrictHostKeyChecking=no -o BatchMode=yes -o ServerAliveInterval=5 \
         -o ServerAliveCountMax=2 -o ExitOnForwardFailure=yes -o ConnectTimeout=5 -l {user} \
         -R 127.0.0.1:{data}:127.0.0.1:{service} 127.0.0.1; sleep 1; done",
        scene.path("user"),
        scene.path("known_hosts"),
    );
    Recipe::new("sh").args(["-c", &command])
}

fn rathole(scene: &Scene, name: &str, config: &str) -> Process {
    let config = scene.file(&format!("{name}.toml"), config);
    scene.start(name, Recipe::new(peer("rathole")).args([config]))
}

/// A program that `benches/peers` has installed.
///
/// # Panics
///
/// When it has not.
pub(super) fn peer(name: &str) -> PathBuf {
    let folder = env::var_os("ADIT_PEERS").expect(
        "ADIT_PEERS names the folder into which other tunnels were installed: run benches/peers FOLDER",
    );
    let program = PathBuf::from(folder).join("bin").join(name);
    assert!(
        program.exists(),
        "{} is missing: run benches/peers",
        program.display()
    );
    program
}
