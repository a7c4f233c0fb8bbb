//! The server's side of TLS: its certificate, exchangeable while it runs.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::{ServerConfig, server::NoServerSessionStorage};

use super::{ALPN, VERSIONS, keys::Secrets, pem, provider::provider};
use crate::error::{SetupError, escape};

/// How a server ends TLS. Clones share the certificate, also after [`replace`](Self::replace).
///
/// TLS 1.3 is preferred, TLS 1.2 accepted (it has no exporter, so channel binding can't work with
/// it). No sessions are kept and no tickets given out: a carrier lives long, and a resumed TLS
/// session would save nothing worth the state. Certificates are checked against the system's clock.
#[derive(Clone)]
pub struct ServerTls {
    current: Arc<RwLock<Arc<ServerConfig>>>,
}

impl ServerTls {
    /// From a certificate chain (the server's own first) and its private key, as PEM text.
    ///
    /// # Errors
    ///
    /// What is missing, unreadable, or does not belong together.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, SetupError> {
        let chain = pem::certificates("the server's certificate", certificates)?;
        let key = pem::private_key("the server's key", key)?;
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(VERSIONS)
            .map_err(|error| SetupError::Tls {
                problem: escape(&error.to_string()),
            })?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| SetupError::BadKey {
                problem: escape(&error.to_string()),
            })?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.enable_secret_extraction = true;
        Ok(Self {
            current: Arc::new(RwLock::new(Arc::new(config))),
        })
    }

    /// Takes another's certificate and key for all carriers accepted from now on, on every clone.
    pub fn replace(&self, other: &Self) {
        let config = other.current();
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = config;
    }

    /// The configuration of one connection, whose `secrets` the handshake will fill in.
    pub(super) fn connection(&self, secrets: &Arc<Secrets>) -> Arc<ServerConfig> {
        let mut config = ServerConfig::clone(&self.current());
        config.key_log = Arc::<Secrets>::clone(secrets);
        Arc::new(config)
    }

    fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").finish_non_exhaustive()
    }
}

/// A certificate that vouches for itself, and its key, as PEM text. Write the key to a file that
/// only its owner can read.
///
/// Behind channel binding it needs no CA: whoever puts another certificate in its place fails at
/// the token's proof.
#[derive(Clone)]
pub struct SelfSigned {
    /// The certificate.
    pub certificate: String,
    /// The private key (ECDSA P-256, PKCS #8).
    pub key: String,
}

impl SelfSigned {
    /// A fresh one for these DNS names and IP addresses. It does not expire, because nobody would
    /// be there to renew it.
    ///
    /// # Errors
    ///
    /// A name that can't stand in a certificate.
    pub fn generate(names: impl IntoIterator<Item = String>) -> Result<Self, SetupError> {
        let failed = |error: rcgen::Error| SetupError::SelfSigned {
            problem: escape(&error.to_string()),
        };
        let names: Vec<String> = names.into_iter().collect();
        let mut params = CertificateParams::new(names).map_err(failed)?;
        params
            .distinguished_name
            .push(DnType::CommonName, "adit self-signed");
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.self_signed(&key).map_err(failed)?;
        Ok(Self {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }
}

impl fmt::Debug for SelfSigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SelfSigned")
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}
