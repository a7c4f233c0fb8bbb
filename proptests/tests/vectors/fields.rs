//! A frame as JSON, by the names of spec/03-frames.md.

use adit_core::{Frame, Grant, Limits, Service, ServiceKind};
use serde_json::{Value, json};

use crate::hex;

/// Numbers that JSON readers may round are written as text.
fn number(value: u64) -> Value {
    if value < 1 << 53 {
        json!(value)
    } else {
        json!(value.to_string())
    }
}

fn kind(kind: ServiceKind) -> Value {
    number(match kind {
        ServiceKind::Tcp => 0,
        ServiceKind::Udp => 1,
        ServiceKind::Http => 2,
        ServiceKind::Other(kind) => kind,
    })
}

fn limits(limits: &Limits) -> Value {
    json!({
        "stream credit": number(limits.stream_credit),
        "session credit": number(limits.session_credit),
        "streams": number(limits.streams),
        "replay": number(limits.replay),
    })
}

fn services(services: &[Service]) -> Value {
    let one = |service: &Service| json!({ "service id": number(service.id.0), "kind": kind(service.kind), "address": service.address });
    services.iter().map(one).collect()
}

fn grants(grants: &[Grant]) -> Value {
    let one = |grant: &Grant| {
        let (code, address) = match &grant.result {
            Ok(address) => (0, address.as_str()),
            Err(code) => (code.0, ""),
        };
        json!({ "service id": number(grant.id.0), "code": number(code), "address": address })
    };
    grants.iter().map(one).collect()
}

fn binding(binding: Option<[u8; 32]>) -> Value {
    json!(binding.map_or(String::new(), |binding| hex(&binding)))
}

/// The frame's name and fields. Absent attributes are null.
pub(crate) fn of(frame: &Frame) -> (&'static str, Value) {
    match frame {
        Frame::ServerHello(hello) => (
            "SERVER_HELLO",
            json!({
                "lowest version": number(hello.lowest),
                "highest version": number(hello.highest),
                "nonce": hex(&hello.nonce),
                "flags": number(hello.flags),
                "software": hello.software,
                "name": hello.name,
            }),
        ),
        Frame::Auth(auth) => (
            "AUTH",
            json!({
                "version": number(auth.version),
                "nonce": hex(&auth.nonce),
                "tunnel": auth.tunnel.as_str(),
                "client id": auth.client_id.as_str(),
                "instance": hex(&auth.instance.0),
                "features": number(auth.features),
                "binding": binding(auth.binding),
                "limits": limits(&auth.limits),
                "resume window": number(auth.resume_window_ms),
                "services": services(&auth.services),
                "software": auth.software,
                "labels": auth.labels,
                "proof": hex(&auth.proof),
            }),
        ),
        Frame::Welcome(welcome) => (
            "WELCOME",
            json!({
                "session id": hex(&welcome.session.0),
                "epoch": number(welcome.epoch),
                "features": number(welcome.features),
                "limits": limits(&welcome.limits),
                "resume window": number(welcome.resume_window_ms),
                "grants": grants(&welcome.grants),
                "other servers": welcome.others,
                "proof": hex(&welcome.proof),
            }),
        ),
        Frame::Resume(resume) => (
            "RESUME",
            json!({
                "version": number(resume.version),
                "session id": hex(&resume.session.0),
                "nonce": hex(&resume.nonce),
                "epoch": number(resume.epoch),
                "received": number(resume.received),
                "oldest": number(resume.oldest),
                "binding": binding(resume.binding),
                "proof": hex(&resume.proof),
            }),
        ),
        Frame::Resumed(resumed) => (
            "RESUMED",
            json!({
                "epoch": number(resumed.epoch),
                "received": number(resumed.received),
                "oldest": number(resumed.oldest),
                "proof": hex(&resumed.proof),
            }),
        ),
        frame => small(frame),
    }
}

fn small(frame: &Frame) -> (&'static str, Value) {
    match frame {
        Frame::Refuse {
            code,
            retry_after_ms,
            detail,
        } => (
            "REFUSE",
            json!({ "code": number(code.0), "retry after": number(*retry_after_ms), "detail": detail }),
        ),
        Frame::Close { code, detail } => {
            ("CLOSE", json!({ "code": number(code.0), "detail": detail }))
        }
        Frame::GoAway {
            retry_after_ms,
            others,
        } => (
            "GOAWAY",
            json!({ "retry after": number(*retry_after_ms), "other servers": others }),
        ),
        Frame::Ack { position } => ("ACK", json!({ "position": number(*position) })),
        Frame::Credit { stream, offset } => (
            "CREDIT",
            json!({ "stream id": number(stream.as_u64()), "offset": number(*offset) }),
        ),
        Frame::SessionCredit { offset } => ("SESSION_CREDIT", json!({ "offset": number(*offset) })),
        Frame::Ping(opaque) => ("PING", json!({ "opaque": hex(opaque) })),
        Frame::Pong(opaque) => ("PONG", json!({ "opaque": hex(opaque) })),
        Frame::CreditReturn {
            stream,
            seen,
            offset,
        } => (
            "CREDIT_RETURN",
            json!({
                "stream id": number(stream.as_u64()),
                "seen": number(*seen),
                "kept": number(*offset),
            }),
        ),
        Frame::Open {
            stream,
            credit,
            open,
        } => (
            "OPEN",
            json!({
                "stream id": number(stream.as_u64()),
                "kind": kind(open.kind),
                "service id": number(open.service.0),
                "credit": number(*credit),
                "visitor": open.visitor,
                "dialled": open.dialled,
            }),
        ),
        Frame::Fin { stream } => ("FIN", json!({ "stream id": number(stream.as_u64()) })),
        Frame::Reset { stream, code } => (
            "RESET",
            json!({ "stream id": number(stream.as_u64()), "code": number(code.0) }),
        ),
        frame => reserved(frame),
    }
}

/// Frames that no version 1 peer sends yet.
fn reserved(frame: &Frame) -> (&'static str, Value) {
    match frame {
        Frame::Offer {
            offer,
            services: list,
        } => (
            "OFFER",
            json!({ "offer id": number(*offer), "services": services(list) }),
        ),
        Frame::Offered {
            offer,
            grants: list,
        } => (
            "OFFERED",
            json!({ "offer id": number(*offer), "grants": grants(list) }),
        ),
        Frame::Withdraw { service } => ("WITHDRAW", json!({ "service id": number(service.0) })),
        Frame::Grant {
            limits: ours,
            grants: list,
        } => (
            "GRANT",
            json!({ "limits": limits(ours), "grants": grants(list) }),
        ),
        Frame::Challenge { nonce } => ("CHALLENGE", json!({ "nonce": hex(nonce) })),
        Frame::Reauth { nonce, proof } => (
            "REAUTH",
            json!({ "nonce": hex(nonce), "proof": hex(proof) }),
        ),
        Frame::Datagram { flow, payload } => (
            "DATAGRAM",
            json!({ "flow id": number(*flow), "payload": hex(payload) }),
        ),
        other => panic!("a frame without a vector: {other:?}"),
    }
}
