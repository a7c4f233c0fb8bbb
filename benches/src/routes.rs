//! Routes on command lines: where to listen, and where that leads.

use std::net::SocketAddr;

/// Reads `LISTEN=TO`.
///
/// # Errors
///
/// Which part is no address.
pub fn route(text: &str) -> Result<(SocketAddr, SocketAddr), String> {
    let (listen, to) = text.split_once('=').ok_or("expected LISTEN=TO")?;
    let address = |text: &str| text.parse().map_err(|error| format!("{text}: {error}"));
    Ok((address(listen)?, address(to)?))
}
