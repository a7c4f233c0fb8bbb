//! What a running server reads again when it changes: its certificate and its token. A change that
//! can't be used is told, and what was there before stays.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use adit_driver::{ReadToken, Runtime};
use adit_link::ServerTls;
use adit_program::{Hangup, Watched};
use adit_relay::server::Server;
use adit_settings::{TokenSource, TunnelGrant};

use crate::{certificate, tunnels};

/// Watches the files from now on, and takes a changed certificate for every carrier from then on.
pub(crate) fn certificate(
    runtime: impl Runtime,
    tls: ServerTls,
    cert: PathBuf,
    key: PathBuf,
    hangup: Hangup,
) -> impl Future<Output = ()> {
    let mut files = Watched::new([cert.clone(), key.clone()], hangup);
    async move {
        loop {
            files.changed(&runtime).await;
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
    }
}

/// Watches its file from now on, and takes a changed token for every handshake from then on. Running sessions are left alone.
pub(crate) fn token(
    runtime: impl Runtime,
    server: Server,
    grant: TunnelGrant,
    read_token: ReadToken,
    hangup: Hangup,
) -> impl Future<Output = ()> {
    let file = match &grant.token {
        TokenSource::File(path) => Some(path.clone()),
        TokenSource::Value(_) => None,
    };
    let mut files = Watched::new(file.clone(), hangup);
    async move {
        // SIGHUP must not end the server even if there is nothing to read again.
        loop {
            files.changed(&runtime).await;
            let Some(file) = &file else { continue };
            match tunnels(&grant, &read_token) {
                Ok(tunnels) => {
                    server.set_tunnels(Arc::new(tunnels));
                    tracing::info!("the token in {} is used from now on", file.display());
                }
                Err(error) => tracing::warn!("{error}; the token in use stays"),
            }
        }
    }
}
