//! What was counted, as the text that a Prometheus reads.

use std::fmt::Write as _;

use adit_relay::{Counters, RESET_CODES};

/// Which program is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The exit node.
    Server,
    /// The program beside the private services.
    Client,
}

impl Role {
    const fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
        }
    }
}

/// The metrics of one program, in Prometheus's text format.
#[must_use]
pub fn metrics(role: Role, counters: &Counters) -> String {
    let mut text = Text(String::with_capacity(4096));
    text.family(
        "adit_build_info",
        "gauge",
        "Always 1; says which program of which version runs.",
    );
    text.labelled(
        "adit_build_info",
        &format!(
            "role=\"{}\",version=\"{}\"",
            role.name(),
            env!("CARGO_PKG_VERSION")
        ),
        1,
    );
    text.gauge(
        "adit_carriers",
        "Carriers open now, authenticated or not.",
        counters.carriers,
    );
    text.counter(
        "adit_carriers_opened_total",
        "Carriers accepted (server) or connected (client).",
        counters.carriers_total,
    );
    text.gauge("adit_sessions", "Sessions open now.", counters.sessions);
    text.gauge(
        "adit_sessions_detached",
        "Sessions that wait for a new connection now.",
        counters.sessions_detached,
    );
    text.counter(
        "adit_session_resumes_total",
        "Times that a session went on on a new connection.",
        counters.resumes_total,
    );
    text.counter(
        "adit_sessions_opened_total",
        "Sessions established.",
        counters.sessions_total,
    );
    text.gauge("adit_streams", "Streams open now.", counters.streams);
    text.counter(
        "adit_streams_opened_total",
        "Streams opened.",
        counters.streams_total,
    );
    text.family(
        "adit_stream_resets_total",
        "counter",
        "Streams that ended by a reset, by reason.",
    );
    let names = RESET_CODES
        .iter()
        .map(|code| code.name().unwrap_or("other"));
    for (name, count) in names.chain(["other"]).zip(&counters.resets_total) {
        let reason = name.to_ascii_lowercase();
        text.labelled(
            "adit_stream_resets_total",
            &format!("reason=\"{reason}\""),
            *count,
        );
    }
    text.counter(
        "adit_sent_bytes_total",
        "Bytes from local connections into tunnels.",
        counters.bytes_sent_total,
    );
    text.counter(
        "adit_received_bytes_total",
        "Bytes from tunnels into local connections.",
        counters.bytes_received_total,
    );
    text.counter(
        "adit_auth_failures_total",
        "Handshakes that failed for a wrong token, tunnel or channel binding.",
        counters.auth_failures_total,
    );
    text.counter(
        "adit_services_refused_total",
        "Services that were asked for and refused.",
        counters.services_refused_total,
    );
    match role {
        Role::Server => {
            text.counter(
                "adit_carriers_displaced_total",
                "Carriers dropped before they had authenticated, to make room for newer ones.",
                counters.displaced_total,
            );
            text.counter(
                "adit_plain_answers_total",
                "Plain HTTP requests answered on the control port.",
                counters.plain_answers_total,
            );
            text.counter(
                "adit_visitors_refused_total",
                "Visitors that no session could serve.",
                counters.visitors_refused_total,
            );
        }
        Role::Client => text.counter(
            "adit_connect_failures_total",
            "Attempts to reach the server that failed.",
            counters.attempts_failed_total,
        ),
    }
    text.0
}

struct Text(String);

impl Text {
    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "gauge", help);
        let _ = writeln!(self.0, "{name} {value}");
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "counter", help);
        let _ = writeln!(self.0, "{name} {value}");
    }

    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn labelled(&mut self, name: &str, labels: &str, value: u64) {
        let _ = writeln!(self.0, "{name}{{{labels}}} {value}");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_sample_belongs_to_the_family_declared_before_it_and_counters_end_in_total() {
        for role in [Role::Server, Role::Client] {
            let text = metrics(role, &Counters::default());
            let mut seen = BTreeSet::new();
            let mut family = ("", "");
            for line in text.lines() {
                if let Some(rest) = line.strip_prefix("# TYPE ") {
                    family = rest.split_once(' ').unwrap();
                    assert!(seen.insert(family.0), "{line} twice");
                    assert_eq!(
                        family.1 == "counter",
                        family.0.ends_with("_total"),
                        "{line}"
                    );
                } else if !line.starts_with('#') {
                    let name = line.split(['{', ' ']).next().unwrap();
                    assert_eq!(name, family.0, "{line}");
                    assert!(name.starts_with("adit_"));
                }
            }
        }
    }

    #[test]
    fn figures_come_under_their_names() {
        let mut counters = Counters {
            sessions: 2,
            bytes_sent_total: 7,
            ..Counters::default()
        };
        counters.resets_total[1] = 3;
        let text = metrics(Role::Server, &counters);
        assert!(text.contains("\nadit_sessions 2\n"));
        assert!(text.contains("\nadit_sent_bytes_total 7\n"));
        assert!(text.contains("\nadit_stream_resets_total{reason=\"dial_refused\"} 3\n"));
        assert!(text.starts_with("# HELP adit_build_info "));
    }
}
