//! `adit-client-smol`: what `adit-client` is, on another runtime.

use std::process::ExitCode;

use adit_smol::Smol;

fn main() -> ExitCode {
    adit_program::main(adit_settings::client, adit_client::run::<Smol>)
}
