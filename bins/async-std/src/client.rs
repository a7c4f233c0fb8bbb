//! `adit-client-async-std`: what `adit-client` is, on another runtime.

use std::process::ExitCode;

use adit_async_std::AsyncStd;

fn main() -> ExitCode {
    adit_program::main(adit_settings::client, adit_client::run::<AsyncStd>)
}
