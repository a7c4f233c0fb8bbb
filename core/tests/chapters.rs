//! The tables of the specification say what the code does.

use std::time::Duration;

use adit_core::{BODY_MAX, Code, Config, DETAIL_MAX, LIST_MAX, PAYLOAD_MAX, SERVICES_MAX, Token};

const CODES: &str = include_str!("../../spec/08-codes.md");
const LIMITS: &str = include_str!("../../spec/09-limits.md");

/// The cells of each row of a chapter's tables that begins with `start`.
fn rows<'a>(chapter: &'a str, start: &'a str) -> impl Iterator<Item = Vec<&'a str>> {
    let lines = chapter.lines().filter(move |line| line.starts_with(start));
    lines.map(|line| {
        line.trim_matches('|')
            .split('|')
            .map(|cell| cell.trim().trim_matches('`'))
            .collect()
    })
}

#[test]
fn chapter_8_lists_every_code_and_no_other() {
    let code = |code: &Code| {
        let name = code.name().expect("a code of this version");
        (code.0, name.to_owned(), code.meaning().to_owned())
    };
    let known: Vec<_> = Code::ALL.iter().map(code).collect();
    let row = |cells: Vec<&str>| {
        let number = cells[0].strip_prefix("0x").expect("hex");
        let number = u64::from_str_radix(number, 16).expect("hex");
        (number, cells[1].to_owned(), cells[2].to_owned())
    };
    let listed: Vec<_> = rows(CODES, "| 0x").map(row).collect();
    assert_eq!(listed, known);
}

#[test]
fn chapter_9_lists_every_limit_with_its_default() {
    let config = Config::default();
    let time = |duration: Duration| match duration.as_millis() {
        millis if millis < 1_000 => format!("{millis} ms"),
        millis => format!("{} s", millis / 1_000),
    };
    let bytes = |bytes: u64| format!("{bytes} bytes");
    // All fields are named, so that a new one does not compile before it is listed.
    let Config {
        handshake_timeout,
        dead_after,
        ping_after,
        rtt_probe_interval,
        ack_delay,
        ack_units,
        ack_early_units,
        streams_max,
        stream_credit,
        stream_window_first,
        stream_window_max,
        session_pool,
        budget,
        stream_idle,
        send_buffer_stream,
        send_buffer_session,
        replay,
        resume_window,
        refusals_max,
        glitches_max,
        glitches_per_second,
        handshakes_max,
        sessions_max,
        detached_max,
        detached_per_tunnel,
        detached_bytes,
    } = config;
    let expected = [
        ("handshake_timeout", time(handshake_timeout)),
        ("dead_after", time(dead_after)),
        ("ping_after", time(ping_after)),
        ("rtt_probe_interval", time(rtt_probe_interval)),
        ("ack_delay", time(ack_delay)),
        ("stream_idle", time(stream_idle)),
        ("resume_window", time(resume_window)),
        ("streams_max", streams_max.to_string()),
        ("stream_credit", bytes(stream_credit)),
        ("stream_window_first", bytes(stream_window_first)),
        ("stream_window_max", bytes(stream_window_max)),
        ("session_pool", bytes(session_pool)),
        ("budget", bytes(budget.free() as u64)),
        ("ack_units", format!("{ack_units} units")),
        ("ack_early_units", format!("{ack_early_units} units")),
        ("send_buffer_stream", bytes(send_buffer_stream as u64)),
        ("send_buffer_session", bytes(send_buffer_session as u64)),
        ("replay", format!("{replay} units")),
        ("refusals_max", refusals_max.to_string()),
        ("glitches_max", glitches_max.to_string()),
        ("glitches_per_second", glitches_per_second.to_string()),
        ("handshakes_max", handshakes_max.to_string()),
        ("sessions_max", sessions_max.to_string()),
        ("detached_max", detached_max.to_string()),
        ("detached_per_tunnel", detached_per_tunnel.to_string()),
        ("detached_bytes", bytes(detached_bytes as u64)),
    ];
    let listed: Vec<_> = rows(LIMITS, "| `")
        .map(|cells| (cells[0], cells[1].to_owned()))
        .collect();
    assert_eq!(listed, expected);
}

#[test]
fn chapter_9_lists_what_the_protocol_fixes() {
    let grouped = |number: u64| match number {
        0..1_000 => number.to_string(),
        _ => format!("{},{:03}", number / 1_000, number % 1_000),
    };
    let expected = [
        ("a body", format!("{} bytes", grouped(BODY_MAX))),
        ("a payload", format!("{} bytes", grouped(PAYLOAD_MAX))),
        (
            "services or grants of a frame",
            grouped(SERVICES_MAX as u64),
        ),
        ("labels, or addresses, of a frame", grouped(LIST_MAX as u64)),
        ("a detail", format!("{} bytes", grouped(DETAIL_MAX as u64))),
        ("a token", format!("at least {} bytes", Token::MIN_LEN)),
    ];
    for (what, limit) in expected {
        let start = format!("| {what} |");
        let listed: Vec<_> = rows(LIMITS, &start)
            .map(|cells| cells[1].to_owned())
            .collect();
        assert_eq!(listed, [limit], "{what}");
    }
}
