//! What can be wrong with a peer's bytes, and with what a caller asks to be sent.
//!
//! Each fault of a peer has one close code. No variant holds text that the peer wrote, so any of
//! them can be shown and logged as it is.

use crate::CloseCode;

/// Why a peer's bytes are refused. All of them are final: nothing after them can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A reserved bit is set and no extension was negotiated (RFC 6455 section 5.2).
    #[error("reserved bits {0:03b} are set, but no extension was negotiated")]
    ReservedBits(u8),
    /// The opcode is one that RFC 6455 section 5.2 keeps for later.
    #[error("opcode {0:#x} is reserved")]
    ReservedOpcode(u8),
    /// A client's frame has no mask (RFC 6455 section 5.1).
    #[error("a client's frame is not masked")]
    NotMasked,
    /// A server's frame has a mask (RFC 6455 section 5.1).
    #[error("a server's frame is masked")]
    Masked,
    /// The length would fit a shorter form (RFC 6455 section 5.2).
    #[error("length {0} is not in its shortest form")]
    LengthNotMinimal(u64),
    /// The 64-bit length has its top bit set (RFC 6455 section 5.2).
    #[error("a frame length has its top bit set")]
    LengthTopBit,
    /// A control frame without FIN (RFC 6455 section 5.5).
    #[error("a control frame is fragmented")]
    ControlFragmented,
    /// A control frame of more than 125 bytes (RFC 6455 section 5.5).
    #[error("a control frame has more than 125 bytes of payload")]
    ControlTooLong,
    /// A continuation with no message to continue (RFC 6455 section 5.4).
    #[error("a continuation frame has no message to continue")]
    NothingToContinue,
    /// A new message before the last one ended (RFC 6455 section 5.4).
    #[error("a message began before the last one ended")]
    MessageNotEnded,
    /// A Close with one byte of payload: half a code (RFC 6455 section 5.5.1).
    #[error("a close frame has one byte of payload, which is half a close code")]
    CloseTooShort,
    /// A close code that must not be sent (RFC 6455 section 7.4).
    #[error("close code {0} must not be sent")]
    CloseCode(u16),
    /// A close reason that is not UTF-8 (RFC 6455 section 5.5.1).
    #[error("a close reason is not UTF-8")]
    CloseReason,
    /// A text message where only binary ones are accepted; see [`Config::text`](crate::Config::text).
    #[error("a text message came where only binary ones are accepted")]
    TextRefused,
    /// A text message that is not UTF-8 (RFC 6455 section 8.1).
    #[error("a text message is not UTF-8")]
    TextNotUtf8,
    /// A message longer than [`Config::max_message`](crate::Config::max_message).
    #[error("a message is longer than the limit of {limit} bytes")]
    MessageTooLong {
        /// The limit, in bytes.
        limit: u64,
    },
    /// More frames in a row without payload than
    /// [`Config::flood_budget`](crate::Config::flood_budget).
    #[error("more than {budget} frames in a row carried no payload")]
    Flood {
        /// The budget, in frames.
        budget: u32,
    },
}

impl Error {
    /// The code to close with (RFC 6455 section 7.4.1).
    pub fn close_code(&self) -> CloseCode {
        match self {
            Self::ReservedBits(_)
            | Self::ReservedOpcode(_)
            | Self::NotMasked
            | Self::Masked
            | Self::LengthNotMinimal(_)
            | Self::LengthTopBit
            | Self::ControlFragmented
            | Self::ControlTooLong
            | Self::NothingToContinue
            | Self::MessageNotEnded
            | Self::CloseTooShort
            | Self::CloseCode(_) => CloseCode::PROTOCOL_ERROR,
            Self::TextRefused => CloseCode::UNSUPPORTED_DATA,
            Self::CloseReason | Self::TextNotUtf8 => CloseCode::INVALID_PAYLOAD,
            Self::MessageTooLong { .. } => CloseCode::MESSAGE_TOO_BIG,
            Self::Flood { .. } => CloseCode::POLICY_VIOLATION,
        }
    }
}

/// Why a frame can't be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// A Close was sent or is about to be; no data may follow it (RFC 6455 section 5.5.1).
    #[error("the connection is closing: no data can be sent any more")]
    Closing,
    /// The length does not fit 63 bits (RFC 6455 section 5.2).
    #[error("a frame of {0} bytes can't be sent: the limit is 2^63 - 1")]
    TooLong(u64),
}
