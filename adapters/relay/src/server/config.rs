//! What a server is told at its start.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::tunnels::TunnelSource;

/// What a server needs to know.
#[derive(Clone)]
pub struct ServerConfig {
    /// The protocol's limits.
    pub core: Arc<adit_core::Config>,
    /// TLS, the HTTP upgrade and the plain answers of its carriers.
    pub carrier: Arc<adit_link::ServerSetup>,
    /// Whether proofs must be bound to the TLS connection. Means nothing unless `carrier` ends TLS.
    pub channel_binding: bool,
    /// Where data-plane ports listen. Loopback by default.
    pub data_addr: IpAddr,
    /// Who may do what.
    pub tunnels: Arc<dyn TunnelSource>,
    /// Which of several replicas this is, for the clients' logs. May be empty.
    pub server_name: String,
    /// This program's name and version, for the clients' logs.
    pub software: String,
    /// How many services one session may ask for; more are refused one by one with `TOO_MANY`. 64 by default.
    pub services_max: usize,
    /// How many ports the whole server opens. 4096 by default.
    pub ports_max: usize,
}

impl ServerConfig {
    /// A configuration with default limits: data plane on loopback, channel binding wherever `carrier` ends TLS.
    #[must_use]
    pub fn new(carrier: Arc<adit_link::ServerSetup>, tunnels: Arc<dyn TunnelSource>) -> Self {
        Self {
            core: Arc::default(),
            carrier,
            channel_binding: true,
            data_addr: IpAddr::V4(Ipv4Addr::LOCALHOST),
            tunnels,
            server_name: String::new(),
            software: concat!("adit/", env!("CARGO_PKG_VERSION")).to_owned(),
            services_max: 64,
            ports_max: 4096,
        }
    }
}
