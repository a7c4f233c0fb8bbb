//! What a carrier is made of: which of the three layers, and how each is set up.

use std::{fmt, sync::Arc};

use ipnet::IpNet;

use crate::{
    error::SetupError,
    http::{Answers, HealthOnly, check_path},
    limits::LinkConfig,
    tls::{ClientTls, ServerTls},
};

/// A client's carrier. With neither `tls` nor `upgrade` it carries frames as they are.
#[derive(Clone, Debug, Default)]
pub struct ClientSetup {
    /// TLS, unless it is left out.
    pub tls: Option<ClientTls>,
    /// The DNS name or IP address that the certificate must be for; used with `tls` only.
    pub server_name: String,
    /// HTTP upgrade and WebSocket, unless they are left out.
    pub upgrade: Option<ClientUpgrade>,
    /// The limits.
    pub config: LinkConfig,
}

/// The upgrade request of a client.
#[derive(Clone, Default)]
pub struct ClientUpgrade {
    /// The `Host`: name, and port unless it is the scheme's own.
    pub host: String,
    /// The path, beginning with `/`.
    pub path: String,
    /// More headers, for what stands in front of the server. They are sent only without TLS, or to
    /// a server whose certificate could be checked.
    pub headers: Vec<(String, String)>,
}

/// Values of headers may be passwords.
impl fmt::Debug for ClientUpgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientUpgrade")
            .field("host", &self.host)
            .field("path", &self.path)
            .field(
                "headers",
                &self
                    .headers
                    .iter()
                    .map(|(name, _)| name)
                    .collect::<Vec<_>>(),
            )
            .finish()
    }
}

/// A server's carriers. With neither `tls` nor `upgrade` they carry frames as they are.
#[derive(Clone, Debug, Default)]
pub struct ServerSetup {
    /// TLS, unless it is left out. [`ServerTls::replace`] exchanges the certificate.
    pub tls: Option<ServerTls>,
    /// HTTP upgrade and WebSocket, unless they are left out.
    pub upgrade: Option<ServerUpgrade>,
    /// The limits.
    pub config: LinkConfig,
}

/// What a server answers to HTTP requests.
#[derive(Clone)]
pub struct ServerUpgrade {
    pub(crate) path: String,
    pub(crate) trusted_proxies: Vec<IpNet>,
    pub(crate) answers: Arc<dyn Answers>,
}

impl ServerUpgrade {
    /// Upgrades at this path, which begins with `/`. Other requests get `/healthz` or 404; no proxy
    /// is trusted.
    ///
    /// # Errors
    ///
    /// A path that can't be one.
    pub fn new(path: impl Into<String>) -> Result<Self, SetupError> {
        let path = path.into();
        check_path(&path)?;
        Ok(Self {
            path,
            trusted_proxies: Vec::new(),
            answers: Arc::new(HealthOnly),
        })
    }

    /// Believes the `X-Forwarded-For` of peers in these networks.
    #[must_use]
    pub fn trusting(mut self, proxies: Vec<IpNet>) -> Self {
        self.trusted_proxies = proxies;
        self
    }

    /// Answers more paths.
    #[must_use]
    pub fn answering(mut self, answers: Arc<dyn Answers>) -> Self {
        self.answers = answers;
        self
    }
}

impl fmt::Debug for ServerUpgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerUpgrade")
            .field("path", &self.path)
            .field("trusted_proxies", &self.trusted_proxies)
            .finish_non_exhaustive()
    }
}
