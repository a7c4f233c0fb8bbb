//! Host and port, as a user wrote them: not yet resolved.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// A host (a name or an IP address, without brackets) and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// A name or an IP address; IPv6 without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

impl HostPort {
    /// A host and a port.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
        }
    }

    /// The socket address, if the host is an IP address.
    #[must_use]
    pub fn literal(&self) -> Option<SocketAddr> {
        self.host
            .parse::<IpAddr>()
            .ok()
            .map(|ip| SocketAddr::new(ip, self.port))
    }
}

/// Brackets around IPv6, and nothing that could break a log line: the host is escaped.
impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.host.escape_default();
        if self.host.contains(':') {
            write!(f, "[{host}]:{}", self.port)
        } else {
            write!(f, "{host}:{}", self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_host_gets_brackets_and_a_literal_needs_no_resolver() {
        let six = HostPort::new("::1", 9090);
        assert_eq!(six.to_string(), "[::1]:9090");
        assert_eq!(six.literal(), "[::1]:9090".parse().ok());
        assert_eq!(HostPort::new("prometheus", 9090).literal(), None);
    }

    #[test]
    fn a_host_cannot_break_the_line_it_is_printed_in() {
        assert_eq!(HostPort::new("a\nb", 1).to_string(), "a\\nb:1");
    }
}
