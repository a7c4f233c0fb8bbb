//! Certificates and keys out of PEM text. Files are the binaries' business.

use rustls::pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{Error, PemObject},
};

use crate::error::{SetupError, escape};

/// All certificates, in order; at least one.
pub(crate) fn certificates(
    what: &'static str,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| bad_pem(what, &error))?;
    if found.is_empty() {
        return Err(SetupError::NoCertificate { what });
    }
    Ok(found)
}

/// The first private key.
pub(crate) fn private_key(
    what: &'static str,
    pem: &[u8],
) -> Result<PrivateKeyDer<'static>, SetupError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        Error::NoItemsFound => SetupError::NoKey { what },
        error => bad_pem(what, &error),
    })
}

/// Only the kind of fault is told: the text around it may be a key.
fn bad_pem(what: &'static str, error: &Error) -> SetupError {
    let problem = match error {
        Error::MissingSectionEnd { .. } => "a block does not end".to_owned(),
        Error::IllegalSectionStart { .. } => "a -----BEGIN line is broken".to_owned(),
        Error::Base64Decode(_) => "a block is not base64".to_owned(),
        Error::NoItemsFound => "no block found".to_owned(),
        _ => escape(&format!("{error}")),
    };
    SetupError::BadPem { what, problem }
}
