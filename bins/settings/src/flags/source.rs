//! Where a value comes from, and which source wins: the command line, then the environment, then
//! the TOML file, then the default. A list is taken whole from one source.

use std::fmt;
use std::path::PathBuf;

use clap::ArgMatches;

use super::definitions::FlagSet;
use super::environment::Environment;
use super::field::{Field, Given, Maybe};
use super::file::ConfigFile;
use super::{CONFIG, Flag, Table};
use crate::SettingsError;
use crate::values::Invalid;

/// Who gave a value. Displays as what to look at to change it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The flag of this name, without its dashes.
    Flag(String),
    /// The environment variable of this name.
    Variable(String),
    /// A key in the file, with its line, counted from 1.
    File {
        path: PathBuf,
        line: usize,
        key: String,
    },
    /// Nobody: the default of this flag.
    Default(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(key) => write!(f, "--{key}"),
            Self::Variable(name) => f.write_str(name),
            Self::File { path, line, key } => {
                write!(f, "{}, line {line}: {key}", path.display())
            }
            Self::Default(key) => write!(f, "the default of --{key}"),
        }
    }
}

/// All sources for the flags of one command.
pub(crate) struct Source<'a> {
    pub(super) table: &'static Table,
    pub(super) arguments: &'a ArgMatches,
    pub(super) environment: &'a Environment,
    pub(super) file: Option<&'a ConfigFile>,
}

impl Source<'_> {
    /// The texts that set a flag, from the source that wins.
    pub(crate) fn find(&self, flag: &Flag) -> Result<Option<Given<Vec<String>>>, SettingsError> {
        let key = flag.key();
        if let Some(texts) = self.arguments.get_many::<String>(&key) {
            let origin = Origin::Flag(key);
            return Ok(Some(Given {
                value: texts.cloned().collect(),
                origin,
            }));
        }
        for name in flag.variables() {
            if self.environment.is_garbled(&name) {
                let why = Invalid::new("the value is not UTF-8 text");
                return Err(SettingsError::value(Origin::Variable(name), None, why));
            }
            if let Some(text) = self.environment.get(&name) {
                let value = vec![text.to_owned()];
                return Ok(Some(Given {
                    value,
                    origin: Origin::Variable(name),
                }));
            }
        }
        if let Some(given) = self.file.and_then(|file| file.find(self.table.name, &key)) {
            return Ok(Some(given));
        }
        let default = flag.default.map(|text| Given {
            value: vec![text.to_owned()],
            origin: Origin::Default(key),
        });
        Ok(default)
    }
}

/// Reads the flags of one command from all sources, the file that `--config` names among them.
pub(crate) fn load<F: FlagSet>(
    arguments: &ArgMatches,
    environment: &Environment,
) -> Result<F, SettingsError> {
    let without_file = Source {
        table: F::table(),
        arguments,
        environment,
        file: None,
    };
    let path = <Maybe<PathBuf> as Field>::read(&CONFIG, &without_file)?;
    let file = path.map(|path| ConfigFile::read(&path.value)).transpose()?;
    F::read(&Source {
        file: file.as_ref(),
        ..without_file
    })
}
