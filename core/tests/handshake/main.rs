//! The handshake of spec/04-handshake.md, both sides of it, machine against machine and frame by frame.

mod authentication;
mod binding;
mod endpoint;
mod kit;
mod phases;
mod time;
mod version;
