//! The side that connects.

use std::sync::Arc;

use adit_core::{
    CarrierFacts, ClientHandshake, ClientHello, ClientId, Config, Instance, Token, TunnelName,
};

use super::handshake::{FRAME_MAX_BYTES, Heard, listen, send};
use super::{Carrier, ConnectError, Session};
use crate::Runtime;
use crate::clock::Clock;

/// Who connects, and what it knows. Good for any number of sessions.
#[derive(Clone)]
pub struct Client {
    config: Arc<Config>,
    token: Token,
    tunnel: TunnelName,
    id: ClientId,
}

impl Client {
    /// A client of this tunnel, with default limits.
    #[must_use]
    pub fn new(token: Token, tunnel: TunnelName, id: ClientId) -> Self {
        Self {
            config: Arc::default(),
            token,
            tunnel,
            id,
        }
    }

    /// The same with other limits.
    #[must_use]
    pub fn with_config(mut self, config: Arc<Config>) -> Self {
        self.config = config;
        self
    }

    /// A session over `carrier`, once both sides have proved that they know the token.
    ///
    /// `facts` say what is known of the carrier: without TLS in it, that is all `None` and `false`. The session runs in a task
    /// of its own, on `runtime`.
    ///
    /// # Errors
    ///
    /// [`ConnectError`] says why there is none, and what to do.
    pub async fn connect(
        &self,
        runtime: &impl Runtime,
        mut carrier: impl Carrier,
        facts: CarrierFacts,
    ) -> Result<Session, ConnectError> {
        self.config.validate()?;
        let config = super::on_one_carrier(&self.config);
        let clock = Clock::start();
        let (mut seed, mut instance) = ([0; 32], [0; 16]);
        getrandom::fill(&mut seed)?;
        getrandom::fill(&mut instance)?;
        let hello = ClientHello {
            tunnel: self.tunnel.clone(),
            client_id: self.id.clone(),
            instance: Instance(instance),
            services: Vec::new(),
            labels: Vec::new(),
            software: String::new(),
        };
        let deadline = clock.now() + config.handshake_timeout;
        let mut handshake =
            ClientHandshake::new(config, &self.token, hello, facts, seed, clock.now());
        loop {
            send(runtime, &mut carrier, deadline - clock.now(), || {
                handshake.poll_transmit(clock.now(), FRAME_MAX_BYTES)
            })
            .await?;
            if let Some(established) = handshake.poll_established(clock.now()) {
                return Ok(Session::start(
                    runtime,
                    carrier,
                    established.session,
                    clock,
                    || (),
                ));
            }
            match listen(runtime, &mut carrier, clock, handshake.poll_timeout()).await? {
                Heard::Bytes(bytes) => handshake.handle_input(clock.now(), bytes)?,
                Heard::Nothing => handshake.handle_timeout(clock.now())?,
                Heard::End => return Err(ConnectError::Ended),
            }
        }
    }
}
