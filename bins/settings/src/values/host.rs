//! A host, with or without a port, as it appears in addresses: a DNS name, an IPv4 address, or
//! an IPv6 address in brackets.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::{Invalid, port};

/// A DNS name or an IP address. Prints an IPv6 address in brackets.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name to look up, as it was written: ASCII, at most 253 bytes.
    Name(String),
    /// An address that needs no lookup.
    Ip(IpAddr),
}

impl Host {
    /// Whether the host is this machine by its very form: `localhost` and names below it
    /// (RFC 6761 section 6.3), 127.0.0.0/8, `::1`.
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Ip(ip) => ip.to_canonical().is_loopback(),
            Self::Name(name) => {
                let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
                name == "localhost" || name.ends_with(".localhost")
            }
        }
    }
}

impl FromStr for Host {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if let Some(inner) = text.strip_prefix('[') {
            return inner
                .strip_suffix(']')
                .and_then(|inner| inner.parse::<Ipv6Addr>().ok())
                .map(|ip| Self::Ip(ip.into()))
                .ok_or_else(|| Invalid::new("what stands in [ ] must be an IPv6 address"));
        }
        if text.parse::<Ipv6Addr>().is_ok() {
            return Err(Invalid::new(format!(
                "an IPv6 address goes in brackets: [{text}]"
            )));
        }
        if let Ok(ip) = text.parse::<Ipv4Addr>() {
            return Ok(Self::Ip(ip.into()));
        }
        check_name(text)?;
        Ok(Self::Name(text.to_owned()))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Ip(IpAddr::V4(ip)) => ip.fmt(f),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
        }
    }
}

/// Underscores are allowed, because container networks use them. A name may not end in a number
/// (as in the WHATWG URL standard), so that `9090` and `10.0.0` are slips and not names.
fn check_name(text: &str) -> Result<(), Invalid> {
    if !text.is_ascii() {
        return Err(Invalid::new(
            "a host name has ASCII letters only; write others in their xn-- form",
        ));
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let good_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let ends_in_number = name
        .rsplit('.')
        .next()
        .is_some_and(|label| label.bytes().all(|b| b.is_ascii_digit()));
    if text.len() > 253 || ends_in_number || !name.split('.').all(good_label) {
        return Err(Invalid::new("expected a host name or an IP address"));
    }
    Ok(())
}

/// A host and a TCP port from 1 to 65535, as in `prometheus:9090` or `[::1]:9090`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// Where to connect to.
    pub host: Host,
    /// The TCP port there, never 0.
    pub port: u16,
}

impl FromStr for HostPort {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match split_port(text) {
            (host, Some(number)) => Ok(Self {
                host: host.parse()?,
                port: port(number)?,
            }),
            (_, None) => Err(Invalid::new("expected HOST:PORT")),
        }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Splits `HOST:PORT` or `[IPV6]:PORT` at the colon before the port. Text with several colons
/// and no brackets is left whole: it can only be a bare IPv6 address or a mistake.
pub(super) fn split_port(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((host, port)) if host.ends_with(']') || !host.contains(':') => (host, Some(port)),
        _ => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::any_host;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hosts_are_names_or_addresses() {
        for good in [
            "prometheus",
            "a.b-c.example.com.",
            "my_db",
            "10.0.0.1",
            "[::1]",
            "1st",
        ] {
            assert_eq!(good.parse::<Host>().unwrap().to_string(), good);
        }
        for bad in [
            "", ".", "a..b", "-a", "a-", "a b", "9090", "10.0.0", "[::1", "[a]", "::1", "bücher",
        ] {
            assert!(bad.parse::<Host>().is_err(), "{bad}");
        }
        assert!("a".repeat(64).parse::<Host>().is_err());
        assert!("a.".repeat(127).parse::<Host>().is_err());
    }

    #[test]
    fn loopback_is_known_by_its_form() {
        for text in [
            "localhost",
            "LOCALHOST.",
            "a.localhost",
            "127.1.2.3",
            "[::1]",
        ] {
            assert!(text.parse::<Host>().unwrap().is_loopback(), "{text}");
        }
        for text in ["localhost.example.com", "10.0.0.1", "[::2]", "notlocalhost"] {
            assert!(!text.parse::<Host>().unwrap().is_loopback(), "{text}");
        }
    }

    #[test]
    fn a_port_follows_the_last_colon() {
        for good in ["db:5432", "10.0.0.1:1", "[::1]:65535"] {
            assert_eq!(good.parse::<HostPort>().unwrap().to_string(), good);
        }
        for bad in [
            "db", "db:", "db:0", "db:65536", "db:+1", "::1:9090", ":9090", "db:http",
        ] {
            assert!(bad.parse::<HostPort>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn addresses_read_back_as_printed(host in any_host(), port in 1u16..) {
            let address = HostPort { host, port };
            prop_assert_eq!(address.to_string().parse(), Ok(address));
        }

        #[test]
        fn any_text_is_an_address_or_an_error(text in "\\PC*|[a-z0-9.:\\[\\]-]{0,20}") {
            let _ = text.parse::<Host>();
            let _ = text.parse::<HostPort>();
        }
    }
}
