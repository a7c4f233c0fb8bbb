//! Against tungstenite's client and server, over bytes in memory.

use std::{
    cell::RefCell,
    collections::VecDeque,
    io::{self, Read, Write},
    rc::Rc,
};

use bytes::BytesMut;
use tungstenite::{
    HandshakeError, Message, WebSocket,
    handshake::{client::ClientHandshake, server::NoCallback},
    protocol::CloseFrame,
};

use crate::kit::{End, HOST, Layers, client, drain_output, server};

const PLAIN: Layers = Layers {
    tls: false,
    upgrade: true,
};

/// tungstenite's end of the wire.
#[derive(Clone, Default)]
struct Wire {
    incoming: Rc<RefCell<VecDeque<u8>>>,
    outgoing: Rc<RefCell<Vec<u8>>>,
}

impl Read for Wire {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.incoming.borrow_mut().read(buf)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            n => Ok(n),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.outgoing.borrow_mut().extend_from_slice(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Wire {
    /// Moves bytes both ways.
    fn exchange(&self, end: &mut End) {
        let bytes = std::mem::take(&mut *self.outgoing.borrow_mut());
        for piece in bytes.chunks(16_000) {
            end.input(BytesMut::from(piece));
        }
        self.incoming
            .borrow_mut()
            .extend(drain_output(&mut end.carrier));
    }
}

/// Data both ways with fragments, a ping, and a close.
fn converse(end: &mut End, other: &mut WebSocket<Wire>, wire: &Wire) {
    end.ready();
    for len in [1, 125, 126, 65_535, 65_536, 100_000] {
        let text: Vec<u8> = (0..len).map(|at| at as u8).collect();
        end.received.clear();
        other.send(Message::binary(text.clone())).unwrap();
        wire.exchange(end);
        assert!(end.received == text, "{len} to us");

        let (mut sent, mut got) = (0, Vec::new());
        while sent < len {
            sent += end.send(&text[sent..]);
            wire.exchange(end);
            while let Ok(message) = other.read() {
                got.extend_from_slice(&message.into_data());
            }
        }
        assert!(got == text, "{len} from us");
    }
    other
        .send(Message::Ping(b"are you there"[..].into()))
        .unwrap();
    wire.exchange(end);
    assert_eq!(
        other.read().unwrap(),
        Message::Pong(b"are you there"[..].into())
    );

    let frame = CloseFrame {
        code: 1000.into(),
        reason: "done".into(),
    };
    other.close(Some(frame)).unwrap();
    wire.exchange(end);
    assert!(format!("{:?}", end.events).contains("done"));
    assert!(other.read().unwrap().is_close());
    assert_eq!(end.error, None);
    assert!(end.carrier.is_finished());
}

#[test]
fn tungstenites_client_converses_with_our_server() {
    let wire = Wire::default();
    let mut end = End::new(server(PLAIN));
    let request = tungstenite::http::Request::builder()
        .uri(format!("ws://{HOST}/connect"))
        .header("Host", HOST)
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header(
            "Sec-WebSocket-Key",
            tungstenite::handshake::client::generate_key(),
        )
        .body(())
        .unwrap();
    let start = ClientHandshake::start(wire.clone(), request, None).unwrap();
    let Err(HandshakeError::Interrupted(middle)) = start.handshake() else {
        panic!("too early")
    };
    wire.exchange(&mut end);
    let (mut other, _) = middle
        .handshake()
        .map_err(|error| error.to_string())
        .unwrap();
    converse(&mut end, &mut other, &wire);
}

#[test]
fn our_client_converses_with_tungstenites_server() {
    let wire = Wire::default();
    let mut end = End::new(client(PLAIN));
    wire.exchange(&mut end);
    let start =
        tungstenite::handshake::server::ServerHandshake::start(wire.clone(), NoCallback, None);
    let mut other = start
        .handshake()
        .map_err(|error| error.to_string())
        .unwrap();
    wire.exchange(&mut end);
    converse(&mut end, &mut other, &wire);
}
