//! A server's endpoint: greets every carrier, gives out session ids, keeps the table of sessions, and holds
//! the limits on both.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use thiserror::Error;

use crate::auth::{ResumeKey, Verifier};
use crate::code::Code;
use crate::config::Config;
use crate::frame::{Frame, Grant, Service, Welcome};
use crate::handshake::{
    Decoys, Established, Provable, Proven, Request, ServerFacts, ServerHandshake,
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
    /// Whether it has a carrier.
    pub attachment: Attachment,
}

/// Whether a session has a carrier. Every session has one, until sessions can be resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// On a carrier since then.
    Attached {
        /// Since when.
        since: Instant,
    },
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
        let grants = in_order(&proven.request.services, grants);
        let welcome = Welcome {
            session: id,
            epoch: 0,
            features: 0,
            limits: self.config.limits(),
            resume_window_ms: 0,
            grants: grants.clone(),
            others: Vec::new(),
            proof: [0; 32],
        };
        let welcome = Provable::new(&Frame::Welcome(welcome)).ok_or(AdmitError::GrantsTooLong)?;
        let proven = handshake.take_proven().ok_or(AdmitError::NotAsked)?;
        let Proven {
            keys,
            t1,
            proof,
            request,
            limits,
            server_name,
            server_software,
        } = *proven;

        let t2 = t1.welcome(&proof, welcome.without_proof());
        let resume_key = keys.resume_key(&t2);
        let mut session = Session::new(self.config.clone(), Side::Server, limits, now);
        session.send_first(welcome.prove(&keys.server_proof(&t2)).into());
        let record = SessionRecord {
            tunnel: request.tunnel,
            client_id: request.client_id,
            instance: request.instance,
            epoch: 0,
            resume_key: resume_key.clone(),
            bound: request.bound,
            attachment: Attachment::Attached { since: now },
        };
        self.sessions.insert(id, record);
        Ok(Established {
            session,
            id,
            grants,
            resume_window: Duration::ZERO,
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
