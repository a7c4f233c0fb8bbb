//! Adit on tokio.
//!
//! [`serve`] and [`run_client`] do what the machines of `adit-relay` ask for, and decide nothing
//! themselves: one task for each carrier, which owns all sockets of that carrier's session and finds
//! the ready ones in constant time. [`session`] is for programs of their own.

mod answers;
mod client;
mod clock;
mod driver;
mod env;
mod inbox;
mod lookups;
mod options;
mod ready;
mod server;
pub mod session;
mod slabs;
mod sockets;
mod workers;

pub use answers::serve_answers;
pub use client::run_client;
pub use clock::Clock;
pub use env::{Env, ReadToken, Report, Stop, Stopper, Stopping, log, stopper};
pub use options::listen;
pub use server::serve;
pub use workers::{Workers, runtime};
