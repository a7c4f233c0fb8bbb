//! Why the settings can't be used, in words that say where to look and what to do.

use std::path::PathBuf;

use crate::flags::Origin;
use crate::values::Invalid;

/// Why no settings came out. Its Display never holds a token or a password.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The command line as such: an unknown flag, a missing value. Also how `--help` and
    /// `--version` end.
    #[error("{}", .0.render())]
    CommandLine(clap::Error),
    /// A value that its setting can't have.
    #[error("{place}: {why}")]
    Value {
        /// The flag, the variable, or the line of the file, and the text unless it is secret.
        place: String,
        /// What is wrong with it.
        why: Invalid,
    },
    /// Settings that are missing, or do not go together.
    #[error("{0}")]
    Combination(String),
    /// The TOML file could not be read.
    #[error("{}: {why}", path.display())]
    FileUnreadable {
        /// The file as it was named.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// The TOML file holds something that it can't.
    #[error("{}, line {line}: {why}", path.display())]
    File {
        /// The file as it was named.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong there.
        why: String,
    },
}

/// No more of a wrong text than this is repeated, in characters.
const MAX_SHOWN: usize = 200;

impl SettingsError {
    /// `shown` is the text that is wrong, where it may be repeated.
    pub(crate) fn value(origin: Origin, shown: Option<&str>, why: Invalid) -> Self {
        let shown = shown.map(|text| {
            let cut = if text.chars().nth(MAX_SHOWN).is_some() {
                "..."
            } else {
                ""
            };
            let text: String = text.chars().take(MAX_SHOWN).collect();
            format!(" \"{}{cut}\"", text.escape_debug())
        });
        Self::Value {
            place: format!("{origin}{}", shown.unwrap_or_default()),
            why,
        }
    }

    /// What the process exits with: 0 after `--help` and `--version`, else 2, for wrong usage.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::CommandLine(error) if !error.use_stderr() => 0,
            _ => 2,
        }
    }

    /// Prints what the user asked for to standard output, or what is wrong to standard error.
    pub fn print(&self) {
        match self {
            // A closed pipe is no reason to fail in another way.
            Self::CommandLine(error) => drop(error.print()),
            other => eprintln!("error: {other}\n\nFor more information, try '--help'."),
        }
    }
}

impl From<clap::Error> for SettingsError {
    fn from(error: clap::Error) -> Self {
        Self::CommandLine(error)
    }
}
