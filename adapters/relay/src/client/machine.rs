//! The client as a [`Machine`]: each call goes to the line, the session or the dial whose socket or question it is about.

use std::io::{ErrorKind, IoSlice};
use std::time::Duration;

use adit_core::Instant;
use bytes::BytesMut;

use super::line::{Line, Phase};
use super::upstreams::StreamRef;
use super::{Client, Owner, Query, Role};
use crate::io::{Ask, Machine, SocketId, Told};
use crate::sockets::Since;

/// A deadline that passed so long ago tells that the process did not run: it was suspended, or its machine slept.
const SLEPT: Duration = Duration::from_secs(2);

impl Machine for Client {
    fn poll_ask(&mut self, now: Instant) -> Option<Ask> {
        if self.retry_at.take_if(|at| now >= *at).is_some() {
            self.since = Since::Stirred;
            self.begin(now);
        }
        if self.since == Since::Nothing {
            return self.shared.sockets.poll_ask();
        }
        loop {
            if let Some(ask) = self.shared.sockets.poll_ask() {
                return Some(ask);
            }
            if !self.step(now) {
                break;
            }
            self.since = Since::Stirred;
        }
        let stirred = std::mem::take(&mut self.since) == Since::Stirred;
        for (_, line) in &self.lines {
            if let Some(socket) = line.wants_write(stirred) {
                self.shared.sockets.want_write(socket);
            }
        }
        self.shared.sockets.poll_ask()
    }

    fn tell(&mut self, now: Instant, told: Told) {
        self.since = Since::Stirred;
        match told {
            Told::Resolved { query, result } => self.handle_resolved(now, query, result),
            Told::Token { query, result } => {
                if let Some(Query::Token(line)) = self.shared.queries.remove(&query)
                    && let Some(line) = self.lines.get_mut(line)
                {
                    let rotate = self.in_vain;
                    line.reach(now, &mut self.shared, |reach, shared| {
                        reach.handle_token(now, result, rotate, shared)
                    });
                }
            }
            Told::Connected { socket } => match self.shared.sockets.role(socket) {
                Some(&Role::Reaching(line)) => {
                    if let Some(line) = self.lines.get_mut(line) {
                        line.reach(now, &mut self.shared, |reach, shared| {
                            reach.handle_connected(now, socket, shared)
                        });
                    }
                }
                Some(&Role::Trying(dial)) => self.attach_upstream(dial, socket),
                _ => {}
            },
            Told::Route { socket, local } => {
                if let Some(&Role::Carrier(line)) = self.shared.sockets.role(socket)
                    && let Some(line) = self.lines.get_mut(line)
                {
                    line.handle_route(now, local);
                }
            }
            Told::ConnectFailed { socket, kind } => match self.shared.sockets.role(socket) {
                Some(&Role::Reaching(line)) => {
                    if let Some(line) = self.lines.get_mut(line) {
                        line.reach(now, &mut self.shared, |reach, shared| {
                            reach.handle_connect_failed(now, socket, kind, shared)
                        });
                    }
                }
                Some(&Role::Trying(dial)) => {
                    self.upstreams
                        .failed(now, dial, socket, kind, &mut self.shared);
                    self.advance(now, dial);
                }
                _ => {}
            },
        }
    }

    fn read_limit(&self, socket: SocketId) -> usize {
        match self.shared.sockets.role(socket) {
            Some(&Role::Carrier(line)) => self.lines.get(line).map_or(0, Line::read_limit),
            Some(&Role::Upstream(StreamRef { line, id })) => {
                match self.lines.get(line).map(|line| &line.phase) {
                    Some(Phase::Open(relaying)) => {
                        relaying.streams.read_limit(id, &relaying.session)
                    }
                    _ => 0,
                }
            }
            _ => 0,
        }
    }

    fn received(&mut self, now: Instant, socket: SocketId, data: BytesMut) {
        self.since = Since::Stirred;
        match self.owner(socket) {
            Some(Owner::Upstream(relayed)) => relayed.received(data),
            Some(Owner::Carrier(line, shared)) => line.received(now, data, shared),
            None => {}
        }
    }

    fn received_eof(&mut self, now: Instant, socket: SocketId) {
        self.since = Since::Stirred;
        match self.owner(socket) {
            Some(Owner::Upstream(relayed)) => relayed.received_eof(),
            Some(Owner::Carrier(line, shared)) => line.received_eof(now, shared),
            None => {}
        }
    }

    fn gather<'a>(&'a mut self, now: Instant, socket: SocketId, out: &mut [IoSlice<'a>]) -> usize {
        self.since.gathered();
        match self.owner(socket) {
            Some(Owner::Upstream(relayed)) => relayed.gather(socket, out),
            Some(Owner::Carrier(line, shared)) => line.gather(now, socket, shared, out),
            None => 0,
        }
    }

    fn written(&mut self, now: Instant, socket: SocketId, n: usize) {
        self.since = Since::Stirred;
        match self.owner(socket) {
            Some(Owner::Upstream(relayed)) => relayed.written(now, n),
            Some(Owner::Carrier(line, _)) => line.written(now, n),
            None => {}
        }
    }

    fn failed(&mut self, now: Instant, socket: SocketId, error: ErrorKind) {
        self.since = Since::Stirred;
        match self.owner(socket) {
            Some(Owner::Upstream(relayed)) => relayed.failed(error),
            Some(Owner::Carrier(line, shared)) => line.failed(now, error, shared),
            None => {}
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let lines = self
            .lines
            .iter()
            .filter_map(|(_, line)| line.poll_timeout())
            .min();
        [
            lines,
            self.upstreams.poll_timeout(),
            self.retry_at,
            self.drained_at,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.since = Since::Stirred;
        if self.poll_timeout().is_some_and(|at| now > at + SLEPT) {
            for (_, line) in &mut self.lines {
                line.question(now);
            }
        }
        for (_, line) in &mut self.lines {
            line.handle_timeout(now, &mut self.shared);
        }
        while let Some(dial) = self.upstreams.due(now) {
            self.advance(now, dial);
        }
        if self.drained_at.take_if(|at| now >= *at).is_some() {
            for (_, line) in &mut self.lines {
                line.stop(now, &mut self.shared);
            }
        }
    }

    fn is_done(&self) -> bool {
        self.draining && self.lines.is_empty() && self.shared.sockets.is_done()
    }
}
