//! How a session moves from carrier to carrier: one peer gives its carrier away, another takes it, and visitors need not wait for either.

use std::time::Duration;

use adit_core::{Code, Instant};

use super::{Peer, Phase};
use crate::io::{Ask, SocketId};
use crate::notice::Notice;
use crate::server::serving::Role;
use crate::server::{Handover, PeerId};
use crate::sockets::Since;
use crate::wire::Wire;

/// Of what a session without a carrier holds, the part that is charged on top: what an allocator keeps of memory that was given back. Where sessions come,
/// are filled and make room for others, glibc's kept up to 150 MiB beside 416 MiB that were held: each thread has its own store, and none looks into the others'.
const KEPT_BY_ALLOCATOR: usize = 2;

impl Peer {
    /// Takes a carrier that another peer handed over, to go on with the session; names its socket. `None`: close the connection,
    /// because the session has ended meanwhile, or a later carrier was quicker.
    pub fn adopt(&mut self, now: Instant, handover: Handover) -> Option<SocketId> {
        self.since = Since::Stirred;
        let Phase::Open(serving) = &mut self.phase else {
            return None;
        };
        let Handover {
            carrier,
            mut handshake,
            from,
            source,
            ..
        } = handover;
        if let Err(failure) = handshake.attach(now, &mut serving.session) {
            let tunnel = Some(serving.who.tunnel.clone());
            self.sockets.ask(Ask::Notice(Notice::AuthFailed {
                source,
                tunnel,
                failure,
                delay: Duration::ZERO,
            }));
            return None;
        }
        serving.resumed(source, &mut self.sockets);
        let who = serving.who.clone();
        self.cut();
        let Some(socket) = self.sockets.open(Role::Carrier) else {
            self.lose_carrier(now, "no socket is left");
            return None;
        };
        self.from = from;
        self.ending = false;
        self.wire = Some(Wire::new(now, carrier, socket));
        self.sockets.want_read(socket);
        self.shared.with(|table| table.resumed(now, self.id));
        self.sockets
            .ask(Ask::Notice(Notice::SessionResumed { who }));
        self.handle_carrier(now);
        Some(socket)
    }

    /// Visitors that need not wait for this session go to others.
    pub(super) fn send_on(&mut self) {
        if let Phase::Open(serving) = &mut self.phase {
            let (shared, id) = (&self.shared, self.id);
            let others = |listener| shared.with(|table| table.others_answer(listener, id));
            serving.send_on(others, &mut self.sockets);
        }
    }

    /// Gives the carrier to the peer whose session it brings back.
    pub(super) fn hand_over(&mut self, owner: PeerId) {
        match std::mem::replace(&mut self.phase, Phase::Over(None)) {
            Phase::Greeting(greeting) => {
                if let Some(Wire {
                    carrier, socket, ..
                }) = self.wire.take()
                {
                    let (source, handshake) = greeting.into_parts();
                    let handover = Handover {
                        peer: owner,
                        carrier,
                        handshake,
                        from: self.from,
                        source,
                    };
                    self.sockets.hand_over(socket, Box::new(handover));
                }
                self.deadline = None;
                self.shared.with(|table| table.gone(self.id, None));
            }
            other => self.phase = other,
        }
    }

    /// The carrier was lost, and the session goes on without one, or ends.
    pub(super) fn lose_carrier(&mut self, now: Instant, reason: &str) {
        let Phase::Open(serving) = &mut self.phase else {
            return;
        };
        serving.session.handle_carrier_lost(now);
        let who = serving.who.clone();
        let reason = reason.to_owned();
        if std::mem::replace(&mut serving.away, true) {
            return;
        }
        if serving.is_draining() {
            // No new carrier is accepted any more.
            serving.session.close(now, Code::SHUTDOWN);
        }
        if serving.session.is_closed() {
            self.sockets
                .ask(Ask::Notice(Notice::SessionEnded { who, reason }));
            self.finish(now);
            return self.over();
        }
        let held = serving.session.memory();
        let bytes = held + held / KEPT_BY_ALLOCATOR;
        let window = serving.session.resume_window().unwrap_or_default();
        serving.detached();
        self.shared
            .with(|table| table.detached(now, self.id, bytes));
        self.send_on();
        self.sockets.ask(Ask::Notice(Notice::SessionDetached {
            who,
            reason,
            window,
        }));
        self.finish(now);
    }
}
