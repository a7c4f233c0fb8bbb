//! The client: one machine that keeps a session with its server, for ever, and connects the visitors who come
//! through it to the upstreams.
//!
//! Attempts follow each other with a jittered backoff that starts over once a session has lived for a while. Nothing ends them but [`Client::drain`]: a
//! wrong token, too, may be right tomorrow. A session of which some services were refused is kept; if all were,
//! the client ends it and asks again after the backoff.

mod attempt;
mod comeback;
mod comebacks;
mod config;
mod dial;
mod line;
mod machine;
mod proxy;
mod reach;
mod route;
mod upstreams;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use adit_core::{Backoff, Code, Instance, Instant, Open, Resumption, ServiceKind, StreamId};
use slab::Slab;

pub use attempt::{AttemptError, ProxyError};
pub use config::{ClientConfig, Offer, Proxy};
pub use dial::DialError;
use line::{Line, News, Phase, Relaying};
use upstreams::{Failure, StreamRef, Upstreams};

use crate::counters::{Count, Meter, Tally};
use crate::io::{Ask, SocketId};
use crate::notice::Notice;
use crate::random::Seeds;
use crate::sockets::{Since, Sockets};
use crate::streams::Relayed;

/// A session that lived for so long made the attempts before it worth while: the backoff starts over.
const LIVED: Duration = Duration::from_secs(10);

/// The longest wait before the next attempt that a server may ask for when it goes away. A refusal, which needs no proof, gets no
/// more than the longest backoff.
const GO_AWAY_WAIT_MAX: Duration = Duration::from_secs(300);

/// Lines with sessions of their own at once: the one in use, and those that run out. Beyond it the oldest of them is ended.
const LINES_MAX: usize = 4;

/// A client. A [`Machine`](crate::Machine).
pub struct Client {
    shared: Shared,
    lines: Slab<Line>,
    /// Lines in the order of their beginning, oldest first.
    order: Vec<usize>,
    /// The line that is being made, or that gets new visitors.
    current: Option<usize>,
    /// When the next attempt begins.
    retry_at: Option<Instant>,
    backoff: Backoff,
    /// Attempts since a session was made: each begins with another address.
    in_vain: usize,
    upstreams: Upstreams,
    /// What happened since there was last nothing to ask.
    since: Since,
    /// No new lines are begun.
    draining: bool,
    /// When everything that still runs is ended.
    drained_at: Option<Instant>,
}

/// What all parts of a client work with.
struct Shared {
    config: Arc<ClientConfig>,
    sockets: Sockets<Role>,
    queries: HashMap<u32, Query>,
    next_query: u32,
    seeds: Seeds,
    instance: Instance,
    tally: Arc<Tally>,
    /// Dials whose session has ended.
    cancelled: Vec<usize>,
}

impl Shared {
    /// A name for a question, and who wants the answer.
    fn query(&mut self, asker: Query) -> u32 {
        let query = self.next_query;
        self.next_query = self.next_query.wrapping_add(1);
        self.queries.insert(query, asker);
        query
    }
}

/// What a socket of the client is for.
enum Role {
    /// An attempt to reach the server, or the proxy before it, for that line.
    Reaching(usize),
    /// The carrier of that line, or the connection to the proxy that it will be.
    Carrier(usize),
    /// An attempt to reach an upstream, for that dial.
    Trying(usize),
    /// The upstream of a stream.
    Upstream(StreamRef),
}

/// Who waits for an answer.
#[derive(Clone, Copy)]
enum Query {
    Token(usize),
    Server(usize),
    Upstream(usize),
}

impl Client {
    /// A client that begins its first attempt at once. The seed must be unpredictable: nonces and its instance come from it.
    #[must_use]
    pub fn new(config: ClientConfig, seed: [u8; 32], now: Instant) -> Self {
        let mut seeds = Seeds::new(seed);
        let backoff = Backoff::new(config.reconnect_min, config.reconnect_max, seeds.next());
        Self {
            shared: Shared {
                config: Arc::new(config),
                sockets: Sockets::new(),
                queries: HashMap::new(),
                next_query: 0,
                instance: Instance(seeds.next()),
                seeds,
                tally: Arc::default(),
                cancelled: Vec::new(),
            },
            lines: Slab::new(),
            order: Vec::new(),
            current: None,
            retry_at: Some(now),
            backoff,
            in_vain: 0,
            upstreams: Upstreams::default(),
            since: Since::Stirred,
            draining: false,
            drained_at: None,
        }
    }

    /// Stops: tells the server to send no more visitors, lets running streams finish for as long as
    /// `grace`, then ends. A second call can only shorten the grace.
    pub fn drain(&mut self, now: Instant, grace: Duration) {
        self.since = Since::Stirred;
        let until = now + grace;
        if !self.draining {
            self.draining = true;
            for (_, line) in &mut self.lines {
                line.drain(now, &mut self.shared);
            }
        }
        self.drained_at = Some(self.drained_at.map_or(until, |earlier| earlier.min(until)));
        self.retry_at = None;
    }

    /// What this client counts; stays readable from anywhere while the client runs in its task.
    #[must_use]
    pub fn meter(&self) -> Meter {
        Meter(self.shared.tally.clone())
    }

    /// Begins an attempt.
    fn begin(&mut self, now: Instant) {
        self.retry_at = None;
        let own: Vec<usize> = self.lines_that(|line| line.brings_back.is_none());
        if own.len() >= LINES_MAX
            && let Some(line) = own.first().and_then(|oldest| self.lines.get_mut(*oldest))
        {
            // It ends within moments; the attempt waits for that.
            line.stop(now, &mut self.shared);
            self.retry_at = Some(now + self.shared.config.reconnect_min);
            return;
        }
        self.current = Some(self.add_line(now, None));
    }

    /// Adds a line that begins to reach the server.
    fn add_line(&mut self, now: Instant, brings_back: Option<(usize, Resumption)>) -> usize {
        let entry = self.lines.vacant_entry();
        let key = entry.key();
        entry.insert(Line::new(now, key, brings_back, &mut self.shared));
        self.order.push(key);
        key
    }

    /// The lines of which something holds, oldest first.
    fn lines_that(&self, holds: impl Fn(&Line) -> bool) -> Vec<usize> {
        let lines = self.order.iter().copied();
        lines
            .filter(|key| self.lines.get(*key).is_some_and(&holds))
            .collect()
    }

    /// Plans the next attempt, if the line was the one in use: when that will be.
    fn retry(&mut self, now: Instant, line: usize, at_least: Duration) -> Option<Duration> {
        if self.current != Some(line) {
            return None;
        }
        self.current = None;
        if self.draining {
            return None;
        }
        let wait = self.backoff.next().max(at_least);
        self.retry_at = Some(now + wait);
        Some(wait)
    }

    /// Takes one thing that happened inside; `false` if there is none.
    fn step(&mut self, now: Instant) -> bool {
        if let Some(dial) = self.shared.cancelled.pop() {
            self.upstreams.cancel(dial, &mut self.shared);
            return true;
        }
        for index in 0..self.order.len() {
            let Some(&key) = self.order.get(index) else {
                continue;
            };
            let Some(line) = self.lines.get_mut(key) else {
                continue;
            };
            if let Some(news) = line.news.take() {
                self.handle_news(now, key, news);
                return true;
            }
            if line.handle_session(now, &mut self.shared) {
                return true;
            }
            line.pull_handshake(now);
            if self.bring_back(now, key) {
                return true;
            }
            let Some(line) = self.lines.get_mut(key) else {
                continue;
            };
            if line.is_done() {
                if line.wire.is_some() {
                    self.shared.tally.less(Count::Carriers);
                }
                self.lines.remove(key);
                self.order.remove(index);
                return true;
            }
        }
        false
    }

    fn handle_news(&mut self, now: Instant, line: usize, news: News) {
        match news {
            News::Failed(error) => {
                self.in_vain = self.in_vain.wrapping_add(1);
                self.shared.tally.add(Count::AttemptsFailed, 1);
                let at_least = error.retry_after().min(self.shared.config.reconnect_max);
                let retry_in = match self.brings_back(line) {
                    Some(target) => self.comeback_failed(now, target, line, &error, at_least),
                    None => self.retry(now, line, at_least),
                };
                if let Some(retry_in) = retry_in {
                    let server = self.shared.config.server.clone();
                    let notice = Notice::AttemptFailed {
                        server,
                        error,
                        retry_in,
                    };
                    self.shared.sockets.ask(Ask::Notice(notice));
                }
            }
            News::Resumed => self.resumed(now, line),
            News::Ended { reason, lived } => {
                self.end_comebacks(now, line);
                self.count_life(lived);
                let retry_in = self.retry(now, line, Duration::ZERO);
                self.shared
                    .sockets
                    .ask(Ask::Notice(Notice::Disconnected { reason, retry_in }));
            }
            News::GoingAway { retry_after, lived } => {
                self.count_life(lived);
                let at_least = retry_after.min(GO_AWAY_WAIT_MAX);
                if let Some(retry_after) = self.retry(now, line, at_least) {
                    let notice = Notice::ServerGoingAway { retry_after };
                    self.shared.sockets.ask(Ask::Notice(notice));
                }
            }
            News::Opened { id, open } => self.connect_upstream(now, line, id, &open),
            News::Cancelled { dial } => {
                self.upstreams.cancel(dial, &mut self.shared);
            }
        }
    }

    /// A session takes no more visitors: whether it lived long enough for the backoff to start over.
    fn count_life(&mut self, lived: Duration) {
        if lived >= LIVED {
            self.backoff.reset();
            self.in_vain = 0;
        }
    }

    /// A visitor came: dial the upstream of its service.
    fn connect_upstream(&mut self, now: Instant, line: usize, id: StreamId, open: &Open) {
        let index = usize::try_from(open.service.0).ok();
        let offer = index.and_then(|index| self.shared.config.offers.get(index));
        let code = match (open.kind, offer) {
            (ServiceKind::Tcp, Some(offer)) => {
                let (target, stream) = (offer.upstream.clone(), StreamRef { line, id });
                let dial = self.upstreams.start(now, stream, target, &self.shared);
                if let Some((relaying, _)) = relaying(&mut self.lines, &mut self.shared, line) {
                    relaying.dials.insert(id, dial);
                }
                return self.advance(now, dial);
            }
            (ServiceKind::Tcp, None) => Code::UNKNOWN_SERVICE,
            _ => Code::UNSUPPORTED,
        };
        self.reset(StreamRef { line, id }, code);
    }

    fn reset(&mut self, stream: StreamRef, code: Code) {
        let found = relaying(&mut self.lines, &mut self.shared, stream.line);
        if let Some((
            Relaying {
                session,
                streams,
                dials,
                ..
            },
            sockets,
        )) = found
        {
            dials.remove(&stream.id);
            streams.reset(stream.id, code, session, sockets);
        }
    }

    /// Does what an upstream's dial wants done now.
    fn advance(&mut self, now: Instant, dial: usize) {
        let failure = self.upstreams.advance(now, dial, &mut self.shared);
        if let Some(Failure {
            stream,
            target,
            error,
        }) = failure
        {
            let code = error.code();
            self.reset(stream, code);
            let notice = Notice::UpstreamFailed {
                upstream: target,
                error,
            };
            self.shared.sockets.ask(Ask::Notice(notice));
        }
    }

    fn attach_upstream(&mut self, dial: usize, socket: SocketId) {
        let Some(stream) = self.upstreams.connected(dial, socket, &mut self.shared) else {
            return self.shared.sockets.abort(socket);
        };
        match relaying(&mut self.lines, &mut self.shared, stream.line) {
            Some((
                Relaying {
                    session,
                    streams,
                    dials,
                    ..
                },
                sockets,
            )) => {
                dials.remove(&stream.id);
                streams.attach(stream.id, socket, session, sockets);
            }
            None => self.shared.sockets.abort(socket),
        }
    }

    fn handle_resolved(
        &mut self,
        now: Instant,
        query: u32,
        result: Result<Vec<SocketAddr>, String>,
    ) {
        match self.shared.queries.remove(&query) {
            Some(Query::Server(line)) => {
                if let Some(line) = self.lines.get_mut(line) {
                    line.reach(now, &mut self.shared, |reach, shared| {
                        reach.handle_resolved(now, result, shared)
                    });
                }
            }
            Some(Query::Upstream(dial)) => {
                self.upstreams.resolved(dial, result);
                self.advance(now, dial);
            }
            Some(Query::Token(_)) | None => {}
        }
    }

    /// Whose a socket is that bytes pass through.
    fn owner(&mut self, socket: SocketId) -> Option<Owner<'_>> {
        match self.shared.sockets.role(socket) {
            Some(&Role::Carrier(line)) => {
                let line = self.lines.get_mut(line)?;
                Some(Owner::Carrier(line, &mut self.shared))
            }
            Some(&Role::Upstream(StreamRef { line, id })) => {
                let found = relaying(&mut self.lines, &mut self.shared, line)?;
                let (relaying, sockets) = found;
                Some(Owner::Upstream(Relayed {
                    id,
                    session: &mut relaying.session,
                    streams: &mut relaying.streams,
                    sockets,
                }))
            }
            _ => None,
        }
    }
}

/// Whose a socket is, with all that its bytes concern.
enum Owner<'a> {
    /// The carrier of a line, or the way to it.
    Carrier(&'a mut Line, &'a mut Shared),
    /// The upstream of a stream.
    Upstream(Relayed<'a, Role>),
}

/// The open session of a line.
fn relaying<'a>(
    lines: &'a mut Slab<Line>,
    shared: &'a mut Shared,
    line: usize,
) -> Option<(&'a mut Relaying, &'a mut Sockets<Role>)> {
    match &mut lines.get_mut(line)?.phase {
        Phase::Open(relaying) => Some((relaying, &mut shared.sockets)),
        _ => None,
    }
}
