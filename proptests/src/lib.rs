//! A test kit for the Adit protocol: two sessions on one virtual clock, joined by seeded pipes.
//!
//! Nothing here waits, reads a clock or opens a socket: a run is a function of its seed, and hours pass in milliseconds.
//!
//! | file | what it is for |
//! | --- | --- |
//! | `random` | numbers from a seed |
//! | `pipe` | a byte stream with latency and limited room, cut into pieces of any size |
//! | `pair` | a client's and a server's session on two pipes, and the loop that drives them |
//! | `ledger` | what each stream should carry, and the check that it does |

pub mod ledger;
pub mod pair;
pub mod pipe;
pub mod random;

pub use ledger::Ledger;
pub use pair::{Pair, Peer};
pub use pipe::Pipe;
pub use random::Random;
