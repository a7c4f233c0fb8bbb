//! The side that accepts.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use adit_core::{
    AdmitError, Code, Config, Endpoint, Established, Grant, HandshakeEvent, Request, ServerFacts,
    ServerHandshake, Token, TunnelName, Verifier,
};

use super::handshake::{FRAME_MAX_BYTES, Heard, listen, send};
use super::{AcceptError, Carrier, ConnectError, Session};
use crate::clock::Clock;
use crate::{Runtime, within};

/// Reads of up to 1 KiB from a client that was refused, and might never end.
const IGNORED_READS_MAX: usize = 64;

/// What lets clients in: their tunnels, and one table of sessions with its limits.
pub struct Host {
    clock: Clock,
    endpoint: Arc<Mutex<Endpoint>>,
    verifiers: BTreeMap<TunnelName, Verifier>,
    handshake_timeout: Duration,
}

impl Host {
    /// A host with these limits that lets nobody in yet.
    ///
    /// # Errors
    ///
    /// The limits do not fit each other, or the system gives no random bytes.
    pub fn new(config: Arc<Config>) -> Result<Self, ConnectError> {
        config.validate()?;
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)?;
        Ok(Self {
            clock: Clock::start(),
            handshake_timeout: config.handshake_timeout,
            endpoint: Arc::new(Mutex::new(Endpoint::new(
                super::on_one_carrier(&config),
                seed,
            ))),
            verifiers: BTreeMap::new(),
        })
    }

    /// Lets those in who prove to know this tunnel's token.
    #[must_use]
    pub fn with_tunnel(mut self, tunnel: &TunnelName, token: &Token) -> Self {
        self.verifiers
            .insert(tunnel.clone(), Verifier::new(token, tunnel));
        self
    }

    /// A session over `carrier`, once both sides have proved that they know the token.
    ///
    /// `exporter` is the channel-binding value of a TLS 1.3 connection that ends in this program (RFC 9266): proofs must then be bound to it.
    /// `None` is right for a carrier without TLS of its own. The session runs in a task of its own, on `runtime`. Dropping the
    /// future ends the handshake.
    ///
    /// # Errors
    ///
    /// [`AcceptError`] says why there is none.
    pub async fn accept(
        &self,
        runtime: &impl Runtime,
        mut carrier: impl Carrier,
        exporter: Option<[u8; 32]>,
    ) -> Result<Session, AcceptError> {
        let clock = self.clock;
        let facts = ServerFacts {
            exporter,
            tls_here: exporter.is_some(),
            binding: exporter.is_some(),
            server_name: String::new(),
            software: String::new(),
        };
        let accepted = self.endpoint().accept(clock.now(), facts);
        let mut handshake = accepted.map_err(|_| AcceptError::Busy)?;
        let deadline = clock.now() + self.handshake_timeout;
        let mut refused = None;
        loop {
            match self.progress(&mut handshake) {
                Progress::Established(established) => {
                    let (endpoint, id) = (Arc::clone(&self.endpoint), established.id);
                    let ended = move || lock(&endpoint).ended(id);
                    let session = established.session;
                    return Ok(Session::start(runtime, carrier, session, clock, ended));
                }
                Progress::Refused(error) => refused = Some(error),
                Progress::Waiting => {}
            }
            send(runtime, &mut carrier, deadline - clock.now(), || {
                handshake.poll_transmit(clock.now(), FRAME_MAX_BYTES)
            })
            .await?;
            if handshake.is_finished() {
                // It counts as one that is still under way.
                drop(handshake);
                let _ = within(runtime, deadline - clock.now(), outlast(&mut carrier)).await;
                return Err(refused.unwrap_or(AcceptError::Ended));
            }
            match listen(runtime, &mut carrier, clock, handshake.poll_timeout()).await? {
                Heard::Bytes(bytes) => handshake.handle_input(clock.now(), bytes)?,
                Heard::Nothing => handshake.handle_timeout(clock.now())?,
                Heard::End => return Err(refused.unwrap_or(AcceptError::Ended)),
            }
        }
    }

    /// Answers what the handshake asks.
    fn progress(&self, handshake: &mut ServerHandshake) -> Progress {
        let now = self.clock.now();
        while let Some(event) = handshake.poll_event() {
            match event {
                HandshakeEvent::Authenticate { tunnel } => {
                    handshake.authenticate(now, self.verifiers.get(&tunnel));
                }
                HandshakeEvent::Admit(request) => {
                    let admitted = self.endpoint().admit(now, handshake, grants(request));
                    return match admitted {
                        Ok(established) => Progress::Established(Box::new(established)),
                        Err(AdmitError::AtLimit) => {
                            handshake.refuse(now, Code::BUSY, Duration::ZERO);
                            Progress::Refused(AcceptError::AtLimit)
                        }
                        Err(AdmitError::NotAsked | AdmitError::GrantsTooLong) => {
                            handshake.refuse(now, Code::INTERNAL, Duration::ZERO);
                            Progress::Refused(AcceptError::Ended)
                        }
                    };
                }
                HandshakeEvent::Resume { .. } => {
                    let _ = self.endpoint().find(now, handshake, None);
                }
                HandshakeEvent::Failed(failure) => {
                    return Progress::Refused(AcceptError::Refused(failure));
                }
            }
        }
        Progress::Waiting
    }

    fn endpoint(&self) -> MutexGuard<'_, Endpoint> {
        lock(&self.endpoint)
    }
}

/// Ends the sending direction and waits for the other side to end the other: some transports forget what was sent
/// and not yet read once they are dropped. Who goes on talking is not listened to for long.
async fn outlast(carrier: &mut impl Carrier) -> io::Result<()> {
    poll_fn(|context| carrier.poll_close(context)).await?;
    let mut ignored = [0; 1024];
    for _ in 0..IGNORED_READS_MAX {
        if poll_fn(|context| carrier.poll_read(context, &mut ignored)).await? == 0 {
            break;
        }
    }
    Ok(())
}

enum Progress {
    Waiting,
    Refused(AcceptError),
    Established(Box<Established>),
}

/// A program of one's own opens no ports: every service gets what it asked for.
fn grants(request: Request) -> Vec<Grant> {
    let services = request.services.into_iter();
    services
        .map(|service| Grant {
            id: service.id,
            result: Ok(service.address),
        })
        .collect()
}

fn lock(endpoint: &Mutex<Endpoint>) -> MutexGuard<'_, Endpoint> {
    endpoint.lock().unwrap_or_else(PoisonError::into_inner)
}
