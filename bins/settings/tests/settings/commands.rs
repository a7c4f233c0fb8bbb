//! The command lines as a whole: the commands of `adit`, the help, the exit codes.

use std::ffi::OsString;

use adit_settings::{AditCommand, Environment, SettingsError};
use proptest::prelude::*;

use super::common::{arguments, file};

fn adit(flags: &str) -> Result<AditCommand, SettingsError> {
    let environment = Environment::of("host", [("ADIT_TLS", "off"), ("ADIT_LOG", "debug")]);
    adit_settings::adit(arguments("adit", flags), &environment)
}

#[test]
fn adit_is_all_commands_in_one() {
    assert!(matches!(
        adit("server --token-file t"),
        Ok(AditCommand::Server(_))
    ));
    let client = adit("client --url a --token-file t --upstream a:1");
    assert!(matches!(client, Ok(AditCommand::Client(_))));
    assert_eq!(
        adit("token new").unwrap(),
        AditCommand::TokenNew { out: None }
    );
    let out = Some("f".into());
    assert_eq!(
        adit("token new --out f").unwrap(),
        AditCommand::TokenNew { out }
    );
    let Ok(AditCommand::Demo { log }) = adit("demo") else {
        panic!("no demo")
    };
    assert_eq!(log.filter, "debug");
}

#[test]
fn every_command_has_its_table_in_the_file() {
    let file = file("[token]\nout = 'f'\n[demo]\nlog-format = 'json'\n");
    let config = format!("--config {}", file.path().display());
    let out = Some("f".into());
    assert_eq!(
        adit(&format!("token new {config}")).unwrap(),
        AditCommand::TokenNew { out }
    );
    let Ok(AditCommand::Demo { log }) = adit(&format!("demo {config}")) else {
        panic!("no demo")
    };
    assert_eq!(log.format, adit_settings::LogFormat::Json);
}

#[test]
fn help_and_version_are_no_failures() {
    for flags in [
        "--help",
        "--version",
        "server --help",
        "client -h",
        "token new --help",
    ] {
        assert_eq!(adit(flags).unwrap_err().exit_code(), 0, "{flags}");
    }
}

#[test]
fn wrong_usage_exits_with_2() {
    for flags in [
        "",
        "token",
        "serve",
        "server extra",
        "client --uri a",
        "demo --url a",
        "server",
    ] {
        assert_eq!(adit(flags).unwrap_err().exit_code(), 2, "{flags}");
    }
}

#[test]
fn help_has_examples_groups_variables_and_defaults() {
    let server = adit("server --help").unwrap_err().to_string();
    let client = adit("client --help").unwrap_err().to_string();
    for part in [
        "Examples:",
        "Data plane:",
        "Limits:",
        "ADIT_CONTROL_ADDR",
        "0.0.0.0:8123",
    ] {
        assert!(server.contains(part), "{part}");
    }
    for part in [
        "Examples:",
        "Services:",
        "Reconnecting:",
        "ADIT_UPSTREAM",
        "--port",
        "250ms",
    ] {
        assert!(client.contains(part), "{part}");
    }
}

#[test]
fn a_near_flag_is_suggested() {
    let why = adit("client --upstreams a:1").unwrap_err().to_string();
    assert!(why.contains("--upstream"), "{why}");
}

/// Command lines made of real flags and odd values.
fn any_arguments() -> impl Strategy<Value = Vec<OsString>> {
    let word = prop_oneof![
        Just("server".to_owned()),
        Just("client".to_owned()),
        Just("--upstream".to_owned()),
        Just("--ports".to_owned()),
        Just("--url".to_owned()),
        Just("--proxy".to_owned()),
        Just("--header".to_owned()),
        Just("--token".to_owned()),
        Just("--tls".to_owned()),
        Just("--insecure-plaintext".to_owned()),
        "[a-z0-9:=/.,@%\\[\\]-]{0,12}",
        "\\PC{0,12}",
    ];
    let adit = |words: Vec<String>| std::iter::once("adit".to_owned()).chain(words);
    proptest::collection::vec(word, 0..8)
        .prop_map(move |words| adit(words).map(OsString::from).collect())
}

proptest! {
    #[test]
    fn any_command_line_gives_settings_or_an_error(arguments in any_arguments(), text in "\\PC*") {
        let environment = Environment::of(&text, [
            ("ADIT_TOKEN_FILE", "t"),
            ("ADIT_UPSTREAM", &text),
            ("ADIT_URL", &text),
            ("HTTPS_PROXY", &text),
            ("NO_PROXY", &text),
        ]);
        if let Err(error) = adit_settings::adit(arguments, &environment) {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}
