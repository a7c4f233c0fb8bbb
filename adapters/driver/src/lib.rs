//! Drives Adit's machines on any runtime.
//!
//! The machines of `adit-relay` ask for things, and say what they make of the answers. This crate does what they ask: one task for
//! each carrier, which owns all sockets of that carrier's session and finds the ready ones in constant time ([`serve`], [`run_client`]).
//! What only a runtime can do stands in one trait, [`Runtime`]: tasks, timers, sockets that say when they are ready, and work that may
//! block. An adapter implements that, and has a whole server and client.
//!
//! [`session`] is for programs of their own.

mod accepting;
mod all;
mod answers;
mod catch;
mod client;
mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
mod driver;
mod env;
mod hub;
mod inbox;
mod lookups;
mod options;
mod peer;
mod ports;
mod questions;
mod ready;
mod runtime;
mod server;
pub mod session;
mod slabs;
mod sockets;
mod time;
mod wakeful;

pub use all::all;
pub use answers::serve_answers;
pub use client::{run_client, run_client_over};
pub use clock::Clock;
pub use env::{Env, ReadToken, Report, Stop, Stopper, Stopping, log, stopper};
pub use options::listen;
pub use runtime::{Listener, Runtime, Socket, Timer};
pub use runtime::{Start, Threads};
pub use server::serve;
pub use time::within;
