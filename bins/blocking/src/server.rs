//! `adit-server-blocking`: what `adit-server` is, on another runtime.

use std::process::ExitCode;

use adit_blocking::Blocking;

fn main() -> ExitCode {
    adit_program::main(adit_settings::server, adit_server::run::<Blocking>)
}
