//! The client as a [`Machine`]: each call goes to the line, the session or the dial whose socket or question it is about.

use std::io::{ErrorKind, IoSlice};

use adit_core::Instant;
use bytes::BytesMut;

use super::line::{Line, Phase, Relaying};
use super::upstreams::StreamRef;
use super::{Client, Query, Role};
use crate::io::{Ask, Machine, SocketId, Told};

impl Machine for Client {
    fn poll_ask(&mut self, now: Instant) -> Option<Ask> {
        if self.retry_at.take_if(|at| now >= *at).is_some() {
            self.begin(now);
        }
        loop {
            if let Some(ask) = self.shared.sockets.poll_ask() {
                return Some(ask);
            }
            if !self.step(now) {
                break;
            }
            self.stirred = true;
        }
        let stirred = std::mem::take(&mut self.stirred);
        for (_, line) in &self.lines {
            if let Some(socket) = line.wants_write(stirred) {
                self.shared.sockets.want_write(socket);
            }
        }
        self.shared.sockets.poll_ask()
    }

    fn tell(&mut self, now: Instant, told: Told) {
        self.stirred = true;
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
        self.stirred = true;
        if let Some((
            id,
            Relaying {
                session, streams, ..
            },
            sockets,
        )) = self.upstream(socket)
        {
            streams.received(id, data, session, sockets);
        } else if let Some((line, shared)) = self.carrier(socket) {
            line.received(now, data, shared);
        }
    }

    fn received_eof(&mut self, now: Instant, socket: SocketId) {
        self.stirred = true;
        if let Some((
            id,
            Relaying {
                session, streams, ..
            },
            sockets,
        )) = self.upstream(socket)
        {
            streams.received_eof(id, session, sockets);
        } else if let Some((line, shared)) = self.carrier(socket) {
            line.received_eof(now, shared);
        }
    }

    fn gather<'a>(&'a mut self, now: Instant, socket: SocketId, out: &mut [IoSlice<'a>]) -> usize {
        let sockets = &mut self.shared.sockets;
        match sockets.role(socket) {
            Some(&Role::Carrier(line)) => {
                let Some(Line { phase, wire, .. }) = self.lines.get_mut(line) else {
                    return 0;
                };
                match (phase, wire) {
                    (Phase::Reaching(reach), _) => {
                        if reach
                            .asking()
                            .is_none_or(|(asking, _)| !asking.has_output())
                        {
                            sockets.nothing_to_write(socket);
                        }
                        reach.gather(out)
                    }
                    (phase, Some(wire)) => {
                        wire.gather(now, sockets, |limit| Line::pull(phase, now, limit), out)
                    }
                    _ => 0,
                }
            }
            Some(&Role::Upstream(StreamRef { line, id })) => {
                match self.lines.get(line).map(|line| &line.phase) {
                    Some(Phase::Open(relaying)) => {
                        let Relaying {
                            session, streams, ..
                        } = &**relaying;
                        streams.gather(id, socket, session, sockets, out)
                    }
                    _ => 0,
                }
            }
            _ => 0,
        }
    }

    fn written(&mut self, now: Instant, socket: SocketId, n: usize) {
        self.stirred = true;
        if let Some((
            id,
            Relaying {
                session, streams, ..
            },
            sockets,
        )) = self.upstream(socket)
        {
            streams.written(now, id, n, session, sockets);
        } else if let Some((line, _)) = self.carrier(socket) {
            line.written(n);
        }
    }

    fn failed(&mut self, now: Instant, socket: SocketId, error: ErrorKind) {
        self.stirred = true;
        if let Some((
            id,
            Relaying {
                session, streams, ..
            },
            sockets,
        )) = self.upstream(socket)
        {
            streams.failed(id, error, session, sockets);
        } else if let Some((line, shared)) = self.carrier(socket) {
            line.failed(now, error, shared);
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
        self.stirred = true;
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
