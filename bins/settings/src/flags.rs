//! How a setting is defined: one line in one table.
//!
//! A field of a flag group (see `definitions`) is at once the flag, the environment variable, the
//! TOML key, the help and the typed value: all of them come from the field's name, type and doc
//! comment, so a setting can't exist in one place only. A field without a doc comment does not
//! compile; one that no command uses is dead code to the compiler.

mod definitions;
mod environment;
mod field;
mod file;
mod help;
mod source;
#[cfg(test)]
mod walk;

pub use definitions::LogFormat;
pub(crate) use definitions::{
    ClientFlags, DemoFlags, Logging, ServerFlags, SessionLimitFlags, TlsMode, TokenFlags,
};
pub use environment::Environment;
pub(crate) use field::Given;
pub(crate) use help::{adit_command, client_command, server_command};
pub(crate) use source::{Origin, load};

/// How a flag takes its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One value, given once.
    One,
    /// Any number of values: the flag repeated, or several in one text.
    Many,
    /// No value needed; `=false` switches it off again.
    Switch,
}

/// The definition of one setting.
#[derive(Debug)]
pub(crate) struct Flag {
    /// The field's name; the flag, key and variable are made of it.
    pub(crate) field: &'static str,
    pub(crate) help: &'static str,
    pub(crate) placeholder: &'static str,
    pub(crate) default: Option<&'static str>,
    pub(crate) shape: Shape,
    /// Other names for the flag on the command line.
    pub(crate) aliases: &'static [&'static str],
    /// Other names for the environment variable, looked at after its own.
    pub(crate) also_variables: &'static [&'static str],
}

impl Flag {
    /// The long flag without its dashes, and the TOML key.
    pub(crate) fn key(&self) -> String {
        self.field.replace('_', "-")
    }

    /// The environment variable.
    pub(crate) fn variable(&self) -> String {
        format!("ADIT_{}", self.field.to_ascii_uppercase())
    }

    /// All environment variables that set it, the one that counts most first.
    pub(crate) fn variables(&self) -> impl Iterator<Item = String> {
        std::iter::once(self.variable()).chain(self.also_variables.iter().map(|&v| v.to_owned()))
    }
}

/// Flags that stand under one heading in the help.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) heading: &'static str,
    pub(crate) flags: &'static [Flag],
}

/// All flags of one command, and the name of its table in the TOML file.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) groups: &'static [Group],
}

impl Table {
    pub(crate) fn flags(&self) -> impl Iterator<Item = &'static Flag> + use<> {
        self.groups.iter().flat_map(|group| group.flags)
    }
}

/// The tables that a TOML file may hold.
pub(crate) const TABLES: [&Table; 4] = [
    &ServerFlags::TABLE,
    &ClientFlags::TABLE,
    &TokenFlags::TABLE,
    &DemoFlags::TABLE,
];

/// The path of the TOML file: the one flag that has no key in it, because it is what leads there.
pub(crate) const CONFIG: Flag = Flag {
    field: "config",
    help: "TOML file with further settings",
    placeholder: "FILE",
    default: None,
    shape: Shape::One,
    aliases: &[],
    also_variables: &[],
};

/// The known name that is closest to `name`.
pub(crate) fn nearest(name: &str, known: impl Iterator<Item = String>) -> Option<String> {
    known.min_by_key(|candidate| strsim::osa_distance(name, candidate))
}
