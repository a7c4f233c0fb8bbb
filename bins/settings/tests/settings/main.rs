//! Flags, variables and TOML files, from the command line to what a program is told.

mod client;
mod commands;
mod common;
mod server;
