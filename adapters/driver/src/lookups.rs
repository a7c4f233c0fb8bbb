//! The upstreams' names that one machine waits for, so that a resolver that hangs is asked a bounded
//! number of questions at once, and each of them once.
//!
//! A look-up takes a thread until it ends, also when nobody waits for it any more. Without a bound, dials to one dead name
//! would take all threads from the look-up of the server and from whoever reads a file.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use adit_relay::Told;

/// Queries that wait for a look-up, be it running or not. Those beyond are answered with an error at once.
/// The machine gives up by itself, by its dial timeout, and is then told what it no longer wants to know.
const WAITING_MAX: usize = 4096;

/// What a look-up came to; the ports mean nothing.
pub(crate) type Found = Result<Vec<SocketAddr>, String>;

/// Who waits for which name.
#[derive(Debug)]
pub(crate) struct Lookups {
    /// Look-ups that run at once.
    running_max: usize,
    by_host: HashMap<String, Vec<Asker>>,
    /// Those of `by_host` that don't run yet.
    queued: VecDeque<String>,
    waiting: usize,
}

#[derive(Debug)]
struct Asker {
    query: u32,
    port: u16,
}

/// What follows from a query.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// The look-up of this name is to be started.
    Start(String),
    /// The answer comes by itself.
    Waits,
    /// Too many wait.
    Refused,
}

impl Lookups {
    pub(crate) fn new(running_max: usize) -> Self {
        Self {
            running_max,
            by_host: HashMap::new(),
            queued: VecDeque::new(),
            waiting: 0,
        }
    }

    /// The machine asks for the addresses of a host.
    pub(crate) fn ask(&mut self, query: u32, host: String, port: u16) -> Asked {
        if self.waiting >= WAITING_MAX {
            return Asked::Refused;
        }
        self.waiting += 1;
        let asker = Asker { query, port };
        if let Some(askers) = self.by_host.get_mut(&host) {
            askers.push(asker);
            return Asked::Waits;
        }
        let may_run = self.by_host.len() - self.queued.len() < self.running_max;
        self.by_host.insert(host.clone(), vec![asker]);
        if may_run {
            return Asked::Start(host);
        }
        self.queued.push_back(host);
        Asked::Waits
    }

    /// A look-up has ended: the answers to all who waited for it, and the name to look up in its place.
    pub(crate) fn found(&mut self, host: &str, found: &Found) -> (Vec<Told>, Option<String>) {
        let askers = self.by_host.remove(host).unwrap_or_default();
        self.waiting -= askers.len();
        let answer = |asker: Asker| Told::Resolved {
            query: asker.query,
            result: found.clone().map(|mut addrs| {
                for addr in &mut addrs {
                    addr.set_port(asker.port);
                }
                addrs
            }),
        };
        let answers = askers.into_iter().map(answer).collect();
        (answers, self.queued.pop_front())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(host: &str) -> Asked {
        Asked::Start(host.to_owned())
    }

    /// As many look-ups as may run, none of which ends.
    fn hanging() -> Lookups {
        let mut lookups = Lookups::new(64);
        for n in 0..64 {
            let host = format!("host-{n}");
            assert_eq!(lookups.ask(n, host.clone(), 80), start(&host));
        }
        lookups
    }

    #[test]
    fn a_name_asked_for_twice_is_looked_up_once_and_told_twice() {
        let mut lookups = Lookups::new(64);
        assert_eq!(lookups.ask(1, "a".into(), 80), start("a"));
        assert_eq!(lookups.ask(2, "a".into(), 90), Asked::Waits);
        let (answers, next) = lookups.found("a", &Ok(vec!["10.0.0.1:0".parse().unwrap()]));
        assert_eq!(next, None);
        let mut told = answers.into_iter().map(|told| match told {
            Told::Resolved { query, result } => (query, result.unwrap()[0].to_string()),
            other => panic!("{other:?}"),
        });
        assert_eq!(told.next(), Some((1, "10.0.0.1:80".to_owned())));
        assert_eq!(told.next(), Some((2, "10.0.0.1:90".to_owned())));
        assert_eq!(lookups.ask(3, "a".into(), 80), start("a"));
    }

    #[test]
    fn a_name_beyond_those_that_hang_is_looked_up_when_one_of_them_ends() {
        let mut lookups = hanging();
        assert_eq!(lookups.ask(100, "late".into(), 80), Asked::Waits);
        assert_eq!(lookups.ask(101, "later".into(), 80), Asked::Waits);
        let (_, next) = lookups.found("host-3", &Err("gone".to_owned()));
        assert_eq!(next.as_deref(), Some("late"));
        // It took the place that was free.
        assert_eq!(lookups.ask(102, "latest".into(), 80), Asked::Waits);
        let (answers, next) = lookups.found("late", &Err("gone".to_owned()));
        assert!(matches!(answers[..], [Told::Resolved { query: 100, .. }]));
        assert_eq!(next.as_deref(), Some("later"));
    }

    #[test]
    fn queries_beyond_the_limit_are_refused_until_others_are_answered() {
        let mut lookups = hanging();
        for query in 64..4096 {
            assert_eq!(lookups.ask(query, "host-0".into(), 80), Asked::Waits);
        }
        assert_eq!(lookups.ask(5000, "host-0".into(), 80), Asked::Refused);
        assert_eq!(lookups.ask(5001, "new".into(), 80), Asked::Refused);
        lookups.found("host-1", &Err("gone".to_owned()));
        assert_eq!(lookups.ask(5002, "new".into(), 80), start("new"));
    }
}
