//! The sockets of one machine and the queue of its asks: ids are given out, wake-ups are asked for once, and an id comes back
//! only when the adapter has been told that it ended.

use std::collections::VecDeque;

use slab::Slab;

use crate::io::{Ask, SocketId};
use crate::server::{Handover, Visitor};

/// The sockets of one machine, each with the role that it plays there.
pub(crate) struct Sockets<R> {
    slots: Slab<Slot<R>>,
    asks: VecDeque<Ask>,
}

struct Slot<R> {
    /// `None`: the end was asked for and not yet polled.
    role: Option<R>,
    /// The adapter was told to write and did not yet find nothing left.
    writing: bool,
}

/// What happened to a machine since it last had nothing to ask.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Since {
    /// Nothing: it still has nothing to ask, which is what most polls find.
    #[default]
    Nothing,
    /// It was asked for what to write. That brings no carrier a new turn to write.
    Gathered,
    /// Anything else: a carrier may have something new to write.
    Stirred,
}

impl Since {
    pub(crate) fn gathered(&mut self) {
        if *self == Self::Nothing {
            *self = Self::Gathered;
        }
    }
}

impl<R> Sockets<R> {
    pub(crate) fn new() -> Self {
        Self {
            slots: Slab::new(),
            asks: VecDeque::new(),
        }
    }

    /// A new socket; `None` if there are as many as ids.
    pub(crate) fn open(&mut self, role: R) -> Option<SocketId> {
        let id = u32::try_from(self.slots.vacant_key()).ok()?;
        self.slots.insert(Slot {
            role: Some(role),
            writing: false,
        });
        Some(SocketId(id))
    }

    pub(crate) fn role(&self, id: SocketId) -> Option<&R> {
        self.slots.get(id.index())?.role.as_ref()
    }

    pub(crate) fn role_mut(&mut self, id: SocketId) -> Option<&mut R> {
        self.slots.get_mut(id.index())?.role.as_mut()
    }

    pub(crate) fn ask(&mut self, ask: Ask) {
        self.asks.push_back(ask);
    }

    pub(crate) fn want_read(&mut self, id: SocketId) {
        self.ask(Ask::WantRead(id));
    }

    /// Asks the adapter to write, unless it is at it.
    pub(crate) fn want_write(&mut self, id: SocketId) {
        let Some(slot) = self.slots.get_mut(id.index()) else {
            return;
        };
        if slot.role.is_some() && !slot.writing {
            slot.writing = true;
            self.ask(Ask::WantWrite(id));
        }
    }

    /// The adapter asked for something to write, and there was nothing.
    pub(crate) fn nothing_to_write(&mut self, id: SocketId) {
        if let Some(slot) = self.slots.get_mut(id.index()) {
            slot.writing = false;
        }
    }

    pub(crate) fn shutdown(&mut self, id: SocketId) {
        self.ask(Ask::Shutdown(id));
    }

    pub(crate) fn close(&mut self, id: SocketId) {
        self.end(id, Ask::Close(id));
    }

    pub(crate) fn abort(&mut self, id: SocketId) {
        self.end(id, Ask::Abort(id));
    }

    /// Gives a visitor's socket to another session.
    pub(crate) fn hand_on(&mut self, id: SocketId, visitor: Visitor) {
        let ask = Ask::HandOn {
            socket: id,
            visitor,
        };
        self.end(id, ask);
    }

    /// Gives a carrier's socket to another peer.
    pub(crate) fn hand_over(&mut self, id: SocketId, handover: Box<Handover>) {
        let ask = Ask::HandOver {
            socket: id,
            handover,
        };
        self.end(id, ask);
    }

    fn end(&mut self, id: SocketId, ask: Ask) {
        let Some(slot) = self.slots.get_mut(id.index()) else {
            return;
        };
        if slot.role.take().is_some() {
            self.ask(ask);
        }
    }

    /// The next ask. Polling the end of a socket frees its id; asks for a socket that has ended meanwhile are left out.
    pub(crate) fn poll_ask(&mut self) -> Option<Ask> {
        while let Some(ask) = self.asks.pop_front() {
            match ask {
                Ask::Close(id)
                | Ask::Abort(id)
                | Ask::HandOn { socket: id, .. }
                | Ask::HandOver { socket: id, .. } => {
                    self.slots.try_remove(id.index());
                }
                Ask::Connect { socket, .. } if self.role(socket).is_none() => continue,
                Ask::WantRead(id) | Ask::WantWrite(id) | Ask::Shutdown(id)
                    if self.role(id).is_none() =>
                {
                    continue;
                }
                _ => {}
            }
            return Some(ask);
        }
        None
    }

    /// Whether no socket is open and nothing is left to ask.
    pub(crate) fn is_done(&self) -> bool {
        self.slots.is_empty() && self.asks.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_used_again_only_after_its_end_was_polled() {
        let mut sockets = Sockets::new();
        let first = sockets.open('a').unwrap();
        sockets.close(first);
        assert_ne!(sockets.open('b'), Some(first));
        assert!(matches!(sockets.poll_ask(), Some(Ask::Close(id)) if id == first));
        assert_eq!(sockets.open('c'), Some(first));
        assert_eq!(sockets.role(first), Some(&'c'));
    }

    #[test]
    fn an_end_is_asked_for_once() {
        let mut sockets = Sockets::new();
        let id = sockets.open('a').unwrap();
        sockets.abort(id);
        sockets.close(id);
        assert!(matches!(sockets.poll_ask(), Some(Ask::Abort(_))));
        assert!(sockets.poll_ask().is_none());
        assert!(sockets.is_done());
    }

    #[test]
    fn writing_is_asked_for_once_until_nothing_was_left() {
        let mut sockets = Sockets::new();
        let id = sockets.open('a').unwrap();
        sockets.want_write(id);
        sockets.want_write(id);
        assert!(matches!(sockets.poll_ask(), Some(Ask::WantWrite(_))));
        assert!(sockets.poll_ask().is_none());
        sockets.nothing_to_write(id);
        sockets.want_write(id);
        assert!(matches!(sockets.poll_ask(), Some(Ask::WantWrite(_))));
    }

    #[test]
    fn nothing_is_asked_for_a_socket_that_ended_meanwhile() {
        let mut sockets = Sockets::new();
        let id = sockets.open('a').unwrap();
        sockets.want_read(id);
        sockets.shutdown(id);
        sockets.abort(id);
        assert!(matches!(sockets.poll_ask(), Some(Ask::Abort(_))));
    }
}
