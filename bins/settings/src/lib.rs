//! The settings of Adit's programs: every flag, environment variable and TOML key, defined once,
//! read and checked without a runtime, a socket or the relay's types.
//!
//! A program calls [`server`], [`client`] or [`adit`] and gets a plain struct in which everything
//! fits together, or a [`SettingsError`] to print. What is written where is decided in this order:
//! flag, environment variable, TOML file (`--config`), default. Nothing here touches a file but
//! the TOML file; the token's file is read when the program asks ([`TokenSource::read`]).

mod client;
mod error;
mod flags;
mod server;
mod shared;
pub mod values;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgMatches, Command};

pub use client::{ClientIdentity, ClientSettings, SESSIONS_MAX};
pub use error::SettingsError;
pub use flags::Environment;
pub use server::{ServerSettings, TlsChoice, TunnelGrant};
pub use shared::{LogFormat, LogSettings, MIN_SESSION_WINDOW, SessionLimits};
pub use values::{
    ClientId, ControlPath, Header, Host, HostPort, Networks, PortRanges, Proxy, ProxyRules, Secret,
    ServerUrl, Service, TokenError, TokenSource, TunnelName,
};

use flags::{ClientFlags, DemoFlags, ServerFlags, TokenFlags, load};

/// What `adit` was asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AditCommand {
    /// `adit server`
    Server(Box<ServerSettings>),
    /// `adit client`
    Client(Box<ClientSettings>),
    /// `adit token new`
    TokenNew {
        /// The file to write to, for its owner only; standard output without one.
        out: Option<PathBuf>,
    },
    /// `adit demo`
    Demo {
        /// How to log.
        log: LogSettings,
    },
}

/// The settings of `adit-server`. `arguments` starts with the program's name.
///
/// # Errors
/// When something is missing, wrong or does not fit; also for `--help` and `--version`.
pub fn server(
    arguments: impl IntoIterator<Item = OsString>,
    environment: &Environment,
) -> Result<ServerSettings, SettingsError> {
    let matches = flags::server_command("adit-server").try_get_matches_from(arguments)?;
    server_settings(&matches, environment)
}

/// The settings of `adit-client`. `arguments` starts with the program's name.
///
/// # Errors
/// As for [`server`].
pub fn client(
    arguments: impl IntoIterator<Item = OsString>,
    environment: &Environment,
) -> Result<ClientSettings, SettingsError> {
    let matches = flags::client_command("adit-client").try_get_matches_from(arguments)?;
    client_settings(&matches, environment)
}

/// The command given to `adit`, with its settings. `arguments` starts with the program's name.
///
/// # Errors
/// As for [`server`].
pub fn adit(
    arguments: impl IntoIterator<Item = OsString>,
    environment: &Environment,
) -> Result<AditCommand, SettingsError> {
    let matches = flags::adit_command().try_get_matches_from(arguments)?;
    match matches.subcommand() {
        Some(("server", matches)) => Ok(AditCommand::Server(Box::new(server_settings(
            matches,
            environment,
        )?))),
        Some(("client", matches)) => Ok(AditCommand::Client(Box::new(client_settings(
            matches,
            environment,
        )?))),
        Some(("demo", matches)) => {
            let flags: DemoFlags = load(matches, environment)?;
            Ok(AditCommand::Demo {
                log: LogSettings::of(flags.log),
            })
        }
        Some(("token", matches)) => {
            let (_, matches) = matches.subcommand().unwrap_or(("new", matches));
            let flags: TokenFlags = load(matches, environment)?;
            Ok(AditCommand::TokenNew {
                out: flags.file.out.map(|given| given.value),
            })
        }
        _ => Err(SettingsError::Combination("no command is given".into())),
    }
}

/// The command lines of `adit`, `adit-server` and `adit-client`, as clap has them: for manuals and completions.
#[must_use]
pub fn command_lines() -> [Command; 3] {
    [
        flags::adit_command(),
        flags::server_command("adit-server"),
        flags::client_command("adit-client"),
    ]
}

fn server_settings(
    matches: &ArgMatches,
    environment: &Environment,
) -> Result<ServerSettings, SettingsError> {
    let flags: ServerFlags = load(matches, environment)?;
    ServerSettings::of(flags, environment)
}

fn client_settings(
    matches: &ArgMatches,
    environment: &Environment,
) -> Result<ClientSettings, SettingsError> {
    let flags: ClientFlags = load(matches, environment)?;
    ClientSettings::of(flags, environment)
}
