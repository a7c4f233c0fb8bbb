//! Frames as they arrive: payload leaves at once, control frames leave whole.
//!
//! A decoder holds a head of at most 14 bytes and a control frame of at most 125, whatever a peer
//! says or sends. What it gives out is the same however the input is cut; only the borders between
//! slices of payload differ.

use bytes::{Buf, Bytes, BytesMut};

use crate::{
    Close, ControlPayload, DEFAULT_FLOOD_BUDGET, Error, Kind, MAX_CONTROL_PAYLOAD, Mask, Role,
    flood::Flood,
    frame::Opcode,
    head::{FrameHead, HeadReader},
    utf8::Utf8,
};

/// What a [`Decoder`] takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Whether text messages are taken, and checked to be UTF-8. Default: no, they end the
    /// connection with code 1003, since a tunnel carries bytes.
    pub text: bool,
    /// The longest message, in bytes. Default: no limit, since a message is not collected here;
    /// whoever collects messages wants one.
    pub max_message: u64,
    /// How many frames without payload may follow each other. Default: [`DEFAULT_FLOOD_BUDGET`].
    pub flood_budget: u32,
}

impl Config {
    /// What a conformance test server takes: text, too, and messages of at most this many bytes.
    pub fn with_text(max_message: u64) -> Self {
        Self {
            text: true,
            max_message,
            ..Self::default()
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            text: false,
            max_message: u64::MAX,
            flood_budget: DEFAULT_FLOOD_BUDGET,
        }
    }
}

/// What a [`Decoder`] gives out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// Payload of the current message.
    Data {
        /// What its message is. A slice of text may begin and end inside a character.
        kind: Kind,
        /// A slice of the input. It is empty only where a message ends with an empty frame.
        payload: Bytes,
        /// Whether the message ends here.
        end: bool,
    },
    /// A ping. It is to be answered by a pong with the same payload.
    Ping(ControlPayload),
    /// A pong.
    Pong(ControlPayload),
    /// A close, the last item; `None` when it has neither code nor reason.
    Close(Option<Close>),
}

/// A message that has begun and not ended.
#[derive(Debug)]
struct Message {
    kind: Kind,
    /// The payload that its frames have declared so far, in bytes.
    declared: u64,
    utf8: Utf8,
}

/// Where in the byte stream the decoder is.
#[derive(Debug)]
enum Place {
    Head,
    Data {
        fin: bool,
        left: u64,
        mask: Mask,
    },
    Control {
        opcode: Opcode,
        left: usize,
        mask: Mask,
        payload: ControlPayload,
    },
    Closed,
    Failed(Error),
}

/// Reads frames from bytes that come in pieces of any length.
#[derive(Debug)]
pub struct Decoder {
    config: Config,
    peer: Role,
    place: Place,
    head: HeadReader,
    message: Option<Message>,
    flood: Flood,
}

impl Decoder {
    /// A decoder at this end of the connection.
    pub fn new(role: Role, config: Config) -> Self {
        Self {
            config,
            peer: match role {
                Role::Client => Role::Server,
                Role::Server => Role::Client,
            },
            place: Place::Head,
            head: HeadReader::default(),
            message: None,
            flood: Flood::new(config.flood_budget),
        }
    }

    /// The next item. `None` means that all of `input` was taken and that more is needed.
    ///
    /// Payload comes out as a part of `input`'s own memory: a slice that is kept keeps all of that
    /// memory. After a close, input is thrown away (RFC 6455 section 5.5.1).
    ///
    /// # Errors
    ///
    /// What is wrong with the peer's bytes. An error is final: it comes again at each further call.
    pub fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Item>, Error> {
        let result = self.advance(input);
        if let Err(error) = result {
            self.place = Place::Failed(error);
            input.clear();
        }
        result
    }

    /// Whether nothing more can come: the peer closed, or failed.
    pub fn is_done(&self) -> bool {
        matches!(self.place, Place::Closed | Place::Failed(_))
    }

    /// How many frames came that had no payload for the layer above: empty data frames, pings and
    /// pongs.
    pub fn idle_frames(&self) -> u64 {
        self.flood.total()
    }

    fn advance(&mut self, input: &mut BytesMut) -> Result<Option<Item>, Error> {
        loop {
            let item = match &mut self.place {
                Place::Head => {
                    let (message, text) = (&self.message, self.config.text);
                    let allowed = |opcode| may_come_now(opcode, message.is_some(), text);
                    let Some(head) = self.head.read(input, self.peer, allowed)? else {
                        return Ok(None);
                    };
                    self.begin(head)?;
                    continue;
                }
                Place::Data { left: 1.., .. } | Place::Control { left: 1.., .. }
                    if input.is_empty() =>
                {
                    return Ok(None);
                }
                Place::Data { .. } => self.data(input)?,
                Place::Control { .. } => self.control(input)?,
                Place::Closed => {
                    input.clear();
                    return Ok(None);
                }
                Place::Failed(error) => return Err(*error),
            };
            if item.is_some() {
                return Ok(item);
            }
        }
    }

    /// A frame's head is complete.
    fn begin(&mut self, head: FrameHead) -> Result<(), Error> {
        let FrameHead {
            opcode,
            fin,
            payload: length,
            key,
        } = head;
        let mask = Mask::new(key);
        let kind = match opcode {
            Opcode::Text => Kind::Text,
            Opcode::Binary | Opcode::Continuation => Kind::Binary,
            Opcode::Close | Opcode::Ping | Opcode::Pong => {
                if opcode != Opcode::Close {
                    self.flood.idle_frame()?;
                }
                let left = usize::try_from(length).unwrap_or(usize::MAX);
                if left > MAX_CONTROL_PAYLOAD {
                    return Err(Error::ControlTooLong);
                }
                let payload = ControlPayload::EMPTY;
                self.place = Place::Control {
                    opcode,
                    left,
                    mask,
                    payload,
                };
                return Ok(());
            }
        };
        let fresh = || Message {
            kind,
            declared: 0,
            utf8: Utf8::default(),
        };
        let message = self.message.get_or_insert_with(fresh);
        let limit = self.config.max_message;
        message.declared = match message.declared.checked_add(length) {
            Some(declared) if declared <= limit => declared,
            _ => return Err(Error::MessageTooLong { limit }),
        };
        if length == 0 {
            self.flood.idle_frame()?;
        }
        self.place = Place::Data {
            fin,
            left: length,
            mask,
        };
        Ok(())
    }

    /// Gives out what there is of a data frame's payload.
    fn data(&mut self, input: &mut BytesMut) -> Result<Option<Item>, Error> {
        let (Place::Data { fin, left, mask }, Some(message)) = (&mut self.place, &mut self.message)
        else {
            return Ok(None);
        };
        let taken = input
            .len()
            .min(usize::try_from(*left).unwrap_or(usize::MAX));
        let payload = if taken == 0 {
            Bytes::new()
        } else {
            self.flood.worked();
            let mut payload = input.split_to(taken);
            mask.apply(&mut payload);
            payload.freeze()
        };
        *left -= taken as u64;

        let kind = message.kind;
        let frame_ends = *left == 0;
        let end = frame_ends && *fin;
        if kind == Kind::Text {
            message
                .utf8
                .push(&payload)
                .map_err(|_| Error::TextNotUtf8)?;
            if end {
                message.utf8.finish().map_err(|_| Error::TextNotUtf8)?;
            }
        }
        if end {
            self.message = None;
        }
        if frame_ends {
            self.place = Place::Head;
        }
        Ok((taken > 0 || end).then_some(Item::Data { kind, payload, end }))
    }

    /// Collects a control frame's payload, and gives the frame out once it is whole.
    fn control(&mut self, input: &mut BytesMut) -> Result<Option<Item>, Error> {
        let Place::Control {
            opcode,
            left,
            mask,
            payload,
        } = &mut self.place
        else {
            return Ok(None);
        };
        let piece = input.get(..*left).unwrap_or(input);
        let taken = payload.extend(piece);
        *left -= taken;
        input.advance(taken);
        if *left > 0 {
            return Ok(None);
        }
        let (opcode, mut payload) = (*opcode, *payload);
        payload.mask(mask.clone());
        self.place = Place::Head;
        Ok(Some(match opcode {
            Opcode::Ping => Item::Ping(payload),
            Opcode::Pong => Item::Pong(payload),
            _ => {
                let close = Close::parse(payload)?;
                self.place = Place::Closed;
                Item::Close(close)
            }
        }))
    }
}

/// Whether a frame of this opcode is in order here (RFC 6455 section 5.4).
fn may_come_now(opcode: Opcode, in_message: bool, text: bool) -> Result<(), Error> {
    match opcode {
        Opcode::Continuation if !in_message => Err(Error::NothingToContinue),
        Opcode::Text | Opcode::Binary if in_message => Err(Error::MessageNotEnded),
        Opcode::Text if !text => Err(Error::TextRefused),
        _ => Ok(()),
    }
}
