//! Streams and the local sockets that they are relayed to: data, half-close and reset, both ways, on either side of a tunnel.
//!
//! Nothing is buffered here. What came through the tunnel stays in the session, within its credit, until the local socket takes it; a local
//! socket is read only as far as the session has room. Each end means the same on both sides: FIN is FIN, and a reset is a reset.

use std::cell::Cell;
use std::collections::HashMap;
use std::io::{ErrorKind, IoSlice};
use std::sync::Arc;

use adit_core::{Code, DATA_FRAME_MAX, Instant, Session, StreamId};
use bytes::{Bytes, BytesMut};
use foldhash::fast::FixedState;

use crate::counters::{Count, Tally};
use crate::io::SocketId;
use crate::server::Visitor;
use crate::sockets::Sockets;

/// The most that [`Machine::read_limit`](crate::Machine::read_limit) asks for of a local socket, in bytes: more would let one busy socket hold up the
/// others. What is a little more than whole frames would end in a frame of next to nothing.
pub const READ_MAX: usize = 8 * DATA_FRAME_MAX;

/// A table for so many streams is kept, however few there are; a larger one is made smaller when it is a quarter full.
const TABLE_KEPT: usize = 64;

/// The streams of one session.
pub(crate) struct Streams {
    by_id: HashMap<StreamId, Local, FixedState>,
    tally: Arc<Tally>,
}

/// The local side of one stream.
#[derive(Default)]
struct Local {
    /// `None` while the upstream is being dialled.
    socket: Option<SocketId>,
    /// Read, and not yet taken by the session: what an adapter read beyond the limit. At most one read.
    left_over: Bytes,
    /// The local socket's FIN came.
    eof: bool,
    /// The session has been told so.
    finished: bool,
    /// The local socket was sent our FIN.
    shut: bool,
    /// Nothing is read from the socket until the other end of the tunnel has given a sign of life.
    held: bool,
    /// The adapter was told to read nothing, and waits to be told otherwise.
    stalled: Cell<bool>,
    /// Whose the socket is, for as long as nothing was read from it or written to it: until then it may begin again elsewhere.
    visitor: Option<Visitor>,
}

/// One stream, with all that an event of its local socket concerns.
pub(crate) struct Relayed<'a, R> {
    pub(crate) id: StreamId,
    pub(crate) session: &'a mut Session,
    pub(crate) streams: &'a mut Streams,
    pub(crate) sockets: &'a mut Sockets<R>,
}

impl<'a, R> Relayed<'a, R> {
    pub(crate) fn received(self, data: BytesMut) {
        self.streams
            .received(self.id, data, self.session, self.sockets);
    }

    pub(crate) fn received_eof(self) {
        self.streams
            .received_eof(self.id, self.session, self.sockets);
    }

    pub(crate) fn gather(self, socket: SocketId, out: &mut [IoSlice<'a>]) -> usize {
        self.streams
            .gather(self.id, socket, self.session, self.sockets, out)
    }

    pub(crate) fn written(self, now: Instant, n: usize) {
        self.streams
            .written(now, self.id, n, self.session, self.sockets);
    }

    pub(crate) fn failed(self, error: ErrorKind) {
        self.streams
            .failed(self.id, error, self.session, self.sockets);
    }
}

impl Streams {
    pub(crate) fn new(tally: Arc<Tally>) -> Self {
        Self {
            by_id: HashMap::default(),
            tally,
        }
    }

    /// A stream was opened, by either side; its local socket may follow.
    pub(crate) fn insert(
        &mut self,
        id: StreamId,
        socket: Option<SocketId>,
        visitor: Option<Visitor>,
    ) {
        let local = Local {
            socket,
            visitor,
            ..Local::default()
        };
        self.by_id.insert(id, local);
        self.tally.add(Count::Streams, 1);
        self.tally.add(Count::StreamsTotal, 1);
    }

    /// Streams whose visitor has noticed nothing of the session yet.
    pub(crate) fn untouched(&self) -> usize {
        let locals = self.by_id.values();
        locals.filter(|local| local.visitor.is_some()).count()
    }

    /// Reads nothing from a stream's local socket until [`release_held`](Self::release_held).
    pub(crate) fn hold(&mut self, id: StreamId) {
        if let Some(local) = self.by_id.get_mut(&id) {
            local.held = true;
        }
    }

    /// Sockets of which nothing was read yet are read from now on.
    pub(crate) fn release_held<R>(
        &mut self,
        ids: impl Iterator<Item = StreamId>,
        sockets: &mut Sockets<R>,
    ) {
        for id in ids {
            if let Some(local) = self.by_id.get_mut(&id)
                && std::mem::take(&mut local.held)
                && let Some(socket) = local.socket
            {
                sockets.want_read(socket);
            }
        }
    }

    /// The stream's local socket, if it has one.
    pub(crate) fn socket(&self, id: StreamId) -> Option<SocketId> {
        self.by_id.get(&id)?.socket
    }

    /// The stream's upstream is connected: relaying begins with what came meanwhile.
    pub(crate) fn attach<R>(
        &mut self,
        id: StreamId,
        socket: SocketId,
        session: &mut Session,
        sockets: &mut Sockets<R>,
    ) {
        let Some(local) = self.by_id.get_mut(&id) else {
            return sockets.abort(socket);
        };
        local.socket = Some(socket);
        sockets.want_read(socket);
        self.handle_readable(id, session, sockets);
    }

    /// How much may be read from the stream's local socket now.
    pub(crate) fn read_limit(&self, id: StreamId, session: &Session) -> usize {
        let Some(local) = self.by_id.get(&id) else {
            return 0;
        };
        let limit = if local.left_over.is_empty() && !local.eof && !local.held {
            session.write_space(id).min(READ_MAX)
        } else {
            0
        };
        local.stalled.set(limit == 0);
        limit
    }

    /// Bytes were read from the local socket.
    pub(crate) fn received<R>(
        &mut self,
        id: StreamId,
        data: BytesMut,
        session: &mut Session,
        sockets: &mut Sockets<R>,
    ) {
        let Some(local) = self.by_id.get_mut(&id) else {
            return;
        };
        local.visitor = None;
        self.tally.add(Count::BytesSent, data.len() as u64);
        if local.left_over.is_empty() {
            local.left_over = data.freeze();
        } else {
            let mut joined = BytesMut::from(&local.left_over[..]);
            joined.extend_from_slice(&data);
            local.left_over = joined.freeze();
        }
        self.pass_on(id, session, sockets);
    }

    /// The local socket's FIN came.
    pub(crate) fn received_eof<R>(
        &mut self,
        id: StreamId,
        session: &mut Session,
        sockets: &mut Sockets<R>,
    ) {
        if let Some(local) = self.by_id.get_mut(&id) {
            local.eof = true;
            local.visitor = None;
        }
        self.pass_on(id, session, sockets);
    }

    /// The session has room again.
    pub(crate) fn handle_writable<R>(
        &mut self,
        id: StreamId,
        session: &mut Session,
        sockets: &mut Sockets<R>,
    ) {
        self.pass_on(id, session, sockets);
        let stalled = self.by_id.get(&id).filter(|local| local.stalled.get());
        if let Some(socket) = stalled.and_then(|local| local.socket)
            && self.read_limit(id, session) > 0
        {
            sockets.want_read(socket);
        }
    }

    /// Hands on to the session what was read, and the FIN behind it.
    fn pass_on<R>(&mut self, id: StreamId, session: &mut Session, sockets: &mut Sockets<R>) {
        let Some(local) = self.by_id.get_mut(&id) else {
            return;
        };
        let mut result = Ok(0);
        if !local.left_over.is_empty() {
            result = session.write(id, &mut local.left_over);
        }
        if result.is_ok() && local.left_over.is_empty() && local.eof && !local.finished {
            local.finished = true;
            result = session.finish(id).map(|()| 0);
        }
        if result.is_err() {
            // The session no longer takes it: whatever the reason, the local side must not see a good end.
            return self.reset(id, Code::LOCAL_ERROR, session, sockets);
        }
        self.close_if_over(id, session, sockets);
    }

    /// The session has something for the local socket, or its end.
    pub(crate) fn handle_readable<R>(
        &mut self,
        id: StreamId,
        session: &mut Session,
        sockets: &mut Sockets<R>,
    ) {
        let Some(Local {
            socket: Some(socket),
            ..
        }) = self.by_id.get(&id)
        else {
            return;
        };
        if session.chunks(id).next().is_some() {
            sockets.want_write(*socket);
        }
        self.shut_if_read(id, session, sockets);
    }

    /// What the local socket should take now.
    pub(crate) fn gather<'a, R>(
        &self,
        id: StreamId,
        socket: SocketId,
        session: &'a Session,
        sockets: &mut Sockets<R>,
        out: &mut [IoSlice<'a>],
    ) -> usize {
        let mut filled = 0;
        for (slot, chunk) in out.iter_mut().zip(session.chunks(id)) {
            *slot = IoSlice::new(chunk);
            filled += 1;
        }
        if filled == 0 {
            sockets.nothing_to_write(socket);
        }
        filled
    }

    /// The local socket took `n` bytes.
    pub(crate) fn written<R>(
        &mut self,
        now: Instant,
        id: StreamId,
        n: usize,
        session: &mut Session,
        sockets: &mut Sockets<R>,
    ) {
        if let Some(local) = self.by_id.get_mut(&id) {
            local.visitor = None;
        }
        self.tally.add(Count::BytesReceived, n as u64);
        session.consume(now, id, n);
        self.shut_if_read(id, session, sockets);
    }

    fn shut_if_read<R>(&mut self, id: StreamId, session: &mut Session, sockets: &mut Sockets<R>) {
        let Some(local) = self.by_id.get_mut(&id) else {
            return;
        };
        let Some(socket) = local.socket else { return };
        if !local.shut && session.is_read_finished(id) {
            local.shut = true;
            local.visitor = None;
            sockets.shutdown(socket);
            self.close_if_over(id, session, sockets);
        }
    }

    /// Both directions have ended well.
    fn close_if_over<R>(&mut self, id: StreamId, session: &mut Session, sockets: &mut Sockets<R>) {
        let Some(local) = self.by_id.get(&id) else {
            return;
        };
        if local.finished && local.shut {
            if let Some(socket) = local.socket {
                sockets.close(socket);
            }
            self.remove(id);
            session.release(id);
        }
    }

    /// The local socket failed: the other end of the tunnel is told, and whoever is at this end sees a reset, too.
    pub(crate) fn failed<R>(
        &mut self,
        id: StreamId,
        error: ErrorKind,
        session: &mut Session,
        sockets: &mut Sockets<R>,
    ) {
        let code = match error {
            ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => {
                Code::CANCELLED
            }
            _ => Code::LOCAL_ERROR,
        };
        self.reset(id, code, session, sockets);
    }

    /// Ends a stream from this side, with a reason.
    pub(crate) fn reset<R>(
        &mut self,
        id: StreamId,
        code: Code,
        session: &mut Session,
        sockets: &mut Sockets<R>,
    ) {
        if !self.by_id.contains_key(&id) {
            return;
        }
        self.tally.reset(code);
        session.reset(id, code);
        session.release(id);
        self.abort(id, sockets);
    }

    /// The other end of the tunnel ended a stream.
    pub(crate) fn handle_reset<R>(
        &mut self,
        id: StreamId,
        code: Code,
        session: &mut Session,
        sockets: &mut Sockets<R>,
    ) {
        if self.by_id.contains_key(&id) {
            self.tally.reset(code);
            session.release(id);
            self.abort(id, sockets);
        }
    }

    /// Ends a stream with a reset, and lets its visitor begin again elsewhere. `false`, and nothing is done, if it is too late for that.
    pub(crate) fn hand_on<R>(
        &mut self,
        id: StreamId,
        code: Code,
        session: &mut Session,
        sockets: &mut Sockets<R>,
    ) -> bool {
        let Some(local) = self.by_id.get_mut(&id) else {
            return false;
        };
        let (Some(socket), Some(visitor)) = (local.socket, local.visitor.take()) else {
            return false;
        };
        self.tally.reset(code);
        self.remove(id);
        session.release(id);
        sockets.hand_on(socket, visitor.refused(code));
        true
    }

    /// Visitors that have noticed nothing of the session, and for whom there is `elsewhere`, begin again there.
    pub(crate) fn hand_on_all<R>(
        &mut self,
        elsewhere: impl Fn(&Visitor) -> bool,
        session: &mut Session,
        sockets: &mut Sockets<R>,
    ) {
        let goes = |local: &Local| local.visitor.as_ref().is_some_and(&elsewhere);
        let locals = self.by_id.iter().filter(|(_, local)| goes(local));
        let ids: Vec<StreamId> = locals.map(|(id, _)| *id).collect();
        for id in ids {
            self.hand_on(id, Code::SESSION_LOST, session, sockets);
        }
    }

    /// The session has ended: no stream may look as if it had ended well.
    pub(crate) fn abort_all<R>(&mut self, sockets: &mut Sockets<R>) {
        for (_, local) in self.by_id.drain() {
            self.tally.less(Count::Streams);
            self.tally.reset(Code::SESSION_LOST);
            if let Some(socket) = local.socket {
                sockets.abort(socket);
            }
        }
    }

    fn abort<R>(&mut self, id: StreamId, sockets: &mut Sockets<R>) {
        if let Some(socket) = self.remove(id).and_then(|local| local.socket) {
            sockets.abort(socket);
        }
    }

    fn remove(&mut self, id: StreamId) -> Option<Local> {
        let local = self.by_id.remove(&id)?;
        if self.by_id.capacity() > TABLE_KEPT.max(4 * self.by_id.len()) {
            self.by_id.shrink_to(2 * self.by_id.len());
        }
        self.tally.less(Count::Streams);
        Some(local)
    }
}
