//! The TOML file: a table for each command, whose keys are the command's long flags.
//!
//! Every key of every table is checked, also those of commands that are not running, so that a
//! slip shows at once. Values are kept as text, for the same parsers that read the flags.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::field::Given;
use super::source::Origin;
use super::{Flag, TABLES, Table, nearest};
use crate::SettingsError;

/// The largest file that is read, in bytes: far above any real one, far below what would hurt.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The settings of one TOML file.
#[derive(Debug)]
pub(crate) struct ConfigFile {
    path: PathBuf,
    /// By table and key.
    values: BTreeMap<(&'static str, String), Entry>,
}

struct Entry {
    texts: Vec<String>,
    line: usize,
}

/// A file may hold a token, so only the place is shown.
impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}", self.line)
    }
}

impl ConfigFile {
    pub(crate) fn read(path: &Path) -> Result<Self, SettingsError> {
        let unreadable = |why: String| SettingsError::FileUnreadable {
            path: path.into(),
            why,
        };
        let mut text = String::new();
        File::open(path)
            .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text))
            .map_err(|why| unreadable(why.to_string()))?;
        if text.len() as u64 > MAX_FILE_BYTES {
            return Err(unreadable(
                "it is larger than 1MiB; is it the right file?".to_owned(),
            ));
        }
        Self::parse(path, &text)
    }

    pub(crate) fn parse(path: &Path, text: &str) -> Result<Self, SettingsError> {
        let place = Place { path, text };
        let document = DeTable::parse(text).map_err(|why| {
            // The error's own Display repeats the line, which may hold a token.
            place.error(&why.span().unwrap_or_default(), why.message())
        })?;
        let mut values = BTreeMap::new();
        for (name, value) in document.get_ref() {
            let Some(table) = TABLES
                .iter()
                .find(|table| table.name == name.get_ref().as_ref())
            else {
                return Err(place.error(&name.span(), &unknown_table(name.get_ref())));
            };
            let DeValue::Table(keys) = value.get_ref() else {
                let why = format!(
                    "{0} is a table: write [{0}] on a line of its own",
                    table.name
                );
                return Err(place.error(&name.span(), &why));
            };
            for (key, value) in keys {
                let at = key.span();
                let key = key.get_ref().as_ref();
                if !table.flags().any(|flag| flag.key() == key) {
                    return Err(place.error(&at, &unknown_key(table, key)));
                }
                let texts = texts(value.get_ref()).ok_or_else(|| {
                    let why = "expected a text in quotes, a number, true or false, or a list of \
                               such";
                    place.error(&value.span(), &format!("{}.{key}: {why}", table.name))
                })?;
                let line = place.line(&at);
                values.insert((table.name, key.to_owned()), Entry { texts, line });
            }
        }
        Ok(Self {
            path: path.into(),
            values,
        })
    }

    /// What the file says for a key, if anything.
    pub(crate) fn find(&self, table: &'static str, key: &str) -> Option<Given<Vec<String>>> {
        let entry = self.values.get(&(table, key.to_owned()))?;
        let origin = Origin::File {
            path: self.path.clone(),
            line: entry.line,
            key: format!("{table}.{key}"),
        };
        Some(Given {
            value: entry.texts.clone(),
            origin,
        })
    }
}

/// Where in the file an error is.
struct Place<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Place<'_> {
    fn line(&self, at: &Range<usize>) -> usize {
        let before = self.text.as_bytes().iter().take(at.start);
        1 + before.filter(|&&byte| byte == b'\n').count()
    }

    fn error(&self, at: &Range<usize>, why: &str) -> SettingsError {
        SettingsError::File {
            path: self.path.into(),
            line: self.line(at),
            why: why.to_owned(),
        }
    }
}

fn unknown_table(name: &str) -> String {
    let shown = name.escape_debug();
    let owner = TABLES
        .iter()
        .find(|table| table.flags().any(|flag| flag.key() == name));
    if let Some(owner) = owner {
        return format!(
            "the key {shown} belongs into a table: put it below [{}]",
            owner.name
        );
    }
    let near = nearest(name, TABLES.iter().map(|table| table.name.to_owned())).unwrap_or_default();
    format!("there is no table [{shown}]; the nearest known one is [{near}]")
}

fn unknown_key(table: &Table, key: &str) -> String {
    let shown = key.escape_debug();
    let other = TABLES
        .iter()
        .find(|other| other.flags().any(|flag| flag.key() == key));
    if let Some(other) = other {
        return format!(
            "[{}] has no key {shown}; it belongs into [{}]",
            table.name, other.name
        );
    }
    let near = nearest(key, table.flags().map(Flag::key)).unwrap_or_default();
    format!(
        "[{}] has no key {shown}; the nearest known one is {near}",
        table.name
    )
}

fn texts(value: &DeValue<'_>) -> Option<Vec<String>> {
    match value {
        DeValue::Array(items) => items.iter().map(|item| one_text(item.get_ref())).collect(),
        single => one_text(single).map(|text| vec![text]),
    }
}

fn one_text(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.clone().into_owned()),
        DeValue::Boolean(yes) => Some(yes.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .ok()
            .map(|n| n.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<ConfigFile, SettingsError> {
        ConfigFile::parse(Path::new("adit.toml"), text)
    }

    #[test]
    fn one_file_serves_server_and_client() {
        let file = parse(
            "[server]\ncontrol-addr = \"0.0.0.0:1\"\nmax-streams = 8_192\nallow-ports = [80, \
             \"90-99\"]\n[client]\nurl = 'a'\ninsecure-plaintext = true\n",
        )
        .unwrap();
        let found = |table, key| file.find(table, key).map(|given| given.value);
        assert_eq!(
            found("server", "control-addr"),
            Some(vec!["0.0.0.0:1".to_owned()])
        );
        assert_eq!(
            found("server", "max-streams"),
            Some(vec!["8192".to_owned()])
        );
        assert_eq!(
            found("server", "allow-ports"),
            Some(vec!["80".to_owned(), "90-99".to_owned()])
        );
        assert_eq!(
            found("client", "insecure-plaintext"),
            Some(vec!["true".to_owned()])
        );
        assert_eq!(found("client", "max-streams"), None);
    }

    #[test]
    fn a_slip_is_named_with_its_line_and_the_nearest_name() {
        for (text, message) in [
            (
                "[server]\n\ncontrol_addr = 'x'",
                "adit.toml, line 3: [server] has no key control_addr; the nearest known one is \
                 control-addr",
            ),
            (
                "[server]\nurl = 'x'",
                "adit.toml, line 2: [server] has no key url; it belongs into [client]",
            ),
            (
                "url = 'x'",
                "adit.toml, line 1: the key url belongs into a table: put it below [client]",
            ),
            (
                "\n[sever]\n",
                "adit.toml, line 2: there is no table [sever]; the nearest known one is [server]",
            ),
            (
                "server = 1",
                "adit.toml, line 1: server is a table: write [server] on a line of its own",
            ),
            (
                "[server]\nmax-streams = 1.5",
                "adit.toml, line 2: server.max-streams: expected a text in quotes, a number, true \
                 or false, or a list of such",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn a_file_that_is_no_toml_is_told_where_without_repeating_the_line() {
        let why = parse("[server]\ntoken = \"hush-hush\n")
            .unwrap_err()
            .to_string();
        assert!(why.starts_with("adit.toml, line 2: "), "{why}");
        assert!(!why.contains("hush"), "{why}");
    }

    #[test]
    fn a_file_beyond_the_limit_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "#".repeat(1 << 20)).unwrap();
        assert!(ConfigFile::read(file.path()).is_ok());
        std::fs::write(file.path(), "#".repeat((1 << 20) + 1)).unwrap();
        let why = ConfigFile::read(file.path()).unwrap_err().to_string();
        assert!(why.contains("larger than 1MiB"), "{why}");
    }

    proptest! {
        #[test]
        fn any_text_is_a_file_or_an_error(
            text in "\\PC*|(\\[(server|client|x)\\]\n)?([a-z-]{1,8} = (\"x\"|1|true|\\[1\\])\n){0,4}",
        ) {
            let _ = parse(&text);
        }
    }
}
