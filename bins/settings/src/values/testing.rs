//! Generators that several property tests share.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::Host;

/// Host names, IPv4 and IPv6 addresses.
pub(crate) fn any_host() -> impl Strategy<Value = Host> {
    prop_oneof![
        "[a-z][a-z0-9_]{0,8}(\\.[a-z][a-z0-9]{0,5}){0,3}".prop_map(Host::Name),
        any::<Ipv4Addr>().prop_map(|ip| Host::Ip(ip.into())),
        any::<Ipv6Addr>().prop_map(|ip| Host::Ip(ip.into())),
    ]
}
