//! Cases of whole servers and clients.

use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::num::NonZeroUsize;
use std::sync::{Arc, mpsc};
use std::task::Poll;
use std::thread;

use adit_link::http::HealthOnly;
use socket2::SockRef;

use super::cutting::Cutting;
use super::kit::{DEADLINE, connect, free_port, loopback, numbered, pair, read_all, send, until};
use super::site::{Joined, Serving, answers_each, gives_back, names_itself, server};
use crate::accepting::Accepting;
use crate::hub::Hub;
use crate::ready::Board;
use crate::server::Serving as Machine;
use crate::{Clock, Env, Start, Stop, Threads, options, serve_answers};

/// As many as a session may have is far more.
const VISITORS: u32 = 1_000;

/// What passes in the transfer that is broken.
const TRANSFER_BYTES: u32 = 8 * 1024 * 1024;

/// Breaks of it, each after a part.
const CUTS: usize = 5;

/// [`serve_answers`].
pub fn requests_to_the_admin_address_are_answered<R: Start>() {
    let listener = crate::listen(loopback()).expect("a free port");
    let addr = listener.local_addr().expect("its address");
    thread::spawn(move || {
        R::start(Threads::One, |runtime| {
            serve_answers(runtime, listener, Arc::new(HealthOnly), Clock::start())
        })
    });
    for (path, status) in [("/healthz", "200"), ("/else", "404"), ("/healthz", "200")] {
        let mut stream = connect(addr);
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("open");
        let answer = String::from_utf8(read_all(&stream)).expect("text");
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }
}

/// All open at once, each with an upstream connection of its own.
pub fn a_thousand_visitors_get_their_answers<R: Start>() {
    let serving = Serving::<R>::start(Threads::Cores);
    let client = Joined::on(&serving, "client", answers_each());
    let visitors: Vec<_> = (0..VISITORS)
        .map(|number| {
            let mut visitor = client.visit();
            let request = format!("{number:05}");
            visitor.write_all(request.as_bytes()).expect("open");
            (visitor, request)
        })
        .collect();
    for (visitor, request) in &visitors {
        let (mut visitor, mut answer) = (visitor, [0; 5]);
        visitor.read_exact(&mut answer).expect("an answer");
        assert_eq!(answer, request.as_bytes());
    }
    assert_eq!(serving.server.counters().streams, u64::from(VISITORS));
}

/// The upstream answers only after the end of the request.
pub fn half_close_passes_through_a_tunnel<R: Start>() {
    let serving = Serving::<R>::start(Threads::One);
    let client = Joined::on(&serving, "client", gives_back());
    let visitor = client.visit();
    let sent = numbered(1_000_000);
    let asking = send(&visitor, sent.clone());
    assert!(read_all(&visitor) == sent);
    asking.join().expect("it was sent");
}

/// They take turns, wherever they run.
pub fn sessions_on_several_threads_share_a_port<R: Start>() {
    let two = NonZeroUsize::MIN.saturating_add(1);
    let serving = Serving::<R>::start(Threads::More(two));
    let port = free_port();
    let mut clients = Vec::new();
    for (name, count) in [("first", 1), ("second", 2)] {
        let client = Joined::start::<R>(name, serving.addr, port, names_itself(name));
        clients.push(client);
        serving.wait_for_sessions(count);
    }
    let mut heard: Vec<_> = (0..4).map(|_| read_all(&clients[0].visit())).collect();
    heard.sort_unstable();
    assert_eq!(heard, [&b"first"[..], b"first", b"second", b"second"]);
}

/// Nothing is awaited between the moment in which the visitors are left for it and its end: on one thread, no other task runs.
pub fn visitors_left_for_a_task_that_ended_are_served_by_another_session<R: Start>() {
    let control = crate::listen(loopback()).expect("a free port");
    let (addr, port) = (control.local_addr().expect("its address"), free_port());
    let clients =
        ["first", "second"].map(|name| Joined::start::<R>(name, addr, port, names_itself(name)));
    let (near, visitors): (Vec<_>, Vec<_>) = (0..4).map(|_| pair()).unzip();
    let (told, heard) = mpsc::channel();
    let own = thread::spawn(move || {
        R::start(Threads::One, |runtime| async move {
            let board = Arc::new(Board::default());
            let control = Accepting::new(&runtime, control, "a test").expect("a listener");
            let env = Env::logging(Clock::start());
            let hub = Arc::new(Hub::new(server(), runtime, env, Arc::clone(&board)));
            let signal = Arc::clone(&board);
            hub.server.wake_by(move || signal.nudge());
            let mut serving = Machine::new(hub, board, control);
            poll_fn(|context| {
                let _ = serving.poll(context);
                // Looked at until it is so, beside other tasks.
                context.waker().wake_by_ref();
                if serving.hub.server.counters().sessions == 2 {
                    return Poll::Ready(());
                }
                Poll::Pending
            })
            .await;
            let held = leave_to_one_that_ends(&serving, visitors);
            told.send(held).expect("somebody hears");
            // Until the test is over.
            poll_fn(|context| serving.poll(context)).await;
        })
    });
    assert_eq!(
        heard.recv_timeout(DEADLINE),
        Ok(2),
        "they did not take turns"
    );
    // Where several threads run the tasks, the one that ends may have taken some before.
    for visitor in &near {
        let answer = read_all(visitor);
        assert!([&b"first"[..], b"second"].contains(&&answer[..]));
    }
    drop((clients, own));
}

/// How many visitors one session's task had when it ended.
fn leave_to_one_that_ends<R: Start>(serving: &Machine<R>, visitors: Vec<TcpStream>) -> usize {
    let hub = &serving.hub;
    let (listener, at) = serving.any_port().expect("an open port");
    let mut first = None;
    let mut held = 0;
    for stream in visitors {
        options::reset_on_close(&SockRef::from(&stream));
        let from = stream.peer_addr().expect("connected");
        let next = hub.server.visitor(listener, from, at);
        let peer = next.as_ref().map(adit_relay::server::Visitor::peer);
        first = first.or(peer);
        held += usize::from(peer == first);
        hub.deliver(stream, next);
    }
    crate::peer::leave(hub, first.expect("a session for the visitor"));
    held
}

/// From the very byte.
pub fn a_transfer_survives_carriers_that_are_reset<R: Start>() {
    let serving = Serving::<R>::start(Threads::Cores);
    let part = TRANSFER_BYTES as usize / CUTS;
    let cutting = Cutting::start(serving.addr, part, CUTS);
    let port = free_port();
    let client = Joined::start::<R>("client", cutting.addr, port, gives_back());
    serving.wait_for_sessions(1);
    let visitor = client.visit();
    let sent = numbered(TRANSFER_BYTES);
    let asking = send(&visitor, sent.clone());
    assert!(read_all(&visitor) == sent);
    asking.join().expect("it was sent");
    assert_eq!(cutting.cuts(), CUTS);
}

/// And ends after the last of them.
pub fn a_server_that_drains_lets_its_visitors_finish<R: Start>() {
    let serving = Serving::<R>::start(Threads::Cores);
    let client = Joined::on(&serving, "client", gives_back());
    let mut visitor = client.visit();
    visitor.write_all(b"half of it, ").expect("open");
    until(|| serving.server.counters().streams == 1);
    serving.stop(Stop::Drain(DEADLINE));
    // Its ports take nobody from then on.
    let refused = || TcpStream::connect(("127.0.0.1", client.port)).map(drop);
    until(|| refused().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused));
    let rest = send(&visitor, b"and the rest".to_vec());
    assert_eq!(read_all(&visitor), b"half of it, and the rest");
    rest.join().expect("it was sent");
    serving.join();
}

/// However many are served.
pub fn a_server_that_is_stopped_at_once_leaves_no_port_open<R: Start>() {
    let serving = Serving::<R>::start(Threads::Cores);
    let client = Joined::on(&serving, "client", gives_back());
    let mut visitor = client.visit();
    until(|| serving.server.counters().streams == 1);
    let ports = [serving.addr.port(), client.port];
    serving.stop(Stop::Now);
    serving.join();
    // What nobody asked to end is a reset.
    let error = visitor.read(&mut [0; 1]).expect_err("a reset");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    for port in ports {
        let error = TcpStream::connect(("127.0.0.1", port)).expect_err("nobody listens");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }
}
