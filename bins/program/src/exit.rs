//! How a program ends: 0 when it did what it was asked, 1 when something failed while it ran, 2
//! when it was called in a wrong way.

use std::ffi::OsString;
use std::process::ExitCode;

use adit_settings::{Environment, SettingsError};

/// Why a program ended, in words that say what was wrong, where, and what to do. Never a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It was called in a wrong way. Exit code 2.
    #[error("{0}")]
    Usage(String),
    /// It could not do what it was asked to. Exit code 1.
    #[error("{0}")]
    Runtime(String),
}

impl Failure {
    /// What the process exits with.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Runtime(_) => 1,
            Self::Usage(_) => 2,
        }
    }
}

/// The exit code for an outcome; a failure is printed to standard error.
pub fn finish(outcome: Result<(), Failure>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

/// A whole `main`: reads the settings of this process with `read`, then runs `run` with them. May
/// raise the limit of open files.
pub fn main<S>(
    read: impl FnOnce(Vec<OsString>, &Environment) -> Result<S, SettingsError>,
    run: impl FnOnce(S) -> Result<(), Failure>,
) -> ExitCode {
    match read(
        std::env::args_os().collect(),
        &Environment::of_this_process(),
    ) {
        Ok(settings) => {
            crate::limits::raise_file_limit();
            finish(run(settings))
        }
        Err(error) => {
            error.print();
            ExitCode::from(error.exit_code())
        }
    }
}
