//! Every frame of the protocol: its fields, how it is written and how it is read (spec/03-frames.md).

use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::code::Code;
use crate::codec::{Reader, Writer, text};
use crate::error::ProtocolError;
use crate::ids::{ClientId, Instance, ServiceId, SessionId, StreamId, TunnelName};
use crate::transmit::Transmit;

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
    const fn to_wire(self) -> u64 {
        match self {
            Self::Tcp => 0,
            Self::Udp => 1,
            Self::Http => 2,
            Self::Other(kind) => kind,
        }
    }

    const fn from_wire(kind: u64) -> Self {
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

/// SERVER_HELLO.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "spec/03-frames.md describes each field")]
pub struct ServerHello {
    pub lowest: u64,
    pub highest: u64,
    pub nonce: [u8; 32],
    pub flags: u64,
    pub software: Option<String>,
    pub name: Option<String>,
}

/// AUTH.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "spec/03-frames.md describes each field")]
pub struct Auth {
    pub version: u64,
    pub nonce: [u8; 32],
    pub tunnel: TunnelName,
    pub client_id: ClientId,
    pub instance: Instance,
    pub features: u64,
    pub binding: Option<[u8; 32]>,
    pub limits: Limits,
    pub resume_window_ms: u64,
    pub services: Vec<Service>,
    pub software: Option<String>,
    pub labels: Vec<(String, String)>,
    pub proof: [u8; 32],
}

/// WELCOME.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "spec/03-frames.md describes each field")]
pub struct Welcome {
    pub session: SessionId,
    pub epoch: u64,
    pub features: u64,
    pub limits: Limits,
    pub resume_window_ms: u64,
    pub grants: Vec<Grant>,
    pub others: Vec<String>,
    pub proof: [u8; 32],
}

/// RESUME.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "spec/03-frames.md describes each field")]
pub struct Resume {
    pub version: u64,
    pub session: SessionId,
    pub nonce: [u8; 32],
    pub epoch: u64,
    pub received: u64,
    pub oldest: u64,
    pub binding: Option<[u8; 32]>,
    pub proof: [u8; 32],
}

/// RESUMED.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "spec/03-frames.md describes each field")]
pub struct Resumed {
    pub epoch: u64,
    pub received: u64,
    pub oldest: u64,
    pub proof: [u8; 32],
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

/// Services or grants that one frame may hold; the body's length bounds them too.
pub const SERVICES_MAX: usize = 1_024;

/// Labels, or addresses of other servers, that one frame may hold.
pub const LIST_MAX: usize = 256;

/// The longest detail of REFUSE and CLOSE, in bytes.
pub const DETAIL_MAX: usize = 256;

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

    /// The frame, encoded. The frequent ones allocate nothing.
    #[must_use]
    pub fn encode(&self) -> Transmit {
        match *self {
            Self::Ack { position } => Transmit::control(kind::ACK, &[position]),
            Self::Credit { stream, offset } => Transmit::control(kind::CREDIT, &[stream.0, offset]),
            Self::SessionCredit { offset } => Transmit::control(kind::SESSION_CREDIT, &[offset]),
            Self::Ping(opaque) => Transmit::small(kind::PING, &opaque),
            Self::Pong(opaque) => Transmit::small(kind::PONG, &opaque),
            Self::CreditReturn {
                stream,
                seen,
                offset,
            } => Transmit::control(kind::CREDIT_RETURN, &[stream.0, seen, offset]),
            Self::Fin { stream } => Transmit::control(kind::FIN, &[stream.0]),
            Self::Reset { stream, code } => Transmit::control(kind::RESET, &[stream.0, code.0]),
            Self::Withdraw { service } => Transmit::control(kind::WITHDRAW, &[service.0]),
            _ => {
                let mut body = Writer::default();
                self.write(&mut body);
                let len = body.0.len() as u64;
                Transmit::with_payload(self.kind(), [Some(len), None], body.0.into())
            }
        }
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
            Self::Resumed(resumed) => {
                body.varint(resumed.epoch)
                    .varint(resumed.received)
                    .varint(resumed.oldest);
                body.nested(|_| ()).raw(&resumed.proof);
            }
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
            } => {
                body.varint(stream.0)
                    .varint(open.kind.to_wire())
                    .varint(open.service.0);
                body.varint(*credit).nested(|list| {
                    write_optional(list, 1, open.visitor.as_deref());
                    write_optional(list, 2, open.dialled.as_deref());
                });
            }
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
            kind::RESUMED => {
                let (epoch, received, oldest) = (body.varint()?, body.varint()?, body.varint()?);
                body.attributes(|_, _| Ok(()))?;
                Self::Resumed(Resumed {
                    epoch,
                    received,
                    oldest,
                    proof: body.array()?,
                })
            }
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
            kind::OPEN => read_open(&mut body)?,
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

impl Limits {
    fn write(&self, body: &mut Writer) {
        body.varint(self.stream_credit).varint(self.session_credit);
        body.varint(self.streams).varint(self.replay);
    }

    fn read(body: &mut Reader) -> Result<Self, ProtocolError> {
        Ok(Self {
            stream_credit: body.varint()?,
            session_credit: body.varint()?,
            streams: body.varint()?,
            replay: body.varint()?,
        })
    }
}

impl ServerHello {
    fn write(&self, body: &mut Writer) {
        body.raw(&MAGIC)
            .varint(self.lowest)
            .varint(self.highest)
            .raw(&self.nonce);
        body.varint(self.flags).nested(|list| {
            write_optional(list, 1, self.software.as_deref());
            write_optional(list, 2, self.name.as_deref());
        });
    }

    fn read(body: &mut Reader) -> Result<Self, ProtocolError> {
        if body.array()? != MAGIC {
            return Err(ProtocolError::MALFORMED(
                "the hello lacks the protocol's magic",
            ));
        }
        let (lowest, highest) = (body.varint()?, body.varint()?);
        let (nonce, flags) = (body.array()?, body.varint()?);
        let (mut software, mut name) = (None, None);
        body.attributes(|key, value| {
            match key {
                1 => software = Some(text(&value)?),
                2 => name = Some(text(&value)?),
                _ => (),
            }
            Ok(())
        })?;
        Ok(Self {
            lowest,
            highest,
            nonce,
            flags,
            software,
            name,
        })
    }
}

impl Auth {
    fn write(&self, body: &mut Writer) {
        body.varint(self.version)
            .raw(&self.nonce)
            .text(self.tunnel.as_str());
        body.text(self.client_id.as_str())
            .raw(&self.instance.0)
            .varint(self.features);
        body.blob(self.binding.as_ref().map_or(&[], |binding| &binding[..]));
        self.limits.write(body);
        body.varint(self.resume_window_ms);
        write_services(body, &self.services);
        body.nested(|list| {
            write_optional(list, 1, self.software.as_deref());
            if !self.labels.is_empty() {
                let mut labels = Writer::default();
                for (name, value) in &self.labels {
                    labels.text(name).text(value);
                }
                list.attribute(2, &labels.0);
            }
        });
        body.raw(&self.proof);
    }

    fn read(body: &mut Reader) -> Result<Self, ProtocolError> {
        let (version, nonce) = (body.varint()?, body.array()?);
        let tunnel = TunnelName::new(&body.text()?)
            .map_err(|_| ProtocolError::MALFORMED("the tunnel's name is none"))?;
        let client_id = ClientId::new(&body.text()?)
            .map_err(|_| ProtocolError::MALFORMED("the client id is none"))?;
        let (instance, features) = (Instance(body.array()?), body.varint()?);
        let (binding, limits) = (read_binding(body)?, Limits::read(body)?);
        let (resume_window_ms, services) = (body.varint()?, read_services(body)?);
        let (mut software, mut labels) = (None, Vec::new());
        body.attributes(|key, value| {
            match key {
                1 => software = Some(text(&value)?),
                2 => {
                    let mut list = Reader::new(value);
                    while !list.is_empty() {
                        check_room(labels.len())?;
                        labels.push((list.text()?, list.text()?));
                    }
                }
                _ => (),
            }
            Ok(())
        })?;
        Ok(Self {
            version,
            nonce,
            tunnel,
            client_id,
            instance,
            features,
            binding,
            limits,
            resume_window_ms,
            services,
            software,
            labels,
            proof: body.array()?,
        })
    }
}

impl Welcome {
    fn write(&self, body: &mut Writer) {
        body.raw(&self.session.0)
            .varint(self.epoch)
            .varint(self.features);
        self.limits.write(body);
        body.varint(self.resume_window_ms);
        write_grants(body, &self.grants);
        body.nested(|list| write_texts(list, 1, &self.others))
            .raw(&self.proof);
    }

    fn read(body: &mut Reader) -> Result<Self, ProtocolError> {
        Ok(Self {
            session: SessionId(body.array()?),
            epoch: body.varint()?,
            features: body.varint()?,
            limits: Limits::read(body)?,
            resume_window_ms: body.varint()?,
            grants: read_grants(body)?,
            others: read_others(body)?,
            proof: body.array()?,
        })
    }
}

impl Resume {
    fn write(&self, body: &mut Writer) {
        body.varint(self.version)
            .raw(&self.session.0)
            .raw(&self.nonce)
            .varint(self.epoch);
        body.varint(self.received).varint(self.oldest);
        body.blob(self.binding.as_ref().map_or(&[], |binding| &binding[..]));
        body.nested(|_| ()).raw(&self.proof);
    }

    fn read(body: &mut Reader) -> Result<Self, ProtocolError> {
        let (version, session) = (body.varint()?, SessionId(body.array()?));
        let (nonce, epoch) = (body.array()?, body.varint()?);
        let (received, oldest) = (body.varint()?, body.varint()?);
        let binding = read_binding(body)?;
        body.attributes(|_, _| Ok(()))?;
        let proof = body.array()?;
        Ok(Self {
            version,
            session,
            nonce,
            epoch,
            received,
            oldest,
            binding,
            proof,
        })
    }
}

fn read_open(body: &mut Reader) -> Result<Frame, ProtocolError> {
    let stream = StreamId(body.varint()?);
    let kind = ServiceKind::from_wire(body.varint()?);
    let service = ServiceId(body.varint()?);
    let credit = body.varint()?;
    let mut open = Open {
        kind,
        service,
        visitor: None,
        dialled: None,
    };
    body.attributes(|key, value| {
        match key {
            1 => open.visitor = Some(text(&value)?),
            2 => open.dialled = Some(text(&value)?),
            _ => (),
        }
        Ok(())
    })?;
    Ok(Frame::Open {
        stream,
        credit,
        open,
    })
}

fn read_binding(body: &mut Reader) -> Result<Option<[u8; 32]>, ProtocolError> {
    let binding = body.blob()?;
    match binding.len() {
        0 => Ok(None),
        _ => match <[u8; 32]>::try_from(&binding[..]) {
            Ok(binding) => Ok(Some(binding)),
            Err(_) => Err(ProtocolError::MALFORMED("a binding has 0 or 32 bytes")),
        },
    }
}

fn write_services(body: &mut Writer, services: &[Service]) {
    body.varint(services.len() as u64);
    for service in services {
        body.varint(service.id.0).varint(service.kind.to_wire());
        body.text(&service.address).nested(|_| ());
    }
}

fn read_services(body: &mut Reader) -> Result<Vec<Service>, ProtocolError> {
    let mut services = Vec::new();
    for _ in 0..read_count(body)? {
        let (id, kind) = (
            ServiceId(body.varint()?),
            ServiceKind::from_wire(body.varint()?),
        );
        services.push(Service {
            id,
            kind,
            address: body.text()?,
        });
        body.attributes(|_, _| Ok(()))?;
    }
    let mut ids: Vec<_> = services.iter().map(|service| service.id).collect();
    ids.sort_unstable();
    if ids.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(ProtocolError::MALFORMED("two services have one id"));
    }
    Ok(services)
}

fn write_grants(body: &mut Writer, grants: &[Grant]) {
    body.varint(grants.len() as u64);
    for grant in grants {
        let (code, address) = match &grant.result {
            Ok(address) => (Code::DONE, address.as_str()),
            Err(code) => (*code, ""),
        };
        body.varint(grant.id.0)
            .varint(code.0)
            .text(address)
            .nested(|_| ());
    }
}

fn read_grants(body: &mut Reader) -> Result<Vec<Grant>, ProtocolError> {
    let mut grants = Vec::new();
    for _ in 0..read_count(body)? {
        let (id, code, address) = (
            ServiceId(body.varint()?),
            Code(body.varint()?),
            body.text()?,
        );
        body.attributes(|_, _| Ok(()))?;
        let result = if code == Code::DONE {
            Ok(address)
        } else {
            Err(code)
        };
        grants.push(Grant { id, result });
    }
    Ok(grants)
}

/// Counts are not trusted with memory: lists grow as their entries are really there.
fn read_count(body: &mut Reader) -> Result<usize, ProtocolError> {
    match usize::try_from(body.varint()?) {
        Ok(count) if count <= SERVICES_MAX => Ok(count),
        _ => Err(ProtocolError::MALFORMED("a list is too long")),
    }
}

/// A short entry costs far more in memory than on the wire.
const fn check_room(entries: usize) -> Result<(), ProtocolError> {
    if entries < LIST_MAX {
        Ok(())
    } else {
        Err(ProtocolError::MALFORMED("a list is too long"))
    }
}

fn write_optional(list: &mut Writer, key: u64, value: Option<&str>) {
    if let Some(value) = value {
        list.attribute(key, value.as_bytes());
    }
}

fn write_texts(list: &mut Writer, key: u64, texts: &[String]) {
    if !texts.is_empty() {
        let mut value = Writer::default();
        for text in texts {
            value.text(text);
        }
        list.attribute(key, &value.0);
    }
}

fn read_others(body: &mut Reader) -> Result<Vec<String>, ProtocolError> {
    let mut others = Vec::new();
    body.attributes(|key, value| {
        if key == 1 {
            let mut list = Reader::new(value);
            while !list.is_empty() {
                check_room(others.len())?;
                others.push(list.text()?);
            }
        }
        Ok(())
    })?;
    Ok(others)
}

fn write_detail(body: &mut Writer, detail: Option<&str>) {
    body.nested(|list| write_optional(list, 1, detail));
}

fn read_detail(body: &mut Reader) -> Result<Option<String>, ProtocolError> {
    let mut detail = None;
    body.attributes(|key, value| {
        if key == 1 {
            if value.len() > DETAIL_MAX {
                return Err(ProtocolError::MALFORMED("a detail is too long"));
            }
            detail = Some(text(&value)?);
        }
        Ok(())
    })?;
    Ok(detail)
}
