//! What a frame of data allocates once a transfer is under way: nothing, neither where it is sent and kept for a resume, nor where it is received.

use std::sync::Arc;
use std::time::Duration;

use adit_core::{
    Config, DATA_FRAME_MAX, Instant, Open, ServiceId, ServiceKind, Session, Side, StreamId,
};
use allocation_counter::measure;
use bytes::{Bytes, BytesMut};

/// What is written at once.
static BULK: [u8; 4 * DATA_FRAME_MAX] = [7; 4 * DATA_FRAME_MAX];

/// Writes that are measured, and as many before that; the receiver has taken all of them in the end.
const WRITES: usize = 490;

/// More than heads add to a write, and what comes back.
const HEADS: usize = 1_024;

const OPEN: Open = Open {
    kind: ServiceKind::Tcp,
    service: ServiceId(0),
    visitor: None,
    dialled: None,
};

struct Transfer {
    now: Instant,
    sender: Session,
    receiver: Session,
    stream: StreamId,
    /// What frames are put together in, on their way; made before anything is counted.
    way: BytesMut,
    frames: usize,
}

impl Transfer {
    fn new() -> Self {
        let config = Arc::new(Config::default());
        let now = Instant::from_millis(1);
        let session = |side| {
            let session = Session::new(config.clone(), side, config.limits(), now);
            session.resumable(config.resume_window)
        };
        let (mut sender, receiver) = (session(Side::Client), session(Side::Server));
        let stream = sender.open(now, OPEN).expect("room");
        Self {
            now,
            sender,
            receiver,
            stream,
            way: BytesMut::new(),
            frames: 0,
        }
    }

    fn make_room(&mut self) {
        self.way = BytesMut::with_capacity(WRITES * (BULK.len() + HEADS));
        // A buffer's first split turns it into a shared one.
        let _ = self.way.split();
    }

    /// Writes, and carries everything there and back; the receiver takes it after every `reads_after` writes.
    fn run(&mut self, reads_after: usize) {
        for number in 1..=WRITES {
            self.now += Duration::from_micros(100);
            let mut bulk = Bytes::from_static(&BULK);
            while self.sender.write(self.stream, &mut bulk).expect("open") > 0 {
                self.frames += carry(
                    self.now,
                    &mut self.way,
                    &mut self.sender,
                    &mut self.receiver,
                );
                carry(
                    self.now,
                    &mut self.way,
                    &mut self.receiver,
                    &mut self.sender,
                );
            }
            if number % reads_after == 0 {
                let len = self.receiver.chunks(self.stream).map(<[u8]>::len).sum();
                self.receiver.consume(self.now, self.stream, len);
            }
            for session in [&mut self.sender, &mut self.receiver] {
                session.handle_timeout(self.now);
                while session.poll_event().is_some() {}
            }
            carry(
                self.now,
                &mut self.way,
                &mut self.receiver,
                &mut self.sender,
            );
        }
    }
}

/// Frames that went from one to the other.
fn carry(now: Instant, way: &mut BytesMut, from: &mut Session, to: &mut Session) -> usize {
    let mut frames = 0;
    while let Some(frame) = from.poll_transmit(now, 16_384) {
        way.extend_from_slice(frame.head());
        way.extend_from_slice(frame.payload());
        let bytes = way.split().freeze();
        let slab = bytes.len();
        to.handle_input(now, bytes, slab);
        frames += 1;
    }
    frames
}

#[test]
fn a_frame_of_data_allocates_nothing() {
    for reads_after in [1, 2, 7] {
        let mut transfer = Transfer::new();
        transfer.make_room();
        transfer.run(reads_after);
        transfer.make_room();
        transfer.frames = 0;
        let allocated = measure(|| transfer.run(reads_after));
        assert!(transfer.frames > 3 * WRITES, "{}", transfer.frames);
        assert_eq!(
            allocated.count_total, 0,
            "read after {reads_after} writes, {} frames: {allocated:?}",
            transfer.frames
        );
    }
}

#[test]
fn streams_that_were_many_leave_little_memory_behind() {
    const MANY: usize = 1_000;
    let mut transfer = Transfer::new();
    let both_ways = |transfer: &mut Transfer| {
        transfer.now += Duration::from_millis(100);
        let (now, way) = (transfer.now, &mut transfer.way);
        carry(now, way, &mut transfer.sender, &mut transfer.receiver);
        carry(now, way, &mut transfer.receiver, &mut transfer.sender);
        for session in [&mut transfer.sender, &mut transfer.receiver] {
            session.handle_timeout(now);
            while session.poll_event().is_some() {}
        }
    };
    both_ways(&mut transfer);
    let come_and_go = |transfer: &mut Transfer| {
        let opened = |_| transfer.sender.open(transfer.now, OPEN);
        let streams: Vec<_> = (0..MANY).map(opened).collect();
        both_ways(transfer);
        for stream in &streams {
            let stream = *stream.as_ref().expect("room");
            transfer.sender.finish(stream).expect("open");
            transfer.receiver.finish(stream).expect("open");
        }
        both_ways(transfer);
        for stream in streams.into_iter().flatten() {
            transfer.sender.release(stream);
            transfer.receiver.release(stream);
        }
        for _ in 0..10 {
            both_ways(transfer);
        }
        assert_eq!(transfer.sender.streams(), 1);
        assert_eq!(transfer.receiver.streams(), 1);
    };
    let kept = measure(|| come_and_go(&mut transfer)).bytes_current;
    let each = kept / MANY as i64;
    assert!(each <= 300, "{each} bytes for each stream");
}
