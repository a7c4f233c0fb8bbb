//! The command lines: clap commands made of the flag tables, with examples.

use clap::{Arg, ArgAction, Command};

use super::definitions::{ClientFlags, DemoFlags, ServerFlags, TokenFlags};
use super::{CONFIG, Flag, Shape, Table};

const SERVER_EXAMPLES: &str = "\
Examples:
  Make a token, and serve with a self-signed certificate:
    adit token new --out token
    adit-server --token-file token

  Behind an ingress that ends TLS, open to the whole cluster:
    adit-server --tls off --token-file /etc/adit/token --data-addr 0.0.0.0 --allow-ports 9090";

const CLIENT_EXAMPLES: &str = "\
Examples:
  Offer a Prometheus to the server's side, as port 9090 there:
    adit-client --url wss://tunnel.example.com --token-file token --upstream prometheus:9090

  Two services, the second on another port:
    adit-client --url tunnel.example.com:8123 --token-file token \\
        --upstream 9090=prometheus:9090 --upstream 15432=db:5432

  One host, several ports:
    adit-client --url https://tunnel.example.com --token-file token \\
        --upstream prometheus --ports 9090,9093";

/// The command line of the server.
pub(crate) fn server_command(name: &'static str) -> Command {
    command(
        name,
        "Take clients in, and open their services to visitors",
        &ServerFlags::TABLE,
    )
    .after_help(format!(
        "{SERVER_EXAMPLES}\n\n{}",
        sources(&ServerFlags::TABLE)
    ))
}

/// The command line of the client.
pub(crate) fn client_command(name: &'static str) -> Command {
    command(
        name,
        "Offer private services through a server",
        &ClientFlags::TABLE,
    )
    .after_help(format!(
        "{CLIENT_EXAMPLES}\n\n{}",
        sources(&ClientFlags::TABLE)
    ))
}

/// The command line of everything in one.
pub(crate) fn adit_command() -> Command {
    let new = command(
        "new",
        "Make a new token of 256 random bits",
        &TokenFlags::TABLE,
    )
    .after_help(sources(&TokenFlags::TABLE));
    let token = Command::new("token")
        .about("Make tokens")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(new);
    let demo = command(
        "demo",
        "Try it: a sample service, a server and a client in one process",
        &DemoFlags::TABLE,
    )
    .after_help(sources(&DemoFlags::TABLE));
    Command::new("adit")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A reverse tunnel: reach services that nothing outside can dial")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands([
            server_command("server"),
            client_command("client"),
            token,
            demo,
        ])
}

fn sources(table: &Table) -> String {
    format!(
        "Each setting is taken from its flag, else from its environment variable, else from the \
         key of the same name below [{}] in the TOML file given with --config, else it has its \
         default.",
        table.name
    )
}

fn command(name: &'static str, about: &'static str, table: &'static Table) -> Command {
    let mut command = Command::new(name)
        .version(env!("CARGO_PKG_VERSION"))
        .about(about)
        .arg(argument(&CONFIG));
    for group in table.groups {
        command = command
            .next_help_heading(group.heading)
            .args(group.flags.iter().map(argument));
    }
    command
}

fn argument(flag: &Flag) -> Arg {
    let arg = Arg::new(flag.key())
        .long(flag.key())
        .visible_aliases(flag.aliases.iter().copied())
        .value_name(flag.placeholder)
        .help(help(flag));
    match flag.shape {
        Shape::One => arg.action(ArgAction::Set),
        Shape::Many => arg.action(ArgAction::Append),
        Shape::Switch => arg
            .action(ArgAction::Set)
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true"),
    }
}

fn help(flag: &Flag) -> String {
    let variables: Vec<String> = flag.variables().collect();
    let default = flag
        .default
        .map(|text| format!(" [default: {text}]"))
        .unwrap_or_default();
    format!(
        "{}{default} [env: {}]",
        flag.help.trim(),
        variables.join(", ")
    )
}
