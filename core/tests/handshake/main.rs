//! The handshake of spec/04-handshake.md, both sides of it, machine against machine and frame by frame.

mod authentication;
mod binding;
mod detached;
mod endpoint;
mod going_on;
mod kit;
mod met;
mod orders;
mod phases;
mod resumption;
mod time;
mod version;
