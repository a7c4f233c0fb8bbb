//! The rules of an open session, one by one, and what a peer that breaks one is told.

mod credit;
mod glitches;
mod liveness;
mod positions;
mod streams;

use std::sync::Arc;
use std::time::Duration;

use adit_core::{
    Code, Config, Event, Frame, Instant, Limits, Open, OpenError, Piece, ServiceId, ServiceKind,
    Session, SessionError, Side, StreamId, kind,
};
use adit_proptests::Pair;
use adit_proptests::pair::any_open;
use adit_proptests::pipe::Shape;
use adit_proptests::wire::{data, numbers as frame, open, varint};
use bytes::Bytes;

/// A server's session whose client is the test itself.
struct Bench {
    now: Instant,
    session: Session,
    decoder: adit_core::Decoder,
}

/// What the session under test sent.
#[allow(clippy::large_enum_variant, reason = "a handful live at a time")]
#[derive(Debug, PartialEq)]
enum Sent {
    Frame(Frame),
    Data(StreamId, usize),
}

impl Bench {
    fn new(config: Config) -> Self {
        Self::facing(config, Config::default().limits())
    }

    /// A session whose peer states these limits.
    fn facing(config: Config, peer: Limits) -> Self {
        let now = Instant::from_millis(5);
        Self {
            now,
            session: Session::new(Arc::new(config), Side::Server, peer, now),
            decoder: adit_core::Decoder::default(),
        }
    }

    /// A session that may send so many bytes in all.
    fn with_session_credit(session_credit: u64) -> Self {
        let limits = Limits {
            session_credit,
            ..Config::default().limits()
        };
        Self::facing(Config::default(), limits)
    }

    fn gets(&mut self, bytes: &[u8]) -> &mut Self {
        self.session
            .handle_input(self.now, Bytes::copy_from_slice(bytes), bytes.len());
        self
    }

    /// Everything that the session sends now.
    fn sent(&mut self) -> Vec<Sent> {
        let mut sent = Vec::new();
        while let Some(frame) = self.session.poll_transmit(self.now, 16_384) {
            let mut bytes = Bytes::from([frame.head(), frame.payload()].concat());
            while let Some(piece) = self.decoder.decode(&mut bytes).expect("our own frames") {
                sent.push(match piece {
                    Piece::Payload { stream, ref chunk } => Sent::Data(stream, chunk.len()),
                    Piece::Body { kind, .. } => {
                        Sent::Frame(Frame::parse(kind, piece.body()).expect("our own frame"))
                    }
                });
            }
        }
        sent
    }

    fn frames(&mut self) -> Vec<Frame> {
        let frame = |sent| match sent {
            Sent::Frame(frame) => Some(frame),
            Sent::Data(..) => None,
        };
        self.sent().into_iter().filter_map(frame).collect()
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.session.poll_event()).collect()
    }

    /// The streams that were opened since the events were looked at last.
    fn all_opened(&mut self) -> Vec<StreamId> {
        let opened = |event| match event {
            Event::Opened { id, .. } => Some(id),
            _ => None,
        };
        self.events().into_iter().filter_map(opened).collect()
    }

    /// The one stream that was opened last.
    fn opened(&mut self) -> StreamId {
        self.all_opened().pop().expect("a stream was opened")
    }

    /// The session has ended, and CLOSE says why.
    fn ended_with(&mut self, code: Code) {
        let events = self.events();
        let closed = events.iter().any(
            |event| matches!(event, Event::Closed(SessionError::Protocol(error)) if error.code == code),
        );
        assert!(closed, "wanted {code:?}, got {events:?}");
        assert_eq!(self.frames(), [Frame::Close { code, detail: None }]);
        assert_eq!(self.session.streams(), 0);
    }
}

fn bench() -> Bench {
    Bench::new(Config::default())
}
