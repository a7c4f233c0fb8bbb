//! What failed handshakes cost: the answer to the next failure is held back longer. Failures count per source and tunnel
//! (spec/04-handshake.md, section 4.2) and delay nothing but failures, because all clients behind one ingress share its address.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use adit_core::{Instant, TunnelName};

/// The delay of the first failure's answer; doubled by each further one.
const DELAY_MIN: Duration = Duration::from_millis(500);

/// The longest delay. Shorter where the client would take the silence for a dead carrier and never read the reason.
const DELAY_MAX: Duration = Duration::from_secs(10);

/// How long after the last failure a source starts over.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

/// How many sources are remembered; beyond it, the one whose last failure is the longest ago is forgotten.
const ENTRIES_MAX: usize = 4096;

/// Who failed: IPv6 sources count by their /64, which is what one host is given.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    source: IpAddr,
    tunnel: Option<TunnelName>,
}

struct Entry {
    delay: Duration,
    last: Instant,
    /// The entry's place in the order of last failures.
    turn: u64,
}

/// The failures that are remembered.
pub(super) struct Penalties {
    delay_max: Duration,
    entries: HashMap<Key, Entry>,
    by_age: BTreeMap<u64, Key>,
    next_turn: u64,
}

impl Penalties {
    /// `dead_after`: how long a client waits for any byte.
    pub(super) fn new(dead_after: Duration) -> Self {
        Self {
            delay_max: DELAY_MAX.min(dead_after / 2),
            entries: HashMap::new(),
            by_age: BTreeMap::new(),
            next_turn: 0,
        }
    }

    /// Counts a failure and says how long its answer is to be held back.
    pub(super) fn failed(
        &mut self,
        now: Instant,
        source: IpAddr,
        tunnel: Option<TunnelName>,
    ) -> Duration {
        let key = Key {
            source: network(source),
            tunnel,
        };
        let earlier = self.entries.remove(&key);
        if let Some(earlier) = &earlier {
            self.by_age.remove(&earlier.turn);
        }
        let delay = match earlier {
            Some(earlier) if now - earlier.last < FORGOTTEN_AFTER => {
                earlier.delay.saturating_mul(2)
            }
            _ => DELAY_MIN,
        };
        let delay = delay.min(self.delay_max);
        if self.entries.len() >= ENTRIES_MAX
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.entries.remove(&oldest);
        }
        let turn = self.next_turn;
        self.next_turn += 1;
        self.by_age.insert(turn, key.clone());
        self.entries.insert(
            key,
            Entry {
                delay,
                last: now,
                turn,
            },
        );
        delay
    }
}

fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & !u128::from(u64::MAX)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEAD_AFTER: Duration = Duration::from_secs(60);

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1000)
    }

    fn name(name: &str) -> Option<TunnelName> {
        TunnelName::new(name).ok()
    }

    fn source(n: u32) -> IpAddr {
        IpAddr::V4(n.into())
    }

    #[test]
    fn the_delay_doubles_up_to_its_limit_and_starts_over_after_a_while() {
        let mut penalties = Penalties::new(DEAD_AFTER);
        let delays: Vec<_> = (0..7)
            .map(|_| penalties.failed(at(0), source(1), name("a")).as_millis())
            .collect();
        assert_eq!(delays, [500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
        assert_eq!(penalties.failed(at(700), source(1), name("a")), DELAY_MIN);
    }

    #[test]
    fn a_client_hears_the_reason_before_it_gives_the_carrier_up() {
        let mut penalties = Penalties::new(Duration::from_secs(5));
        for _ in 0..20 {
            assert!(penalties.failed(at(0), source(1), None) <= Duration::from_millis(2_500));
        }
    }

    #[test]
    fn another_tunnel_or_another_source_is_not_delayed_by_it() {
        let mut penalties = Penalties::new(DEAD_AFTER);
        for _ in 0..5 {
            penalties.failed(at(0), source(1), name("a"));
        }
        assert_eq!(penalties.failed(at(0), source(1), name("b")), DELAY_MIN);
        assert_eq!(penalties.failed(at(0), source(2), name("a")), DELAY_MIN);
    }

    #[test]
    fn addresses_of_one_ipv6_network_count_as_one_source() {
        let mut penalties = Penalties::new(DEAD_AFTER);
        penalties.failed(at(0), "2001:db8::1".parse().unwrap(), name("a"));
        assert_eq!(
            penalties.failed(at(0), "2001:db8::ffff".parse().unwrap(), name("a")),
            DELAY_MIN * 2
        );
    }

    #[test]
    fn the_table_is_bounded_and_forgets_the_oldest_first() {
        let mut penalties = Penalties::new(DEAD_AFTER);
        penalties.failed(at(0), source(0), None);
        for n in 1..=u32::try_from(ENTRIES_MAX).unwrap() {
            penalties.failed(at(1), source(n), None);
        }
        assert_eq!(penalties.entries.len(), ENTRIES_MAX);
        assert_eq!(penalties.by_age.len(), ENTRIES_MAX);
        assert_eq!(penalties.failed(at(2), source(2), None), DELAY_MIN * 2);
        assert_eq!(penalties.failed(at(2), source(0), None), DELAY_MIN);
    }
}
