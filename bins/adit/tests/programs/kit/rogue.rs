//! A client made by hand, which can prove the token and then do what no client may.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{self, Duration};

use adit_core::{
    CarrierFacts, ClientHandshake, ClientHello, ClientId, Config, Decoder, Frame, Instance,
    Instant, Piece, Service, ServiceId, ServiceKind, StreamId, Token, TunnelName,
};
use adit_link::{Carrier, CarrierEvent, ClientSetup, ClientTls, ClientUpgrade};
use bytes::{Bytes, BytesMut};

use super::{TOKEN, connect};

/// Nothing here looks at the clock: the other side has to.
const NOW: Instant = Instant::ORIGIN;

/// A carrier to a server that ends TLS, and the frames that came over it.
pub(crate) struct Rogue {
    socket: TcpStream,
    carrier: Carrier,
    facts: Option<CarrierFacts>,
    decoder: Decoder,
    /// For the handshake; nobody else wants it.
    unread: Vec<Bytes>,
    authenticated: bool,
    frames: VecDeque<Frame>,
    /// Bytes of visitors that came.
    taken: usize,
}

impl Rogue {
    /// TLS and the upgrade, and nothing that the token is needed for.
    pub(crate) fn reach(server: u16) -> Self {
        let setup = ClientSetup {
            tls: Some(ClientTls::from_pem(None, None).unwrap()),
            server_name: "127.0.0.1".to_owned(),
            upgrade: Some(ClientUpgrade {
                host: "127.0.0.1".to_owned(),
                path: "/connect".to_owned(),
                headers: Vec::new(),
            }),
            ..ClientSetup::default()
        };
        let mut this = Self {
            socket: connect(SocketAddr::from(([127, 0, 0, 1], server))),
            carrier: Carrier::client(setup, [3; 32], NOW).unwrap(),
            facts: None,
            decoder: Decoder::default(),
            unread: Vec::new(),
            authenticated: false,
            frames: VecDeque::new(),
            taken: 0,
        };
        while this.facts.is_none() {
            this.exchange().unwrap();
        }
        this
    }

    /// Proves the token and offers one service; gives the address at which its visitors are taken.
    pub(crate) fn authenticate(&mut self) -> SocketAddr {
        self.authenticate_as("rogue")
    }

    /// The same under another name.
    pub(crate) fn authenticate_as(&mut self, client_id: &str) -> SocketAddr {
        let hello = ClientHello {
            tunnel: TunnelName::new("default").unwrap(),
            client_id: ClientId::new(client_id).unwrap(),
            instance: Instance([7; 16]),
            services: vec![Service {
                id: ServiceId(0),
                kind: ServiceKind::Tcp,
                address: "0".to_owned(),
            }],
            labels: Vec::new(),
            software: String::new(),
        };
        let token = Token::new(TOKEN.as_bytes()).unwrap();
        let facts = self.facts.clone().unwrap();
        let config = Arc::new(Config::default());
        let mut handshake = ClientHandshake::new(config, &token, hello, facts, [5; 32], NOW);
        loop {
            for bytes in self.unread.drain(..) {
                handshake.handle_input(NOW, bytes).unwrap();
            }
            while let Some(frame) = handshake.poll_transmit(NOW, 16 * 1024) {
                self.send(&[frame.head(), frame.payload()].concat())
                    .unwrap();
            }
            if let Some(established) = handshake.poll_established(NOW) {
                self.authenticated = true;
                let granted = established.grants[0].result.as_ref().unwrap();
                return granted.parse().unwrap();
            }
            self.exchange().unwrap();
        }
    }

    /// Sends bytes of a session, whatever they are, as one batch after the other.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut left = Bytes::copy_from_slice(bytes);
        while !left.is_empty() {
            let before = left.len();
            self.carrier
                .send(|room| (!left.is_empty()).then(|| left.split_to(room.min(left.len()))));
            if left.len() == before {
                return Err(ErrorKind::BrokenPipe.into());
            }
            self.flush()?;
        }
        Ok(())
    }

    /// The next frame with a body that is of interest.
    pub(crate) fn wait_for(&mut self, of_interest: impl Fn(&Frame) -> bool) -> io::Result<Frame> {
        loop {
            while let Some(frame) = self.frames.pop_front() {
                if of_interest(&frame) {
                    return Ok(frame);
                }
            }
            self.exchange()?;
        }
    }

    /// Waits for a visitor's stream.
    pub(crate) fn opened(&mut self) -> StreamId {
        match self.wait_for(|frame| matches!(frame, Frame::Open { .. })) {
            Ok(Frame::Open { stream, .. }) => stream,
            other => panic!("{other:?}"),
        }
    }

    /// Lets the server send `credit` bytes on the only stream, as over a path of this round trip: what came is acknowledged so much later. Until `enough` bytes
    /// are not acknowledged; nothing is from then on.
    pub(crate) fn swallow(&mut self, stream: StreamId, credit: u64, trip: Duration, enough: u64) {
        let credit = Frame::Credit {
            stream,
            offset: credit,
        };
        self.send(credit.encode().head()).unwrap();
        self.socket
            .set_read_timeout(Some(Duration::from_millis(5)))
            .unwrap();
        let mut came = VecDeque::new();
        let mut acknowledged = 0;
        while self.units() - acknowledged < enough {
            match self.exchange() {
                Ok(()) => came.push_back((time::Instant::now() + trip, self.units())),
                Err(error) => assert!(is_timeout(&error), "{error}"),
            }
            let due = came.partition_point(|(due, _)| *due <= time::Instant::now());
            if let Some((_, position)) = came.drain(..due).next_back() {
                acknowledged = position;
                self.send(Frame::Ack { position }.encode().head()).unwrap();
            }
        }
    }

    /// Units received, if a visitor's stream was opened and nothing else happened.
    fn units(&self) -> u64 {
        1 + self.taken as u64
    }

    /// Reads for this long; whether the server has ended the carrier.
    pub(crate) fn is_ended_within(&mut self, time: Duration) -> bool {
        self.socket.set_read_timeout(Some(time)).unwrap();
        match self.exchange() {
            Ok(()) => false,
            Err(error) => !is_timeout(&error),
        }
    }

    /// Writes what there is to write, then reads once.
    fn exchange(&mut self) -> io::Result<()> {
        self.flush()?;
        let mut input = BytesMut::zeroed(self.carrier.read_limit());
        let read = self.socket.read(&mut input)?;
        if read == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        input.truncate(read);
        self.carrier
            .handle_input(NOW, input)
            .map_err(io::Error::other)?;
        while let Some(event) = self.carrier.poll_event() {
            if let CarrierEvent::Ready(ready) = event {
                self.facts = Some(ready.facts);
            }
        }
        while let Some(payload) = self.carrier.poll_payload() {
            if !self.authenticated {
                self.unread.push(payload.clone());
            }
            self.read_frames(payload);
        }
        Ok(())
    }

    fn read_frames(&mut self, mut bytes: Bytes) {
        while let Some(piece) = self.decoder.decode(&mut bytes).unwrap() {
            match piece {
                Piece::Payload { chunk, .. } => self.taken += chunk.len(),
                Piece::Body { kind, .. } => self
                    .frames
                    .push_back(Frame::parse(kind, piece.body()).unwrap()),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.carrier.has_output() {
            let mut slices = [IoSlice::new(&[]); 8];
            let used = self.carrier.gather(&mut slices);
            let written = self.socket.write_vectored(&slices[..used])?;
            self.carrier.written(written);
        }
        Ok(())
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
