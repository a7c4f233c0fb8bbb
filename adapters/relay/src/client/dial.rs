//! Finding a way to a host: resolve its name, then try its addresses as RFC 8305 (happy eyeballs) says, within a time limit.
//!
//! Pure: it says what to do next and is told what came of it. Servers, proxies and upstreams are dialled by the same machine.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use adit_core::{Code, Instant};

use crate::address::HostPort;
use crate::io::SocketId;

/// How long one attempt is alone before the next begins (RFC 8305, section 5).
const STAGGER: Duration = Duration::from_millis(250);

/// Addresses of one host that are tried; further ones are not.
const ADDRESSES_MAX: usize = 16;

/// One host being dialled.
pub(super) struct Dial {
    target: HostPort,
    deadline: Instant,
    rotate: usize,
    state: State,
    attempts: Vec<SocketId>,
    /// When the next address may be tried though an attempt is under way.
    next_at: Instant,
    last_failure: Option<ErrorKind>,
}

enum State {
    Unresolved,
    Resolving,
    /// Addresses not tried yet.
    Trying(VecDeque<SocketAddr>),
    NotResolved(String),
    Over,
}

/// What a dial wants done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Resolve the target; answer with [`Dial::resolved`].
    Resolve(HostPort),
    /// Connect; say so with [`Dial::started`], and with [`Dial::failed`] if it fails.
    Connect(SocketAddr),
    /// It is over, and came to nothing.
    Failed(DialError),
}

/// Why a host could not be reached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    /// Its name has no address.
    #[error("its name can't be resolved: {}", .0.escape_default())]
    Name(String),
    /// No address took the connection; this is what the last one said.
    #[error("{0}")]
    Connect(ErrorKind),
    /// Not connected within the time limit.
    #[error("no connection within {0:?}")]
    TimedOut(Duration),
}

impl DialError {
    /// What the visitor's side is told.
    pub(super) const fn code(&self) -> Code {
        match self {
            Self::Name(_) => Code::DIAL_NAME,
            Self::Connect(ErrorKind::ConnectionRefused) => Code::DIAL_REFUSED,
            Self::Connect(ErrorKind::TimedOut) | Self::TimedOut(_) => Code::DIAL_TIMEOUT,
            Self::Connect(_) => Code::DIAL_UNREACHABLE,
        }
    }
}

impl Dial {
    /// Begins to dial; it takes `limit` at most. `rotate`: how many addresses of the list go to its end, because they were tried in vain before.
    pub(super) fn new(now: Instant, target: HostPort, limit: Duration, rotate: usize) -> Self {
        let state = match target.literal() {
            Some(addr) => State::Trying(VecDeque::from([addr])),
            None => State::Unresolved,
        };
        Self {
            target,
            deadline: now + limit,
            rotate,
            state,
            attempts: Vec::new(),
            next_at: now,
            last_failure: None,
        }
    }

    /// The next thing to do, now. Nothing follows a failure.
    pub(super) fn next(&mut self, now: Instant, limit: Duration) -> Option<Step> {
        if now >= self.deadline && !matches!(self.state, State::Over) {
            return Some(self.fail(DialError::TimedOut(limit)));
        }
        match &mut self.state {
            State::Over | State::Resolving => None,
            State::Unresolved => {
                self.state = State::Resolving;
                Some(Step::Resolve(self.target.clone()))
            }
            State::NotResolved(reason) => {
                let reason = std::mem::take(reason);
                Some(self.fail(DialError::Name(reason)))
            }
            State::Trying(addrs) => {
                if self.attempts.is_empty() || now >= self.next_at {
                    if let Some(addr) = addrs.pop_front() {
                        self.next_at = now + STAGGER;
                        return Some(Step::Connect(addr));
                    }
                    if self.attempts.is_empty() {
                        let kind = self.last_failure.unwrap_or(ErrorKind::AddrNotAvailable);
                        return Some(self.fail(DialError::Connect(kind)));
                    }
                }
                None
            }
        }
    }

    fn fail(&mut self, error: DialError) -> Step {
        self.state = State::Over;
        Step::Failed(error)
    }

    /// The target was resolved, or could not be.
    pub(super) fn resolved(&mut self, result: Result<Vec<SocketAddr>, String>) {
        if !matches!(self.state, State::Resolving) {
            return;
        }
        self.state = match result {
            Ok(addrs) if addrs.is_empty() => State::NotResolved("it has no address".to_owned()),
            Ok(mut addrs) => {
                let rotate = self.rotate.checked_rem(addrs.len()).unwrap_or(0);
                addrs.rotate_left(rotate);
                State::Trying(interleave(addrs))
            }
            Err(reason) => State::NotResolved(reason),
        };
    }

    /// An attempt is under way.
    pub(super) fn started(&mut self, socket: SocketId) {
        self.attempts.push(socket);
    }

    /// An attempt failed: the next begins at once.
    pub(super) fn failed(&mut self, now: Instant, socket: SocketId, kind: ErrorKind) {
        self.attempts.retain(|attempt| *attempt != socket);
        self.last_failure = Some(kind);
        self.next_at = now;
    }

    /// The attempts under way, which are no longer wanted.
    pub(super) fn take_attempts(&mut self) -> Vec<SocketId> {
        self.state = State::Over;
        std::mem::take(&mut self.attempts)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Over => None,
            State::Trying(addrs) if !addrs.is_empty() => Some(self.deadline.min(self.next_at)),
            _ => Some(self.deadline),
        }
    }
}

/// The families in turn, beginning with the first address's; within a family the resolver's order (RFC 8305, section 4).
fn interleave(addrs: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    let first_is_v6 = addrs.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addrs
        .into_iter()
        .partition(|addr| addr.is_ipv6() == first_is_v6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut mixed = VecDeque::new();
    while mixed.len() < ADDRESSES_MAX {
        let before = mixed.len();
        mixed.extend(first.next());
        mixed.extend(second.next());
        if mixed.len() == before {
            break;
        }
    }
    mixed.truncate(ADDRESSES_MAX);
    mixed
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    fn addrs(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn resolved(list: &[&str]) -> Dial {
        let mut dial = Dial::new(at(0), HostPort::new("db", 1), LIMIT, 0);
        assert!(matches!(dial.next(at(0), LIMIT), Some(Step::Resolve(_))));
        dial.resolved(Ok(addrs(list)));
        dial
    }

    fn connects(dial: &mut Dial, now: Instant, socket: u32) -> Option<String> {
        match dial.next(now, LIMIT)? {
            Step::Connect(addr) => {
                dial.started(SocketId(socket));
                Some(addr.to_string())
            }
            other => Some(format!("{other:?}")),
        }
    }

    #[test]
    fn families_take_turns_250_ms_apart() {
        let mut dial = resolved(&["[::1]:1", "[::2]:1", "1.1.1.1:1", "2.2.2.2:1"]);
        assert_eq!(connects(&mut dial, at(0), 0).as_deref(), Some("[::1]:1"));
        assert_eq!(connects(&mut dial, at(249), 1), None);
        assert_eq!(dial.poll_timeout(), Some(at(250)));
        assert_eq!(
            connects(&mut dial, at(250), 1).as_deref(),
            Some("1.1.1.1:1")
        );
        assert_eq!(connects(&mut dial, at(500), 2).as_deref(), Some("[::2]:1"));
    }

    #[test]
    fn a_failed_attempt_lets_the_next_begin_at_once_and_the_last_failure_is_told() {
        let mut dial = resolved(&["1.1.1.1:1", "2.2.2.2:1"]);
        connects(&mut dial, at(0), 0);
        dial.failed(at(5), SocketId(0), ErrorKind::NetworkUnreachable);
        assert_eq!(connects(&mut dial, at(5), 1).as_deref(), Some("2.2.2.2:1"));
        dial.failed(at(6), SocketId(1), ErrorKind::ConnectionRefused);
        let error = DialError::Connect(ErrorKind::ConnectionRefused);
        assert_eq!(dial.next(at(6), LIMIT), Some(Step::Failed(error.clone())));
        assert_eq!(error.code(), Code::DIAL_REFUSED);
        assert_eq!(dial.next(at(7), LIMIT), None);
    }

    #[test]
    fn a_host_that_hangs_fails_at_the_limit_whatever_hangs() {
        let mut resolving = Dial::new(at(0), HostPort::new("db", 1), LIMIT, 0);
        resolving.next(at(0), LIMIT);
        let mut connecting = resolved(&["1.1.1.1:1"]);
        connects(&mut connecting, at(0), 0);
        for dial in [&mut resolving, &mut connecting] {
            assert_eq!(dial.next(at(9_999), LIMIT), None);
            assert_eq!(dial.poll_timeout(), Some(at(10_000)));
            let error = DialError::TimedOut(LIMIT);
            assert_eq!(dial.next(at(10_000), LIMIT), Some(Step::Failed(error)));
            assert_eq!(dial.poll_timeout(), None);
        }
        assert_eq!(connecting.take_attempts(), [SocketId(0)]);
    }

    #[test]
    fn a_name_without_address_is_told_apart() {
        for result in [Ok(Vec::new()), Err("nxdomain".to_owned())] {
            let mut dial = Dial::new(at(0), HostPort::new("db", 1), LIMIT, 0);
            dial.next(at(0), LIMIT);
            dial.resolved(result);
            match dial.next(at(1), LIMIT) {
                Some(Step::Failed(error)) => assert_eq!(error.code(), Code::DIAL_NAME),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn no_more_than_sixteen_addresses_are_tried() {
        let many: Vec<String> = (0..100).map(|n| format!("10.0.0.{n}:1")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(interleave(addrs(&many)).len(), ADDRESSES_MAX);
    }

    #[test]
    fn an_address_needs_no_resolver_and_a_rotation_begins_elsewhere() {
        let mut dial = Dial::new(at(0), HostPort::new("::1", 9), LIMIT, 3);
        assert_eq!(connects(&mut dial, at(0), 0).as_deref(), Some("[::1]:9"));
        let mut dial = Dial::new(at(0), HostPort::new("db", 1), LIMIT, 4);
        dial.next(at(0), LIMIT);
        dial.resolved(Ok(addrs(&["1.1.1.1:1", "2.2.2.2:1", "3.3.3.3:1"])));
        assert_eq!(connects(&mut dial, at(0), 0).as_deref(), Some("2.2.2.2:1"));
    }
}
