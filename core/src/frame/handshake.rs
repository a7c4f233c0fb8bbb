//! The frames of the handshake: hellos, proofs and answers (spec/04-handshake.md).

use alloc::string::String;
use alloc::vec::Vec;

use super::MAGIC;
use super::lists::{
    check_room, read_grants, read_others, read_services, write_grants, write_optional,
    write_services, write_texts,
};
use super::service::{Grant, Limits, Service};
use crate::codec::{Reader, Writer, text};
use crate::error::ProtocolError;
use crate::ids::{ClientId, Instance, SessionId, TunnelName};

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

impl ServerHello {
    pub(super) fn write(&self, body: &mut Writer) {
        body.raw(&MAGIC)
            .varint(self.lowest)
            .varint(self.highest)
            .raw(&self.nonce);
        body.varint(self.flags).nested(|list| {
            write_optional(list, 1, self.software.as_deref());
            write_optional(list, 2, self.name.as_deref());
        });
    }

    pub(super) fn read(body: &mut Reader) -> Result<Self, ProtocolError> {
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
    pub(super) fn write(&self, body: &mut Writer) {
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
                list.attribute(2, labels.as_slice());
            }
        });
        body.raw(&self.proof);
    }

    pub(super) fn read(body: &mut Reader) -> Result<Self, ProtocolError> {
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
    pub(super) fn write(&self, body: &mut Writer) {
        body.raw(&self.session.0)
            .varint(self.epoch)
            .varint(self.features);
        self.limits.write(body);
        body.varint(self.resume_window_ms);
        write_grants(body, &self.grants);
        body.nested(|list| write_texts(list, 1, &self.others))
            .raw(&self.proof);
    }

    pub(super) fn read(body: &mut Reader) -> Result<Self, ProtocolError> {
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
    pub(super) fn write(&self, body: &mut Writer) {
        body.varint(self.version)
            .raw(&self.session.0)
            .raw(&self.nonce)
            .varint(self.epoch);
        body.varint(self.received).varint(self.oldest);
        body.blob(self.binding.as_ref().map_or(&[], |binding| &binding[..]));
        body.nested(|_| ()).raw(&self.proof);
    }

    pub(super) fn read(body: &mut Reader) -> Result<Self, ProtocolError> {
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

impl Resumed {
    pub(super) fn write(&self, body: &mut Writer) {
        body.varint(self.epoch)
            .varint(self.received)
            .varint(self.oldest);
        body.nested(|_| ()).raw(&self.proof);
    }

    pub(super) fn read(body: &mut Reader) -> Result<Self, ProtocolError> {
        let (epoch, received, oldest) = (body.varint()?, body.varint()?, body.varint()?);
        body.attributes(|_, _| Ok(()))?;
        let proof = body.array()?;
        Ok(Self {
            epoch,
            received,
            oldest,
            proof,
        })
    }
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
