//! Runs a client: one machine, one task.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use adit_relay::client::Client;

use crate::Runtime;
use crate::driver::Driver;
use crate::env::{Env, ReadToken, Stop, Stopping};
use crate::ready::Board;

/// Runs `client` until it was told to stop and has.
///
/// `read_token` is called again for every attempt to reach the server, so that a token that was
/// exchanged is noticed.
pub async fn run_client(
    runtime: impl Runtime,
    client: Client,
    read_token: ReadToken,
    env: Env,
    mut stopping: Stopping,
) {
    let board = Arc::new(Board::default());
    let mut driver = Driver::new(client, runtime, env, board).with_token(read_token);
    loop {
        let mut next = pin!(stopping.next());
        let stop = poll_fn(|context| {
            if let Poll::Ready(stop) = next.as_mut().poll(context) {
                return Poll::Ready(Some(stop));
            }
            driver.poll(context, |_| ()).map(|()| None)
        });
        match stop.await {
            None | Some(Stop::Now) => return,
            Some(Stop::No) => {}
            Some(Stop::Drain(grace)) => {
                let now = driver.look();
                driver.machine.drain(now, grace);
            }
        }
    }
}
