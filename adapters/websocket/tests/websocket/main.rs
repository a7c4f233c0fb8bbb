//! Frames by RFC 6455: against cases by the book, against another implementation, and what they cost.

mod autobahn;
mod common;
mod decoding;
mod memory;
mod socket;
mod tungstenite;
