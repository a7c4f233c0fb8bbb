//! Adit on tokio.
//!
//! [`Tokio`] is the runtime on which [`serve`] and [`run_client`] drive whole servers and clients. [`session`] is for programs of their own.

mod runtime;
pub mod session;
mod sockets;
mod timer;

pub use adit_driver::{
    Clock, Env, ReadToken, Report, Stop, Stopper, Stopping, listen, log, run_client, serve,
    serve_answers, stopper,
};
pub use runtime::{Tokio, runtime};

/// The programs of the guide for those who build Adit into something else.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/embedding.md")]
pub struct Embedding;
