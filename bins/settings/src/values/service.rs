//! What a client offers: the forms that `--upstream` takes.

use std::fmt;
use std::str::FromStr;

use super::{Host, HostPort, Invalid, digits};

/// A data-plane port and the upstream that its visitors reach, as in `9090=prometheus:9090`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// The port to ask the server for; 0 asks for any that is free.
    pub port: u16,
    /// What the client dials for each visitor.
    pub upstream: HostPort,
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.port, self.upstream)
    }
}

/// One `--upstream`: a whole service, or a host that `--ports` completes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upstream {
    /// `9090=prometheus:9090`, or `prometheus:9090` for the same port on both sides.
    Service(Service),
    /// `prometheus`: one service for each of the `--ports`.
    Host(Host),
}

impl FromStr for Upstream {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let text = text.trim();
        if let Some((port, upstream)) = text.split_once('=') {
            return Ok(Self::Service(service(port.trim(), upstream.trim())?));
        }
        let bare = without_scheme(text)?;
        if let Ok(upstream) = bare.parse::<HostPort>() {
            return Ok(Self::Service(Service {
                port: upstream.port,
                upstream,
            }));
        }
        bare.parse().map(Self::Host).map_err(|_| wrong(guess(bare)))
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(service) => service.fmt(f),
            Self::Host(host) => host.fmt(f),
        }
    }
}

/// Reads the two sides of `PORT=HOST:PORT`.
fn service(port: &str, upstream: &str) -> Result<Service, Invalid> {
    let upstream = without_scheme(upstream)?;
    let target = upstream.parse::<HostPort>();
    let Some(port) = digits::<u16>(port) else {
        return Err(match (port.parse::<HostPort>(), target) {
            (Ok(bind), Ok(target)) => Invalid::new(format!(
                "only a port stands before the =, because the server chooses the address that \
                 its data plane listens on (its --data-addr); did you mean {}={target}?",
                bind.port
            )),
            (Err(_), Ok(target)) => Invalid::new(format!(
                "what stands before the = must be a port from 0 to 65535 (0 means any free one); \
                 did you mean {}={target}?",
                target.port
            )),
            (_, Err(_)) => wrong(None),
        });
    };
    let upstream = target.map_err(|_| {
        let host = upstream.parse::<Host>().ok().filter(|_| port > 0);
        wrong(host.map(|host| format!("{port}={host}:{port}")))
    })?;
    Ok(Service { port, upstream })
}

/// Takes off `http://` or `tcp://` and a final slash, which users of HTTP tunnels write by habit.
fn without_scheme(text: &str) -> Result<&str, Invalid> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return Ok(text);
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains('/') {
        return Err(Invalid::new(
            "an upstream has no path: visitors choose the path of each request; leave it out",
        ));
    }
    match scheme.to_ascii_lowercase().as_str() {
        "http" | "tcp" => Ok(rest),
        "https" => Err(Invalid::new(
            "the client relays bytes as they are and adds no TLS of its own; write HOST:443 \
             without https:// and let the visitor speak TLS",
        )),
        _ => Err(Invalid::new(
            "write an upstream without a scheme, as HOST:PORT",
        )),
    }
}

fn wrong(guess: Option<String>) -> Invalid {
    let hint = guess
        .map(|guess| format!("; did you mean {guess}?"))
        .unwrap_or_default();
    Invalid::new(format!(
        "expected PORT=HOST:PORT, HOST:PORT, or HOST with --ports{hint}"
    ))
}

/// What somebody who wrote `9090`, `9090:foo`, `9090:foo:8080` (as for ssh -R) or
/// `127.0.0.1:9090:foo:8080` most likely meant. Made only of parts that read well.
fn guess(text: &str) -> Option<String> {
    if let Some(port) = port(text) {
        return Some(format!("{port}=localhost:{port}"));
    }
    let (first, rest) = text.split_once(':')?;
    let Some(asked) = port(first) else {
        first.parse::<Host>().ok()?;
        return guess(rest).filter(|_| rest.contains(':'));
    };
    let host_port = rest.parse::<HostPort>().ok();
    let host = rest
        .parse::<Host>()
        .ok()
        .map(|host| HostPort { host, port: asked });
    let upstream = host_port.or(host)?;
    Some(
        Service {
            port: asked,
            upstream,
        }
        .to_string(),
    )
}

fn port(text: &str) -> Option<u16> {
    super::port(text).ok()
}

#[cfg(test)]
mod tests {
    use super::super::testing::any_host;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn upstreams_read_in_every_form_that_users_know() {
        for (given, meant) in [
            ("9090=prometheus:9090", "9090=prometheus:9090"),
            ("8080=http://web:80/", "8080=web:80"),
            ("0=db:5432", "0=db:5432"),
            ("prometheus:9090", "9090=prometheus:9090"),
            ("http://prometheus:9090", "9090=prometheus:9090"),
            ("tcp://[::1]:9090", "9090=[::1]:9090"),
            ("5432 = [fd00::1]:5433", "5432=[fd00::1]:5433"),
            ("prometheus", "prometheus"),
            ("http://prometheus", "prometheus"),
            ("10.0.0.1", "10.0.0.1"),
        ] {
            assert_eq!(
                given.parse::<Upstream>().unwrap().to_string(),
                meant,
                "{given}"
            );
        }
    }

    #[test]
    fn a_near_miss_is_told_the_form_that_works() {
        for (bad, advice) in [
            ("9090:foo", "did you mean 9090=foo:9090?"),
            ("9090:foo:8080", "did you mean 9090=foo:8080?"),
            ("127.0.0.1:9090:foo:8080", "did you mean 9090=foo:8080?"),
            ("9090", "did you mean 9090=localhost:9090?"),
            ("9090=foo", "did you mean 9090=foo:9090?"),
            ("127.0.0.1:9090=host:9091", "did you mean 9090=host:9091?"),
            ("[::1]:9090=host:9091", "did you mean 9090=host:9091?"),
            ("app.example.com=http://web:80", "did you mean 80=web:80?"),
            ("70000=web:80", "did you mean 80=web:80?"),
            ("https://web:443", "without https://"),
            ("ftp://web:21", "without a scheme"),
            ("http://web:80/metrics", "no path"),
            ("", "expected PORT=HOST:PORT"),
            ("80=", "expected PORT=HOST:PORT"),
            ("80=web:0", "expected PORT=HOST:PORT"),
            ("web:http", "expected PORT=HOST:PORT"),
            ("::1:9090", "expected PORT=HOST:PORT"),
        ] {
            let why = bad.parse::<Upstream>().unwrap_err().to_string();
            assert!(why.contains(advice), "{bad}: {why}");
        }
    }

    #[test]
    fn advice_is_never_made_of_odd_characters() {
        let why = "9090:\u{1b}[31m"
            .parse::<Upstream>()
            .unwrap_err()
            .to_string();
        assert_eq!(
            why,
            "expected PORT=HOST:PORT, HOST:PORT, or HOST with --ports"
        );
    }

    proptest! {
        #[test]
        fn services_read_back_as_printed(port: u16, host in any_host(), to in 1u16..) {
            let service = Service { port, upstream: HostPort { host, port: to } };
            prop_assert_eq!(service.to_string().parse(), Ok(Upstream::Service(service)));
        }

        #[test]
        fn any_text_is_an_upstream_or_an_error(text in "\\PC*|[a-z0-9=.:/\\[\\]-]{0,24}") {
            let _ = text.parse::<Upstream>();
        }
    }
}
