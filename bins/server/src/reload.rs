//! What a running server reads again when it changes: its certificate and its token. A change that
//! can't be used is told, and what was there before stays.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use adit_link::ServerTls;
use adit_program::{Failure, Watched};
use adit_relay::server::Server;
use adit_settings::{TokenSource, TunnelGrant};
use adit_tokio::ReadToken;

use crate::{certificate, tunnels};

/// Takes a changed certificate for every carrier from then on.
pub(crate) fn certificate(
    tls: ServerTls,
    cert: PathBuf,
    key: PathBuf,
) -> Result<impl Future<Output = ()>, Failure> {
    let mut files = Watched::new([cert.clone(), key.clone()])?;
    Ok(async move {
        loop {
            files.changed().await;
            // The two files do not change in one moment: between the two this fails, and is tried again.
            match certificate::from_files(&cert, &key) {
                Ok(new) => {
                    tls.replace(&new);
                    tracing::info!("the certificate in {} is used from now on", cert.display());
                }
                Err(error) => {
                    tracing::warn!("{error}; the certificate in use stays");
                }
            }
        }
    })
}

/// Takes a changed token for every handshake from then on. Running sessions are left alone.
pub(crate) fn token(
    server: Server,
    grant: TunnelGrant,
    read_token: ReadToken,
) -> Result<impl Future<Output = ()>, Failure> {
    let file = match &grant.token {
        TokenSource::File(path) => Some(path.clone()),
        TokenSource::Value(_) => None,
    };
    let mut files = Watched::new(file.clone())?;
    Ok(async move {
        // SIGHUP must not end the server even if there is nothing to read again.
        loop {
            files.changed().await;
            let Some(file) = &file else { continue };
            match tunnels(&grant, &read_token) {
                Ok(tunnels) => {
                    server.set_tunnels(Arc::new(tunnels));
                    tracing::info!("the token in {} is used from now on", file.display());
                }
                Err(error) => tracing::warn!("{error}; the token in use stays"),
            }
        }
    })
}
