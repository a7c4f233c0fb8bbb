//! What is offered, granted, limited and opened: the parts that frames share.

use alloc::string::String;

use super::lists::write_optional;
use crate::code::Code;
use crate::codec::{Reader, Writer, text};
use crate::error::ProtocolError;
use crate::ids::{ServiceId, StreamId};

/// What a service, or a stream's target, is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServiceKind {
    /// TCP connections to a port of the server.
    Tcp,
    /// UDP datagrams; reserved.
    Udp,
    /// HTTP requests for a host name; reserved.
    Http,
    /// A kind that this version does not know.
    Other(u64),
}

impl ServiceKind {
    pub(super) const fn to_wire(self) -> u64 {
        match self {
            Self::Tcp => 0,
            Self::Udp => 1,
            Self::Http => 2,
            Self::Other(kind) => kind,
        }
    }

    pub(super) const fn from_wire(kind: u64) -> Self {
        match kind {
            0 => Self::Tcp,
            1 => Self::Udp,
            2 => Self::Http,
            other => Self::Other(other),
        }
    }
}

/// A service that a client offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The client's number for it, unique within the session.
    pub id: ServiceId,
    /// What it is.
    pub kind: ServiceKind,
    /// Where the server should offer it: `PORT` or `HOST:PORT` for TCP.
    pub address: String,
}

/// The server's answer to one offered service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The service it answers.
    pub id: ServiceId,
    /// The address really bound, or why not.
    pub result: Result<String, Code>,
}

/// The limits that one side states for the session (spec/03-frames.md, section 3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Payload bytes that the other side may send on a stream it opened, before any CREDIT.
    pub stream_credit: u64,
    /// Payload bytes that the other side may send in all, before any SESSION_CREDIT.
    pub session_credit: u64,
    /// Streams that the other side opened and that may be open at once.
    pub streams: u64,
    /// Units that this side keeps for resumption; 0 for none.
    pub replay: u64,
}

/// What OPEN says of the stream it opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// What the stream leads to.
    pub kind: ServiceKind,
    /// The service that it leads to.
    pub service: ServiceId,
    /// The visitor's address, `IP:PORT`.
    pub visitor: Option<String>,
    /// The address that the visitor dialled, `IP:PORT`.
    pub dialled: Option<String>,
}

impl Limits {
    pub(super) fn write(&self, body: &mut Writer) {
        body.varint(self.stream_credit).varint(self.session_credit);
        body.varint(self.streams).varint(self.replay);
    }

    pub(super) fn read(body: &mut Reader) -> Result<Self, ProtocolError> {
        Ok(Self {
            stream_credit: body.varint()?,
            session_credit: body.varint()?,
            streams: body.varint()?,
            replay: body.varint()?,
        })
    }
}

impl Open {
    pub(super) fn write(&self, stream: StreamId, credit: u64, body: &mut Writer) {
        body.varint(stream.0)
            .varint(self.kind.to_wire())
            .varint(self.service.0)
            .varint(credit);
        body.nested(|list| {
            write_optional(list, 1, self.visitor.as_deref());
            write_optional(list, 2, self.dialled.as_deref());
        });
    }

    pub(super) fn read(body: &mut Reader) -> Result<(StreamId, u64, Self), ProtocolError> {
        let stream = StreamId(body.varint()?);
        let kind = ServiceKind::from_wire(body.varint()?);
        let service = ServiceId(body.varint()?);
        let credit = body.varint()?;
        let (mut visitor, mut dialled) = (None, None);
        body.attributes(|key, value| {
            match key {
                1 => visitor = Some(text(&value)?),
                2 => dialled = Some(text(&value)?),
                _ => (),
            }
            Ok(())
        })?;
        let open = Self {
            kind,
            service,
            visitor,
            dialled,
        };
        Ok((stream, credit, open))
    }
}
