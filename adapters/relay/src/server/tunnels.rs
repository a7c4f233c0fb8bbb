//! Where tunnels come from: the one narrow source through which a server learns who may do what.

use std::collections::BTreeMap;
use std::sync::Arc;

use adit_core::{TunnelName, Verifier};

/// Finds a tunnel by its name. One tunnel from the command line today; a file, a folder or an API tomorrow.
///
/// Asked once for every handshake, under the server's lock: an implementation answers from memory.
pub trait TunnelSource: Send + Sync {
    /// The tunnel of that name, if there is one.
    fn find(&self, name: &TunnelName) -> Option<Arc<Tunnel>>;
}

/// A named grant: how a client proves itself, and what it may open.
pub struct Tunnel {
    /// What the server keeps of the token.
    pub verifier: Verifier,
    /// The data-plane ports that its clients may open.
    pub ports: Ports,
}

/// A fixed set of tunnels.
#[derive(Default)]
pub struct Tunnels(BTreeMap<TunnelName, Arc<Tunnel>>);

impl FromIterator<(TunnelName, Tunnel)> for Tunnels {
    fn from_iter<T: IntoIterator<Item = (TunnelName, Tunnel)>>(tunnels: T) -> Self {
        Self(
            tunnels
                .into_iter()
                .map(|(name, tunnel)| (name, Arc::new(tunnel)))
                .collect(),
        )
    }
}

impl TunnelSource for Tunnels {
    fn find(&self, name: &TunnelName) -> Option<Arc<Tunnel>> {
        self.0.get(name).cloned()
    }
}

/// A set of TCP ports, as ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ports(Vec<(u16, u16)>);

impl Ports {
    /// The ports of these ranges, each given by its first and its last port.
    pub fn new(ranges: impl IntoIterator<Item = (u16, u16)>) -> Self {
        Self(ranges.into_iter().collect())
    }

    /// Whether the port is one of them.
    #[must_use]
    pub fn contains(&self, port: u16) -> bool {
        self.0
            .iter()
            .any(|&(first, last)| (first..=last).contains(&port))
    }
}
