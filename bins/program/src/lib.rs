//! What Adit's programs have in common, so that each `main` stays thin: logging, signals, files,
//! the token, metrics and the admin address, and how a program ends.

mod admin;
#[cfg(feature = "mimalloc")]
mod allocator;
mod exit;
mod files;
mod limits;
mod logging;
mod manager;
mod metrics;
mod settled;
mod signals;
mod token;

pub use admin::{Admin, listen, serve_admin};
pub use exit::{Failure, finish, main};
pub use files::{Watched, create_private, read, write_private};
pub use logging::start_logging;
pub use manager::{Phase, tell_manager};
pub use metrics::{Role, metrics};
pub use settled::{client_id, core_config, host, numbered, tunnel_name};
pub use signals::{Hangup, stop_on_signals};
pub use token::{new_token, read_token, token_reader};

/// 32 bytes that nobody can predict, from the system.
///
/// # Errors
///
/// The system has none: nothing can be made safe on such a machine.
pub fn seed() -> Result<[u8; 32], Failure> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|error| Failure::Runtime(format!("the system gives no random bytes: {error}")))?;
    Ok(seed)
}
