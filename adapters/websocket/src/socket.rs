//! A decoder and an encoder, and what RFC 6455 wants to pass from one to the other: an answer to a
//! ping, and an answer to a close.
//!
//! Each is a single slot. A peer that sends pings and reads nothing overwrites the slot, so nothing
//! grows; RFC 6455 section 5.5.3 lets a pong answer only the latest ping.

use bytes::BytesMut;

use crate::{
    Close, Config, ControlFrame, ControlPayload, Decoder, Encoder, Error, Head, Item, Kind, Mask,
    MaskKeys, Role, SendError,
};

/// How far this end's half of the close handshake is (RFC 6455 section 7.1).
#[derive(Debug)]
enum Closing {
    No,
    /// A Close is the next thing to send after a pong that is owed.
    Owed(Option<Close>),
    Sent,
}

/// One end of a WebSocket connection, after the upgrade.
///
/// Feed it with [`decode`](Self::decode); after each item, or each batch of items, write what
/// [`poll_control`](Self::poll_control) gives, between two data frames and never inside one.
pub struct WebSocket<K = fn() -> [u8; 4]> {
    decoder: Decoder,
    encoder: Encoder<K>,
    /// The payload of the latest ping that has no answer yet.
    pong: Option<ControlPayload>,
    closing: Closing,
}

impl<K: MaskKeys> WebSocket<K> {
    /// The end that dialled. It masks with `keys`.
    pub fn client(keys: K, config: Config) -> Self {
        Self::new(Decoder::new(Role::Client, config), Encoder::client(keys))
    }

    /// The end that accepted.
    pub fn server(config: Config) -> Self {
        Self::new(Decoder::new(Role::Server, config), Encoder::server())
    }

    fn new(decoder: Decoder, encoder: Encoder<K>) -> Self {
        Self {
            decoder,
            encoder,
            pong: None,
            closing: Closing::No,
        }
    }

    /// The next item of the peer's; see [`Decoder::decode`]. A ping leaves a pong to be sent, a
    /// close or an error leaves a Close to be sent, unless one was sent before.
    ///
    /// # Errors
    ///
    /// What is wrong with the peer's bytes. An error is final: write what
    /// [`poll_control`](Self::poll_control) gives, then end the carrier.
    pub fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Item>, Error> {
        let result = self.decoder.decode(input);
        match &result {
            Ok(Some(Item::Ping(payload))) if !self.is_closing() => self.pong = Some(*payload),
            Ok(Some(Item::Close(close))) => {
                // The code goes back, the reason does not: the peer knows what it said.
                self.owe_close(close.map(|close| Close::new(close.code(), "")));
            }
            Ok(_) => {}
            Err(error) => self.owe_close(Some((*error).into())),
        }
        result
    }

    /// The next control frame that is owed. Write it between two data frames.
    ///
    /// After [`close`](Self::close), a peer's close or an error, the last of them is a Close, and
    /// nothing may be written after it.
    pub fn poll_control(&mut self) -> Option<ControlFrame> {
        if let Some(payload) = self.pong.take() {
            return Some(self.encoder.pong(payload));
        }
        let Closing::Owed(close) = &self.closing else {
            return None;
        };
        let frame = self.encoder.close(close.as_ref());
        self.closing = Closing::Sent;
        Some(frame)
    }

    /// The head and the mask of a data frame; see [`Encoder::data`].
    ///
    /// # Errors
    ///
    /// [`SendError::Closing`] once a Close was sent or is owed, [`SendError::TooLong`] when
    /// `payload` does not fit 63 bits.
    pub fn data(&mut self, kind: Kind, payload: u64, end: bool) -> Result<(Head, Mask), SendError> {
        if self.is_closing() {
            return Err(SendError::Closing);
        }
        self.encoder.data(kind, payload, end)
    }

    /// Begins to close. What the peer still sends can be read until its own Close comes. A second
    /// close, or one after the peer's, changes nothing.
    pub fn close(&mut self, close: Close) {
        self.owe_close(Some(close));
    }

    /// Whether this end can send no more data: a Close was sent or is owed.
    pub fn is_closing(&self) -> bool {
        !matches!(self.closing, Closing::No)
    }

    /// Whether both directions are over, so that the carrier can end: a Close was handed out for
    /// writing, and the peer closed or failed.
    pub fn is_closed(&self) -> bool {
        matches!(self.closing, Closing::Sent) && self.decoder.is_done()
    }

    /// How many frames came that had no payload; see [`Decoder::idle_frames`].
    pub fn idle_frames(&self) -> u64 {
        self.decoder.idle_frames()
    }

    fn owe_close(&mut self, close: Option<Close>) {
        if !self.is_closing() {
            self.closing = Closing::Owed(close);
        }
    }
}

impl<K> core::fmt::Debug for WebSocket<K> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("WebSocket")
            .field("decoder", &self.decoder)
            .field("encoder", &self.encoder)
            .field("closing", &self.closing)
            .finish_non_exhaustive()
    }
}
