//! What all tasks of a server share: who is here, which ports are open, and the mail from one task to another.
//!
//! Locked once or a few times for a connection, never for a byte. Each peer has one mailbox of fixed shape, and is woken once for any amount of
//! mail, so that nothing here grows with what peers do.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use adit_core::{
    AdmitError, AtLimit, ClientId, Code, Config, Endpoint, Established, Grant, Instant, Request,
    ServerFacts, ServerHandshake, SessionId, TunnelName,
};

use super::penalties::Penalties;
use super::ports::{Answer, Asker, Closed, Outcome, PortTable};
use super::tunnels::{Tunnel, TunnelSource};
use super::visitor::{TRIES_MAX, Visitor, Way};
use super::waiting::Waiting;
use super::{ListenerId, PeerId, Refused, ServerAsk, ServerConfig};
use crate::counters::{Count, Counters, Tally};
use crate::notice::Notice;
use crate::random::Seeds;

/// What the table reads of a peer, and the peer writes without a lock.
pub(super) struct Pulse {
    /// Its session answers, as far as is known.
    pub(super) answers: AtomicBool,
    pub(super) tally: Arc<Tally>,
}

/// What other tasks want of a peer.
#[derive(Default)]
pub(super) struct Mail {
    /// Make room: others wait that have not been heard yet.
    pub(super) displaced: bool,
    /// The same client has made another session: prove that this one answers, or end.
    pub(super) challenged: bool,
    /// Too many sessions are without a carrier, and this one is given up.
    pub(super) given_up: bool,
    /// The server drains, and ends everything at that time.
    pub(super) drain: Option<Instant>,
    /// Results of the listens that this peer waits for: at most one for each service that it asked for.
    pub(super) ports: Vec<Outcome>,
}

struct Entry {
    pulse: Arc<Pulse>,
    mail: Mail,
    /// A wake-up is queued, or was polled and the mail not fetched yet.
    woken: bool,
    stage: Stage,
    /// Its session has no carrier.
    detached: bool,
    listeners: Vec<ListenerId>,
}

enum Stage {
    /// Not authenticated.
    Waiting,
    /// The proof was right, and the session is being made.
    Admitted,
    /// It has a session.
    Open {
        tunnel: TunnelName,
        client_id: ClientId,
        session: SessionId,
    },
}

pub(super) struct Table {
    endpoint: Endpoint,
    seeds: Seeds,
    pub(super) carrier: Arc<adit_link::ServerSetup>,
    pub(super) tunnels: Arc<dyn TunnelSource>,
    peers: HashMap<PeerId, Entry>,
    /// Peers that were not dropped yet: those in `peers`, and those that only say their last words.
    alive: usize,
    next_peer: u64,
    waiting: Waiting,
    clients: HashMap<(TunnelName, ClientId), Vec<PeerId>>,
    /// Who has which session.
    owners: HashMap<SessionId, PeerId>,
    ports: PortTable,
    penalties: Penalties,
    pub(super) asks: VecDeque<ServerAsk>,
    draining: Option<Instant>,
    /// Counted by the table itself, and by peers that are gone.
    tally: Tally,
    gone: Counters,
}

impl Table {
    pub(super) fn new(config: &ServerConfig, seed: [u8; 32]) -> Self {
        let mut seeds = Seeds::new(seed);
        // The table holds the limit on handshakes itself: it counts from the accept on, and makes room, where the endpoint could
        // only turn newcomers away.
        let core = Config {
            handshakes_max: usize::MAX,
            ..(*config.core).clone()
        };
        Self {
            endpoint: Endpoint::new(Arc::new(core), seeds.next()),
            seeds,
            carrier: config.carrier.clone(),
            tunnels: config.tunnels.clone(),
            peers: HashMap::new(),
            alive: 0,
            next_peer: 0,
            waiting: Waiting::new(config.core.handshakes_max),
            clients: HashMap::new(),
            owners: HashMap::new(),
            ports: PortTable::new(config.data_addr, config.ports_max),
            penalties: Penalties::new(config.core.dead_after),
            asks: VecDeque::new(),
            draining: None,
            tally: Tally::default(),
            gone: Counters::default(),
        }
    }

    /// A new peer: its name, its pulse and a seed for it. At the limit of those that have not authenticated, the first to make room
    /// is told to go, so that silence can't keep out who speaks.
    pub(super) fn accept(
        &mut self,
        now: Instant,
    ) -> Result<(PeerId, Arc<Pulse>, [u8; 32]), Refused> {
        if self.draining.is_some() {
            return Err(Refused::Draining);
        }
        while let Some(peer) = self.waiting.displace() {
            self.tally.add(Count::Displaced, 1);
            self.post(peer, |mail| mail.displaced = true);
        }
        let notice = self.waiting.report(now);
        self.asks.extend(notice.map(ServerAsk::Notice));
        let peer = PeerId(self.next_peer);
        self.next_peer += 1;
        let pulse = Arc::new(Pulse {
            answers: AtomicBool::new(true),
            tally: Arc::default(),
        });
        pulse.tally.add(Count::Carriers, 1);
        pulse.tally.add(Count::CarriersTotal, 1);
        let entry = Entry {
            pulse: pulse.clone(),
            mail: Mail::default(),
            woken: false,
            stage: Stage::Waiting,
            detached: false,
            listeners: Vec::new(),
        };
        self.peers.insert(peer, entry);
        self.alive += 1;
        self.waiting.insert(peer);
        Ok((peer, pulse, self.seeds.next()))
    }

    /// The peer sent its first bytes.
    pub(super) fn spoke(&mut self, peer: PeerId) {
        self.waiting.spoke(peer);
    }

    pub(super) fn greet(
        &mut self,
        now: Instant,
        facts: ServerFacts,
    ) -> Result<ServerHandshake, AtLimit> {
        self.endpoint.accept(now, facts)
    }

    /// A client wants to go on with a session: which peer has it, if the client has the right to it.
    pub(super) fn resume(
        &mut self,
        now: Instant,
        peer: PeerId,
        session: SessionId,
        handshake: &mut ServerHandshake,
    ) -> Option<PeerId> {
        let record = self.endpoint.session(session);
        let tunnel = record.and_then(|record| self.tunnels.find(&record.tunnel));
        let verifier = tunnel.as_ref().map(|tunnel| &tunnel.verifier);
        let found = self.endpoint.find(now, handshake, verifier)?;
        self.waiting.remove(peer);
        self.owners.get(&found).copied()
    }

    /// The peer's session is without a carrier, and holds `bytes` of memory. Others that have been without for longest make room.
    pub(super) fn detached(&mut self, now: Instant, peer: PeerId, bytes: usize) {
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        let Stage::Open { session, .. } = entry.stage else {
            return;
        };
        if !std::mem::replace(&mut entry.detached, true) {
            entry.pulse.tally.less(Count::Carriers);
            entry.pulse.tally.add(Count::SessionsDetached, 1);
        }
        for given_up in self.endpoint.detached(now, session, bytes) {
            if let Some(&owner) = self.owners.get(&given_up) {
                self.post(owner, |mail| mail.given_up = true);
            }
        }
    }

    /// The peer's session went on on a new carrier.
    pub(super) fn resumed(&mut self, now: Instant, peer: PeerId) {
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        let tally = &entry.pulse.tally;
        tally.add(Count::ResumesTotal, 1);
        if std::mem::take(&mut entry.detached) {
            tally.add(Count::Carriers, 1);
            tally.less(Count::SessionsDetached);
        }
        if let Stage::Open { session, .. } = entry.stage {
            self.endpoint.attached(now, session);
        }
    }

    pub(super) fn find(&self, tunnel: &TunnelName) -> Option<Arc<Tunnel>> {
        self.tunnels.find(tunnel)
    }

    /// A handshake failed: how long its answer is held back.
    pub(super) fn failed(
        &mut self,
        now: Instant,
        source: IpAddr,
        tunnel: Option<TunnelName>,
    ) -> Duration {
        self.penalties.failed(now, source, tunnel)
    }

    /// The proof was right: from now on nothing displaces this peer. What becomes of each service that it asks for.
    pub(super) fn authenticated(
        &mut self,
        peer: PeerId,
        request: &Request,
        services_max: usize,
    ) -> Vec<Answer> {
        self.waiting.remove(peer);
        let tunnel = self.tunnels.find(&request.tunnel);
        let Some(entry) = self.peers.get_mut(&peer) else {
            return Vec::new();
        };
        entry.stage = Stage::Admitted;
        let asker = Asker {
            peer,
            tunnel: request.tunnel.clone(),
            client_id: request.client_id.clone(),
        };
        let mut answers = Vec::with_capacity(request.services.len());
        for (index, service) in request.services.iter().enumerate() {
            let answer = match &tunnel {
                _ if index >= services_max => Answer::Refused(Code::TOO_MANY, None),
                Some(tunnel) => self.ports.ask(&asker, service, &tunnel.ports),
                None => Answer::Refused(Code::PORT_NOT_ALLOWED, None),
            };
            match answer {
                Answer::Listen(listener, addr) => {
                    entry.listeners.push(listener);
                    let peer = asker.peer;
                    self.asks.push_back(ServerAsk::Listen {
                        listener,
                        addr,
                        peer,
                    });
                }
                Answer::Open(listener, _) | Answer::Waiting(listener) => {
                    entry.listeners.push(listener);
                }
                Answer::Refused(..) => {}
            }
            answers.push(answer);
        }
        answers
    }

    /// Makes the session, and challenges the other sessions of the same client: it may have lost their carriers, unseen from here.
    pub(super) fn admit(
        &mut self,
        now: Instant,
        peer: PeerId,
        handshake: &mut ServerHandshake,
        request: &Request,
        grants: Vec<Grant>,
    ) -> Result<(Established, Option<Instant>), AdmitError> {
        let established = self.endpoint.admit(now, handshake, grants)?;
        let key = (request.tunnel.clone(), request.client_id.clone());
        let others = self.clients.entry(key).or_default();
        let mut challenged = Vec::new();
        for other in others.iter() {
            if let Some(Entry {
                stage: Stage::Open { .. },
                pulse,
                ..
            }) = self.peers.get(other)
            {
                pulse.answers.store(false, Ordering::Relaxed);
                challenged.push(*other);
            }
        }
        others.push(peer);
        for other in challenged {
            self.post(other, |mail| mail.challenged = true);
        }
        self.owners.insert(established.id, peer);
        if let Some(entry) = self.peers.get_mut(&peer) {
            entry.stage = Stage::Open {
                tunnel: request.tunnel.clone(),
                client_id: request.client_id.clone(),
                session: established.id,
            };
            entry.pulse.tally.add(Count::Sessions, 1);
            entry.pulse.tally.add(Count::SessionsTotal, 1);
            // Not before somebody is there for the visitors.
            let opened = entry.listeners.iter();
            let opened = opened.filter_map(|listener| self.ports.serve(*listener));
            let notices = opened.map(|(tunnel, addr)| Notice::PortOpened { tunnel, addr });
            self.asks.extend(notices.map(ServerAsk::Notice));
        }
        Ok((established, self.draining))
    }

    /// The peer takes no more visitors: ports that nobody else serves close.
    pub(super) fn leave_ports(&mut self, peer: PeerId) {
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        for listener in std::mem::take(&mut entry.listeners) {
            if let Some(closed) = self.ports.leave(peer, listener) {
                self.close_port(closed);
            }
        }
    }

    fn close_port(&mut self, closed: Closed) {
        let Closed {
            listener,
            tunnel,
            addr,
            served,
        } = closed;
        self.asks.push_back(ServerAsk::Unlisten { listener });
        if served {
            self.asks
                .push_back(ServerAsk::Notice(Notice::PortClosed { tunnel, addr }));
        }
    }

    /// The peer has no handshake and no session any more. Calling it again does nothing.
    pub(super) fn gone(&mut self, peer: PeerId, handshake: Option<ServerHandshake>) {
        if let Some(handshake) = handshake {
            self.endpoint.abandon(handshake);
        }
        self.leave_ports(peer);
        let Some(entry) = self.peers.remove(&peer) else {
            return;
        };
        let tally = &entry.pulse.tally;
        tally.less(if entry.detached {
            Count::SessionsDetached
        } else {
            Count::Carriers
        });
        match entry.stage {
            Stage::Waiting => self.waiting.remove(peer),
            Stage::Admitted => {}
            Stage::Open {
                tunnel,
                client_id,
                session,
                ..
            } => {
                tally.less(Count::Sessions);
                self.endpoint.ended(session);
                self.owners.remove(&session);
                let key = (tunnel, client_id);
                if let Some(peers) = self.clients.get_mut(&key) {
                    peers.retain(|other| *other != peer);
                    if peers.is_empty() {
                        self.clients.remove(&key);
                    }
                }
            }
        }
        tally.add_to(&mut self.gone);
    }

    /// The peer was dropped: its carrier is closed.
    pub(super) fn dropped(&mut self) {
        self.alive = self.alive.saturating_sub(1);
    }

    pub(super) fn told_listening(
        &mut self,
        listener: ListenerId,
        result: Result<SocketAddr, io::ErrorKind>,
    ) {
        let (outcomes, wanted) = self.ports.told_listening(listener, result);
        if result.is_ok() && !wanted {
            self.asks.push_back(ServerAsk::Unlisten { listener });
        }
        for outcome in outcomes {
            if let Some(entry) = self.peers.get_mut(&outcome.peer)
                && outcome.result.is_err()
            {
                entry.listeners.retain(|open| *open != listener);
            }
            self.post(outcome.peer, |mail| mail.ports.push(outcome));
        }
    }

    /// Whose turn a new visitor is.
    pub(super) fn visitor(
        &mut self,
        listener: ListenerId,
        from: SocketAddr,
        at: SocketAddr,
    ) -> Option<Visitor> {
        let tried = BTreeSet::new();
        let Some(peer) = self.turn(listener, &tried) else {
            self.tally.add(Count::VisitorsRefused, 1);
            return None;
        };
        let tunnel = self.ports.tunnel(listener)?.clone();
        Some(Visitor(Box::new(Way {
            listener,
            from,
            at,
            tunnel,
            peer,
            others: self.others_answer(listener, peer),
            tried,
            why: None,
        })))
    }

    /// Whether another session than that peer's serves the port, and answers as far as is known.
    pub(super) fn others_answer(&self, listener: ListenerId, peer: PeerId) -> bool {
        let answers = |other: PeerId| match self.peers.get(&other) {
            Some(Entry {
                stage: Stage::Open { .. },
                pulse,
                ..
            }) => pulse.answers.load(Ordering::Relaxed),
            _ => false,
        };
        let mut members = self.ports.members(listener);
        members.any(|other| other != peer && answers(other))
    }

    /// Whose turn a visitor is that was not taken by the peer before.
    pub(super) fn again(&mut self, mut visitor: Visitor) -> Option<Visitor> {
        let way = &mut *visitor.0;
        way.tried.insert(way.peer);
        let left = way.tried.len() < TRIES_MAX;
        if let Some(peer) = left.then(|| self.turn(way.listener, &way.tried)).flatten() {
            way.peer = peer;
            way.others = self.others_answer(way.listener, peer);
            return Some(visitor);
        }
        self.tally.add(Count::VisitorsRefused, 1);
        // That a session was lost, or that the server ends, is said once, and not for each of its visitors.
        let code = way.why.unwrap_or(Code::BUSY);
        if code != Code::SESSION_LOST && self.draining.is_none() {
            self.asks.push_back(ServerAsk::Notice(Notice::VisitorReset {
                tunnel: way.tunnel.clone(),
                visitor: way.from,
                code,
            }));
        }
        None
    }

    fn turn(&mut self, listener: ListenerId, tried: &BTreeSet<PeerId>) -> Option<PeerId> {
        let peers = &self.peers;
        let answers = |peer| match peers.get(&peer)? {
            Entry {
                stage: Stage::Open { .. },
                pulse,
                ..
            } if !tried.contains(&peer) => Some(pulse.answers.load(Ordering::Relaxed)),
            _ => None,
        };
        self.ports.turn(listener, answers)
    }

    pub(super) fn drain(&mut self, until: Instant) {
        let until = self.draining.map_or(until, |earlier| earlier.min(until));
        self.draining = Some(until);
        for closed in self.ports.clear() {
            self.close_port(closed);
        }
        let peers: Vec<PeerId> = self.peers.keys().copied().collect();
        for peer in peers {
            self.post(peer, |mail| mail.drain = Some(until));
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.draining.is_some() && self.alive == 0 && self.asks.is_empty()
    }

    pub(super) fn counters(&self) -> Counters {
        let mut counters = self.gone.clone();
        self.tally.add_to(&mut counters);
        for entry in self.peers.values() {
            entry.pulse.tally.add_to(&mut counters);
        }
        counters
    }

    /// Fetches a peer's mail.
    pub(super) fn fetch(&mut self, peer: PeerId) -> Mail {
        match self.peers.get_mut(&peer) {
            Some(entry) => {
                entry.woken = false;
                std::mem::take(&mut entry.mail)
            }
            None => Mail::default(),
        }
    }

    fn post(&mut self, peer: PeerId, write: impl FnOnce(&mut Mail)) {
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        write(&mut entry.mail);
        if !entry.woken {
            entry.woken = true;
            self.asks.push_back(ServerAsk::Wake(peer));
        }
    }
}
