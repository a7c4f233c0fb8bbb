//! RESUME and its answer: lost, late, in any order, and sent again by somebody else; every sequence of a few steps, to its end.

use adit_core::{ClientHandshake, Code, Session, StreamId};
use bytes::Bytes;

use crate::kit::*;
use crate::met::*;

/// Attempts of the client before the last, which nothing disturbs.
const ATTEMPTS: usize = 3;

/// Steps of the longest sequence.
const STEPS: usize = 7;

/// What may happen next. What does not happen is lost.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    /// The client gives up what it tries, and sends RESUME on another carrier.
    Try,
    /// RESUME of an attempt arrives at the server.
    Arrive(usize),
    /// Half of what the server said on that carrier by then arrives at the client; the rest, the second time.
    Answer(usize),
    /// Somebody sends the client's RESUME of an attempt again, on a carrier of his own.
    Again(usize),
    /// What was under way on the first carrier arrives at the client.
    LateDown,
    /// Likewise at the server.
    LateUp,
}

/// One attempt of the client.
struct Attempt {
    /// `None` once it was given up, or has brought the session back.
    client: Option<ClientHandshake>,
    server: adit_core::ServerHandshake,
    resume: Vec<u8>,
    /// Under way to the client.
    down: Vec<u8>,
    arrived: bool,
    /// Times that the client was given something.
    answers: usize,
}

struct Orders {
    met: Met,
    stream: StreamId,
    attempts: Vec<Attempt>,
    /// Under way on the first carrier.
    late_down: Vec<u8>,
    late_up: Vec<u8>,
    /// Which carrier each side's session is on: 0 is the first.
    client_on: Option<usize>,
    server_on: usize,
    /// Bytes written by the client and by the server.
    wrote: [u8; 2],
}

impl Orders {
    /// Both have sent something of which the other has nothing yet.
    fn new() -> Self {
        let mut met = Met::new(false);
        let stream = met
            .session()
            .open(at(0), any_open())
            .expect("an open session");
        met.talk(at(0));
        let mut orders = Self {
            met,
            stream,
            attempts: Vec::new(),
            late_down: Vec::new(),
            late_up: Vec::new(),
            client_on: Some(0),
            server_on: 0,
            wrote: [0, 0],
        };
        orders.client_writes();
        orders.server_writes();
        orders.late_up = said(&mut orders.met.client.session, at(1));
        orders.late_down = said(orders.met.session(), at(1));
        orders
    }

    fn client_writes(&mut self) {
        write(
            &mut self.met.client.session,
            self.stream,
            &mut self.wrote[0],
        );
    }

    fn server_writes(&mut self) {
        let stream = self.stream;
        let mut wrote = self.wrote[1];
        write(self.met.session(), stream, &mut wrote);
        self.wrote[1] = wrote;
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Try => self.try_again(),
            Step::Arrive(n) => self.arrive(n),
            Step::Answer(n) => self.answer(n),
            Step::Again(n) => self.again(n),
            Step::LateDown => {
                // Its owner drops the first carrier when the session is on another.
                if self.client_on.is_none_or(|on| on == 0) {
                    give(&mut self.met.client.session, at(2), &self.late_down);
                }
            }
            Step::LateUp => {
                if self.server_on == 0 {
                    let late = self.late_up.clone();
                    give(self.met.session(), at(2), &late);
                }
            }
        }
    }

    fn try_again(&mut self) {
        if let Some(before) = self.attempts.last_mut() {
            before.client = None;
        }
        let hello = self.met.carrier(server_facts(false));
        let epoch = self.attempts.len() as u64 + 1;
        let mut client = self.met.returning(at(2), plain(), hello, epoch);
        client
            .state_position(at(2), &mut self.met.client.session)
            .expect("a session that waits");
        self.client_on = None;
        let accepted = self.met.server.endpoint.accept(at(0), server_facts(false));
        let server = std::mem::replace(&mut self.met.server.handshake, accepted.expect("room"));
        let resume = drain(|| client.poll_transmit(at(2), 1_000));
        self.attempts.push(Attempt {
            client: Some(client),
            server,
            resume,
            down: Vec::new(),
            arrived: false,
            answers: 0,
        });
    }

    fn arrive(&mut self, n: usize) {
        let latest = (0..self.attempts.len()).rfind(|n| self.attempts[*n].arrived);
        let attempt = &mut self.attempts[n];
        attempt.arrived = true;
        std::mem::swap(&mut self.met.server.handshake, &mut attempt.server);
        self.met.server.found = None;
        attempt.down = self.met.answer_to(at(3), attempt.resume.clone());
        if latest.is_none_or(|latest| latest < n) {
            self.server_on = n + 1;
            self.server_writes();
            self.speak();
        } else {
            let refusal = refused(&parse(&self.attempts[n].down));
            assert_eq!(refusal.0, Code::STALE);
        }
    }

    /// What the server's session says goes out on its carrier.
    fn speak(&mut self) {
        let down = said(self.met.session(), at(3));
        if let Some(on) = self.server_on.checked_sub(1) {
            self.attempts[on].down.extend(down);
        }
    }

    fn answer(&mut self, n: usize) {
        let attempt = &mut self.attempts[n];
        attempt.answers += 1;
        let half = attempt.down.len().div_ceil(2);
        let rest = attempt.down.split_off(if attempt.answers == 1 {
            half
        } else {
            attempt.down.len()
        });
        let now = std::mem::replace(&mut attempt.down, rest);
        if self.client_on == Some(n + 1) {
            return give(&mut self.met.client.session, at(4), &now);
        }
        let Some(client) = &mut attempt.client else {
            return;
        };
        if client.handle_input(at(4), now.into()).is_err() {
            attempt.client = None;
            return;
        }
        if let Some(attached) = client.attach(at(4), &mut self.met.client.session) {
            attached.expect("the positions fit");
            attempt.client = None;
            self.client_on = Some(n + 1);
            self.client_writes();
            let up = said(&mut self.met.client.session, at(4));
            if self.server_on == n + 1 {
                give(self.met.session(), at(4), &up);
                self.speak();
            }
        }
    }

    fn again(&mut self, n: usize) {
        let before = (
            self.met.session().is_attached(),
            self.met.session().positions(),
        );
        self.met.carrier(server_facts(false));
        let resume = self.attempts[n].resume.clone();
        let answer = self.met.answer_to(at(3), resume);
        assert_eq!(refused(&parse(&answer)).0, Code::UNKNOWN_SESSION);
        let after = (
            self.met.session().is_attached(),
            self.met.session().positions(),
        );
        assert_eq!(before, after);
    }

    /// One more attempt, which nothing disturbs: all that was written is there, once and in order.
    fn end(mut self) {
        self.met.resume(at(5), ATTEMPTS as u64 + 1);
        self.client_writes();
        self.server_writes();
        self.met.talk(at(6));
        let all = |wrote: u8| (0..wrote).collect::<Vec<_>>();
        let [by_client, by_server] = self.wrote.map(all);
        let stream = self.stream;
        assert_eq!(taken(&self.met.client.session, stream), by_server);
        assert_eq!(taken(self.met.session(), stream), by_client);
    }
}

fn write(session: &mut Session, stream: StreamId, wrote: &mut u8) {
    let mut data = Bytes::from_iter(*wrote..*wrote + 5);
    if session.write(stream, &mut data).expect("an open stream") > 0 {
        *wrote += 5;
    }
}

fn taken(session: &Session, stream: StreamId) -> Vec<u8> {
    session.chunks(stream).flatten().copied().collect()
}

/// Whether `step` can happen after `steps`.
fn may_follow(steps: &[Step], step: Step) -> bool {
    let count = |it: Step| steps.iter().filter(|step| **step == it).count();
    let tries = count(Step::Try);
    match step {
        Step::Try => tries < ATTEMPTS,
        Step::Arrive(n) => n < tries && count(step) == 0,
        Step::Answer(n) => count(Step::Arrive(n)) == 1 && count(step) < 2,
        // Once in all is enough: nothing of it stays.
        Step::Again(n) => n < tries && !steps.iter().any(|step| matches!(step, Step::Again(_))),
        Step::LateDown | Step::LateUp => count(step) == 0,
    }
}

#[test]
fn whatever_becomes_of_resume_and_its_answer_nothing_is_lost_or_doubled() {
    let each = |make: fn(usize) -> Step| (0..ATTEMPTS).map(make);
    let all: Vec<Step> = [Step::Try, Step::LateDown, Step::LateUp]
        .into_iter()
        .chain(each(Step::Arrive))
        .chain(each(Step::Answer))
        .chain(each(Step::Again))
        .collect();
    let mut sequences = vec![Vec::new()];
    let mut lived = 0;
    while let Some(steps) = sequences.pop() {
        let life = std::panic::catch_unwind(|| {
            let mut orders = Orders::new();
            steps.iter().for_each(|step| orders.step(*step));
            orders.end();
        });
        assert!(life.is_ok(), "wrong after {steps:?}");
        lived += 1;
        if steps.len() < STEPS {
            let next = all.iter().filter(|step| may_follow(&steps, **step));
            sequences.extend(next.map(|step| [&steps[..], &[*step]].concat()));
        }
    }
    println!("{lived} sequences");
    assert!(lived > 1_000);
}
