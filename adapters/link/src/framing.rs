//! The layer between frames of the session and bytes: batches, in WebSocket frames or bare.

use adit_core::Transmit;
use adit_websocket::{Close, CloseCode, Config, Item, Kind, MaskKeys, WebSocket};
use bytes::{Bytes, BytesMut};
use chacha20::{
    ChaCha12Rng,
    rand_core::{Rng, SeedableRng},
};

use crate::{
    error::{LinkError, escape},
    event::Ending,
    output::Output,
    tls::{RECORD_MAX, Tls},
};

/// The head of a batch's WebSocket frame: two bytes, a 16-bit length, and a client's mask key.
const WEBSOCKET_HEAD: usize = 8;

/// The most bytes of frames in a batch: with the WebSocket head, one TLS record.
const BATCH_MAX: usize = RECORD_MAX - WEBSOCKET_HEAD;

/// The most frames in a batch.
const BATCH_FRAMES: usize = 63;

/// The least that a batch must have room for before another frame is asked for: core makes no frame
/// for less.
const FRAME_ROOM: usize = 64;

/// Something to send: a frame of core's, or bytes that are frames already.
#[derive(Debug)]
pub enum Outgoing {
    /// A frame.
    Frame(Transmit),
    /// Bytes.
    Bytes(Bytes),
}

impl From<Transmit> for Outgoing {
    fn from(frame: Transmit) -> Self {
        Self::Frame(frame)
    }
}

impl From<Bytes> for Outgoing {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl Outgoing {
    fn head(&self) -> &[u8] {
        match self {
            Self::Frame(frame) => frame.head(),
            Self::Bytes(_) => &[],
        }
    }

    fn payload(&self) -> &Bytes {
        match self {
            Self::Frame(frame) => frame.payload(),
            Self::Bytes(bytes) => bytes,
        }
    }

    fn len(&self) -> usize {
        self.head().len() + self.payload().len()
    }
}

/// Mask keys, unpredictable to whoever chooses the payload (RFC 6455 section 5.3).
pub(crate) struct Keys(ChaCha12Rng);

impl Keys {
    /// The keys, and a nonce for the upgrade request, from one seed.
    pub(crate) fn new(seed: [u8; 32]) -> (Self, [u8; 16]) {
        let mut rng = ChaCha12Rng::from_seed(seed);
        let mut nonce = [0; 16];
        rng.fill_bytes(&mut nonce);
        (Self(rng), nonce)
    }
}

impl MaskKeys for Keys {
    fn next_key(&mut self) -> [u8; 4] {
        self.0.next_u32().to_le_bytes()
    }
}

/// What the frames of the session are wrapped in.
enum Layer {
    Bare,
    WebSocket(Box<WebSocket<Keys>>),
}

/// Wraps and unwraps. The batch that is being made lives here so that its memory is used again.
pub(crate) struct Framing {
    layer: Layer,
    batch: Vec<Outgoing>,
}

impl Framing {
    pub(crate) fn bare() -> Self {
        Self::new(Layer::Bare)
    }

    pub(crate) fn client(keys: Keys) -> Self {
        Self::new(Layer::WebSocket(Box::new(WebSocket::client(
            keys,
            Config::default(),
        ))))
    }

    pub(crate) fn server() -> Self {
        Self::new(Layer::WebSocket(Box::new(WebSocket::server(
            Config::default(),
        ))))
    }

    fn new(layer: Layer) -> Self {
        Self {
            layer,
            batch: Vec::new(),
        }
    }

    /// Unwraps what came, hands payload to `take`, and says whether the peer closed.
    pub(crate) fn decode(
        &mut self,
        mut input: BytesMut,
        mut take: impl FnMut(Bytes),
    ) -> Result<Option<Ending>, LinkError> {
        let Layer::WebSocket(socket) = &mut self.layer else {
            if !input.is_empty() {
                take(input.freeze());
            }
            return Ok(None);
        };
        while let Some(item) = socket.decode(&mut input)? {
            match item {
                Item::Data { payload, .. } if !payload.is_empty() => take(payload),
                Item::Close(close) => {
                    return Ok(Some(Ending::WebSocket {
                        code: close.as_ref().map(|close| close.code().get()),
                        reason: close
                            .map(|close| escape(close.reason()))
                            .unwrap_or_default(),
                    }));
                }
                Item::Data { .. } | Item::Ping(_) | Item::Pong(_) => {}
            }
        }
        Ok(None)
    }

    /// Sends one batch of what `pull` gives, and says how many bytes of frames it had. `pull` is
    /// told how large the next frame may be.
    pub(crate) fn send_batch(
        &mut self,
        tls: Option<&mut Tls>,
        output: &mut Output,
        mut pull: impl FnMut(usize) -> Option<Outgoing>,
    ) -> Result<usize, LinkError> {
        self.batch.clear();
        let mut len: usize = 0;
        while self.batch.len() < BATCH_FRAMES {
            let room = BATCH_MAX.saturating_sub(len);
            if room < FRAME_ROOM {
                break;
            }
            let Some(frame) = pull(room) else { break };
            len += frame.len();
            self.batch.push(frame);
        }
        if len > 0 {
            self.wrap(len, tls, output)?;
        }
        self.batch.clear();
        Ok(len)
    }

    fn wrap(
        &mut self,
        len: usize,
        tls: Option<&mut Tls>,
        output: &mut Output,
    ) -> Result<(), LinkError> {
        let (head, mask) = match &mut self.layer {
            Layer::Bare => (None, None),
            Layer::WebSocket(socket) => {
                // Refused only when closing, and then nobody asks for a batch.
                let Ok((head, mask)) = socket.data(Kind::Binary, len as u64, true) else {
                    return Ok(());
                };
                (Some(head), Some(mask).filter(|mask| !mask.is_none()))
            }
        };
        let head = head.as_ref().map_or(&[][..], |head| head.as_slice());
        let batch = &self.batch;
        if let (None, None) = (&tls, &mask) {
            output.copy(head);
            for frame in batch {
                output.copy(frame.head());
                output.push(frame.payload().clone());
            }
            return Ok(());
        }
        // Copies and masks in one pass, into where it is sealed and written from.
        let mut mask = mask.unwrap_or_default();
        let fill = |out: &mut BytesMut| {
            out.extend_from_slice(head);
            for frame in batch {
                mask.copy_into(frame.head(), out);
                mask.copy_into(frame.payload(), out);
            }
        };
        match tls {
            Some(tls) => tls.write(output, head.len() + len, fill),
            None => {
                output.append(fill);
                Ok(())
            }
        }
    }

    /// Sends the control frames that are owed: a pong, a Close.
    pub(crate) fn send_control(
        &mut self,
        mut tls: Option<&mut Tls>,
        output: &mut Output,
    ) -> Result<(), LinkError> {
        let Layer::WebSocket(socket) = &mut self.layer else {
            return Ok(());
        };
        while let Some(frame) = socket.poll_control() {
            match &mut tls {
                Some(tls) => {
                    let frame = frame.as_slice();
                    tls.write(output, frame.len(), |out| out.extend_from_slice(frame))?
                }
                None => output.copy(frame.as_slice()),
            }
        }
        Ok(())
    }

    /// Begins to close.
    pub(crate) fn close(&mut self, code: CloseCode) {
        if let Layer::WebSocket(socket) = &mut self.layer {
            socket.close(Close::new(code, ""));
        }
    }
}

impl std::fmt::Debug for Framing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let layer = match &self.layer {
            Layer::Bare => "bare",
            Layer::WebSocket(_) => "WebSocket",
        };
        f.debug_struct("Framing")
            .field("layer", &layer)
            .finish_non_exhaustive()
    }
}
