//! Where a client finds its server: `wss://tunnel.example.com/connect`, or less.

use std::fmt;
use std::str::FromStr;

use super::host::split_port;
use super::{Host, Invalid, port};

/// The path of the control plane where none is given.
pub const DEFAULT_PATH: &str = "/connect";

const GOOD: &str = "write it as in wss://tunnel.example.com/connect or tunnel.example.com:8123";

/// The address of a server's control plane.
///
/// `https://` reads as `wss://` and `http://` as `ws://`; without a scheme it is `wss://`. The
/// port defaults to the scheme's (443, 80), the path to [`DEFAULT_PATH`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerUrl {
    tls: bool,
    host: Host,
    port: u16,
    target: String,
}

impl ServerUrl {
    /// Whether the carrier goes over TLS (`wss://`).
    pub fn tls(&self) -> bool {
        self.tls
    }

    /// The server's host: what is looked up, what its certificate is checked against.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The TCP port to dial, never 0.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The path with its query, if any: starts with `/`, printable ASCII only.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The value for an HTTP `Host` header: the port only where it is not the scheme's.
    pub fn authority(&self) -> String {
        if self.port == default_port(self.tls) {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

fn default_port(tls: bool) -> u16 {
    if tls { 443 } else { 80 }
}

impl FromStr for ServerUrl {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let text = text.trim();
        let (tls, rest) = split_scheme(text)?;
        if let Some(odd) = rest.chars().find(|c| !c.is_ascii_graphic()) {
            return Err(Invalid::new(format!(
                "the character {odd:?} can't be in a URL; {GOOD} (other characters go into the \
                 path as %XX and into the host in xn-- form)"
            )));
        }
        if rest.contains('#') {
            return Err(Invalid::new(format!(
                "a # has no place in the URL of a server; {GOOD}"
            )));
        }
        let path_start = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(path_start);
        if authority.contains('@') {
            return Err(Invalid::new(
                "a user name and password can't be in the URL; leave out what is before the @, \
                 and give a gateway that wants it --header 'Authorization: Basic ...'",
            ));
        }
        let (host, port_text) = split_port(authority);
        if host.is_empty() {
            return Err(Invalid::new(format!("the host is missing; {GOOD}")));
        }
        let host = host
            .parse()
            .map_err(|why| Invalid::new(format!("{why}; {GOOD}")))?;
        let port = match port_text {
            None => default_port(tls),
            Some(text) => port(text).map_err(|why| Invalid::new(format!("{why}; {GOOD}")))?,
        };
        let target = match target {
            "" | "/" => DEFAULT_PATH.to_owned(),
            query if query.starts_with('?') => format!("{DEFAULT_PATH}{query}"),
            other => other.to_owned(),
        };
        Ok(Self {
            tls,
            host,
            port,
            target,
        })
    }
}

/// Takes the scheme off the front and says whether it means TLS.
fn split_scheme(text: &str) -> Result<(bool, &str), Invalid> {
    let known = |scheme: &str| match scheme.to_ascii_lowercase().as_str() {
        "wss" | "https" => Some(true),
        "ws" | "http" => Some(false),
        _ => None,
    };
    // A query may hold another URL, so only what is before the path can be a scheme.
    let before_path = text.split(['/', '?']).next().unwrap_or(text);
    match (before_path.strip_suffix(':'), text.split_once("://")) {
        (Some(scheme), Some((before, rest))) if before == scheme => {
            known(scheme).map(|tls| (tls, rest)).ok_or_else(|| {
                Invalid::new(format!("the scheme must be wss, ws, https or http; {GOOD}"))
            })
        }
        (Some(scheme), _) if known(scheme).is_some() => Err(Invalid::new(format!(
            "two slashes follow the scheme; {GOOD}"
        ))),
        _ if text.is_empty() => Err(Invalid::new(format!("the URL is empty; {GOOD}"))),
        _ => Ok((true, text)),
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "wss" } else { "ws" };
        write!(f, "{scheme}://{}{}", self.authority(), self.target)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::any_host;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_left_out_is_filled_in() {
        for (given, meant) in [
            ("wss://a.example.com/connect", "wss://a.example.com/connect"),
            ("wss://a.example.com", "wss://a.example.com/connect"),
            ("https://a.example.com/", "wss://a.example.com/connect"),
            ("HTTP://localhost:8123", "ws://localhost:8123/connect"),
            ("ws://localhost:80/x?y=ws://z", "ws://localhost/x?y=ws://z"),
            ("a.example.com:8123", "wss://a.example.com:8123/connect"),
            ("a.example.com/in/here", "wss://a.example.com/in/here"),
            (
                "a.example.com?to=wss://b",
                "wss://a.example.com/connect?to=wss://b",
            ),
            (" [::1]:8123 ", "wss://[::1]:8123/connect"),
            ("localhost", "wss://localhost/connect"),
        ] {
            assert_eq!(
                given.parse::<ServerUrl>().unwrap().to_string(),
                meant,
                "{given}"
            );
        }
    }

    #[test]
    fn a_bad_url_is_told_what_is_wrong() {
        for (bad, complaint) in [
            ("", "empty"),
            ("wss://", "host is missing"),
            (":8123", "host is missing"),
            ("ftp://a", "scheme must be"),
            ("wss:/a", "two slashes"),
            ("https:a.example.com", "65535"),
            ("wss://a:99999", "65535"),
            ("wss://a:0", "65535"),
            ("wss://a b", "' '"),
            ("wss://a/\u{e9}", "%XX"),
            ("wss://a/#x", "#"),
            ("wss://me:pw@a", "--header"),
            ("wss://::1", "brackets"),
            ("wss://-a", "host name"),
        ] {
            let why = bad.parse::<ServerUrl>().unwrap_err().to_string();
            assert!(why.contains(complaint), "{bad}: {why}");
        }
    }

    proptest! {
        #[test]
        fn urls_read_back_as_printed(
            tls: bool, host in any_host(), port in 1u16.., target in "/[!-\"$-~]{1,12}",
        ) {
            let url = ServerUrl { tls, host, port, target };
            prop_assert_eq!(url.to_string().parse(), Ok(url));
        }

        #[test]
        fn any_text_is_a_url_or_an_error(text in "\\PC*|(wss?:/{0,2})?[a-z0-9@:?#/.\\[\\]-]{0,16}") {
            let _ = text.parse::<ServerUrl>();
        }
    }
}
