//! Tests that walk every flag of every command, as the command line itself has them.

use std::path::Path;

use clap::{ArgMatches, Command};

use super::environment::Environment;
use super::file::ConfigFile;
use super::source::{Origin, Source};
use super::{
    CONFIG, ClientFlags, DemoFlags, Flag, ServerFlags, TABLES, Table, TokenFlags, adit_command,
    client_command, load, server_command,
};

/// Every command that takes flags, with its table.
fn commands_with_tables() -> Vec<(Command, &'static Table)> {
    let mut left = vec![
        server_command("server"),
        client_command("client"),
        adit_command(),
    ];
    let mut found = Vec::new();
    while let Some(command) = left.pop() {
        left.extend(command.get_subcommands().cloned());
        let table = match command.get_name() {
            "server" => &ServerFlags::TABLE,
            "client" => &ClientFlags::TABLE,
            "new" => &TokenFlags::TABLE,
            "demo" => &DemoFlags::TABLE,
            name => {
                assert_eq!(
                    own_flags(&command).count(),
                    0,
                    "{name} has flags and no table"
                );
                continue;
            }
        };
        found.push((command, table));
    }
    found
}

/// All arguments but `--help` and `--version`.
fn own_flags(command: &Command) -> impl Iterator<Item = &clap::Arg> {
    command
        .get_arguments()
        .filter(|arg| !matches!(arg.get_id().as_str(), "help" | "version"))
}

fn no_arguments(command: &Command) -> ArgMatches {
    command.clone().get_matches_from([command.get_name()])
}

/// What keeps an argument from being a full setting, if anything does.
fn flaw(command: &Command, table: &'static Table, arg: &clap::Arg) -> Option<String> {
    let id = arg.get_id().as_str();
    let is_config = id == CONFIG.key();
    let Some(flag) = table.flags().chain([&CONFIG]).find(|flag| flag.key() == id) else {
        return Some("is not in the table".to_owned());
    };
    if arg.get_long() != Some(id) {
        return Some("has another long name than its key".to_owned());
    }
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let (words, variables) = help.split_once(" [").unwrap_or((&help, ""));
    if words.split_whitespace().count() < 3 {
        return Some("has no help".to_owned());
    }
    let arguments = no_arguments(command);
    for variable in flag.variables() {
        let environment = Environment::of("host", [(variable.as_str(), "x")]);
        let source = Source {
            table,
            arguments: &arguments,
            environment: &environment,
            file: None,
        };
        let found = source.find(flag).unwrap().map(|given| given.origin);
        if found != Some(Origin::Variable(variable.clone())) || !variables.contains(&variable) {
            return Some(format!("is not set by {variable}, or does not say so"));
        }
    }
    let environment = Environment::default();
    let text = format!("[{}]\n{id} = 'x'", table.name);
    let found = ConfigFile::parse(Path::new("f"), &text).and_then(|file| {
        Source {
            table,
            arguments: &arguments,
            environment: &environment,
            file: Some(&file),
        }
        .find(flag)
    });
    let from_file = found
        .ok()
        .flatten()
        .is_some_and(|given| matches!(given.origin, Origin::File { line: 2, .. }));
    // The path of the file can't stand in the file.
    (from_file == is_config).then(|| "is not set by the TOML file".to_owned())
}

#[test]
fn every_flag_of_every_command_has_a_variable_a_toml_key_and_help() {
    let mut seen = 0;
    for (command, table) in commands_with_tables() {
        for arg in own_flags(&command) {
            assert_eq!(
                flaw(&command, table, arg),
                None,
                "{} --{}",
                table.name,
                arg.get_id()
            );
            seen += 1;
        }
    }
    // Server and client are seen twice: alone and in `adit`.
    let defined: usize = [2, 2, 1, 1]
        .iter()
        .zip(TABLES)
        .map(|(times, table)| times * (table.flags().count() + 1))
        .sum();
    assert_eq!(seen, defined);
}

#[test]
fn the_walk_notices_a_flag_that_is_defined_on_the_command_line_only() {
    let extra = clap::Arg::new("extra")
        .long("extra")
        .help("A flag from nowhere");
    let command = server_command("server").arg(extra.clone());
    let found = flaw(&command, &ServerFlags::TABLE, &extra);
    assert_eq!(found.as_deref(), Some("is not in the table"));
}

#[test]
fn the_walk_notices_a_flag_without_help() {
    let (command, table) = (server_command("server"), &ServerFlags::TABLE);
    let bare = clap::Arg::new("path")
        .long("path")
        .help(" [env: ADIT_PATH]");
    assert_eq!(flaw(&command, table, &bare).as_deref(), Some("has no help"));
}

#[test]
fn the_walk_notices_a_flag_whose_help_hides_its_variable() {
    let (command, table) = (server_command("server"), &ServerFlags::TABLE);
    let bare = clap::Arg::new("path")
        .long("path")
        .help("Path that clients ask for");
    assert!(flaw(&command, table, &bare).is_some_and(|why| why.contains("ADIT_PATH")));
}

#[test]
fn the_commands_are_sound_to_clap() {
    for command in [
        server_command("adit-server"),
        client_command("adit-client"),
        adit_command(),
    ] {
        command.debug_assert();
    }
}

#[test]
fn every_default_is_a_good_value() {
    let environment = Environment::default();
    let server = server_command("server");
    let client = client_command("client");
    load::<ServerFlags>(&no_arguments(&server), &environment).unwrap();
    load::<ClientFlags>(&no_arguments(&client), &environment).unwrap();
    let demo = Command::new("demo").args(own_flags(&server).cloned());
    load::<DemoFlags>(&no_arguments(&demo), &environment).unwrap();
}

#[test]
fn no_variable_is_one_that_kubernetes_sets_for_a_service_named_adit() {
    let all = || {
        TABLES
            .iter()
            .flat_map(|table| table.flags())
            .chain([&CONFIG])
    };
    for variable in all().flat_map(Flag::variables) {
        let taken = variable.ends_with("_PORT") || variable.contains("_SERVICE_");
        assert!(!taken && !variable.contains("_PORT_"), "{variable}");
    }
}
