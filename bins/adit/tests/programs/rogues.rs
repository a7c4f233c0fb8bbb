//! Clients that hold the token and break the protocol: each loses its own session, with a reason.

use std::io::{ErrorKind, Read};
use std::net::SocketAddr;
use std::time::Duration;

use adit_core::{Code, Frame, StreamId};

use crate::kit::{Bystander, Program, Rogue, Site, connect, port_of, url_of};

/// More than a server may hold for one session at default limits, in bytes.
const FAR_TOO_MUCH: usize = 256 << 20;

/// The longest payload of a frame, in bytes (spec/03-frames.md, section 3.2).
const PAYLOAD_MAX: u32 = 65_536;

/// A server with a client that minds its own business, and one that does not, with where its visitors go.
fn with_a_rogue(site: &Site) -> (Program, Bystander, Rogue, SocketAddr) {
    let server = site.server(&[]);
    let bystander = Bystander::of(site, &url_of(&server));
    let mut rogue = Rogue::reach(port_of(&server));
    let addr = rogue.authenticate();
    (server, bystander, rogue, addr)
}

/// The head of DATA for a stream.
fn data(stream: StreamId, len: u32) -> Vec<u8> {
    let stream = u8::try_from(stream.as_u64()).unwrap();
    assert!(stream < 64, "a varint of one byte");
    let len = (len | 0x8000_0000).to_be_bytes();
    [&[0xc0, stream], &len[..]].concat()
}

#[test]
fn a_payload_that_is_too_long_ends_its_session_and_its_visitor_sees_a_reset() {
    let site = Site::new();
    let (server, bystander, mut rogue, addr) = with_a_rogue(&site);
    let mut visitor = connect(addr);
    let stream = rogue.opened();
    rogue.send(&data(stream, PAYLOAD_MAX + 1)).unwrap();
    let close = rogue.wait_for(|frame| matches!(frame, Frame::Close { .. }));
    assert!(
        matches!(
            close,
            Ok(Frame::Close {
                code: Code::FRAME_TOO_LARGE,
                ..
            })
        ),
        "{close:?}"
    );
    let end = visitor.read(&mut [0; 1]).map_err(|error| error.kind());
    assert_eq!(end, Err(ErrorKind::ConnectionReset));
    assert!(
        server
            .logged("client rogue of tunnel default at 127.0.0.1 left")
            .contains("FRAME_TOO_LARGE")
    );
    bystander.noticed_nothing();
}

#[test]
fn a_client_that_ignores_credit_loses_its_session_and_costs_the_others_nothing() {
    let site = Site::new();
    let (server, bystander, mut rogue, addr) = with_a_rogue(&site);
    // It reads nothing, so that what is sent to it has to be held.
    let visitor = connect(addr);
    let stream = rogue.opened();
    let frame = [data(stream, PAYLOAD_MAX), vec![b'x'; PAYLOAD_MAX as usize]].concat();
    let mut sent = 0;
    while sent < FAR_TOO_MUCH && rogue.send(&frame).is_ok() {
        sent += frame.len();
        if rogue.is_ended_within(Duration::from_millis(1)) {
            break;
        }
    }
    assert!(sent < FAR_TOO_MUCH, "all of it was taken");
    assert!(
        server
            .logged("client rogue of tunnel default at 127.0.0.1 left")
            .contains("FLOW_CONTROL")
    );
    drop(visitor);
    bystander.noticed_nothing();
}
