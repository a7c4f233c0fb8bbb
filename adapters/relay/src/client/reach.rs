//! The first part of a line: read the token, dial the server or the proxy before it, and ask the proxy for a way through.

use std::io::{ErrorKind, IoSlice};
use std::net::SocketAddr;

use adit_core::{Instant, Token};
use bytes::BytesMut;

use super::attempt::{AttemptError, ProxyError};
use super::dial::{Dial, Step};
use super::proxy::Asking;
use super::{Query, Role, Shared};
use crate::address::HostPort;
use crate::counters::Count;
use crate::io::{Ask, SocketId};

/// Reaching the server.
pub(super) struct Reach {
    line: usize,
    stage: Stage,
    /// When reading the token, or the proxy's answer, has taken too long. A dial has its own limit.
    deadline: Option<Instant>,
}

enum Stage {
    /// The token is being read.
    Token {
        query: u32,
    },
    /// The server, or the proxy before it, is being dialled.
    Dialling {
        token: Token,
        dial: Dial,
        query: Option<u32>,
    },
    /// The proxy is asked for a way through.
    Asking {
        token: Token,
        asking: Asking,
        socket: SocketId,
    },
    Over,
}

/// A way to the server.
pub(super) struct Way {
    pub(super) token: Token,
    pub(super) socket: SocketId,
    /// What the server has said already.
    pub(super) said: BytesMut,
}

/// The way, if it was found, or `None` while it is sought. An error ends the search.
pub(super) type Found = Result<Option<Way>, AttemptError>;

impl Reach {
    /// Begins with the token.
    pub(super) fn new(now: Instant, line: usize, shared: &mut Shared) -> Self {
        let query = shared.query(Query::Token(line));
        shared.sockets.ask(Ask::ReadToken { query });
        let deadline = Some(now + shared.config.connect_timeout);
        Self {
            line,
            stage: Stage::Token { query },
            deadline,
        }
    }

    /// The token was read: on to the server. `rotate`: addresses that were tried in vain before.
    pub(super) fn handle_token(
        &mut self,
        now: Instant,
        result: Result<Token, String>,
        rotate: usize,
        shared: &mut Shared,
    ) -> Found {
        if !matches!(self.stage, Stage::Token { .. }) {
            return Ok(None);
        }
        let token = result.map_err(AttemptError::Token)?;
        let dial = Dial::new(
            now,
            first_hop(shared),
            shared.config.connect_timeout,
            rotate,
        );
        self.deadline = None;
        self.stage = Stage::Dialling {
            token,
            dial,
            query: None,
        };
        self.dial(now, shared)
    }

    pub(super) fn handle_resolved(
        &mut self,
        now: Instant,
        result: Result<Vec<SocketAddr>, String>,
        shared: &mut Shared,
    ) -> Found {
        if let Stage::Dialling { dial, query, .. } = &mut self.stage {
            *query = None;
            dial.resolved(result);
        }
        self.dial(now, shared)
    }

    pub(super) fn handle_connect_failed(
        &mut self,
        now: Instant,
        socket: SocketId,
        kind: ErrorKind,
        shared: &mut Shared,
    ) -> Found {
        shared.sockets.abort(socket);
        if let Stage::Dialling { dial, .. } = &mut self.stage {
            dial.failed(now, socket, kind);
        }
        self.dial(now, shared)
    }

    /// Does what dialling wants done now.
    fn dial(&mut self, now: Instant, shared: &mut Shared) -> Found {
        let limit = shared.config.connect_timeout;
        let Stage::Dialling { dial, query, .. } = &mut self.stage else {
            return Ok(None);
        };
        while let Some(step) = dial.next(now, limit) {
            match step {
                Step::Resolve(target) => {
                    *query = Some(shared.resolve(Query::Server(self.line), target));
                }
                Step::Connect(addr) => {
                    if let Some(socket) = shared.connect(Role::Reaching(self.line), addr) {
                        dial.started(socket);
                    }
                }
                Step::Failed(error) => {
                    return Err(AttemptError::Connect {
                        host: first_hop(shared),
                        error,
                    });
                }
            }
        }
        Ok(None)
    }

    /// A connection to the server, or to the proxy before it.
    pub(super) fn handle_connected(
        &mut self,
        now: Instant,
        socket: SocketId,
        shared: &mut Shared,
    ) -> Found {
        let token = match &self.stage {
            Stage::Dialling { token, .. } => token.clone(),
            _ => {
                shared.sockets.abort(socket);
                return Ok(None);
            }
        };
        if let Some(role) = shared.sockets.role_mut(socket) {
            *role = Role::Carrier(self.line);
        }
        self.give_up(shared);
        shared.sockets.want_read(socket);
        shared.tally.add(Count::Carriers, 1);
        shared.tally.add(Count::CarriersTotal, 1);
        let Some(proxy) = &shared.config.proxy else {
            return Ok(Some(Way {
                token,
                socket,
                said: BytesMut::new(),
            }));
        };
        let asking = Asking::new(proxy, &shared.config.server);
        self.deadline = Some(now + shared.config.connect_timeout);
        self.stage = Stage::Asking {
            token,
            asking,
            socket,
        };
        Ok(None)
    }

    /// The proxy said something.
    pub(super) fn received(&mut self, data: &[u8], shared: &Shared) -> Found {
        let Stage::Asking { asking, .. } = &mut self.stage else {
            return Ok(None);
        };
        let answer = asking.handle_input(data);
        let Some(said) = answer.map_err(|error| proxy_error(error, shared))? else {
            return Ok(None);
        };
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Asking { token, socket, .. } => Ok(Some(Way {
                token,
                socket,
                said,
            })),
            _ => Ok(None),
        }
    }

    /// The proxy closed the connection.
    pub(super) fn received_eof(&self, shared: &Shared) -> Found {
        Err(proxy_error(ProxyError::Closed, shared))
    }

    /// The exchange with the proxy, and its socket.
    pub(super) const fn asking(&self) -> Option<(&Asking, SocketId)> {
        match &self.stage {
            Stage::Asking { asking, socket, .. } => Some((asking, *socket)),
            _ => None,
        }
    }

    pub(super) fn gather<'a>(&'a self, out: &mut [IoSlice<'a>]) -> usize {
        self.asking().map_or(0, |(asking, _)| asking.gather(out))
    }

    pub(super) fn written(&mut self, n: usize) {
        if let Stage::Asking { asking, .. } = &mut self.stage {
            asking.written(n);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let dial = match &self.stage {
            Stage::Dialling { dial, .. } => dial.poll_timeout(),
            _ => None,
        };
        self.deadline.into_iter().chain(dial).min()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, shared: &mut Shared) -> Found {
        if self.deadline.take_if(|deadline| now >= *deadline).is_some() {
            return Err(match self.stage {
                Stage::Asking { .. } => proxy_error(ProxyError::Silent, shared),
                _ => AttemptError::Token("it was not read in time".to_owned()),
            });
        }
        self.dial(now, shared)
    }

    /// Ends whatever is under way.
    pub(super) fn give_up(&mut self, shared: &mut Shared) {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Token { query } => {
                shared.queries.remove(&query);
            }
            Stage::Dialling {
                mut dial, query, ..
            } => {
                if let Some(query) = query {
                    shared.queries.remove(&query);
                }
                for socket in dial.take_attempts() {
                    // The attempt that succeeded has another role by now.
                    if matches!(shared.sockets.role(socket), Some(Role::Reaching(_))) {
                        shared.sockets.abort(socket);
                    }
                }
            }
            Stage::Asking { socket, .. } => {
                shared.tally.less(Count::Carriers);
                shared.sockets.abort(socket);
            }
            Stage::Over => {}
        }
    }
}

/// Where the first connection goes: to the proxy, if there is one.
fn first_hop(shared: &Shared) -> HostPort {
    match &shared.config.proxy {
        Some(proxy) => proxy.at.clone(),
        None => shared.config.server.clone(),
    }
}

fn proxy_error(error: ProxyError, shared: &Shared) -> AttemptError {
    AttemptError::Proxy {
        proxy: first_hop(shared),
        error,
    }
}
