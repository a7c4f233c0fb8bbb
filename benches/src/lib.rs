//! What Adit is measured with. Nothing here is part of the programs.
//!
//! [`link`] is a network between two namespaces of this machine, with a rate, a delay, loss and a
//! queue of a known length, packet by packet.

#[cfg(target_os = "linux")]
pub mod link;
