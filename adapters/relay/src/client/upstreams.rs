//! Upstreams being dialled: one dial for each stream that was opened and not yet connected.

use std::collections::BTreeSet;

use adit_core::{Instant, StreamId};
use slab::Slab;

use super::dial::{Dial, DialError, Step};
use super::{Query, Role, Shared};
use crate::address::HostPort;
use crate::io::{Ask, Purpose, SocketId};

/// All upstream dials of a client, with one table of their timers: a stalled upstream costs the others nothing.
#[derive(Default)]
pub(super) struct Upstreams {
    dials: Slab<Upstream>,
    timers: BTreeSet<(Instant, usize)>,
}

pub(super) struct Upstream {
    stream: StreamRef,
    target: HostPort,
    dial: Dial,
    query: Option<u32>,
    timer: Option<Instant>,
}

/// A stream of one of the client's sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StreamRef {
    pub(super) line: usize,
    pub(super) id: StreamId,
}

/// A dial that came to nothing.
pub(super) struct Failure {
    pub(super) stream: StreamRef,
    pub(super) target: HostPort,
    pub(super) error: DialError,
}

impl Upstreams {
    /// Begins to dial; gives the dial's key.
    pub(super) fn start(
        &mut self,
        now: Instant,
        stream: StreamRef,
        target: HostPort,
        shared: &Shared,
    ) -> usize {
        let dial = Dial::new(now, target.clone(), shared.config.dial_timeout, 0);
        self.dials.insert(Upstream {
            stream,
            target,
            dial,
            query: None,
            timer: None,
        })
    }

    /// Does what a dial wants done now.
    pub(super) fn advance(
        &mut self,
        now: Instant,
        key: usize,
        shared: &mut Shared,
    ) -> Option<Failure> {
        let upstream = self.dials.get_mut(key)?;
        while let Some(step) = upstream.dial.next(now, shared.config.dial_timeout) {
            match step {
                Step::Resolve(target) => {
                    upstream.query = Some(shared.resolve(Query::Upstream(key), target));
                }
                Step::Connect(addr) => match shared.connect(Role::Trying(key), addr) {
                    Some(socket) => upstream.dial.started(socket),
                    None => continue,
                },
                Step::Failed(error) => {
                    let Upstream { stream, target, .. } = self.cancel(key, shared)?;
                    return Some(Failure {
                        stream,
                        target,
                        error,
                    });
                }
            }
        }
        let due = upstream.dial.poll_timeout();
        if upstream.timer != due {
            if let Some(old) = upstream.timer {
                self.timers.remove(&(old, key));
            }
            if let Some(due) = due {
                self.timers.insert((due, key));
            }
            upstream.timer = due;
        }
        None
    }

    /// The dial's target was resolved.
    pub(super) fn resolved(
        &mut self,
        key: usize,
        result: Result<Vec<std::net::SocketAddr>, String>,
    ) {
        if let Some(upstream) = self.dials.get_mut(key) {
            upstream.query = None;
            upstream.dial.resolved(result);
        }
    }

    /// One attempt failed.
    pub(super) fn failed(
        &mut self,
        now: Instant,
        key: usize,
        socket: SocketId,
        kind: std::io::ErrorKind,
        shared: &mut Shared,
    ) {
        shared.sockets.abort(socket);
        if let Some(upstream) = self.dials.get_mut(key) {
            upstream.dial.failed(now, socket, kind);
        }
    }

    /// One attempt succeeded: the others are given up. The stream that it is for.
    pub(super) fn connected(
        &mut self,
        key: usize,
        socket: SocketId,
        shared: &mut Shared,
    ) -> Option<StreamRef> {
        let stream = self.dials.get(key)?.stream;
        if let Some(role) = shared.sockets.role_mut(socket) {
            *role = Role::Upstream(stream);
        }
        self.cancel(key, shared);
        Some(stream)
    }

    /// Gives a dial up, with all its attempts that have not become the stream's socket.
    pub(super) fn cancel(&mut self, key: usize, shared: &mut Shared) -> Option<Upstream> {
        let mut upstream = self.dials.try_remove(key)?;
        if let Some(timer) = upstream.timer {
            self.timers.remove(&(timer, key));
        }
        if let Some(query) = upstream.query {
            shared.queries.remove(&query);
        }
        for socket in upstream.dial.take_attempts() {
            if matches!(shared.sockets.role(socket), Some(Role::Trying(_))) {
                shared.sockets.abort(socket);
            }
        }
        Some(upstream)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// The dial whose time has come, if there is one.
    pub(super) fn due(&self, now: Instant) -> Option<usize> {
        self.timers
            .first()
            .filter(|(at, _)| *at <= now)
            .map(|(_, key)| *key)
    }
}

impl Shared {
    /// Asks for the addresses of a host.
    pub(super) fn resolve(&mut self, asker: Query, target: HostPort) -> u32 {
        let purpose = match asker {
            Query::Upstream(_) => Purpose::Local,
            Query::Server(_) | Query::Token(_) => Purpose::Carrier,
        };
        let query = self.query(asker);
        self.sockets.ask(Ask::Resolve {
            query,
            host: target.host,
            port: target.port,
            purpose,
        });
        query
    }

    /// Asks for a connection.
    pub(super) fn connect(&mut self, role: Role, addr: std::net::SocketAddr) -> Option<SocketId> {
        let purpose = match role {
            Role::Reaching(_) | Role::Carrier(_) => Purpose::Carrier,
            Role::Trying(_) | Role::Upstream(_) => Purpose::Local,
        };
        let socket = self.sockets.open(role)?;
        self.sockets.ask(Ask::Connect {
            socket,
            addr,
            purpose,
        });
        Some(socket)
    }
}
