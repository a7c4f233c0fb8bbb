//! `adit token new`.

use std::io::{self, ErrorKind, Write};
use std::path::Path;

use adit_program::Failure;
use zeroize::Zeroizing;

/// Makes a token and writes it to a new file, or else to standard output.
pub(crate) fn new(out: Option<&Path>) -> Result<(), Failure> {
    let mut line: Zeroizing<String> = adit_program::new_token()?;
    line.push('\n');
    match out {
        None => io::stdout().write_all(line.as_bytes()).map_err(|error| {
            Failure::Runtime(format!("can't write the token to standard output: {error}"))
        }),
        Some(path) => adit_program::create_private(path, line.as_bytes()).map_err(|error| {
            let advice = match error.kind() {
                ErrorKind::AlreadyExists => {
                    "; a token is never overwritten, so name another file, or remove this one first"
                }
                ErrorKind::NotFound => "; does the directory exist?",
                _ => "",
            };
            Failure::Runtime(format!(
                "can't write the token to {}: {error}{advice}",
                path.display()
            ))
        }),
    }
}
