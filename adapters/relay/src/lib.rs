//! The Adit server and client as machines.
//!
//! Everything that a server and a client decide is here, free of IO, clocks, threads and runtimes: who may come in, which ports are
//! open, when to dial, what to read and what to write. A machine *asks* ([`Ask`]) and is *told* ([`Told`]);
//! [`Machine`] is the whole border. So one implementation serves every runtime, and all of it runs
//! in the simulator.

mod address;
pub mod client;
mod counters;
mod io;
mod leaving;
mod notice;
mod patience;
mod random;
pub mod server;
mod sockets;
mod streams;
mod wire;

pub use address::HostPort;
pub use counters::{Counters, Meter, RESET_CODES};
pub use io::{Ask, Machine, Purpose, SocketId, Told};
pub use notice::{Level, Notice, Who};
