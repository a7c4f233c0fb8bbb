//! Cuts the bytes of a carrier into frames. Bodies come out whole; payload comes out as it arrives, by reference
//! (spec/03-frames.md, section 3.2).

use alloc::vec::Vec;

use bytes::{Buf, Bytes};

use crate::codec::{Varint, read_varint};
use crate::error::ProtocolError;
use crate::frame::{BODY_MAX, PAYLOAD_MAX, kind};
use crate::ids::StreamId;

/// The longest head: a type and two varints of 8 bytes.
const HEAD_MAX: usize = 17;

/// A piece of what arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A frame with a body, whole.
    Body {
        /// Its type.
        kind: u8,
        /// All its bytes, head included: what transcripts cover.
        encoding: Bytes,
        /// Bytes of the head; the body follows.
        head_len: usize,
    },
    /// A part of the payload of DATA, as it arrived. An empty one is a frame without payload.
    Payload {
        /// The stream it belongs to.
        stream: StreamId,
        /// The bytes.
        chunk: Bytes,
    },
}

impl Piece {
    /// The body of a frame that has one.
    #[must_use]
    pub fn body(&self) -> Bytes {
        match self {
            Self::Body {
                encoding, head_len, ..
            } => encoding.slice(*head_len..),
            Self::Payload { chunk, .. } => chunk.clone(),
        }
    }
}

#[derive(Debug)]
enum State {
    /// Between frames, or inside a head of which `head` holds the start.
    Head,
    /// Inside a body that was cut: `partial` holds its encoding so far.
    Body {
        kind: u8,
        head_len: usize,
        encoding_len: usize,
    },
    /// Inside a payload.
    Payload { stream: StreamId, left: u64 },
    /// Inside a frame that is skipped.
    Skip { left: u64 },
}

/// Cuts input into [`Piece`]s. Holds at most one body of a frame that was cut.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    head: [u8; HEAD_MAX],
    head_len: usize,
    partial: Vec<u8>,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            state: State::Head,
            head: [0; HEAD_MAX],
            head_len: 0,
            partial: Vec::new(),
        }
    }
}

enum Head {
    Body {
        head_len: usize,
        encoding_len: usize,
    },
    Payload {
        head_len: usize,
        stream: StreamId,
        len: u64,
    },
    Skip {
        head_len: usize,
        len: u64,
    },
    Short,
}

impl Decoder {
    /// Takes the next piece off the front of `input`; `None` when the rest was taken and more is needed.
    ///
    /// # Errors
    ///
    /// [`ProtocolError`] as soon as a head shows it; the decoder is of no use afterwards.
    pub fn decode(&mut self, input: &mut Bytes) -> Result<Option<Piece>, ProtocolError> {
        loop {
            match self.state {
                State::Head => {
                    if input.is_empty() {
                        return Ok(None);
                    }
                    if let Some(piece) = self.head(input)? {
                        return Ok(Some(piece));
                    }
                }
                State::Body {
                    kind,
                    head_len,
                    encoding_len,
                } => {
                    let missing = encoding_len - self.partial.len();
                    let part = input.split_to(missing.min(input.len()));
                    self.partial.extend_from_slice(&part);
                    if self.partial.len() < encoding_len {
                        return Ok(None);
                    }
                    self.state = State::Head;
                    let encoding = Bytes::from(core::mem::take(&mut self.partial));
                    return Ok(Some(Piece::Body {
                        kind,
                        encoding,
                        head_len,
                    }));
                }
                State::Payload { stream, left } => {
                    if input.is_empty() {
                        return Ok(None);
                    }
                    let chunk = input.split_to(clamp(left, input.len()));
                    self.state = match left - chunk.len() as u64 {
                        0 => State::Head,
                        left => State::Payload { stream, left },
                    };
                    return Ok(Some(Piece::Payload { stream, chunk }));
                }
                State::Skip { left } => {
                    let skipped = clamp(left, input.len());
                    input.advance(skipped);
                    self.state = match left - skipped as u64 {
                        0 => State::Head,
                        left => State::Skip { left },
                    };
                    if input.is_empty() {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Whether the last frame ended where the input ended.
    #[must_use]
    pub const fn is_between_frames(&self) -> bool {
        matches!(self.state, State::Head) && self.head_len == 0
    }

    /// Bytes that this decoder keeps of a frame that was cut.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.partial.capacity()
    }

    /// Reads a head; a body that lies whole in `input` is returned at once, without a copy.
    fn head(&mut self, input: &mut Bytes) -> Result<Option<Piece>, ProtocolError> {
        let kept = self.head_len;
        if kept == 0 {
            // The usual case: the head lies whole at the front of the input.
            return match parse_head(input)? {
                Head::Short => {
                    self.keep(input);
                    Ok(None)
                }
                head => Ok(self.begin(head, input)),
            };
        }
        let more = input.len().min(HEAD_MAX - kept);
        self.head[kept..kept + more].copy_from_slice(&input[..more]);
        match parse_head(&self.head[..kept + more])? {
            Head::Short => {
                self.head_len = kept + more;
                input.advance(more);
                Ok(None)
            }
            head => {
                let head_len = head.len();
                self.head_len = 0;
                input.advance(head_len - kept);
                match head {
                    Head::Body { encoding_len, .. } => {
                        self.partial.reserve_exact(encoding_len);
                        self.partial.extend_from_slice(&self.head[..head_len]);
                        self.state = State::Body {
                            kind: self.head[0],
                            head_len,
                            encoding_len,
                        };
                        Ok(None)
                    }
                    head => Ok(self.enter(head)),
                }
            }
        }
    }

    fn keep(&mut self, input: &mut Bytes) {
        let len = input.len();
        self.head[..len].copy_from_slice(input);
        self.head_len = len;
        input.advance(len);
    }

    /// A head at the very front of `input`.
    fn begin(&mut self, head: Head, input: &mut Bytes) -> Option<Piece> {
        if let Head::Body {
            head_len,
            encoding_len,
        } = head
        {
            let kind = input[0];
            if encoding_len <= input.len() {
                let encoding = input.split_to(encoding_len);
                return Some(Piece::Body {
                    kind,
                    encoding,
                    head_len,
                });
            }
            // The length was checked against BODY_MAX, so this reserves little.
            self.partial.reserve_exact(encoding_len);
            self.state = State::Body {
                kind,
                head_len,
                encoding_len,
            };
            return None;
        }
        input.advance(head.len());
        self.enter(head)
    }

    fn enter(&mut self, head: Head) -> Option<Piece> {
        match head {
            Head::Payload { stream, len: 0, .. } => {
                return Some(Piece::Payload {
                    stream,
                    chunk: Bytes::new(),
                });
            }
            Head::Payload { stream, len, .. } => self.state = State::Payload { stream, left: len },
            Head::Skip { len: 0, .. } | Head::Body { .. } | Head::Short => (),
            Head::Skip { len, .. } => self.state = State::Skip { left: len },
        }
        None
    }
}

impl Head {
    const fn len(&self) -> usize {
        match self {
            Self::Body { head_len, .. }
            | Self::Payload { head_len, .. }
            | Self::Skip { head_len, .. } => *head_len,
            Self::Short => 0,
        }
    }
}

fn clamp(left: u64, available: usize) -> usize {
    usize::try_from(left).map_or(available, |left| left.min(available))
}

/// Whether a body of this type is read; the others up to 0x7f are errors, those from 0x80 are skipped.
const fn has_body(kind: u8) -> bool {
    matches!(
        kind,
        kind::SERVER_HELLO..=kind::GOAWAY
            | kind::ACK..=kind::CREDIT_RETURN
            | kind::OPEN..=kind::RESET
            | kind::OFFER..=kind::REAUTH
    )
}

fn parse_head(bytes: &[u8]) -> Result<Head, ProtocolError> {
    let Some((&kind, fields)) = bytes.split_first() else {
        return Ok(Head::Short);
    };
    match kind {
        kind::DATA => {
            let Some((stream, stream_len)) = field(fields)? else {
                return Ok(Head::Short);
            };
            let Some((len, len_len)) = field(fields.get(stream_len..).unwrap_or_default())? else {
                return Ok(Head::Short);
            };
            if len > PAYLOAD_MAX {
                return Err(ProtocolError::FRAME_TOO_LARGE(
                    "a payload of more than 65,536 bytes",
                ));
            }
            let head_len = 1 + stream_len + len_len;
            Ok(Head::Payload {
                head_len,
                stream: StreamId(stream),
                len,
            })
        }
        0x80..=0xbf => match body_len(fields)? {
            Some((len, len_len)) => Ok(Head::Skip {
                head_len: 1 + len_len,
                len,
            }),
            None => Ok(Head::Short),
        },
        kind if has_body(kind) => match body_len(fields)? {
            Some((len, len_len)) => {
                let head_len = 1 + len_len;
                // At most BODY_MAX: fits any usize.
                Ok(Head::Body {
                    head_len,
                    encoding_len: head_len + len as usize,
                })
            }
            None => Ok(Head::Short),
        },
        _ => Err(ProtocolError::UNKNOWN_FRAME("a frame of an unknown type")),
    }
}

fn body_len(fields: &[u8]) -> Result<Option<(u64, usize)>, ProtocolError> {
    match field(fields)? {
        Some((len, _)) if len > BODY_MAX => Err(ProtocolError::FRAME_TOO_LARGE(
            "a body of more than 16,384 bytes",
        )),
        field => Ok(field),
    }
}

fn field(bytes: &[u8]) -> Result<Option<(u64, usize)>, ProtocolError> {
    match read_varint(bytes) {
        Varint::Value(value, len) => Ok(Some((value, len))),
        Varint::Short => Ok(None),
        Varint::Overlong => Err(ProtocolError::MALFORMED(
            "a number is not in its shortest form",
        )),
    }
}
