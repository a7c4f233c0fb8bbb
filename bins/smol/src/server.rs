//! `adit-server-smol`: what `adit-server` is, on another runtime.

use std::process::ExitCode;

use adit_smol::Smol;

fn main() -> ExitCode {
    adit_program::main(adit_settings::server, adit_server::run::<Smol>)
}
