//! Streams: two halves each, kept in one store, found by id or by key.

mod list;
mod recv;
mod send;

use alloc::collections::vec_deque;

pub(crate) use list::{Linked, Links, List, Queue};
pub(crate) use recv::{CREDIT_STEP_MAX, Growth, PINNED_MAX, Pinned, Recv};
pub(crate) use send::Send;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::code::Code;
use crate::frame::Open;
use crate::ids::{Side, StreamId};

/// Places for chunks that a half keeps when it holds none, until it gives credit back: to make them anew for every chunk would cost more than they do.
const PLACES_KEPT: usize = 64;

/// One stream of a session.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) id: StreamId,
    pub(crate) send: Send,
    pub(crate) recv: Recv,
    /// What OPEN says, until it was sent or told to the application.
    pub(crate) open: Option<Open>,
    /// The reset that ended both halves, and whether the peer still has to be told.
    pub(crate) reset: Option<Reset>,
    /// The application has no more use for the stream.
    pub(crate) released: bool,
    pub(crate) tell: Tell,
    /// Credit to give back: what was seen, and what it becomes.
    pub(crate) give_back: Option<(u64, u64)>,
    /// The position of the OPEN that this side sent.
    pub(crate) opened_at: Option<u64>,
    /// A new carrier: the credit must be stated again.
    pub(crate) restate: bool,
    /// Likewise for the peer, which has not done so yet.
    pub(crate) unstated: bool,
    /// What the scheduler knows.
    pub(crate) turn: crate::schedule::Turn,
    links: Links,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Reset {
    pub(crate) code: Code,
    pub(crate) owed: bool,
}

/// What the application has not been told yet.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tell {
    pub(crate) opened: bool,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    pub(crate) reset: bool,
}

impl Linked for Stream {
    fn links(&mut self) -> &mut Links {
        &mut self.links
    }
}

impl Stream {
    pub(crate) fn new(id: StreamId, send: Send, recv: Recv, open: Open) -> Self {
        Self {
            id,
            send,
            recv,
            open: Some(open),
            reset: None,
            released: false,
            tell: Tell::default(),
            give_back: None,
            opened_at: None,
            restate: false,
            unstated: false,
            turn: crate::schedule::Turn::default(),
            links: Links::default(),
        }
    }

    /// Nothing more can be sent, received or told: the protocol is done with the stream.
    pub(crate) fn is_over(&self) -> bool {
        match self.reset {
            Some(reset) => !reset.owed,
            None => self.send.is_finished() && self.recv.is_finished(),
        }
    }
}

/// The streams of a session.
#[derive(Debug, Default)]
pub(crate) struct Store {
    pub(crate) slab: slab::Slab<Stream>,
    /// The hash is no secret: a peer that chooses its ids so that they fall together makes looking one up a walk through groups of sixteen, of as many streams as
    /// it may have open. That is about what its frame costs anyway.
    keys: HashMap<StreamId, usize, FixedState>,
    opened_by_client: u64,
    opened_by_server: u64,
    /// With no more streams than this, memory is given back: a quarter of the most that there were, then half as many each time.
    shrink_at: usize,
}

/// Tables for so many streams are kept, however few there are.
const KEPT: usize = 64;

impl Store {
    pub(crate) fn insert(&mut self, stream: Stream) -> usize {
        *self.count_mut(stream.id.opener()) += 1;
        let id = stream.id;
        let key = self.slab.insert(stream);
        self.keys.insert(id, key);
        self.shrink_at = self.shrink_at.max(self.slab.len() / 4);
        key
    }

    /// The caller has taken the stream out of every queue.
    pub(crate) fn remove(&mut self, key: usize) {
        if let Some(stream) = self.slab.try_remove(key) {
            self.keys.remove(&stream.id);
            *self.count_mut(stream.id.opener()) -= 1;
            let len = self.slab.len();
            if len <= self.shrink_at && self.slab.capacity() > KEPT {
                self.shrink_at = len / 2;
                self.slab.shrink_to_fit();
                self.keys.shrink_to(KEPT.max(2 * len));
            }
        }
    }

    pub(crate) fn key(&self, id: StreamId) -> Option<usize> {
        self.keys.get(&id).copied()
    }

    pub(crate) fn by_id(&self, id: StreamId) -> Option<&Stream> {
        self.slab.get(self.key(id)?)
    }

    pub(crate) fn get_mut(&mut self, key: usize) -> Option<&mut Stream> {
        self.slab.get_mut(key)
    }

    /// Streams that `side` opened.
    pub(crate) const fn count(&self, side: Side) -> u64 {
        match side {
            Side::Client => self.opened_by_client,
            Side::Server => self.opened_by_server,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }

    const fn count_mut(&mut self, side: Side) -> &mut u64 {
        match side {
            Side::Client => &mut self.opened_by_client,
            Side::Server => &mut self.opened_by_server,
        }
    }
}

/// The received bytes of a stream that were not taken yet, in order. Made by [`Session::chunks`](crate::Session::chunks).
#[derive(Clone)]
pub struct Chunks<'a>(Option<vec_deque::Iter<'a, recv::Held>>);

impl<'a> Chunks<'a> {
    pub(crate) fn of(stream: Option<&'a Stream>) -> Self {
        Self(stream.map(|stream| stream.recv.held()))
    }
}

impl<'a> Iterator for Chunks<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.0.as_mut()?.next()?.as_slice())
    }
}
