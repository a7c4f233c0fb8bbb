//! What the tests of all commands share.

use std::ffi::OsString;

/// A command line, divided at white space.
pub(crate) fn arguments(program: &str, flags: &str) -> Vec<OsString> {
    std::iter::once(program)
        .chain(flags.split_whitespace())
        .map(OsString::from)
        .collect()
}

/// A file with this text, gone when dropped.
pub(crate) fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), text).expect("a file that takes text");
    file
}
