//! `adit-server-async-std`: what `adit-server` is, on another runtime.

use std::process::ExitCode;

use adit_async_std::AsyncStd;

fn main() -> ExitCode {
    adit_program::main(adit_settings::server, adit_server::run::<AsyncStd>)
}
