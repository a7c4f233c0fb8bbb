//! Runs a client: one machine, one task.

use std::future::{Future, poll_fn};
use std::net::TcpStream;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use adit_relay::client::Client;

use crate::Runtime;
use crate::driver::Driver;
use crate::env::{Env, ReadToken, Stop, Stopping};

/// Runs `client` until it was told to stop and has.
///
/// `read_token` is called again for every attempt to reach the server, so that a token that was
/// exchanged is noticed.
pub async fn run_client(
    runtime: impl Runtime,
    client: Client,
    read_token: ReadToken,
    env: Env,
    stopping: Stopping,
) {
    let driver = Driver::new(client, runtime, env, Arc::default());
    run(driver.with_token(read_token), stopping).await;
}

/// The same over the one connection that there is, which is non-blocking and may be any stream socket: the server is neither looked up nor dialled. Who gives it
/// says when it has ended, by `stopping`: the client would wait for another.
pub async fn run_client_over(
    runtime: impl Runtime,
    carrier: TcpStream,
    client: Client,
    read_token: ReadToken,
    env: Env,
    stopping: Stopping,
) {
    let driver = Driver::new(client, runtime, env, Arc::default());
    let driver = driver.with_token(read_token).with_carrier(carrier);
    run(driver, stopping).await;
}

async fn run<R: Runtime>(mut driver: Driver<Client, R>, mut stopping: Stopping) {
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
