//! Every frame of the protocol: its type, its fields, how it is written and how it is read (spec/03-frames.md).

mod handshake;
mod lists;
mod service;

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::code::Code;
use crate::codec::{Reader, Writer};
use crate::error::ProtocolError;
use crate::ids::{ServiceId, StreamId};
use crate::transmit::Transmit;

pub use handshake::{Auth, Resume, Resumed, ServerHello, Welcome};
pub use lists::{DETAIL_MAX, LIST_MAX, SERVICES_MAX};
use lists::{
    read_detail, read_grants, read_others, read_services, write_detail, write_grants,
    write_services, write_texts,
};
pub use service::{Grant, Limits, Open, Service, ServiceKind};

/// The first bytes of a server on a carrier, behind the head of SERVER_HELLO.
pub const MAGIC: [u8; 4] = *b"adit";

/// The one protocol version there is.
pub const VERSION: u64 = 1;

/// The longest body of a frame, in bytes.
pub const BODY_MAX: u64 = 16_384;

/// The longest payload of a frame, in bytes.
pub const PAYLOAD_MAX: u64 = 65_536;

/// The numbers of the frame types (spec/03-frames.md, section 3.3).
pub mod kind {
    #![allow(missing_docs, reason = "the specification's table describes each")]
    pub const SERVER_HELLO: u8 = 0x01;
    pub const AUTH: u8 = 0x02;
    pub const WELCOME: u8 = 0x03;
    pub const RESUME: u8 = 0x04;
    pub const RESUMED: u8 = 0x05;
    pub const REFUSE: u8 = 0x06;
    pub const CLOSE: u8 = 0x07;
    pub const GOAWAY: u8 = 0x08;
    pub const ACK: u8 = 0x10;
    pub const CREDIT: u8 = 0x11;
    pub const SESSION_CREDIT: u8 = 0x12;
    pub const PING: u8 = 0x13;
    pub const PONG: u8 = 0x14;
    pub const CREDIT_RETURN: u8 = 0x15;
    pub const OPEN: u8 = 0x40;
    pub const FIN: u8 = 0x41;
    pub const RESET: u8 = 0x42;
    pub const OFFER: u8 = 0x48;
    pub const OFFERED: u8 = 0x49;
    pub const WITHDRAW: u8 = 0x4a;
    pub const GRANT: u8 = 0x4b;
    pub const CHALLENGE: u8 = 0x4c;
    pub const REAUTH: u8 = 0x4d;
    pub const DATAGRAM: u8 = 0x80;
    pub const DATA: u8 = 0xc0;
}

/// Flags of SERVER_HELLO.
pub mod flags {
    /// This program ends TLS itself.
    pub const TLS_HERE: u64 = 1 << 0;
    /// Proofs must be bound to that TLS connection.
    pub const BINDING: u64 = 1 << 1;
}

/// Feature bits of AUTH and WELCOME.
pub mod features {
    #![allow(
        missing_docs,
        reason = "spec/03-frames.md, section 3.3, describes each"
    )]
    pub const RESUMPTION: u64 = 1 << 0;
    pub const OFFER: u64 = 1 << 1;
    pub const GRANT: u64 = 1 << 2;
    pub const REAUTH: u64 = 1 << 3;
    pub const DATAGRAM: u64 = 1 << 4;
}

/// A frame with a body, read whole. Payload (DATA) never takes this form: it is cut through.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "spec/03-frames.md describes each field")]
pub enum Frame {
    ServerHello(ServerHello),
    Auth(Auth),
    Welcome(Welcome),
    Resume(Resume),
    Resumed(Resumed),
    Refuse {
        code: Code,
        retry_after_ms: u64,
        detail: Option<String>,
    },
    Close {
        code: Code,
        detail: Option<String>,
    },
    GoAway {
        retry_after_ms: u64,
        others: Vec<String>,
    },
    Ack {
        position: u64,
    },
    Credit {
        stream: StreamId,
        offset: u64,
    },
    SessionCredit {
        offset: u64,
    },
    Ping([u8; 8]),
    Pong([u8; 8]),
    CreditReturn {
        stream: StreamId,
        seen: u64,
        offset: u64,
    },
    Open {
        stream: StreamId,
        credit: u64,
        open: Open,
    },
    Fin {
        stream: StreamId,
    },
    Reset {
        stream: StreamId,
        code: Code,
    },
    Offer {
        offer: u64,
        services: Vec<Service>,
    },
    Offered {
        offer: u64,
        grants: Vec<Grant>,
    },
    Withdraw {
        service: ServiceId,
    },
    Grant {
        limits: Limits,
        grants: Vec<Grant>,
    },
    Challenge {
        nonce: [u8; 32],
    },
    Reauth {
        nonce: [u8; 32],
        proof: [u8; 32],
    },
    Datagram {
        flow: u64,
        payload: Bytes,
    },
}

impl Frame {
    /// The frame's type.
    #[must_use]
    pub const fn kind(&self) -> u8 {
        match self {
            Self::ServerHello(_) => kind::SERVER_HELLO,
            Self::Auth(_) => kind::AUTH,
            Self::Welcome(_) => kind::WELCOME,
            Self::Resume(_) => kind::RESUME,
            Self::Resumed(_) => kind::RESUMED,
            Self::Refuse { .. } => kind::REFUSE,
            Self::Close { .. } => kind::CLOSE,
            Self::GoAway { .. } => kind::GOAWAY,
            Self::Ack { .. } => kind::ACK,
            Self::Credit { .. } => kind::CREDIT,
            Self::SessionCredit { .. } => kind::SESSION_CREDIT,
            Self::Ping(_) => kind::PING,
            Self::Pong(_) => kind::PONG,
            Self::CreditReturn { .. } => kind::CREDIT_RETURN,
            Self::Open { .. } => kind::OPEN,
            Self::Fin { .. } => kind::FIN,
            Self::Reset { .. } => kind::RESET,
            Self::Offer { .. } => kind::OFFER,
            Self::Offered { .. } => kind::OFFERED,
            Self::Withdraw { .. } => kind::WITHDRAW,
            Self::Grant { .. } => kind::GRANT,
            Self::Challenge { .. } => kind::CHALLENGE,
            Self::Reauth { .. } => kind::REAUTH,
            Self::Datagram { .. } => kind::DATAGRAM,
        }
    }

    /// The frame, encoded. The frequent ones are small and allocate nothing.
    #[must_use]
    pub fn encode(&self) -> Transmit {
        let mut body = Writer::default();
        self.write(&mut body);
        Transmit::with_body(self.kind(), body)
    }

    /// All bytes of the frame in one piece, head included: what transcripts cover.
    #[must_use]
    pub fn encoding(&self) -> Vec<u8> {
        let frame = self.encode();
        let mut bytes = Vec::with_capacity(frame.len());
        bytes.extend_from_slice(frame.head());
        bytes.extend_from_slice(frame.payload());
        bytes
    }

    fn write(&self, body: &mut Writer) {
        match self {
            Self::ServerHello(hello) => hello.write(body),
            Self::Auth(auth) => auth.write(body),
            Self::Welcome(welcome) => welcome.write(body),
            Self::Resume(resume) => resume.write(body),
            Self::Resumed(resumed) => resumed.write(body),
            Self::Refuse {
                code,
                retry_after_ms,
                detail,
            } => {
                body.varint(code.0).varint(*retry_after_ms);
                write_detail(body, detail.as_deref());
            }
            Self::Close { code, detail } => {
                body.varint(code.0);
                write_detail(body, detail.as_deref());
            }
            Self::GoAway {
                retry_after_ms,
                others,
            } => {
                body.varint(*retry_after_ms);
                body.nested(|list| write_texts(list, 1, others));
            }
            Self::Open {
                stream,
                credit,
                open,
            } => open.write(*stream, *credit, body),
            Self::Offer { offer, services } => {
                body.varint(*offer);
                write_services(body, services);
            }
            Self::Offered { offer, grants } => {
                body.varint(*offer);
                write_grants(body, grants);
            }
            Self::Grant { limits, grants } => {
                limits.write(body);
                write_grants(body, grants);
            }
            Self::Challenge { nonce } => {
                body.raw(nonce);
            }
            Self::Reauth { nonce, proof } => {
                body.raw(nonce).raw(proof);
            }
            Self::Datagram { flow, payload } => {
                body.varint(*flow).raw(payload);
            }
            Self::Ack { position: value } | Self::SessionCredit { offset: value } => {
                body.varint(*value);
            }
            Self::Credit { stream, offset } => {
                body.varint(stream.0).varint(*offset);
            }
            Self::Ping(opaque) | Self::Pong(opaque) => {
                body.raw(opaque);
            }
            Self::CreditReturn {
                stream,
                seen,
                offset,
            } => {
                body.varint(stream.0).varint(*seen).varint(*offset);
            }
            Self::Fin { stream } => {
                body.varint(stream.0);
            }
            Self::Reset { stream, code } => {
                body.varint(stream.0).varint(code.0);
            }
            Self::Withdraw { service } => {
                body.varint(service.0);
            }
        }
    }

    /// Reads the body of a frame of type `kind`.
    ///
    /// # Errors
    ///
    /// `UNKNOWN_FRAME` for a type that is none with a body, `MALFORMED` for a body that does not fit its type.
    pub fn parse(kind: u8, body: Bytes) -> Result<Self, ProtocolError> {
        let mut body = Reader::new(body);
        let frame = match kind {
            kind::SERVER_HELLO => Self::ServerHello(ServerHello::read(&mut body)?),
            kind::AUTH => Self::Auth(Auth::read(&mut body)?),
            kind::WELCOME => Self::Welcome(Welcome::read(&mut body)?),
            kind::RESUME => Self::Resume(Resume::read(&mut body)?),
            kind::RESUMED => Self::Resumed(Resumed::read(&mut body)?),
            kind::REFUSE => Self::Refuse {
                code: Code(body.varint()?),
                retry_after_ms: body.varint()?,
                detail: read_detail(&mut body)?,
            },
            kind::CLOSE => Self::Close {
                code: Code(body.varint()?),
                detail: read_detail(&mut body)?,
            },
            kind::GOAWAY => Self::GoAway {
                retry_after_ms: body.varint()?,
                others: read_others(&mut body)?,
            },
            kind::ACK => Self::Ack {
                position: body.varint()?,
            },
            kind::CREDIT => Self::Credit {
                stream: StreamId(body.varint()?),
                offset: body.varint()?,
            },
            kind::SESSION_CREDIT => Self::SessionCredit {
                offset: body.varint()?,
            },
            kind::PING => Self::Ping(body.array()?),
            kind::PONG => Self::Pong(body.array()?),
            kind::CREDIT_RETURN => Self::CreditReturn {
                stream: StreamId(body.varint()?),
                seen: body.varint()?,
                offset: body.varint()?,
            },
            kind::OPEN => {
                let (stream, credit, open) = Open::read(&mut body)?;
                Self::Open {
                    stream,
                    credit,
                    open,
                }
            }
            kind::FIN => Self::Fin {
                stream: StreamId(body.varint()?),
            },
            kind::RESET => Self::Reset {
                stream: StreamId(body.varint()?),
                code: Code(body.varint()?),
            },
            kind::OFFER => Self::Offer {
                offer: body.varint()?,
                services: read_services(&mut body)?,
            },
            kind::OFFERED => Self::Offered {
                offer: body.varint()?,
                grants: read_grants(&mut body)?,
            },
            kind::WITHDRAW => Self::Withdraw {
                service: ServiceId(body.varint()?),
            },
            kind::GRANT => Self::Grant {
                limits: Limits::read(&mut body)?,
                grants: read_grants(&mut body)?,
            },
            kind::CHALLENGE => Self::Challenge {
                nonce: body.array()?,
            },
            kind::REAUTH => Self::Reauth {
                nonce: body.array()?,
                proof: body.array()?,
            },
            kind::DATAGRAM => Self::Datagram {
                flow: body.varint()?,
                payload: body.rest(),
            },
            _ => return Err(ProtocolError::UNKNOWN_FRAME("a frame of an unknown type")),
        };
        body.end()?;
        Ok(frame)
    }
}
