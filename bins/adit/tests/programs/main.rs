//! The programs as their users run them: real processes, real sockets on loopback, nothing else.
//!
//! A test waits for what it can see (a log line, an answer, the end of a process), never for time to
//! pass.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, wherever its code stands"
)]

mod kit;

mod control_port;
mod demo;
mod detached;
mod man_in_the_middle;
mod manager;
mod proxies;
mod refusals;
mod restarts;
mod rogues;
mod secrets;
mod sessions;
mod starting;
mod stdio;
mod streams;
mod trust;
mod vanishing;
