//! `adit-client`.

use std::process::ExitCode;

fn main() -> ExitCode {
    adit_program::main(adit_settings::client, adit_client::run::<adit_tokio::Tokio>)
}
