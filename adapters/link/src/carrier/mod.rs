//! One carrier: bytes in, bytes out, and when to look at the clock.

mod opening;

use std::{
    collections::VecDeque,
    fmt,
    io::IoSlice,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use adit_core::Instant;
use adit_websocket::CloseCode;
use bytes::{Bytes, BytesMut};

use crate::{
    error::{LinkError, Phase},
    event::{CarrierEvent, Ending, PeerClosed},
    framing::{Framing, Keys, Outgoing},
    http::{HeadReader, client_request},
    limits::LinkConfig,
    output::Output,
    setup::{ClientSetup, ServerSetup},
    tls::{RECORD_MAX, Tls},
};

/// One end of a carrier. The [crate's page](crate) says how to drive it.
pub struct Carrier {
    config: LinkConfig,
    side: Side,
    /// Whether the first byte has shown what the peer speaks, or need not.
    sniffed: bool,
    tls: Option<Tls>,
    stage: Stage,
    /// An error that came up where none can be returned.
    failure: Option<LinkError>,
    events: VecDeque<CarrierEvent>,
    /// Records that were opened; empty between calls, and kept for its memory.
    plain: Vec<BytesMut>,
    /// Payload for the session, to be polled.
    payload: VecDeque<Bytes>,
    /// Bytes in `payload`.
    unread: usize,
    output: Output,
    started: Instant,
    heard: Instant,
}

enum Side {
    Client,
    Server {
        setup: Arc<ServerSetup>,
        peer: IpAddr,
    },
}

/// How far a carrier is. TLS, where there is any, runs below all of them but `Tls`.
enum Stage {
    /// The TLS handshake, and what comes after it.
    Tls(Box<Self>),
    /// A client is about to send its request.
    Asking(Request),
    /// A client waits for the answer.
    Asked {
        head: HeadReader,
        accept: String,
        keys: Keys,
    },
    /// A server waits for the request.
    Listening(HeadReader),
    /// Bytes pass.
    Open(Framing),
    /// Nothing comes in any more, and what is in the output has until then to go out.
    Ending { until: Instant },
    /// Only inside a call, while one stage becomes the next.
    Taken,
}

/// A client's upgrade request.
struct Request {
    bytes: Vec<u8>,
    /// Whether headers of the user's are in it.
    private: bool,
    accept: String,
    keys: Keys,
}

impl Carrier {
    /// The end that dialled. `seed` must be fresh and unpredictable: mask keys come from it.
    ///
    /// # Errors
    ///
    /// [`LinkError::Setup`]: what is asked for can't be.
    pub fn client(setup: ClientSetup, seed: [u8; 32], now: Instant) -> Result<Self, LinkError> {
        let ClientSetup {
            tls,
            server_name,
            upgrade,
            config,
        } = setup;
        let tls = tls
            .map(|tls| Tls::client(&tls, &server_name, upgrade.is_some()))
            .transpose()?;
        let stage = match upgrade {
            None => Stage::Open(Framing::bare()),
            Some(upgrade) => {
                let (keys, nonce) = Keys::new(seed);
                let (bytes, accept) = client_request(&upgrade, nonce, config.head_max)?;
                let private = !upgrade.headers.is_empty();
                Stage::Asking(Request {
                    bytes,
                    private,
                    accept,
                    keys,
                })
            }
        };
        Ok(Self::new(config, Side::Client, tls, stage, now))
    }

    /// The end that accepted a connection from `peer`. The seed is not used today: a server masks
    /// nothing, and TLS has its own randomness.
    pub fn server(
        setup: Arc<ServerSetup>,
        peer: SocketAddr,
        _seed: [u8; 32],
        now: Instant,
    ) -> Self {
        let config = setup.config.clone();
        let stage = match setup.upgrade {
            None => Stage::Open(Framing::bare()),
            Some(_) => Stage::Listening(HeadReader::new(config.head_max)),
        };
        let (tls, failure) = match setup.tls.as_ref().map(Tls::server).transpose() {
            Ok(tls) => (tls, None),
            Err(error) => (None, Some(error.into())),
        };
        let side = Side::Server {
            setup,
            peer: peer.ip(),
        };
        let mut this = Self::new(config, side, tls, stage, now);
        this.failure = this.failure.or(failure);
        this
    }

    fn new(config: LinkConfig, side: Side, tls: Option<Tls>, stage: Stage, now: Instant) -> Self {
        let sniffed = tls.is_none() && matches!(stage, Stage::Open(_));
        let stage = if tls.is_some() {
            Stage::Tls(Box::new(stage))
        } else {
            stage
        };
        let mut this = Self {
            config,
            side,
            sniffed,
            tls,
            stage,
            failure: None,
            events: VecDeque::new(),
            plain: Vec::new(),
            payload: VecDeque::new(),
            unread: 0,
            output: Output::default(),
            started: now,
            heard: now,
        };
        if this.tls.is_none() {
            this.failure = this.begin().err();
        }
        this.settle();
        this
    }

    // What happened.

    /// How many bytes the next read should ask for. 0 while too much payload was not polled.
    pub fn read_limit(&self) -> usize {
        self.config
            .unread_max
            .saturating_sub(self.unread)
            .min(self.config.read_size)
    }

    /// Bytes came from the socket, at most [`read_limit`](Self::read_limit) of them. Poll events and
    /// payload afterwards, until there are none.
    ///
    /// # Errors
    ///
    /// The carrier failed. There may be last words in the output, for the peer: an HTTP answer, a
    /// Close, an alert.
    pub fn handle_input(&mut self, now: Instant, data: BytesMut) -> Result<(), LinkError> {
        if let Some(error) = self.failure.take() {
            return Err(self.fail(now, error));
        }
        if data.is_empty() || matches!(self.stage, Stage::Ending { .. }) {
            return Ok(());
        }
        if self.unread.saturating_add(data.len()) > self.config.unread_max {
            let limit = self.config.unread_max;
            return Err(self.fail(now, LinkError::Unread { limit }));
        }
        self.heard = now;
        let result = self.advance(now, data);
        if let Err(error) = result {
            return Err(self.fail(now, error));
        }
        self.settle();
        Ok(())
    }

    /// The socket has no more bytes to read.
    pub fn handle_eof(&mut self, now: Instant) {
        self.peer_closed(now, Ending::Eof);
    }

    /// Looks at the time. Calls at other times than [`poll_timeout`](Self::poll_timeout) do nothing.
    ///
    /// # Errors
    ///
    /// [`LinkError::Silent`] or [`LinkError::TimedOut`]: close the socket.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), LinkError> {
        if let Some(error) = self.failure.take() {
            return Err(self.fail(now, error));
        }
        let phase = self.phase();
        let error = match self.stage {
            Stage::Open(_) => return Ok(()),
            Stage::Ending { until } => {
                if now < until || self.output.is_empty() {
                    return Ok(());
                }
                self.output = Output::default();
                return Err(LinkError::TimedOut {
                    phase,
                    limit: self.config.closing_timeout,
                });
            }
            _ if now >= self.started + self.config.handshake_timeout => LinkError::TimedOut {
                phase,
                limit: self.config.handshake_timeout,
            },
            _ if now >= self.heard + self.config.silent_after => LinkError::Silent {
                phase,
                limit: self.config.silent_after,
            },
            _ => return Ok(()),
        };
        Err(self.fail(now, error))
    }

    /// When to call [`handle_timeout`](Self::handle_timeout). `None` once the carrier is ready: from
    /// then on the session watches over it.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.failure.is_some() {
            return Some(self.started);
        }
        match self.stage {
            Stage::Open(_) => None,
            Stage::Ending { until } => Some(until).filter(|_| !self.output.is_empty()),
            _ => {
                let silent = self.heard + self.config.silent_after;
                Some(silent.min(self.started + self.config.handshake_timeout))
            }
        }
    }

    // What to tell the session.

    /// What happened since the last call.
    pub fn poll_event(&mut self) -> Option<CarrierEvent> {
        self.events.pop_front()
    }

    /// Bytes for the session, in order; where they are cut means nothing.
    pub fn poll_payload(&mut self) -> Option<Bytes> {
        let payload = self.payload.pop_front();
        match &payload {
            Some(bytes) => self.unread = self.unread.saturating_sub(bytes.len()),
            // A flood of tiny slices must not leave its queue behind.
            None if self.payload.capacity() > 64 => self.payload = VecDeque::new(),
            None => {}
        }
        payload
    }

    /// The largest buffer, in bytes, that a slice of payload may keep alive: that which was read into, except with
    /// TLS 1.2, where a record has its own.
    pub fn payload_slab(&self) -> usize {
        match &self.tls {
            Some(tls) if !tls.opens_in_place() => RECORD_MAX,
            _ => self.config.read_size,
        }
    }

    // What to send.

    /// How many bytes of frames may be sent now. 0 before [`CarrierEvent::Ready`], after the end, and
    /// while [`unsent_max`](LinkConfig::unsent_max) bytes wait.
    pub fn send_space(&self) -> usize {
        match self.stage {
            Stage::Open(_) if self.failure.is_none() => {
                self.config.unsent_max.saturating_sub(self.output.len())
            }
            _ => 0,
        }
    }

    /// Sends what `pull` gives, until it gives nothing or there is no more space, and says how many
    /// bytes of frames that was. `pull` is told how large the next frame may be.
    ///
    /// Frames leave in batches of up to 16 KiB: one batch is one WebSocket frame and one TLS record.
    pub fn send<T: Into<Outgoing>>(&mut self, mut pull: impl FnMut(usize) -> Option<T>) -> usize {
        let mut sent = 0;
        while self.send_space() > 0 {
            let Stage::Open(framing) = &mut self.stage else {
                break;
            };
            let pull = |room| pull(room).map(Into::into);
            match framing.send_batch(self.tls.as_mut(), &mut self.output, pull) {
                Ok(0) => break,
                Ok(len) => sent += len,
                Err(error) => self.failure = Some(error),
            }
            self.flush();
        }
        sent
    }

    /// Fills `out` with what to write to the socket, and says how many slices that took.
    pub fn gather<'a>(&'a mut self, out: &mut [IoSlice<'a>]) -> usize {
        self.output.gather(out)
    }

    /// The socket took the first `n` bytes of what [`gather`](Self::gather) gave.
    pub fn written(&mut self, n: usize) {
        self.output.written(n);
        self.settle();
    }

    /// Whether there is something to write.
    pub fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// Says good-bye: a WebSocket Close with this code, and TLS's close_notify. Nothing can be sent
    /// afterwards, and what comes in is thrown away. Write what is left, then close the socket.
    pub fn close(&mut self, now: Instant, code: CloseCode) {
        if let Stage::Open(framing) = &mut self.stage {
            framing.close(code);
        }
        self.end(now);
    }

    /// Whether all is over and written: close the socket.
    pub fn is_finished(&self) -> bool {
        matches!(self.stage, Stage::Ending { .. }) && self.output.is_empty()
    }

    // Inside.

    fn advance(&mut self, now: Instant, data: BytesMut) -> Result<(), LinkError> {
        if !self.sniffed {
            self.sniff(&data)?;
            self.sniffed = true;
        }
        let phase = self.phase();
        let Some(tls) = &mut self.tls else {
            return self.pass_on(now, data);
        };
        let mut plain = std::mem::take(&mut self.plain);
        let result = tls.read(phase, data, |record| plain.push(record));
        let is_closed = tls.is_closed();
        if !tls.is_handshaking() {
            self.begin_after_tls()?;
            // What came in front of an error still counts.
            for record in plain.drain(..) {
                self.pass_on(now, record)?;
            }
        }
        self.plain = plain;
        result?;
        if is_closed {
            self.peer_closed(now, Ending::Tls);
        }
        Ok(())
    }

    /// Above TLS: the upgrade, then frames.
    fn pass_on(&mut self, now: Instant, mut input: BytesMut) -> Result<(), LinkError> {
        if !matches!(self.stage, Stage::Open(_)) {
            match self.upgrade(now, input)? {
                Some(rest) => input = rest,
                None => return Ok(()),
            }
        }
        let Stage::Open(framing) = &mut self.stage else {
            return Ok(());
        };
        let ending = framing.decode(input, |payload| {
            self.unread += payload.len();
            self.payload.push_back(payload);
        })?;
        if let Some(ending) = ending {
            self.peer_closed(now, ending);
        }
        Ok(())
    }

    /// Writes bytes of HTTP.
    fn emit(&mut self, bytes: &[u8]) -> Result<(), LinkError> {
        match &mut self.tls {
            Some(tls) => {
                for part in bytes.chunks(RECORD_MAX) {
                    tls.write(&mut self.output, part.len(), |out| {
                        out.extend_from_slice(part)
                    })?;
                }
                Ok(())
            }
            None => {
                self.output.copy(bytes);
                Ok(())
            }
        }
    }

    fn peer_closed(&mut self, now: Instant, how: Ending) {
        if matches!(self.stage, Stage::Ending { .. }) {
            return;
        }
        let phase = self.phase();
        self.events
            .push_back(CarrierEvent::PeerClosed(PeerClosed { phase, how }));
        self.end(now);
    }

    fn fail(&mut self, now: Instant, error: LinkError) -> LinkError {
        self.end(now);
        error
    }

    /// Says what is left to be said, and lets nothing more in.
    fn end(&mut self, now: Instant) {
        let until = now + self.config.closing_timeout;
        let stage = std::mem::replace(&mut self.stage, Stage::Ending { until });
        match stage {
            // An error here comes of an earlier one, which is known.
            Stage::Open(mut framing) => {
                let _ = framing.send_control(self.tls.as_mut(), &mut self.output);
            }
            Stage::Ending { until } => {
                self.stage = Stage::Ending { until };
                return;
            }
            _ => {}
        }
        if let Some(tls) = &mut self.tls {
            tls.close();
        }
        self.flush();
    }

    /// Sends what is owed, as far as the output's limit allows.
    fn settle(&mut self) {
        if self.send_space() > 0
            && let Stage::Open(framing) = &mut self.stage
        {
            let sent = framing.send_control(self.tls.as_mut(), &mut self.output);
            self.failure = sent.err();
        }
        self.flush();
    }

    fn flush(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.flush(&mut self.output);
        }
    }

    fn phase(&self) -> Phase {
        match self.stage {
            Stage::Tls(_) => Phase::Tls,
            Stage::Asking(_) | Stage::Asked { .. } | Stage::Listening(_) => Phase::Upgrade,
            Stage::Open(_) => Phase::Open,
            Stage::Ending { .. } | Stage::Taken => Phase::Closing,
        }
    }

    /// Whoever takes the stage puts the next one in its place, or fails.
    fn take_stage(&mut self) -> Stage {
        std::mem::replace(&mut self.stage, Stage::Taken)
    }
}

/// Without bytes of any kind: a request may hold passwords.
impl fmt::Debug for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Carrier")
            .field("phase", &self.phase())
            .field("tls", &self.tls)
            .field("unread", &self.unread)
            .field("unsent", &self.output.len())
            .finish_non_exhaustive()
    }
}
