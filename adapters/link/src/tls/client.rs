//! The client's side of TLS: whom it trusts, and what it says when it can't check.

use std::{fmt, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        ResolvesClientCert, Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
    sign::CertifiedKey,
};

use super::{ALPN, Seen, VERSIONS, keys::Secrets, pem, provider::provider};
use crate::error::{SetupError, escape};

/// Which CAs a client trusts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Roots {
    /// Those that the user gave.
    Given,
    /// The system's, or those of `SSL_CERT_FILE` and `SSL_CERT_DIR`.
    System,
    /// Mozilla's, built into this program, since the system has none.
    BuiltIn,
}

impl fmt::Display for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Given => "the given CA file",
            Self::System => "the system's CAs",
            Self::BuiltIn => "the built-in CAs (the system has none)",
        })
    }
}

/// How a client begins TLS. Make it once, clone it for each carrier.
///
/// A certificate that can't be checked does not end the handshake: it is reported as
/// `certificate_checked == false` with the reason, and the session decides. With channel binding a
/// self-signed certificate is safe; without, the session refuses. The handshake's *signature* is
/// checked in any case, so whoever answers does hold the certificate's key. Certificates are
/// checked against the system's clock.
#[derive(Clone)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
    verifier: Arc<WebPkiServerVerifier>,
    roots: Roots,
}

impl ClientTls {
    /// Trusts the CAs in `ca` (PEM text), or else the system's (`SSL_CERT_FILE` and `SSL_CERT_DIR`
    /// are honoured), or else the built-in ones. Shows `identity`, a certificate chain and its key
    /// (PEM text), to servers that ask.
    ///
    /// Without `ca` this reads the system's files: do it once, at the start.
    ///
    /// # Errors
    ///
    /// What is missing, unreadable, or does not belong together.
    pub fn from_pem(
        ca: Option<&[u8]>,
        identity: Option<(&[u8], &[u8])>,
    ) -> Result<Self, SetupError> {
        let (store, roots) = match ca {
            Some(ca) => (given(ca)?, Roots::Given),
            None => installed(),
        };
        let failed = |error: Error| SetupError::Tls {
            problem: escape(&error.to_string()),
        };
        let provider = provider();
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(&provider))
                .build()
                .map_err(|error| SetupError::Tls {
                    problem: escape(&error.to_string()),
                })?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(VERSIONS)
            .map_err(failed)?
            .with_webpki_verifier(Arc::clone(&verifier));
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some((certificates, key)) => {
                let chain = pem::certificates("the client's certificate", certificates)?;
                let key = pem::private_key("the client's key", key)?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| SetupError::BadKey {
                        problem: escape(&error.to_string()),
                    })?
            }
        };
        config.resumption = Resumption::disabled();
        Ok(Self {
            config: Arc::new(config),
            verifier,
            roots,
        })
    }

    /// Which CAs are trusted; for error texts.
    pub fn roots(&self) -> Roots {
        self.roots
    }

    /// The configuration of one connection, and what its handshake will have seen.
    pub(super) fn connection(
        &self,
        http: bool,
        secrets: &Arc<Secrets>,
    ) -> (Arc<ClientConfig>, Arc<Seen>) {
        let seen = Arc::new(Seen::default());
        let mut config = ClientConfig::clone(&self.config);
        config
            .dangerous()
            .set_certificate_verifier(Arc::new(Reporting {
                verifier: Arc::clone(&self.verifier),
                roots: self.roots,
                seen: Arc::clone(&seen),
            }));
        config.client_auth_cert_resolver = Arc::new(Showing {
            own: Arc::clone(&self.config.client_auth_cert_resolver),
            seen: Arc::clone(&seen),
        });
        config.key_log = Arc::<Secrets>::clone(secrets);
        config.enable_secret_extraction = true;
        if http {
            config.alpn_protocols = vec![ALPN.to_vec()];
        }
        (Arc::new(config), seen)
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls")
            .field("roots", &self.roots)
            .finish_non_exhaustive()
    }
}

fn given(ca: &[u8]) -> Result<RootCertStore, SetupError> {
    let what = "the CA file";
    let mut store = RootCertStore::empty();
    for certificate in pem::certificates(what, ca)? {
        store.add(certificate).map_err(|error| SetupError::BadCa {
            what,
            problem: escape(&error.to_string()),
        })?;
    }
    Ok(store)
}

/// What can't be read of the system's store is left out: one odd CA must not stop the others.
fn installed() -> (RootCertStore, Roots) {
    let mut store = RootCertStore::empty();
    let (added, _) =
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if added > 0 {
        return (store, Roots::System);
    }
    store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    (store, Roots::BuiltIn)
}

/// Checks like WebPKI, but reports a certificate's failure instead of ending the handshake.
#[derive(Debug)]
struct Reporting {
    verifier: Arc<WebPkiServerVerifier>,
    roots: Roots,
    seen: Arc<Seen>,
}

impl ServerCertVerifier for Reporting {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let result = self.verifier.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        let check = result.map(drop).map_err(|error| {
            escape(&format!(
                "{}, checked against {}",
                plain(&error),
                self.roots
            ))
        });
        // A connection has one handshake, so this is set once.
        let _ = self.seen.check.set(check);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// Shows the client's own certificate, if it has one, and remembers that it was asked for.
#[derive(Debug)]
struct Showing {
    own: Arc<dyn ResolvesClientCert>,
    seen: Arc<Seen>,
}

impl ResolvesClientCert for Showing {
    fn resolve(&self, issuers: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let certificate = self.own.resolve(issuers, schemes);
        let _ = self.seen.asked.set(certificate.is_some());
        certificate
    }

    fn has_certs(&self) -> bool {
        self.own.has_certs()
    }
}

/// The failures that people meet, in their words; rustls's own for the rest.
fn plain(error: &Error) -> String {
    use rustls::CertificateError as Bad;
    let Error::InvalidCertificate(bad) = error else {
        return error.to_string();
    };
    match bad {
        Bad::UnknownIssuer => "it is signed by no known CA, or by itself".to_owned(),
        Bad::BadSignature => {
            "it is signed by another key than that of the CA of that name (was it made anew?)"
                .to_owned()
        }
        Bad::Expired | Bad::ExpiredContext { .. } => "it has expired".to_owned(),
        Bad::NotValidYet | Bad::NotValidYetContext { .. } => {
            "it is not valid yet: see this machine's clock".to_owned()
        }
        Bad::NotValidForName | Bad::NotValidForNameContext { .. } => {
            "it is for another name".to_owned()
        }
        other => other.to_string(),
    }
}
