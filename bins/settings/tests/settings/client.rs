//! What a client makes of its flags, variables and TOML file.

use std::time::Duration;

use adit_settings::{ClientSettings, Environment, SettingsError};

use super::common::{arguments, file};

/// What every client needs.
const NEEDED: &str = "--url wss://t.example.com --token-file token --upstream web:80";

fn client(flags: &str, variables: &[(&str, &str)]) -> Result<ClientSettings, SettingsError> {
    let environment = Environment::of("host-7", variables.iter().copied());
    adit_settings::client(arguments("adit-client", flags), &environment)
}

fn refusal(flags: &str, variables: &[(&str, &str)]) -> String {
    let error = client(flags, variables).expect_err("a refusal");
    assert_eq!(error.exit_code(), 2);
    error.to_string()
}

fn services(flags: &str) -> Vec<String> {
    let settings = client(&format!("--url a --token-file t {flags}"), &[]).expect("settings");
    settings.services.iter().map(ToString::to_string).collect()
}

#[test]
fn a_url_a_token_and_an_upstream_are_all_that_a_client_needs() {
    let settings = client(NEEDED, &[]).unwrap();
    assert_eq!(settings.url.to_string(), "wss://t.example.com/connect");
    assert_eq!(settings.tunnel.as_str(), "default");
    assert_eq!(settings.client_id.as_str(), "host-7");
    assert_eq!(settings.sessions, 1);
    assert_eq!(settings.services.len(), 1);
    assert_eq!(settings.dial_timeout, Duration::from_secs(10));
    assert_eq!(settings.connect_timeout, Duration::from_secs(5));
    assert_eq!(settings.reconnect_min, Duration::from_millis(250));
    assert_eq!(settings.reconnect_max, Duration::from_secs(30));
    assert_eq!(settings.grace_period, Duration::from_secs(30));
    assert_eq!(settings.admin_addr, None);
    assert_eq!(
        (settings.session.max_streams, settings.session.window),
        (8192, 64 << 20)
    );
    assert_eq!(
        (settings.session.stream_window, settings.session.replay),
        (16 << 20, 16 << 20)
    );
    assert_eq!(settings.proxy.decide(&settings.url), Ok(None));
    assert!(settings.headers.is_empty() && settings.ca_file.is_none());
    assert!(settings.identity.is_none() && settings.warnings.is_empty());
}

#[test]
fn every_key_of_the_file_reaches_the_client() {
    let file = file(
        "[client]\nurl = 'ws://t.example.com'\nheader = ['A: b, c', 'D: e']\nproxy = \
         'http://me:pw@p:3128'\ntunnel = 'orion'\ntoken-file = 't'\nclient-id = 'me:1'\nsessions = 4\nupstream \
         = ['9090=prom:9091', 'db']\nports = [5432, '5433']\ndial-timeout = '1s'\nca-file = \
         'ca'\nclient-cert = 'c'\nclient-key = 'k'\ninsecure-plaintext = true\nconnect-timeout = \
         '2s'\nreconnect-min = '3ms'\nreconnect-max = '4s'\nadmin-addr = \
         '127.0.0.1:1'\nmax-streams = 5\nsession-window = '6MiB'\nstream-window = '7MiB'\nreplay-limit = '8MiB'\ngrace-period = '7s'\nlog-format \
         = 'json'\nlog-level = 'debug'\n",
    );
    let settings = client(&format!("--config {}", file.path().display()), &[]).unwrap();
    assert_eq!(settings.url.to_string(), "ws://t.example.com/connect");
    let headers: Vec<_> = settings
        .headers
        .iter()
        .map(|h| (h.name(), h.value().expose()))
        .collect();
    assert_eq!(headers, [("A", "b, c"), ("D", "e")]);
    let proxy = settings.proxy.decide(&settings.url).unwrap().unwrap();
    assert_eq!(proxy.address.to_string(), "p:3128");
    assert_eq!(settings.tunnel.as_str(), "orion");
    assert_eq!(settings.client_id.as_str(), "me:1");
    assert_eq!(settings.sessions, 4);
    let services: Vec<_> = settings.services.iter().map(ToString::to_string).collect();
    assert_eq!(services, ["9090=prom:9091", "5432=db:5432", "5433=db:5433"]);
    assert_eq!(settings.dial_timeout, Duration::from_secs(1));
    assert_eq!(settings.ca_file.unwrap().to_str(), Some("ca"));
    let identity = settings.identity.unwrap();
    assert_eq!(
        (identity.cert.to_str(), identity.key.to_str()),
        (Some("c"), Some("k"))
    );
    assert_eq!(settings.connect_timeout, Duration::from_secs(2));
    assert_eq!(settings.reconnect_min, Duration::from_millis(3));
    assert_eq!(settings.reconnect_max, Duration::from_secs(4));
    assert_eq!(settings.admin_addr.unwrap().to_string(), "127.0.0.1:1");
    assert_eq!(
        (settings.session.max_streams, settings.session.window),
        (5, 6 << 20)
    );
    assert_eq!(
        (settings.session.stream_window, settings.session.replay),
        (7 << 20, 8 << 20)
    );
    assert_eq!(settings.grace_period, Duration::from_secs(7));
    assert_eq!(settings.log.filter, "debug");
    assert!(
        settings.warnings[0].contains("no effect"),
        "{:?}",
        settings.warnings
    );
}

#[test]
fn upstreams_and_ports_become_services() {
    assert_eq!(
        services("--upstream 9090=prometheus:9090"),
        ["9090=prometheus:9090"]
    );
    assert_eq!(
        services("--upstream prometheus --ports 9090"),
        ["9090=prometheus:9090"]
    );
    assert_eq!(
        services("--upstream prometheus --port 1 --port 2"),
        ["1=prometheus:1", "2=prometheus:2"]
    );
    assert_eq!(
        services("--upstream a:1,2=b:1 --upstream http://c:3"),
        ["1=a:1", "2=b:1", "3=c:3"]
    );
    assert_eq!(
        services("--upstream 0=a:1 --upstream 0=b:1"),
        ["0=a:1", "0=b:1"]
    );
}

#[test]
fn upstreams_that_make_no_services_are_refused_with_advice() {
    for (flags, message) in [
        (
            "--upstream 9090:foo",
            "--upstream \"9090:foo\": expected PORT=HOST:PORT, HOST:PORT, or HOST with --ports; \
             did you mean 9090=foo:9090?",
        ),
        (
            "--upstream prometheus",
            "--upstream prometheus has no port: write prometheus:PORT, or add --ports",
        ),
        (
            "--upstream a:1 --ports 2",
            "--ports goes with an --upstream that is only a host, and there is none",
        ),
        (
            "--ports 2",
            "there is nothing to offer: give --upstream, as in 9090=prometheus:9090",
        ),
        (
            "--upstream a:9090 --upstream b:9090",
            "port 9090 is asked for twice, for a:9090 and for b:9090; give one of them another \
             port, as in 9091=b:9090",
        ),
        (
            "--upstream a:65535,b:65535",
            "port 65535 is asked for twice, for a:65535 and for b:65535; give one of them another \
             port, as in 65534=b:65535",
        ),
        (
            "--upstream a --ports 0",
            "--ports \"0\": a port is a number from 1 to 65535",
        ),
    ] {
        assert_eq!(
            refusal(&format!("--url a --token-file t {flags}"), &[]),
            message
        );
    }
}

#[test]
fn what_is_missing_is_named() {
    assert!(refusal("--token-file t --upstream a:1", &[]).contains("--url wss://HOST"));
    assert!(refusal("--url a --upstream a:1", &[]).contains("--token-file FILE"));
}

#[test]
fn a_bad_url_is_answered_with_a_good_one() {
    let why = refusal("--url ftp://a --token-file t --upstream a:1", &[]);
    assert_eq!(
        why,
        "--url \"ftp://a\": the scheme must be wss, ws, https or http; write it as in \
         wss://tunnel.example.com/connect or tunnel.example.com:8123"
    );
}

#[test]
fn plaintext_leaves_this_machine_only_when_told_to() {
    let with = |url: &str, flags: &str, variables: &[(&str, &str)]| {
        client(
            &format!("--url {url} --token-file t --upstream a:1 {flags}"),
            variables,
        )
        .map(drop)
    };
    let allowed = ("ADIT_INSECURE_PLAINTEXT", "true");
    let why = with("ws://t.example.com", "", &[]).unwrap_err().to_string();
    assert!(
        why.contains("--insecure-plaintext") && why.contains("wss://"),
        "{why}"
    );
    assert!(with("ws://localhost:8123", "", &[]).is_ok());
    assert!(with("http://[::1]", "", &[]).is_ok());
    assert!(with("ws://t.example.com", "--insecure-plaintext", &[]).is_ok());
    assert!(with("ws://t.example.com", "", &[allowed]).is_ok());
    assert!(
        with(
            "ws://t.example.com",
            "--insecure-plaintext=false",
            &[allowed]
        )
        .is_err()
    );
    assert!(
        with(
            "ws://t.example.com",
            "",
            &[("ADIT_INSECURE_PLAINTEXT", "maybe")]
        )
        .is_err()
    );
}

#[test]
fn a_certificate_and_its_key_come_together() {
    for flag in ["--client-cert", "--client-key"] {
        let why = refusal(&format!("{NEEDED} {flag} f"), &[]);
        assert!(why.starts_with(&format!("{flag} needs its")), "{why}");
    }
}

#[test]
fn sessions_have_a_bound_and_need_ports_that_they_can_share() {
    let settings = client(NEEDED, &[("ADIT_SESSIONS", "16")]).unwrap();
    assert_eq!(settings.sessions, 16);
    for (flags, complaint) in [
        ("--sessions 17", "--sessions 17 is more than 16"),
        ("--sessions 0", "at least 1"),
        (
            "--sessions 2 --upstream 0=db:5432",
            "--sessions 2 needs a port for each service",
        ),
    ] {
        let why = refusal(&format!("{NEEDED} {flags}"), &[]);
        assert!(why.contains(complaint), "{flags}: {why}");
    }
}

#[test]
fn times_that_would_spin_or_never_end_are_refused() {
    for (flags, complaint) in [
        (
            "--reconnect-min 0s",
            "--reconnect-min must be longer than nothing",
        ),
        ("--connect-timeout 0ms", "--connect-timeout must be longer"),
        ("--dial-timeout 0s", "--dial-timeout must be longer"),
        (
            "--reconnect-min 2s --reconnect-max 1s",
            "--reconnect-max 1s is shorter than",
        ),
        ("--reconnect-max 400d", "at most 365d"),
    ] {
        let why = refusal(&format!("{NEEDED} {flags}"), &[]);
        assert!(why.contains(complaint), "{flags}: {why}");
    }
}

#[test]
fn the_environments_proxy_counts_and_one_that_cannot_be_used_is_refused() {
    let settings = client(NEEDED, &[("https_proxy", "http://p:3128")]).unwrap();
    let proxy = settings.proxy.decide(&settings.url).unwrap().unwrap();
    assert_eq!(proxy.to_string(), "http://p:3128");
    let why = refusal(NEEDED, &[("ALL_PROXY", "socks5://p:1080")]);
    assert!(
        why.contains("ALL_PROXY") && why.contains("--proxy off"),
        "{why}"
    );
    assert!(
        client(
            &format!("{NEEDED} --proxy off"),
            &[("ALL_PROXY", "socks5://p:1080")]
        )
        .is_ok()
    );
}

#[test]
fn headers_in_a_variable_stand_on_lines() {
    let settings = client(NEEDED, &[("ADIT_HEADER", "A: b, c\nD: e\n")]).unwrap();
    assert_eq!(settings.headers.len(), 2);
}

#[test]
fn no_message_and_no_debug_repeats_a_password() {
    for variable in [
        ("ADIT_PROXY", "ftp://me:hush@p"),
        ("ADIT_URL", "wss://me:hush@t.example.com"),
        ("ADIT_HEADER", "Authori zation: hush"),
        ("HTTPS_PROXY", "socks5://me:hush@p"),
    ] {
        let needed = "--token-file token --upstream web:80";
        let url = ("ADIT_URL", "wss://t.example.com");
        assert!(
            !refusal(needed, &[url, variable]).contains("hush"),
            "{variable:?}"
        );
    }
    let settings = client(
        NEEDED,
        &[
            ("ADIT_PROXY", "http://me:hush@p"),
            ("ADIT_HEADER", "Authorization: hush"),
        ],
    );
    assert!(!format!("{:?}", settings.unwrap()).contains("hush"));
}
