//! Free loopback ports, none handed out twice in one run.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};

/// Ports below the range from which Linux picks ports for outgoing
/// connections, so that a connection never takes a port promised to a server.
const FIRST: u16 = 20_000;
const LAST: u16 = 32_000;

/// A port on which nothing listens, and that no other caller in this process
/// gets. Runs beside each other start at different places.
pub fn free() -> u16 {
    static NEXT: OnceLock<AtomicU16> = OnceLock::new();
    let span = LAST - FIRST;
    let start = u16::try_from(std::process::id() % u32::from(span)).unwrap_or(0);
    let next = NEXT.get_or_init(|| AtomicU16::new(start));
    for _ in 0..span {
        let port = FIRST + next.fetch_add(1, Ordering::Relaxed) % span;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no free port between {FIRST} and {LAST}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_port_is_handed_out_twice() {
        let ports: BTreeSet<u16> = (0..200).map(|_| free()).collect();
        assert_eq!(ports.len(), 200);
    }

    #[test]
    fn a_port_in_use_is_passed_over() {
        let taken: Vec<TcpListener> = (0..20)
            .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, free())).expect("the port is free"))
            .collect();
        let port = free();
        assert!(
            taken
                .iter()
                .all(|t| t.local_addr().expect("bound").port() != port)
        );
    }
}
