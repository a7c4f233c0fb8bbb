//! How the session of a line outlives its carriers: it is detached when one is lost, and goes on when another line brings the next.

use std::net::IpAddr;
use std::time::Duration;

use adit_core::{Code, Instant, Session};

use super::{Line, Phase, Relaying};
use crate::client::route::Route;
use crate::client::{Role, Shared};
use crate::counters::Count;
use crate::io::Ask;
use crate::notice::Notice;

impl Relaying {
    /// When another carrier is to be dialled, for all that is known.
    pub(super) fn comes_back_at(&self) -> Option<Instant> {
        let comeback = self.comeback.as_ref()?;
        if comeback.is_under_way() {
            comeback.poll_timeout()
        } else {
            self.session.suspect_at()
        }
    }

    /// Dials beside a carrier that is suspect.
    pub(super) fn doubt(&mut self, now: Instant) {
        if let Some(comeback) = &mut self.comeback
            && self.session.suspect_at().is_some_and(|at| now >= at)
        {
            comeback.suspect(now);
        }
    }

    /// Whether the carrier is there and not suspect.
    pub(in crate::client) fn is_well(&self, now: Instant) -> bool {
        let heard = |since| self.session.last_received() > since;
        self.session.is_attached()
            && self.session.suspect_at().is_none_or(|at| now < at)
            && self.questioned_at.is_none_or(heard)
    }

    /// When the way to the server is looked up next: as long as there is a carrier, and something to be done if it takes another way.
    pub(super) fn asks_for_route_at(&self) -> Option<Instant> {
        let useful = self.comeback.is_some() && self.session.is_attached();
        useful.then(|| self.route.poll_timeout())
    }
}

impl Line {
    /// Whether there is no connection to the server yet.
    pub(in crate::client) const fn is_reaching(&self) -> bool {
        matches!(self.phase, Phase::Reaching(_))
    }

    /// Whether the server waits to hear how far the session got that this line is to bring back.
    pub(in crate::client) fn wants_position(&self) -> bool {
        matches!(&self.phase, Phase::Greeting(handshake) if handshake.wants_position())
    }

    /// Sends RESUME for `session`.
    pub(in crate::client) fn state_position(
        &mut self,
        now: Instant,
        session: &mut Session,
        shared: &mut Shared,
    ) {
        if let Phase::Greeting(handshake) = &mut self.phase
            && let Err(error) = handshake.state_position(now, session)
        {
            self.fail_handshake(now, error, shared);
        }
    }

    /// The session of this line goes on on the carrier of `other`, whose server has answered RESUME. For how long it had none, if that
    /// worked.
    pub(in crate::client) fn take_over(
        &mut self,
        now: Instant,
        key: usize,
        other: &mut Self,
        shared: &mut Shared,
    ) -> Option<Option<Duration>> {
        let (Phase::Open(relaying), Phase::Greeting(handshake)) =
            (&mut self.phase, &mut other.phase)
        else {
            return None;
        };
        handshake.attach(now, &mut relaying.session)?.ok()?;
        let after = relaying.comeback.as_mut()?.back(now);
        relaying.route = Route::new(now);
        other.phase = Phase::Over(None);
        let wire = other.wire.take()?;
        if let Some(role) = shared.sockets.role_mut(wire.socket) {
            *role = Role::Carrier(key);
        }
        if let Some(mut old) = self.wire.replace(wire) {
            old.cut(&mut shared.sockets);
            shared.tally.less(Count::Carriers);
        }
        self.read_payload(now, shared);
        Some(after)
    }

    /// The way to the server is now that from `local`.
    pub(in crate::client) fn handle_route(&mut self, now: Instant, local: Option<IpAddr>) {
        if let Phase::Open(relaying) = &mut self.phase
            && relaying.route.is(local)
        {
            self.question(now);
        }
    }

    /// The process did not run for a while, or the network has changed: asks for a sign of life, and dials beside the carrier meanwhile.
    pub(in crate::client) fn question(&mut self, now: Instant) {
        if let Phase::Open(relaying) = &mut self.phase
            && let Some(comeback) = &mut relaying.comeback
            && relaying.session.is_attached()
        {
            relaying.questioned_at = Some(now);
            relaying.session.ping(now);
            comeback.suspect(now);
        }
    }

    /// The server will not let the session go on, and says why.
    pub(in crate::client) fn give_up(&mut self, now: Instant, reason: String) {
        if let Phase::Open(relaying) = &mut self.phase {
            relaying.given_up.get_or_insert(reason);
            relaying.session.close(now, Code::SESSION_LOST);
        }
    }

    /// The carrier is gone, and the session waits for another.
    pub(super) fn interrupted(&mut self, now: Instant, reason: String, shared: &mut Shared) {
        let Phase::Open(relaying) = &mut self.phase else {
            return;
        };
        if let Some(wire) = &mut self.wire {
            wire.finish(now);
        }
        let window = relaying.session.resume_window().unwrap_or_default();
        if relaying.comeback.as_mut().is_some_and(|it| it.lost(now)) {
            shared.tally.add(Count::SessionsDetached, 1);
            shared
                .sockets
                .ask(Ask::Notice(Notice::Interrupted { reason, window }));
        }
    }
}
