//! What a client is told at its start.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use adit_core::{ClientId, TunnelName};

use crate::address::HostPort;

/// What a client needs to know.
#[derive(Clone)]
pub struct ClientConfig {
    /// The protocol's limits.
    pub core: Arc<adit_core::Config>,
    /// TLS and the HTTP upgrade of its carriers.
    pub carrier: adit_link::ClientSetup,
    /// The server to dial. Resolved again at every attempt.
    pub server: HostPort,
    /// The HTTP proxy in between, if there is one.
    pub proxy: Option<Proxy>,
    /// The tunnel.
    pub tunnel: TunnelName,
    /// Who this client is: the same from run to run.
    pub client_id: ClientId,
    /// What it offers. Ids on the wire are indices into this list.
    pub offers: Vec<Offer>,
    /// Labels for the server's operator.
    pub labels: Vec<(String, String)>,
    /// This program's name and version, for the server's log.
    pub software: String,
    /// Resolving and connecting to the server, or the proxy and then through it: how long at most. 5 s by default.
    pub connect_timeout: Duration,
    /// Resolving and connecting to an upstream: how long at most. 10 s by default.
    pub dial_timeout: Duration,
    /// The first wait between two attempts; doubled, with full jitter. 250 ms by default.
    pub reconnect_min: Duration,
    /// The longest wait between two attempts. 30 s by default.
    pub reconnect_max: Duration,
}

impl ClientConfig {
    /// A configuration with default limits and times, and nothing to offer.
    #[must_use]
    pub fn new(
        carrier: adit_link::ClientSetup,
        server: HostPort,
        tunnel: TunnelName,
        client_id: ClientId,
    ) -> Self {
        Self {
            core: Arc::default(),
            carrier,
            server,
            proxy: None,
            tunnel,
            client_id,
            offers: Vec::new(),
            labels: Vec::new(),
            software: concat!("adit/", env!("CARGO_PKG_VERSION")).to_owned(),
            connect_timeout: Duration::from_secs(5),
            dial_timeout: Duration::from_secs(10),
            reconnect_min: Duration::from_millis(250),
            reconnect_max: Duration::from_secs(30),
        }
    }
}

/// One service: what the server is asked to open, and where it leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// `PORT` or `HOST:PORT` of the server; port 0 asks for any.
    pub address: String,
    /// Dialled for each visitor. Resolved again each time.
    pub upstream: HostPort,
}

/// An HTTP proxy that CONNECT is asked of.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Where it is. Resolved again at every attempt.
    pub at: HostPort,
    /// User name and password (RFC 7617), neither of them percent-encoded.
    pub credentials: Option<(String, String)>,
}

/// Without the password.
impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let credentials = self.credentials.as_ref().map(|_| "[secret]");
        f.debug_struct("Proxy")
            .field("at", &self.at)
            .field("credentials", &credentials)
            .finish()
    }
}
