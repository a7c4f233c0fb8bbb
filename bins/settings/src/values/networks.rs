//! Lists of IP networks, written as `10.0.0.0/8,192.168.1.7`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use super::Invalid;

/// A list of IP networks; an empty one holds no address.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// A list of these networks.
    pub fn new(networks: impl IntoIterator<Item = IpNet>) -> Self {
        Self(networks.into_iter().collect())
    }

    /// Whether one of the networks holds `ip`. An IPv4 address written as IPv6
    /// (`::ffff:10.0.0.1`, as dual-stack sockets report it) counts as the IPv4 address.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.0.iter().any(|network| network.contains(&ip))
    }

    /// Whether the list holds no network.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The networks in the order given.
    pub fn iter(&self) -> impl Iterator<Item = IpNet> + '_ {
        self.0.iter().copied()
    }
}

impl fmt::Display for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, network) in self.0.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{network}")?;
        }
        Ok(())
    }
}

impl FromStr for Networks {
    type Err = Invalid;

    /// Reads a comma-separated list; the empty text is the empty list.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        text.split(',')
            .map(|part| network(part.trim()))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

/// Reads an IP address (a network of one) or a network; bits past the prefix are cleared.
pub(crate) fn network(text: &str) -> Result<IpNet, Invalid> {
    text.parse::<IpAddr>().map(IpNet::from).or_else(|_| {
        text.parse::<IpNet>()
            .map(|network| network.trunc())
            .map_err(|_| {
                Invalid::new("expected an IP address or a network, such as 10.0.0.0/8 or fd00::/8")
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_are_networks_of_one() {
        let list: Networks = "10.1.2.3/8, 192.168.1.7,fd00::/8".parse().unwrap();
        assert_eq!(list.to_string(), "10.0.0.0/8,192.168.1.7/32,fd00::/8");
        for inside in ["10.9.9.9", "192.168.1.7", "::ffff:10.0.0.1", "fd12::1"] {
            assert!(list.contains(inside.parse().unwrap()), "{inside}");
        }
        for outside in ["11.0.0.1", "192.168.1.8", "fe80::1"] {
            assert!(!list.contains(outside.parse().unwrap()), "{outside}");
        }
    }

    #[test]
    fn names_and_bad_prefixes_are_refused() {
        for bad in [
            "localhost",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/8,",
            "::/129",
        ] {
            assert!(bad.parse::<Networks>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn lists_read_back_as_printed(
            parts in proptest::collection::vec((any::<IpAddr>(), 0u8..=32), 0..5),
        ) {
            let list = Networks::new(
                parts.into_iter().filter_map(|(ip, n)| IpNet::new(ip, n).ok()).map(|n| n.trunc()),
            );
            prop_assert_eq!(list.to_string().parse(), Ok(list));
        }

        #[test]
        fn any_text_is_a_list_or_an_error(text in "\\PC*|[0-9a-f.:/,]{0,24}") {
            let _ = text.parse::<Networks>();
        }
    }
}
