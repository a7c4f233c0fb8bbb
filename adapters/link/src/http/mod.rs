//! As much HTTP/1.1 as a carrier needs: one head in, one upgrade or one plain answer out.
//!
//! [`Answerer`] is the plain part by itself, for listeners that never upgrade.

mod answer;
mod answerer;
mod forwarded;
mod head;
mod request;
mod upgrade;

pub use answer::{Answer, Answers, HealthOnly};
pub use answerer::Answerer;
pub use request::Request;

pub(crate) use forwarded::source;
pub(crate) use head::{HeadReader, HeadResult};
pub(crate) use request::{ParseError, with_request};
pub(crate) use upgrade::{Verdict, accept, check_answer, check_path, client_request};
