//! Runs a client: one machine, one task.

use std::future::poll_fn;
use std::sync::Arc;

use adit_relay::client::Client;

use crate::driver::Driver;
use crate::env::{Env, ReadToken, Stop, Stopping};
use crate::ready::Board;

/// Runs `client` until it was told to stop and has.
///
/// `read_token` is called again for every attempt to reach the server, so that a token that was
/// exchanged is noticed.
pub async fn run_client(client: Client, read_token: ReadToken, env: Env, mut stopping: Stopping) {
    let board = Arc::new(Board::default());
    let mut driver = Driver::new(client, env, board).with_token(read_token);
    loop {
        let stop = tokio::select! {
            () = poll_fn(|context| driver.poll(context, |_| ())) => return,
            stop = stopping.next() => stop,
        };
        match stop {
            Stop::No => {}
            Stop::Drain(grace) => {
                let now = driver.now();
                driver.machine.drain(now, grace);
            }
            Stop::Now => return,
        }
    }
}
