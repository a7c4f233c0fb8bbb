//! A server's endpoint: greets every carrier, gives out session ids, keeps the table of sessions, and holds
//! the limits on both.

use alloc::collections::{BTreeMap, BinaryHeap};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::fmt;
use core::time::Duration;

use thiserror::Error;

use crate::auth::{ResumeKey, Verifier};
use crate::code::Code;
use crate::config::Config;
use crate::frame::{Frame, Grant, Service, Welcome, features};
use crate::handshake::{
    AuthFailure, Decoys, Established, Provable, Proven, Request, ServerFacts, ServerHandshake,
    millis,
};
use crate::ids::{ClientId, Instance, SessionId, Side, TunnelName};
use crate::random::Random;
use crate::session::Session;
use crate::time::Instant;

/// As many handshakes are under way as [`Config::handshakes_max`] allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("as many handshakes are under way as handshakes_max allows")]
pub struct AtLimit;

/// Why a client could not be admitted. Its handshake goes on: refuse it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AdmitError {
    /// As many sessions are open as [`Config::sessions_max`] allows.
    #[error("as many sessions are open as sessions_max allows")]
    AtLimit,
    /// The addresses of the grants do not fit one frame.
    #[error("the grants take more room than one frame has")]
    GrantsTooLong,
    /// Nobody asked to be admitted on this carrier.
    #[error("no client waits to be admitted on this carrier")]
    NotAsked,
}

/// What an endpoint knows of one of its sessions.
#[derive(Clone, Debug)]
pub struct SessionRecord {
    /// Its tunnel.
    pub tunnel: TunnelName,
    /// Its client.
    pub client_id: ClientId,
    /// Which run of the client.
    pub instance: Instance,
    /// The attempt to resume it that was accepted last; 0 at first.
    pub epoch: u64,
    /// What the right to resume it hangs on.
    pub resume_key: ResumeKey,
    /// Whether its proof was bound to a TLS connection, and resuming it must be.
    pub bound: bool,
    /// What its client proved itself against: a session is not resumed with a token that was changed since.
    verifier: Verifier,
    /// How long it may be without a carrier; `None` if it ends with its first.
    pub resume_window: Option<Duration>,
    /// Whether it has a carrier.
    pub attachment: Attachment,
}

/// Whether a session has a carrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// On a carrier since then.
    Attached {
        /// Since when.
        since: Instant,
    },
    /// Without one since then.
    Detached {
        /// Since when.
        since: Instant,
        /// Memory that it holds, in bytes.
        bytes: usize,
    },
}

impl Attachment {
    const fn detached(self) -> Option<(Instant, usize)> {
        match self {
            Self::Attached { .. } => None,
            Self::Detached { since, bytes } => Some((since, bytes)),
        }
    }
}

/// One per server.
pub struct Endpoint {
    config: Arc<Config>,
    random: Random,
    decoys: Arc<Decoys>,
    /// Shared with every handshake that is under way: one that is dropped anywhere is no longer
    /// counted.
    permits: Arc<()>,
    sessions: BTreeMap<SessionId, SessionRecord>,
}

impl Endpoint {
    /// An endpoint without sessions. `seed` must be fresh and secret: nonces and session ids come
    /// from it.
    #[must_use]
    pub fn new(config: Arc<Config>, seed: [u8; 32]) -> Self {
        let mut random = Random::new(seed);
        let decoys = Decoys {
            verifier: Verifier::decoy(random.array(), random.array()),
            resume_key: ResumeKey::decoy(random.array()),
        };
        Self {
            config,
            random,
            decoys: Arc::new(decoys),
            permits: Arc::new(()),
            sessions: BTreeMap::new(),
        }
    }

    /// Greets a fresh carrier.
    ///
    /// # Errors
    ///
    /// [`AtLimit`] when too many handshakes are under way: drop the carrier.
    pub fn accept(&mut self, now: Instant, facts: ServerFacts) -> Result<ServerHandshake, AtLimit> {
        if self.handshakes() >= self.config.handshakes_max {
            return Err(AtLimit);
        }
        let (decoys, permit) = (self.decoys.clone(), self.permits.clone());
        let nonce = self.random.array();
        Ok(ServerHandshake::new(
            &self.config,
            decoys,
            permit,
            facts,
            nonce,
            now,
        ))
    }

    /// Lets the client in that [`HandshakeEvent::Admit`](crate::HandshakeEvent::Admit) asked for. WELCOME
    /// is the first thing that the session sends.
    ///
    /// `grants` answer the services by their ids, in any order; a service without a grant is refused as
    /// unsupported, a grant without a service is left out.
    ///
    /// # Errors
    ///
    /// [`AdmitError`] says why not; the handshake waits on, to be refused or tried again.
    pub fn admit(
        &mut self,
        now: Instant,
        handshake: &mut ServerHandshake,
        grants: Vec<Grant>,
    ) -> Result<Established, AdmitError> {
        let proven = handshake.proven().ok_or(AdmitError::NotAsked)?;
        if self.sessions.len() >= self.config.sessions_max {
            return Err(AdmitError::AtLimit);
        }
        let id = SessionId(self.random.array());
        let resume_window = proven
            .resume_window
            .filter(|window| self.config.keeps() && !window.is_zero())
            .map(|window| window.min(self.config.resume_window));
        let grants = in_order(&proven.request.services, grants);
        let welcome = Welcome {
            session: id,
            epoch: 0,
            features: resume_window.map_or(0, |_| features::RESUMPTION),
            limits: self.config.limits(),
            resume_window_ms: resume_window.map_or(0, millis),
            grants: grants.clone(),
            others: Vec::new(),
            proof: [0; 32],
        };
        let welcome = Provable::new(&Frame::Welcome(welcome)).ok_or(AdmitError::GrantsTooLong)?;
        let proven = handshake.take_proven().ok_or(AdmitError::NotAsked)?;
        let Proven {
            verifier,
            keys,
            t1,
            proof,
            request,
            limits,
            server_name,
            server_software,
            ..
        } = *proven;

        let t2 = t1.welcome(&proof, welcome.without_proof());
        let resume_key = keys.resume_key(&t2);
        let mut session = Session::new(self.config.clone(), Side::Server, limits, now);
        if let Some(window) = resume_window {
            session = session.resumable(window);
        }
        session.send_first(welcome.prove(&keys.server_proof(&t2)).into());
        let record = SessionRecord {
            tunnel: request.tunnel,
            client_id: request.client_id,
            instance: request.instance,
            epoch: 0,
            resume_key: resume_key.clone(),
            bound: request.bound,
            verifier,
            resume_window,
            attachment: Attachment::Attached { since: now },
        };
        self.sessions.insert(id, record);
        Ok(Established {
            session,
            id,
            grants,
            resume_window: resume_window.unwrap_or_default(),
            resume_key,
            bound: request.bound,
            server_name,
            server_software,
            others: Vec::new(),
        })
    }

    /// A handshake came to nothing. Dropping it does the same: its place is free again.
    pub fn abandon(&mut self, handshake: ServerHandshake) {
        drop(handshake);
    }

    /// Looks for the session that [`HandshakeEvent::Resume`](crate::HandshakeEvent::Resume) asked for. `verifier` is what its tunnel's clients prove
    /// themselves against now. If the client has the right to go on with it: its id. Nothing was done to the session and its carrier
    /// yet; [`ServerHandshake::attach`] does that, where the session is.
    ///
    /// `None`: the client is refused. An unknown session and a wrong proof cost and look the same.
    pub fn find(
        &mut self,
        now: Instant,
        handshake: &mut ServerHandshake,
        verifier: Option<&Verifier>,
    ) -> Option<SessionId> {
        let id = handshake.wanted()?.session;
        let mut record = self
            .sessions
            .get_mut(&id)
            .filter(|record| record.resume_window.is_some());
        let key = record.as_ref().map(|record| record.resume_key.clone());
        let found = handshake.found(now, key.as_ref(), |resume, bound| match &mut record {
            None => Err(AuthFailure::UnknownSession),
            Some(record) => record.take_up(now, resume.epoch, bound, verifier),
        });
        found.then_some(id)
    }

    /// A session lost its carrier, and holds `bytes` of memory. Which sessions must end for the limits on detached ones
    /// ([`Config::detached_max`] and its like) to hold: those of the tunnel that holds most that have been detached for longest.
    #[must_use]
    pub fn detached(&mut self, now: Instant, id: SessionId, bytes: usize) -> Vec<SessionId> {
        let Some(record) = self.sessions.get_mut(&id) else {
            return Vec::new();
        };
        record.attachment = Attachment::Detached { since: now, bytes };
        let mut tunnels: BTreeMap<&TunnelName, Detached> = BTreeMap::new();
        for (id, record) in &self.sessions {
            if let Some((since, bytes)) = record.attachment.detached() {
                tunnels
                    .entry(&record.tunnel)
                    .or_default()
                    .push(since, *id, bytes);
            }
        }
        let mut given_up = Vec::new();
        let (max, bytes) = (self.config.detached_max, self.config.detached_bytes);
        loop {
            let count: usize = tunnels.values().map(|tunnel| tunnel.sessions.len()).sum();
            let held: usize = tunnels.values().map(|tunnel| tunnel.bytes).sum();
            let crowded =
                |tunnel: &&mut Detached| tunnel.sessions.len() > self.config.detached_per_tunnel;
            let next = if let Some(tunnel) = tunnels.values_mut().find(crowded) {
                tunnel.pop()
            } else if held > bytes {
                let most = tunnels.values_mut().max_by_key(|tunnel| tunnel.bytes);
                most.and_then(Detached::pop)
            } else if count > max {
                let most = tunnels.values_mut().max_by_key(|it| it.sessions.len());
                most.and_then(Detached::pop)
            } else {
                None
            };
            match next {
                Some(id) => given_up.push(id),
                None => return given_up,
            }
        }
    }

    /// A session has a carrier again.
    pub fn attached(&mut self, now: Instant, id: SessionId) {
        if let Some(record) = self.sessions.get_mut(&id) {
            record.attachment = Attachment::Attached { since: now };
        }
    }

    /// A session ended: its place is free again.
    pub fn ended(&mut self, id: SessionId) {
        self.sessions.remove(&id);
    }

    /// Handshakes that are under way.
    #[must_use]
    pub fn handshakes(&self) -> usize {
        Arc::strong_count(&self.permits) - 1
    }

    /// The sessions, by id.
    pub fn sessions(&self) -> impl ExactSizeIterator<Item = (SessionId, &SessionRecord)> {
        self.sessions.iter().map(|(id, record)| (*id, record))
    }

    /// What is known of one session.
    #[must_use]
    pub fn session(&self, id: SessionId) -> Option<&SessionRecord> {
        self.sessions.get(&id)
    }

    /// Sessions of another run of the same client: candidates for being replaced
    /// (spec/04-handshake.md, section 4.8).
    pub fn earlier_runs<'a>(
        &'a self,
        request: &'a Request,
    ) -> impl Iterator<Item = SessionId> + 'a {
        let Request {
            tunnel,
            client_id,
            instance,
            ..
        } = request;
        self.sessions().filter_map(move |(id, record)| {
            let same_client = record.tunnel == *tunnel && record.client_id == *client_id;
            (same_client && record.instance != *instance).then_some(id)
        })
    }
}

/// The detached sessions of one tunnel.
#[derive(Default)]
struct Detached {
    bytes: usize,
    /// The one that has been detached for longest comes first.
    sessions: BinaryHeap<Reverse<(Instant, SessionId, usize)>>,
}

impl Detached {
    fn push(&mut self, since: Instant, id: SessionId, bytes: usize) {
        self.bytes += bytes;
        self.sessions.push(Reverse((since, id, bytes)));
    }

    /// Gives up the one that has been detached for longest.
    fn pop(&mut self) -> Option<SessionId> {
        let Reverse((_, id, bytes)) = self.sessions.pop()?;
        self.bytes -= bytes;
        Some(id)
    }
}

impl SessionRecord {
    /// Whether a client that proved its right may go on with the session; `epoch` is taken note of.
    fn take_up(
        &mut self,
        now: Instant,
        epoch: u64,
        bound: bool,
        verifier: Option<&Verifier>,
    ) -> Result<(), AuthFailure> {
        let window = self.resume_window.unwrap_or_default();
        if epoch <= self.epoch {
            return Err(AuthFailure::Stale);
        }
        if self.bound && !bound {
            return Err(AuthFailure::BindingRequired);
        }
        if self
            .attachment
            .detached()
            .is_some_and(|(since, _)| now >= since + window)
        {
            return Err(AuthFailure::Expired);
        }
        if !verifier.is_some_and(|verifier| *verifier == self.verifier) {
            return Err(AuthFailure::Revoked);
        }
        self.epoch = epoch;
        Ok(())
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("handshakes", &self.handshakes())
            .field("sessions", &self.sessions.len())
            .finish_non_exhaustive()
    }
}

/// One grant for each service, in the order of the services.
fn in_order(services: &[Service], grants: Vec<Grant>) -> Vec<Grant> {
    let mut results: BTreeMap<_, _> = grants
        .into_iter()
        .map(|grant| (grant.id, grant.result))
        .collect();
    let answer = |service: &Service| Grant {
        id: service.id,
        result: results
            .remove(&service.id)
            .unwrap_or(Err(Code::UNSUPPORTED)),
    };
    services.iter().map(answer).collect()
}
