//! What a machine asks that may take long to answer: names and tokens. Each question has a thread of the runtime's until it is answered.

use std::collections::VecDeque;
use std::net::ToSocketAddrs;
use std::panic::catch_unwind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use adit_relay::Told;

use crate::Runtime;
use crate::env::ReadToken;
use crate::lookups::Found;
use crate::ready::Board;

/// What a question came to.
pub(crate) enum Answered {
    Told(Told),
    /// A name that any number of queries wait for.
    Found(String, Found),
}

/// The questions of one task. Answers wake it.
pub(crate) struct Questions<R> {
    runtime: R,
    answers: Arc<Answers>,
}

struct Answers {
    board: Arc<Board>,
    /// At most as many as questions were asked, which [`Lookups`](crate::lookups::Lookups) and the machine bound.
    waiting: Mutex<VecDeque<Answered>>,
}

impl<R: Runtime> Questions<R> {
    pub(crate) fn new(runtime: R, board: Arc<Board>) -> Self {
        let answers = Answers {
            board,
            waiting: Mutex::default(),
        };
        Self {
            runtime,
            answers: Arc::new(answers),
        }
    }

    /// Asks for the addresses of a host, for one query.
    pub(crate) fn addresses(&self, query: u32, host: String, port: u16) {
        self.ask(move || {
            let result = look_up(&host, port);
            Answered::Told(Told::Resolved { query, result })
        });
    }

    /// Asks for the addresses of a host, for whoever waits for them.
    pub(crate) fn name(&self, host: String) {
        self.ask(move || {
            let found = look_up(&host, 0);
            Answered::Found(host, found)
        });
    }

    /// Asks for the token.
    pub(crate) fn token(&self, query: u32, read_token: Option<ReadToken>) {
        self.ask(move || {
            let result = match read_token {
                None => Err("this program was given no token".to_owned()),
                Some(read_token) => {
                    // Nothing that it may have left half done is looked at again.
                    let read = std::panic::AssertUnwindSafe(|| read_token());
                    catch_unwind(read)
                        .unwrap_or_else(|_| Err("reading the token failed".to_owned()))
                }
            };
            Answered::Told(Told::Token { query, result })
        });
    }

    /// Answers a question that needs no thread. The task hears of it when it next looks, which is soon.
    pub(crate) fn answer(&self, answered: Answered) {
        self.answers.push(answered);
    }

    /// The oldest answer that the task has not heard.
    pub(crate) fn next_answer(&self) -> Option<Answered> {
        self.answers.waiting().pop_front()
    }

    fn ask(&self, question: impl FnOnce() -> Answered + Send + 'static) {
        let answers = Arc::clone(&self.answers);
        self.runtime.run_blocking(move || answers.push(question()));
    }
}

impl Answers {
    fn push(&self, answered: Answered) {
        self.waiting().push_back(answered);
        self.board.nudge();
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Answered>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn look_up(host: &str, port: u16) -> Found {
    match (host, port).to_socket_addrs() {
        Ok(addrs) => Ok(addrs.collect()),
        Err(error) => Err(error.to_string()),
    }
}
