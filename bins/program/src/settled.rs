//! From settings to what the machines take.

use std::sync::Arc;

use adit_core::{ClientId, Config, TunnelName};
use adit_settings::{Host, SessionLimits};

use crate::Failure;

/// The protocol's limits, with what the user set.
///
/// # Errors
///
/// The limits do not fit each other.
pub fn core_config(
    limits: SessionLimits,
    change: impl FnOnce(&mut Config),
) -> Result<Arc<Config>, Failure> {
    let default = Config::default();
    let mut config = Config {
        streams_max: u64::from(limits.max_streams),
        session_pool: limits.window,
        stream_window_first: default.stream_window_first.min(limits.stream_window),
        stream_window_max: limits.stream_window,
        replay: limits.replay,
        resume_window: limits.resume_window,
        ..default
    };
    change(&mut config);
    config.validate().map_err(|error| {
        Failure::Usage(format!(
            "--max-streams and --session-window don't go together: {error}"
        ))
    })?;
    Ok(Arc::new(config))
}

/// The tunnel's name as the protocol takes it.
///
/// # Errors
///
/// It has a form that the protocol does not take.
pub fn tunnel_name(name: &adit_settings::TunnelName) -> Result<TunnelName, Failure> {
    TunnelName::new(name.as_str()).map_err(|error| Failure::Usage(format!("--tunnel: {error}")))
}

/// The client's id as the protocol takes it.
///
/// # Errors
///
/// It has a form that the protocol does not take.
pub fn client_id(id: &adit_settings::ClientId) -> Result<ClientId, Failure> {
    ClientId::new(id.as_str()).map_err(|error| Failure::Usage(format!("--client-id: {error}")))
}

/// The id of a client's session `number`, where it has several.
///
/// # Errors
///
/// It would be too long.
pub fn numbered(id: &ClientId, number: u32) -> Result<ClientId, Failure> {
    ClientId::new(&format!("{}:{number}", id.as_str()))
        .map_err(|error| Failure::Usage(format!("--client-id with --sessions {number}: {error}")))
}

/// A host without the brackets that an IPv6 address has in a URL.
#[must_use]
pub fn host(host: &Host) -> String {
    match host {
        Host::Ip(ip) => ip.to_string(),
        Host::Name(name) => name.clone(),
    }
}
