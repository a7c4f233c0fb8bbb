//! `adit`: server and client in one command, new tokens, and a demo.

mod demo;
mod token;

use std::process::ExitCode;

use adit_program::Failure;
use adit_settings::AditCommand;
use adit_tokio::Tokio;

fn main() -> ExitCode {
    adit_program::main(adit_settings::adit, run)
}

fn run(command: AditCommand) -> Result<(), Failure> {
    match command {
        AditCommand::Server(settings) => adit_server::run::<Tokio>(*settings),
        AditCommand::Client(settings) => adit_client::run::<Tokio>(*settings),
        AditCommand::TokenNew { out } => token::new(out.as_deref()),
        AditCommand::Demo { log } => demo::run(&log),
    }
}
