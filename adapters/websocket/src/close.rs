//! Close codes and the payload of a Close frame (RFC 6455 sections 5.5.1 and 7.4).

use core::fmt::{self, Write};

use crate::{ControlPayload, Error};

/// A close code that may be on the wire.
///
/// Those are the ones that IANA's registry names (1000 to 1003 and 1007 to 1014) and the ranges for
/// libraries and applications (3000 to 4999). 1005, 1006 and 1015 stand for the absence of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: what the connection was for is done.
    pub const NORMAL: Self = Self(1000);
    /// 1001: this end goes away, for instance a server that stops.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: the peer broke RFC 6455.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// 1003: a kind of data that this end can't use, such as text in a tunnel.
    pub const UNSUPPORTED_DATA: Self = Self(1003);
    /// 1007: text that is not UTF-8.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// 1008: against a rule of this end's own.
    pub const POLICY_VIOLATION: Self = Self(1008);
    /// 1009: a message longer than this end takes.
    pub const MESSAGE_TOO_BIG: Self = Self(1009);
    /// 1011: this end met a fault of its own.
    pub const INTERNAL_ERROR: Self = Self(1011);

    /// The code, if it is one that may be sent.
    pub fn new(code: u16) -> Option<Self> {
        matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999).then_some(Self(code))
    }

    /// The number.
    pub fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a Close frame says: a code, and a reason for people to read.
///
/// RFC 6455 lets a Close frame be empty, too; where that can be, an `Option` of this is used.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Close {
    code: CloseCode,
    /// The code and the reason as they are on the wire. The reason is UTF-8.
    payload: ControlPayload,
}

impl Close {
    /// A close with this code and reason. A reason of more than 123 bytes is cut off between two
    /// characters: it is for people, and the frame has no room for more.
    pub fn new(code: CloseCode, reason: impl fmt::Display) -> Self {
        let mut payload = ControlPayload::EMPTY;
        payload.extend(&code.0.to_be_bytes());
        // An error here says that the reason was cut off, as promised above.
        let _ = write!(payload, "{reason}");
        Self { code, payload }
    }

    /// Reads the payload of a Close frame; `None` when it is empty.
    pub(crate) fn parse(payload: ControlPayload) -> Result<Option<Self>, Error> {
        match payload.as_slice() {
            [] => Ok(None),
            [_] => Err(Error::CloseTooShort),
            [high, low, reason @ ..] => {
                let code = u16::from_be_bytes([*high, *low]);
                let code = CloseCode::new(code).ok_or(Error::CloseCode(code))?;
                core::str::from_utf8(reason).map_err(|_| Error::CloseReason)?;
                Ok(Some(Self { code, payload }))
            }
        }
    }

    /// Why the connection closes, as a number.
    pub fn code(&self) -> CloseCode {
        self.code
    }

    /// Why the connection closes, in words that the sender chose. Escape them before showing them.
    pub fn reason(&self) -> &str {
        let reason = self.payload.as_slice().get(2..).unwrap_or_default();
        core::str::from_utf8(reason).unwrap_or_default()
    }

    pub(crate) fn payload(&self) -> ControlPayload {
        self.payload
    }
}

/// The close that answers a peer's fault, with the fault as the reason.
impl From<Error> for Close {
    fn from(error: Error) -> Self {
        Self::new(error.close_code(), error)
    }
}

impl fmt::Debug for Close {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Close")
            .field("code", &self.code)
            .field("reason", &self.reason())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_cut_between_two_characters() {
        extern crate std;
        let close = Close::new(CloseCode::NORMAL, "é".repeat(100));
        assert_eq!(close.reason(), "é".repeat(61));
        assert_eq!(close.payload().as_slice().len(), 124);
        let longest = Close::new(CloseCode::NORMAL, "r".repeat(123));
        assert_eq!(longest.reason().len(), 123);
    }

    #[test]
    fn what_was_built_is_what_is_read() {
        let close = Close::new(CloseCode::GOING_AWAY, "bye");
        assert_eq!(Close::parse(close.payload()), Ok(Some(close)));
        assert_eq!((close.code().get(), close.reason()), (1001, "bye"));
    }
}
