//! `adit-server`.

use std::process::ExitCode;

fn main() -> ExitCode {
    adit_program::main(adit_settings::server, adit_server::run::<adit_tokio::Tokio>)
}
