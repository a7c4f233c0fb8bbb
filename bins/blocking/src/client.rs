//! `adit-client-blocking`: what `adit-client` is, on another runtime.

use std::process::ExitCode;

use adit_blocking::Blocking;

fn main() -> ExitCode {
    adit_program::main(adit_settings::client, adit_client::run::<Blocking>)
}
