//! One carrier between a client and a server: two pipes, what is at its ends, and who has learnt that it is gone.

use adit_core::{ClientHandshake, Instant, ServerHandshake};

use crate::pipe::Pipe;

/// One carrier.
#[derive(Debug)]
pub(super) struct Carrier {
    /// From the client to the server.
    pub(super) up: Pipe,
    pub(super) down: Pipe,
    pub(super) client: Option<ClientEnd>,
    pub(super) server: Option<ServerEnd>,
    /// When each end learns that the carrier is gone, if it does.
    pub(super) client_learns: Option<Instant>,
    pub(super) server_learns: Option<Instant>,
}

#[derive(Debug)]
pub(super) enum ClientEnd {
    Handshake(Box<ClientHandshake>),
    Session,
}

#[derive(Debug)]
pub(super) enum ServerEnd {
    Handshake(Box<ServerHandshake>),
    Session,
}

/// How a carrier ends.
#[derive(Clone, Copy, Debug)]
pub enum Cut {
    /// Both ends learn at once, and what was under way is lost.
    Reset,
    /// Both ends learn, each after so many bytes of what was under way to it.
    After {
        /// To the client.
        down: usize,
        /// To the server.
        up: usize,
    },
    /// Nobody learns, and nothing arrives any more.
    Silence,
    /// Nothing more arrives at the server; the other direction works.
    UpStalls,
    /// Nothing more arrives at the client; the other direction works.
    DownStalls,
}

impl Carrier {
    pub(super) fn cut(&mut self, now: Instant, down: usize, up: usize) {
        self.up.cut_after(up);
        self.down.cut_after(down);
        self.client_learns = Some(now.max(self.down.last_due().unwrap_or(now)));
        self.server_learns = Some(now.max(self.up.last_due().unwrap_or(now)));
    }

    /// The client closes its end: the server learns when the word arrives, if it does.
    pub(super) fn drop_client(&mut self, now: Instant) {
        if self.client.take().is_some() && !self.up.is_cut() {
            self.server_learns = Some(self.up.last_due().unwrap_or(now).max(now));
        }
    }

    pub(super) fn drop_server(&mut self, now: Instant) {
        if self.server.take().is_some() && !self.down.is_cut() {
            self.client_learns = Some(self.down.last_due().unwrap_or(now).max(now));
        }
    }
}
