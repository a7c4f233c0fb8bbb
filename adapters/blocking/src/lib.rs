//! Adit without an async runtime: no tokio, no smol, plain threads.
//!
//! [`serve`] and [`run_client`] are calls that return when they are done. Below them is a loop that waits for sockets, with mio: one for a client, one for each core of a
//! server. Four threads more look up names and read files. So the number of threads grows with neither sessions nor streams.
//!
//! [`session`] is for programs of their own: streams that are read and written by blocking calls.

mod event_loop;
mod pool;
mod runtime;
pub mod session;
mod sockets;
mod sources;
mod tasks;
mod timers;

use std::io;
use std::net::TcpListener;

use adit_driver::Start;
use adit_relay::client::Client;
use adit_relay::server::Server;

pub use adit_driver::{
    Clock, Env, ReadToken, Report, Stop, Stopper, Stopping, Threads, listen, log, stopper,
};
pub use runtime::Blocking;

/// Runs `server` on the control listener, which is non-blocking, until it was told to stop and has. This thread accepts clients; their sessions
/// are spread over `threads`.
///
/// # Errors
///
/// The system gives no more threads, or files for them to wait on.
pub fn serve(
    server: Server,
    control: TcpListener,
    threads: Threads,
    env: Env,
    stopping: Stopping,
) -> io::Result<()> {
    Blocking::start(threads, |runtime| {
        adit_driver::serve(runtime, server, control, env, stopping)
    })?
}

/// Runs `client` on this thread until it was told to stop and has.
///
/// `read_token` is called again for every attempt to reach the server, so that a token that was
/// exchanged is noticed.
///
/// # Errors
///
/// The system gives no files to wait on.
pub fn run_client(
    client: Client,
    read_token: ReadToken,
    env: Env,
    stopping: Stopping,
) -> io::Result<()> {
    Blocking::start(Threads::One, |runtime| {
        adit_driver::run_client(runtime, client, read_token, env, stopping)
    })
}
