//! What a server makes of its flags, variables and TOML file.

use std::time::Duration;

use adit_settings::{
    Environment, LogFormat, ServerSettings, SettingsError, TlsChoice, TokenSource,
};

use super::common::{arguments, file};

const TOKEN: (&str, &str) = ("ADIT_TOKEN_FILE", "/etc/adit/token");

fn server(flags: &str, variables: &[(&str, &str)]) -> Result<ServerSettings, SettingsError> {
    let environment = Environment::of("host", variables.iter().copied());
    adit_settings::server(arguments("adit-server", flags), &environment)
}

fn refusal(flags: &str, variables: &[(&str, &str)]) -> String {
    let error = server(flags, variables).expect_err("a refusal");
    assert_eq!(error.exit_code(), 2);
    error.to_string()
}

#[test]
fn a_token_file_is_all_that_a_server_needs() {
    let settings = server("--token-file token", &[("HOME", "/home/me")]).unwrap();
    assert_eq!(settings.control_addr.to_string(), "0.0.0.0:8123");
    assert_eq!(settings.path.as_str(), "/connect");
    assert_eq!(
        settings.tls,
        TlsChoice::Auto {
            names: vec![],
            state_dir: "/home/me/.local/state/adit".into()
        }
    );
    assert!(settings.channel_binding);
    assert!(settings.trusted_proxies.is_empty());
    assert_eq!(settings.tunnel.name.as_str(), "default");
    assert_eq!(settings.tunnel.token, TokenSource::File("token".into()));
    assert_eq!(settings.tunnel.allow_ports.to_string(), "1024-65535");
    assert_eq!(settings.data_addr.to_string(), "127.0.0.1");
    assert_eq!(
        settings.admin_addr.map(|a| a.to_string()).as_deref(),
        Some("127.0.0.1:8124")
    );
    assert_eq!(
        (settings.max_sessions, settings.max_handshakes),
        (1024, 1024)
    );
    assert_eq!(
        (settings.max_detached, settings.detached_memory),
        (1024, 512 << 20)
    );
    assert_eq!(
        (settings.session.max_streams, settings.session.window),
        (8192, 64 << 20)
    );
    assert_eq!(settings.grace_period, Duration::from_secs(30));
    assert_eq!(
        (settings.log.format, settings.log.filter.as_str()),
        (LogFormat::Text, "info")
    );
    assert_eq!(settings.warnings, Vec::<String>::new());
}

#[test]
fn every_flag_of_the_server_reaches_its_settings() {
    let settings = server(
        "--control-addr [::]:1 --path /in --trusted-proxies 10.0.0.0/8 --trusted-proxies \
         192.168.0.1,fd00::/8 --tls files --tls-cert c.pem --tls-key k.pem --channel-binding off \
         --tunnel orion --token-file t --data-addr 0.0.0.0 --allow-ports 80,9000-9100 \
         --allow-ports 443 --admin-addr off --max-sessions 1 --max-handshakes 2 --max-streams 3 \
         --max-detached 4 --detached-memory 5MiB \
         --session-window 1MiB --stream-window 2MiB --replay-limit 3MiB --grace-period 1m30s --log-format json --log-level warn,x=trace",
        &[],
    )
    .unwrap();
    assert_eq!(settings.control_addr.to_string(), "[::]:1");
    assert_eq!(settings.path.as_str(), "/in");
    assert_eq!(
        settings.trusted_proxies.to_string(),
        "10.0.0.0/8,192.168.0.1/32,fd00::/8"
    );
    assert_eq!(
        settings.tls,
        TlsChoice::Files {
            cert: "c.pem".into(),
            key: "k.pem".into()
        }
    );
    assert!(!settings.channel_binding);
    assert_eq!(settings.tunnel.name.as_str(), "orion");
    assert_eq!(settings.tunnel.allow_ports.to_string(), "80,443,9000-9100");
    assert_eq!(settings.data_addr.to_string(), "0.0.0.0");
    assert_eq!(settings.admin_addr, None);
    assert_eq!((settings.max_sessions, settings.max_handshakes), (1, 2));
    assert_eq!(
        (settings.max_detached, settings.detached_memory),
        (4, 5 << 20)
    );
    assert_eq!(
        (settings.session.max_streams, settings.session.window),
        (3, 1 << 20)
    );
    assert_eq!(
        (settings.session.stream_window, settings.session.replay),
        (2 << 20, 3 << 20)
    );
    assert_eq!(settings.grace_period, Duration::from_secs(90));
    assert_eq!(settings.log.format, LogFormat::Json);
    assert_eq!(settings.log.filter, "warn,x=trace");
}

#[test]
fn a_flag_beats_a_variable_which_beats_the_file_which_beats_the_default() {
    let file = file("[server]\ntls = 'off'\nmax-streams = 3\nmax-sessions = 3\nallow-ports = 3\n");
    let path = file.path().to_str().unwrap();
    let settings = server(
        "--max-streams 1 --allow-ports 1",
        &[
            TOKEN,
            ("ADIT_CONFIG", path),
            ("ADIT_MAX_STREAMS", "2"),
            ("ADIT_MAX_SESSIONS", "2"),
            ("ADIT_ALLOW_PORTS", "2,4"),
            ("ADIT_PATH", ""),
        ],
    )
    .unwrap();
    assert_eq!(settings.session.max_streams, 1);
    assert_eq!(settings.max_sessions, 2);
    assert_eq!(settings.tls, TlsChoice::Off);
    assert_eq!(settings.max_handshakes, 1024);
    assert_eq!(
        settings.tunnel.allow_ports.to_string(),
        "1",
        "a list comes from one source"
    );
    assert_eq!(
        settings.path.as_str(),
        "/connect",
        "an empty variable is none"
    );
}

#[test]
fn adit_log_sets_the_log_level_unless_adit_log_level_does() {
    let level = |variables: &[(&str, &str)]| {
        let all: Vec<_> = [TOKEN, ("ADIT_TLS", "off")]
            .iter()
            .chain(variables)
            .copied()
            .collect();
        server("", &all).unwrap().log.filter
    };
    assert_eq!(level(&[("ADIT_LOG", "debug")]), "debug");
    assert_eq!(
        level(&[("ADIT_LOG", "debug"), ("ADIT_LOG_LEVEL", "warn")]),
        "warn"
    );
}

#[test]
fn tls_choices_that_contradict_themselves_are_refused() {
    for (flags, complaint) in [
        ("--tls files", "--tls-cert is missing"),
        ("--tls files --tls-cert c", "--tls-key is missing"),
        ("--tls files --tls-key k", "--tls-cert is missing"),
        (
            "--tls-cert c --tls-key k",
            "--tls-cert has no effect without --tls files",
        ),
        (
            "--tls off --tls-key k",
            "--tls-key has no effect without --tls files",
        ),
        (
            "--tls off --tls-name a",
            "--tls-name is for the self-signed certificate",
        ),
        ("--tls on", "--tls \"on\": expected auto, files or off"),
        ("", "give --state-dir DIR"),
    ] {
        let why = refusal(flags, &[TOKEN]);
        assert!(why.contains(complaint), "{flags}: {why}");
    }
}

#[test]
fn the_self_signed_certificate_is_kept_where_the_system_says() {
    let kept = |flags: &str, variables: &[(&str, &str)]| {
        let all: Vec<_> = [TOKEN].iter().chain(variables).copied().collect();
        match server(flags, &all).unwrap().tls {
            TlsChoice::Auto { state_dir, .. } => state_dir.to_str().unwrap().to_owned(),
            other => panic!("{other:?}"),
        }
    };
    let home = ("HOME", "/home/me");
    let xdg = ("XDG_STATE_HOME", "/x");
    let systemd = ("STATE_DIRECTORY", "/var/lib/adit:/var/lib/more");
    assert_eq!(kept("--state-dir here", &[home, xdg, systemd]), "here");
    assert_eq!(kept("", &[home, xdg, systemd]), "/var/lib/adit");
    assert_eq!(kept("", &[home, xdg]), "/x/adit");
    assert_eq!(
        kept("", &[home, ("XDG_STATE_HOME", "relative")]),
        "/home/me/.local/state/adit"
    );
}

#[test]
fn the_self_signed_certificate_can_have_names_and_addresses() {
    let settings = server(
        "--tls-name a.example.com,::1 --tls-name 10.0.0.1 --state-dir s",
        &[TOKEN],
    )
    .unwrap();
    let TlsChoice::Auto { names, .. } = settings.tls else {
        panic!("{:?}", settings.tls)
    };
    let names: Vec<_> = names.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["a.example.com", "[::1]", "10.0.0.1"]);
}

#[test]
fn two_tokens_or_none_are_refused_with_what_to_do() {
    let good = "0123456789-abcdef-0123456789";
    assert_eq!(
        refusal("--tls off --token-file t", &[("ADIT_TOKEN", good)]),
        "two tokens are given, by --token-file and by ADIT_TOKEN; keep one of them"
    );
    let file = file(&format!("[server]\ntls = 'off'\ntoken = '{good}'\n"));
    let path = file.path().to_str().unwrap();
    assert_eq!(
        refusal("", &[TOKEN, ("ADIT_CONFIG", path)]),
        format!(
            "two tokens are given, by ADIT_TOKEN_FILE and by {path}, line 3: server.token; keep \
             one of them"
        )
    );
    let why = refusal("--tls off", &[]);
    assert!(
        why.contains("--token-file FILE") && why.contains("adit token new"),
        "{why}"
    );
}

#[test]
fn a_token_on_the_command_line_works_with_a_warning() {
    let good = "0123456789-abcdef-0123456789";
    let settings = server(&format!("--tls off --token {good}"), &[]).unwrap();
    assert_eq!(settings.tunnel.token.read().unwrap().expose(), good);
    assert!(
        settings.warnings[0].contains("--token-file"),
        "{:?}",
        settings.warnings
    );
    let quiet = server("--tls off", &[("ADIT_TOKEN", good)]).unwrap();
    assert_eq!(quiet.tunnel.token, settings.tunnel.token);
    assert!(quiet.warnings.is_empty());
}

#[test]
fn no_message_and_no_debug_repeats_a_token() {
    for flags in [
        "--token hush-hush",
        "--token hush-hush --token hush-hush",
        "--tokn=hush-hush",
        "--token=",
    ] {
        assert!(!refusal(flags, &[]).contains("hush"), "{flags}");
    }
    assert!(!refusal("", &[("ADIT_TOKEN", "hush-hush")]).contains("hush"));
    let file = file("[server]\ntoken = 'hush-hush'\n");
    let why = refusal("", &[("ADIT_CONFIG", file.path().to_str().unwrap())]);
    assert!(
        why.contains("line 2: server.token: the token has 9 bytes"),
        "{why}"
    );
    assert!(!why.contains("hush"));
    let settings = server("--tls off", &[("ADIT_TOKEN", "hush-hush-hush-hush-hush")]).unwrap();
    assert!(!format!("{settings:?}").contains("hush"));
}

#[test]
fn a_wrong_value_is_named_with_its_place() {
    let file = file("[server]\n\nmax-sessions = 0\n");
    let path = file.path().to_str().unwrap();
    assert_eq!(
        refusal("", &[TOKEN, ("ADIT_CONFIG", path)]),
        format!("{path}, line 3: server.max-sessions \"0\": expected a whole number, at least 1")
    );
    assert_eq!(
        refusal("", &[TOKEN, ("ADIT_GRACE_PERIOD", "30")]),
        "ADIT_GRACE_PERIOD \"30\": expected a duration with its unit, such as 5s, 250ms or 1m"
    );
    for (flags, advice) in [
        (
            "--control-addr localhost:8123",
            "did you mean 127.0.0.1:8123?",
        ),
        ("--control-addr :8123", "did you mean 0.0.0.0:8123?"),
        (
            "--admin-addr 8124",
            "did you mean 127.0.0.1:8124? (off is possible too)",
        ),
        ("--data-addr 127.0.0.1:9090", "without a port"),
        ("--trusted-proxies ingress", "10.0.0.0/8"),
        ("--allow-ports 0-80", "from 1 to 65535"),
        (
            "--session-window 1KiB",
            "--session-window 1KiB is too small; give at least 64KiB",
        ),
        (
            "--stream-window 2KiB",
            "--stream-window 2KiB is too small; give at least 64KiB",
        ),
        (
            "--replay-limit 0",
            "--replay-limit 0B is too small; give at least 64KiB",
        ),
        ("--tunnel a/b", "1 to 64"),
        ("--path /", "/connect"),
        ("--channel-binding maybe", "on or off"),
    ] {
        let why = refusal(&format!("--tls off {flags}"), &[TOKEN]);
        assert!(why.contains(advice), "{flags}: {why}");
    }
}

#[test]
fn odd_characters_in_a_wrong_value_are_escaped_and_long_ones_cut() {
    let why = refusal("", &[TOKEN, ("ADIT_TUNNEL", "a\u{1b}[31m")]);
    assert!(why.contains("\\u{1b}") && !why.contains('\u{1b}'), "{why}");
    let why = refusal("", &[TOKEN, ("ADIT_TUNNEL", &"a".repeat(10_000))]);
    assert!(why.len() < 400 && why.contains("a...\""), "{why}");
}

#[test]
fn a_file_that_is_not_there_is_an_error() {
    let why = refusal("--config /nowhere/adit.toml", &[TOKEN]);
    assert!(why.starts_with("/nowhere/adit.toml: "), "{why}");
}

#[test]
fn a_misspelt_variable_is_a_warning() {
    let settings = server("--tls off", &[TOKEN, ("ADIT_ALLOW_PORT", "80")]).unwrap();
    assert!(
        settings.warnings[0].contains("ADIT_ALLOW_PORTS?"),
        "{:?}",
        settings.warnings
    );
}
