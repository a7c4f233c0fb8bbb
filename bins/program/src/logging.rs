//! The log: lines for people or JSON objects, on standard error. What goes to standard output is a
//! program's result, such as a token or the demo's address.

use std::io::{self, IsTerminal};

use adit_settings::{LogFormat, LogSettings};
use tracing_subscriber::EnvFilter;

use crate::Failure;

/// Begins to log. Once per process.
///
/// # Errors
///
/// The filter can't be read.
pub fn start_logging(settings: &LogSettings) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&settings.filter).map_err(|error| {
        Failure::Usage(format!(
            "--log-level \"{}\": {error}; give a level (error, warn, info, debug, trace), or levels for \
             parts, as in info,adit_relay=debug",
            settings.filter.escape_debug()
        ))
    })?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    let started = match settings.format {
        LogFormat::Json => log.json().flatten_event(true).try_init(),
        LogFormat::Text => log
            .with_ansi(io::stderr().is_terminal())
            .with_target(false)
            .try_init(),
    };
    started.map_err(|error| Failure::Runtime(format!("can't log: {error}")))
}
