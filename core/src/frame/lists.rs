//! Lists and optional entries inside frames. Counts are not trusted with memory: a list grows as its entries are really there, and each has
//! a limit.

use alloc::string::String;
use alloc::vec::Vec;

use super::service::{Grant, Service, ServiceKind};
use crate::code::Code;
use crate::codec::{Reader, Writer, text};
use crate::error::ProtocolError;
use crate::ids::ServiceId;

/// Services or grants that one frame may hold; the body's length bounds them too.
pub const SERVICES_MAX: usize = 1_024;

/// Labels, or addresses of other servers, that one frame may hold.
pub const LIST_MAX: usize = 256;

/// The longest detail of REFUSE and CLOSE, in bytes.
pub const DETAIL_MAX: usize = 256;

pub(super) fn write_services(body: &mut Writer, services: &[Service]) {
    body.varint(services.len() as u64);
    for service in services {
        body.varint(service.id.0).varint(service.kind.to_wire());
        body.text(&service.address).nested(|_| ());
    }
}

pub(super) fn read_services(body: &mut Reader) -> Result<Vec<Service>, ProtocolError> {
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

pub(super) fn write_grants(body: &mut Writer, grants: &[Grant]) {
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

pub(super) fn read_grants(body: &mut Reader) -> Result<Vec<Grant>, ProtocolError> {
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

fn read_count(body: &mut Reader) -> Result<usize, ProtocolError> {
    match usize::try_from(body.varint()?) {
        Ok(count) if count <= SERVICES_MAX => Ok(count),
        _ => Err(ProtocolError::MALFORMED("a list is too long")),
    }
}

/// A short entry costs far more in memory than on the wire.
pub(super) const fn check_room(entries: usize) -> Result<(), ProtocolError> {
    if entries < LIST_MAX {
        Ok(())
    } else {
        Err(ProtocolError::MALFORMED("a list is too long"))
    }
}

pub(super) fn write_optional(list: &mut Writer, key: u64, value: Option<&str>) {
    if let Some(value) = value {
        list.attribute(key, value.as_bytes());
    }
}

pub(super) fn write_texts(list: &mut Writer, key: u64, texts: &[String]) {
    if !texts.is_empty() {
        let mut value = Writer::default();
        for text in texts {
            value.text(text);
        }
        list.attribute(key, value.as_slice());
    }
}

pub(super) fn read_others(body: &mut Reader) -> Result<Vec<String>, ProtocolError> {
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

pub(super) fn write_detail(body: &mut Writer, detail: Option<&str>) {
    body.nested(|list| write_optional(list, 1, detail));
}

pub(super) fn read_detail(body: &mut Reader) -> Result<Option<String>, ProtocolError> {
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
