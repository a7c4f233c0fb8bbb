//! A test kit for the Adit protocol: two sessions on one virtual clock, joined by seeded pipes; and whole servers and clients
//! with the network around them, simulated in the same way.
//!
//! Nothing here waits, reads a clock or opens a socket: a run is a function of its seed, and hours pass in milliseconds.
//!
//! Strangers are welcome: README.md says how to test a transport of one's own ([`transport_conformance!`]), and how to run all this in another CI.
//!
//! | file | what it is for |
//! | --- | --- |
//! | `random` | numbers from a seed |
//! | `pipe` | a byte stream with latency and limited room, cut into pieces of any size |
//! | `rate` | one direction of a path with a rate and a queue |
//! | `pair` | a client's and a server's session on two pipes, and the loop that drives them |
//! | `carriers` | a client and a server with any number of carriers between them, each of which may be cut, or go silent |
//! | `life`, `shrink` | a session's life as a list of operations, and a short list out of a long one that fails |
//! | `fuzz` | what a fuzzer calls, and a small one |
//! | `ledger` | what each stream should carry, and the check that it does |
//! | `network`, `puppet` | TCP connections, and the programs at their ends that are not Adit |
//! | `world`, `drive` | servers and clients, driven as a runtime adapter drives them |
//! | `scene` | what most scenes in it begin with |

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;

pub mod carriers;
mod drive;
pub mod fuzz;
pub mod ledger;
pub mod life;
pub mod network;
pub mod pair;
pub mod pipe;
pub mod puppet;
pub mod random;
pub mod rate;
pub mod scene;
pub mod shrink;
pub mod wire;
pub mod world;

pub use adit_driver::transport_conformance;
pub use carriers::Carriers;
pub use ledger::Ledger;
pub use pair::{Pair, Peer};
pub use pipe::Pipe;
pub use puppet::Behaviour;
pub use random::Random;
pub use world::{PuppetId, ServerId, TaskId, World};
