//! The log: lines for people or JSON objects, on standard error. What goes to standard output is a
//! program's result, such as a token or the demo's address.

use std::io::{self, IsTerminal};

use adit_settings::{LogFormat, LogSettings};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::Failure;

/// Begins to log. Once per process.
///
/// # Errors
///
/// The filter can't be read.
pub fn start_logging(settings: &LogSettings) -> Result<(), Failure> {
    let filter: Targets = settings.filter.parse().map_err(|error| {
        Failure::Usage(format!(
            "--log-level \"{}\": {error}; give a level (error, warn, info, debug, trace), or levels for \
             parts, as in info,adit_relay=debug",
            settings.filter.escape_debug()
        ))
    })?;
    let lines = fmt::layer().with_writer(io::stderr);
    let lines = match settings.format {
        #[cfg(feature = "json")]
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
        #[cfg(not(feature = "json"))]
        LogFormat::Json => {
            let text =
                "--log-format json: this program was built without it, to be small; use text";
            return Err(Failure::Usage(text.to_owned()));
        }
        LogFormat::Text => lines
            .with_ansi(io::stderr().is_terminal())
            .with_target(false)
            .boxed(),
    };
    let started = tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init();
    started.map_err(|error| Failure::Runtime(format!("can't log: {error}")))
}
