//! The task of one carrier on a server, and of the session on it.

use std::future::poll_fn;
use std::net::TcpStream;
use std::sync::Arc;
use std::task::Poll;

use adit_relay::Purpose;
use adit_relay::server::{Peer, PeerId};

use crate::driver::Driver;
use crate::hub::{Hub, PeerInbox, Waiting};
use crate::{Runtime, catch};

/// Starts it.
pub(crate) fn start<R: Runtime>(hub: &Arc<Hub<R>>, peer: Peer, stream: TcpStream) {
    let (inbox, worker) = hub.enter(peer.id());
    let task = run(Arc::clone(hub), peer, stream, inbox);
    hub.runtime
        .spawn(worker, catch::to_the_end("the task of a session", task));
}

async fn run<R: Runtime>(hub: Arc<Hub<R>>, peer: Peer, stream: TcpStream, inbox: Arc<PeerInbox>) {
    let entered = Entered {
        hub,
        peer: peer.id(),
    };
    let hub = &entered.hub;
    let mut driver = Driver::new(
        peer,
        hub.runtime.clone(),
        hub.env.clone(),
        Arc::clone(&inbox.board),
    );
    driver.insert(Peer::CARRIER, stream, Purpose::Carrier);
    poll_fn(|context| {
        let done = driver.poll(context, |driver| empty(&inbox, driver, hub));
        for (stream, visitor) in driver.handed_on() {
            hub.deliver(stream, hub.server.again(visitor));
        }
        for (stream, handover) in driver.handed_over() {
            // A carrier for a session that has just ended is closed: its client asks again, and is told so.
            if let Some(inbox) = hub.inbox(handover.peer()) {
                drop(inbox.push_first(Waiting::Carrier(stream, Box::new(handover))));
            }
        }
        if hub.has_ended() {
            return Poll::Ready(());
        }
        done
    })
    .await;
}

/// Takes a peer off the table, however its task ends, and gives the visitors in its inbox to others.
struct Entered<R: Runtime> {
    hub: Arc<Hub<R>>,
    peer: PeerId,
}

impl<R: Runtime> Drop for Entered<R> {
    fn drop(&mut self) {
        leave(&self.hub, self.peer);
    }
}

/// What follows from the end of a peer's task.
pub(crate) fn leave<R: Runtime>(hub: &Hub<R>, peer: PeerId) {
    for waiting in hub.leave(peer) {
        if let Waiting::Visitor(stream, visitor) = waiting {
            hub.deliver(stream, hub.server.again(visitor));
        }
    }
}

/// Hands a peer what waits in its inbox.
fn empty<R: Runtime>(inbox: &PeerInbox, driver: &mut Driver<Peer, R>, hub: &Hub<R>) {
    if inbox.was_woken() {
        let now = driver.now();
        driver.machine.handle_wake(now);
    }
    // One at a time: the lock is never held while the machine works.
    while let Some(waiting) = inbox.next() {
        let now = driver.now();
        match waiting {
            Waiting::Visitor(stream, visitor) => match driver.machine.visitor(now, visitor) {
                Ok(socket) => driver.insert(socket, stream, Purpose::Local),
                Err(visitor) => hub.deliver(stream, hub.server.again(visitor)),
            },
            Waiting::Carrier(stream, handover) => {
                if let Some(socket) = driver.machine.adopt(now, *handover) {
                    driver.insert(socket, stream, Purpose::Carrier);
                }
            }
        }
    }
}
