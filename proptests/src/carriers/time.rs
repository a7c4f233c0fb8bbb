//! How time passes for [`Carriers`]: deadlines, arrivals, and when an end learns that its carrier is gone.

use std::time::Duration;

use adit_core::{Instant, Session};

use super::Carriers;
use super::carrier::{ClientEnd, ServerEnd};

impl Carriers {
    /// Goes to the next moment at which something happens by itself, at most `most` away.
    ///
    /// # Panics
    ///
    /// If a session wants to be woken for the same deadline for ever.
    pub fn advance(&mut self, most: Duration) {
        let due = self.due().unwrap_or(self.now + most);
        self.now = due
            .max(self.now + Duration::from_micros(1))
            .min(self.now + most);
        let now = self.now;
        for session in [&mut self.client, &mut self.server].into_iter().flatten() {
            session.handle_timeout(now);
            let passed = |session: &Session| session.poll_timeout().is_some_and(|at| at <= now);
            if passed(session) {
                session.handle_timeout(now);
                assert!(!passed(session), "a deadline was in the past twice: {now}");
            }
        }
        for index in 0..self.carriers.len() {
            let carrier = &mut self.carriers[index];
            if let Some(ClientEnd::Handshake(handshake)) = &mut carrier.client
                && let Err(error) = handshake.handle_timeout(now)
            {
                self.failures.push(error);
                carrier.drop_client(now);
            }
            if let Some(ServerEnd::Handshake(handshake)) = &mut carrier.server
                && handshake.handle_timeout(now).is_err()
            {
                carrier.drop_server(now);
            }
        }
    }

    /// Runs for `time`.
    ///
    /// # Panics
    ///
    /// If the two never come to rest at one instant: each step is bounded.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.settle();
            self.advance(end - self.now);
        }
    }

    /// Moves everything that can be moved at this instant.
    ///
    /// # Panics
    ///
    /// If there is no end to it.
    pub fn settle(&mut self) {
        let mut rounds = 0;
        while self.exchange() {
            rounds += 1;
            assert!(rounds < 100_000, "no rest at {}", self.now);
        }
    }

    fn due(&self) -> Option<Instant> {
        let sessions = [&self.client, &self.server].into_iter().flatten();
        let mut due: Vec<Instant> = sessions.filter_map(Session::poll_timeout).collect();
        for carrier in &self.carriers {
            due.extend(carrier.up.due());
            due.extend(carrier.down.due());
            due.extend(carrier.client_learns);
            due.extend(carrier.server_learns);
            if let Some(ClientEnd::Handshake(handshake)) = &carrier.client {
                due.extend(handshake.poll_timeout());
            }
            if let Some(ServerEnd::Handshake(handshake)) = &carrier.server {
                due.extend(handshake.poll_timeout());
            }
        }
        due.into_iter().min()
    }

    /// Ends learn that their carrier is gone.
    pub(super) fn learn(&mut self, index: usize) -> bool {
        let (number, now) = (index + self.dropped, self.now);
        let carrier = &mut self.carriers[index];
        let mut moved = false;
        // What came before the end counts.
        let read_out = carrier.down.due().is_none_or(|due| due > now);
        if carrier.client_learns.is_some_and(|at| at <= now) && read_out {
            carrier.client_learns = None;
            if carrier.client.take().is_some() && self.current[0] == Some(number) {
                self.current[0] = None;
                self.client
                    .iter_mut()
                    .for_each(|it| it.handle_carrier_lost(now));
            }
            moved = true;
        }
        let carrier = &mut self.carriers[index];
        let read_out = carrier.up.due().is_none_or(|due| due > now);
        if carrier.server_learns.is_some_and(|at| at <= now) && read_out {
            carrier.server_learns = None;
            if carrier.server.take().is_some() && self.current[1] == Some(number) {
                self.current[1] = None;
                self.server
                    .iter_mut()
                    .for_each(|it| it.handle_carrier_lost(now));
            }
            moved = true;
        }
        moved
    }
}
