//! What most scenes in the simulator begin with: a server, a client, and a token that both know.

use std::sync::Arc;
use std::time::Duration;

use adit_core::{ClientId, Config, Token, TunnelName, Verifier};
use adit_link::{ClientSetup, ServerSetup};
use adit_relay::HostPort;
use adit_relay::client::{ClientConfig, Offer};
use adit_relay::server::{Ports, ServerConfig, Tunnel, Tunnels};

use crate::world::{PuppetId, ServerId, TaskId, World};

/// Where the server of a scene is.
pub const CONTROL: &str = "203.0.113.1:8123";

/// A token that the tunnel of that name has.
///
/// # Panics
///
/// Never: it is long enough.
#[must_use]
pub fn token(tunnel: &str) -> Token {
    let text = format!("the secret token of the tunnel {tunnel}");
    Token::new(text.as_bytes()).expect("a long token")
}

/// The name of a tunnel.
///
/// # Panics
///
/// If it is none.
#[must_use]
pub fn tunnel(name: &str) -> TunnelName {
    TunnelName::new(name).expect("a tunnel's name")
}

/// A server with bare carriers and the tunnels `a` and `b`, each of which may open ports 1024 to 65535.
#[must_use]
pub fn server_config() -> ServerConfig {
    let tunnels: Tunnels = ["a", "b"]
        .map(|name| {
            let verifier = Verifier::new(&token(name), &tunnel(name));
            let ports = Ports::new([(1024, 65535)]);
            (tunnel(name), Tunnel { verifier, ports })
        })
        .into_iter()
        .collect();
    ServerConfig::new(Arc::new(ServerSetup::default()), Arc::new(tunnels))
}

/// A client of tunnel `a` with bare carriers that offers these addresses of the server, each with its upstream.
///
/// # Panics
///
/// If an upstream is not written as `HOST:PORT`.
#[must_use]
pub fn client_config(offers: &[(&str, &str)]) -> ClientConfig {
    let id = ClientId::new("client").expect("a client's id");
    let server = host_port(CONTROL);
    let mut config = ClientConfig::new(ClientSetup::default(), server, tunnel("a"), id);
    config.offers = offers
        .iter()
        .map(|(address, upstream)| Offer {
            address: (*address).to_owned(),
            upstream: host_port(upstream),
        })
        .collect();
    config
}

/// A client of tunnel `a` of that name, which serves port 9090 from this upstream.
///
/// # Panics
///
/// If the name can't be a client's id.
#[must_use]
pub fn named(name: &str, upstream: &str) -> ClientConfig {
    let mut config = client_config(&[("9090", upstream)]);
    config.client_id = ClientId::new(name).expect("a client's id");
    config
}

/// The same client, whose sessions end with their carriers.
#[must_use]
pub fn without_resumption(mut config: ClientConfig) -> ClientConfig {
    config.core = Arc::new(Config {
        replay: 0,
        ..(*config.core).clone()
    });
    config
}

/// A host and a port, written with a colon between.
///
/// # Panics
///
/// If they are not.
#[must_use]
pub fn host_port(text: &str) -> HostPort {
    let (host, port) = text.rsplit_once(':').expect("a colon");
    HostPort::new(host, port.parse().expect("a port"))
}

impl World {
    /// A world with a server and a client of tunnel `a`, connected.
    ///
    /// # Panics
    ///
    /// If they don't get together within five seconds.
    #[must_use]
    pub fn tunnelled(seed: u64, offers: &[(&str, &str)]) -> (Self, ServerId, TaskId) {
        Self::tunnelled_as(seed, client_config(offers))
    }

    /// Likewise, with this client.
    ///
    /// # Panics
    ///
    /// If they don't get together within five seconds.
    #[must_use]
    pub fn tunnelled_as(seed: u64, config: ClientConfig) -> (Self, ServerId, TaskId) {
        let mut world = Self::new(seed);
        let server = world.server(CONTROL, server_config());
        let client = world.client(config, Ok(token("a")));
        world.expect_sessions(server, 1);
        (world, server, client)
    }

    /// Waits until the server has so many sessions.
    ///
    /// # Panics
    ///
    /// If it has not within five seconds.
    pub fn expect_sessions(&mut self, server: ServerId, count: u64) {
        let limit = Duration::from_secs(5);
        let there = self.run_until(limit, |world| world.counters(server).sessions == count);
        assert!(there, "no {count} sessions: {:#?}", self.notices);
    }

    /// Connects a visitor.
    ///
    /// # Panics
    ///
    /// If nobody listens there.
    pub fn visitor(&mut self, at: &str) -> PuppetId {
        let visitor = self.visit(at);
        visitor.unwrap_or_else(|| panic!("nobody listens on {at}: {:#?}", self.notices))
    }

    /// Connections to the control port that say nothing, or only `word`.
    pub fn strangers(&mut self, count: usize, word: &[u8]) -> Vec<PuppetId> {
        let stranger = |_| {
            let stranger = self.visitor(CONTROL);
            self.say(stranger, word);
            stranger
        };
        (0..count).map(stranger).collect()
    }

    /// Waits until a puppet has received exactly this, in all.
    ///
    /// # Panics
    ///
    /// If it has not within ten seconds.
    pub fn expect_heard(&mut self, puppet: PuppetId, bytes: &[u8]) {
        let limit = Duration::from_secs(10);
        self.run_until(limit, |world| world.heard(puppet).len() >= bytes.len());
        assert!(
            self.heard(puppet) == bytes,
            "{} bytes came, or others than the {} that should",
            self.heard(puppet).len(),
            bytes.len()
        );
    }
}
