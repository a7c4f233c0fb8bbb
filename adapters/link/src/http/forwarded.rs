//! Who is behind a proxy: `X-Forwarded-For`, believed only from proxies that are trusted.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

/// The address a connection comes from.
///
/// Each proxy appends the address that it saw, so the header is read from its right end, and only as
/// long as what is to the right of it is a trusted proxy: the first address that is none is the
/// answer. Whatever stands further left was written by who knows whom. `values` are the header's
/// lines in order.
pub(crate) fn source<'a>(
    peer: IpAddr,
    trusted: &[IpNet],
    values: impl Iterator<Item = &'a [u8]>,
) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|net| net.contains(&address));
    let mut source = peer.to_canonical();
    if !is_trusted(source) {
        return source;
    }
    let entries: Vec<&[u8]> = values
        .flat_map(|value| value.split(|byte| *byte == b','))
        .collect();
    for entry in entries.into_iter().rev() {
        // What can't be read ends the chain: the last trusted proxy is all that is known.
        let Some(address) = address(entry) else { break };
        source = address;
        if !is_trusted(source) {
            break;
        }
    }
    source
}

/// `IP`, `IPv4:PORT` or `[IPv6]:PORT`.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?.trim();
    let unbracketed = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let address = unbracketed.unwrap_or(text).parse::<IpAddr>();
    let address = address.or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()));
    address.ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(peer: &str, trusted: &[&str], lines: &[&str]) -> String {
        let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().unwrap()).collect();
        let lines = lines.iter().map(|line| line.as_bytes());
        source(peer.parse().unwrap(), &trusted, lines).to_string()
    }

    #[test]
    fn a_peer_that_is_not_trusted_is_not_believed() {
        assert_eq!(from("192.0.2.1", &[], &["10.0.0.1"]), "192.0.2.1");
        assert_eq!(
            from("192.0.2.1", &["10.0.0.0/8"], &["203.0.113.9"]),
            "192.0.2.1"
        );
    }

    #[test]
    fn the_rightmost_address_that_is_no_trusted_proxy_is_the_source() {
        let trusted = ["10.0.0.0/8"];
        for (lines, expected) in [
            (&["203.0.113.9"][..], "203.0.113.9"),
            (&["1.1.1.1, 203.0.113.9, 10.0.0.2"][..], "203.0.113.9"),
            (&["1.1.1.1", "203.0.113.9"][..], "203.0.113.9"),
            (&["203.0.113.9:4711"][..], "203.0.113.9"),
            (&["[2001:db8::1]:4711"][..], "2001:db8::1"),
            (&["[2001:db8::1]"][..], "2001:db8::1"),
            (&["::ffff:203.0.113.9"][..], "203.0.113.9"),
            // All of them are trusted: the leftmost.
            (&["10.0.0.3, 10.0.0.2"][..], "10.0.0.3"),
            // Not readable: the last proxy that is known.
            (&["203.0.113.9, unknown"][..], "10.0.0.1"),
            (&["203.0.113.9, _hidden, 10.0.0.2"][..], "10.0.0.2"),
            (&[""][..], "10.0.0.1"),
            (&[][..], "10.0.0.1"),
        ] {
            assert_eq!(from("10.0.0.1", &trusted, lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn a_mapped_ipv4_peer_is_an_ipv4_peer() {
        assert_eq!(
            from("::ffff:10.0.0.1", &["10.0.0.0/8"], &["203.0.113.9"]),
            "203.0.113.9"
        );
    }
}
