//! What the adapters of smol and async-std share: sockets, listeners and timers on async-io, and carriers that have the traits of futures-io.

mod carrier;
mod sockets;
mod timer;

pub use carrier::Io;
pub use sockets::{Listener, Socket};
pub use timer::Timer;
