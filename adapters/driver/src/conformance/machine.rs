//! Cases of one machine and its sockets.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::Duration;

use adit_core::Instant;
use adit_relay::{Ask, Purpose, SocketId};
use bytes::BytesMut;

use super::kit::{listen, numbered, read_all, reset, reset_unread, send, until};
use super::toy::{HELD_MAX, Running, Toy};
use crate::{Start, Threads, catch};

/// Two megabytes pass each way through a machine that holds three kilobytes, and so do the ends.
pub fn bytes_and_half_closes_pass_in_both_directions<R: Start>() {
    let running = Running::<R>::start(Toy::default());
    let (visitor, upstream) = running.pipe(0);
    let sent = numbered(2_000_000);
    let asking = send(&visitor, sent.clone());
    // The reply begins when the whole request and its end have come.
    assert!(read_all(&upstream) == sent);
    let answering = send(&upstream, sent.clone());
    assert!(read_all(&visitor) == sent);
    asking.join().expect("it was sent");
    answering.join().expect("it was sent");
}

/// A port that nobody listens on.
pub fn a_refused_connection_is_told_with_its_kind<R: Start>() {
    let addr = listen().1;
    let mut toy = Toy::default();
    toy.asks.push_back(Ask::Connect {
        socket: SocketId(1),
        addr,
        purpose: Purpose::Local,
    });
    let running = Running::<R>::start(toy);
    let refused = [io::ErrorKind::ConnectionRefused];
    until(|| *running.seen.connect_failed.lock().expect("no panic") == refused);
}

/// [`Ask::Route`].
pub fn the_way_of_a_connection_is_told_and_that_there_is_none_for_one_that_is_gone<R: Start>() {
    let (_listener, addr) = listen();
    let mut toy = Toy::default();
    toy.asks.push_back(Ask::Connect {
        socket: SocketId(1),
        addr,
        purpose: Purpose::Local,
    });
    toy.asks.push_back(Ask::Route {
        socket: SocketId(7),
    });
    let running = Running::<R>::start(toy);
    let routes = [None, Some(Ipv4Addr::LOCALHOST.into())];
    until(|| *running.seen.routes.lock().expect("no panic") == routes);
}

/// What may block runs elsewhere, and what goes wrong there is an answer.
pub fn names_are_resolved_and_a_token_that_cannot_be_read_is_told<R: Start>() {
    let mut toy = Toy::default();
    for (query, host) in (0..).zip(["127.0.0.1", "::1", "no such name"]) {
        toy.asks.push_back(Ask::Resolve {
            query,
            host: host.to_owned(),
            port: 7,
            purpose: Purpose::Local,
        });
    }
    toy.asks.push_back(Ask::ReadToken { query: 3 });
    let running = Running::<R>::with_token(toy, Arc::new(|| panic!("as a test may")));
    let seen = &running.seen;
    until(|| seen.resolved.lock().expect("no panic").len() == 3);
    let resolved = seen.resolved.lock().expect("no panic").clone();
    let mut answers: Vec<_> = resolved.into_iter().flatten().flatten().collect();
    answers.sort();
    let expected = ["127.0.0.1:7", "[::1]:7"].map(|addr| addr.parse().expect("an address"));
    assert_eq!(answers, expected);
    let told = [Err("reading the token failed".to_owned())];
    until(|| *seen.tokens.lock().expect("no panic") == told);
}

/// A reset stays a reset.
pub fn a_reset_is_told_and_an_abort_is_a_reset<R: Start>() {
    let running = Running::<R>::start(Toy::default());
    let (visitor, mut upstream) = running.pipe(0);
    reset(visitor);
    let error = upstream.read(&mut [0; 1]).expect_err("a reset");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    let failed = running.seen.failed.lock().expect("no panic");
    assert_eq!(*failed, [(0, io::ErrorKind::ConnectionReset)]);
}

/// The end has passed, and both sides are silent when the reset comes.
pub fn a_reset_behind_the_end_of_the_input_is_told<R: Start>() {
    let running = Running::<R>::start(Toy::default());
    let (mut visitor, mut upstream) = running.pipe(0);
    visitor.write_all(b"all").expect("open");
    visitor.shutdown(Shutdown::Write).expect("open");
    assert_eq!(read_all(&upstream), b"all");
    // Something goes the other way meanwhile.
    upstream.write_all(b"reply").expect("open");
    visitor.read_exact(&mut [0; 5]).expect("open");
    reset(visitor);
    reset_unread(&upstream);
    assert_eq!(running.seen.failed.lock().expect("no panic")[0].0, 0);
}

/// The machine holds all it may, and the kernel as well.
pub fn a_reset_of_a_socket_that_is_not_read_is_told<R: Start>() {
    let running = Running::<R>::start(Toy::default());
    let (mut visitor, upstream) = running.pipe(0);
    // Nobody reads at the other end.
    let patience = Some(Duration::from_millis(200));
    visitor.set_write_timeout(patience).expect("an option");
    while visitor.write(&[1; 64 * 1024]).is_ok() {}
    reset(visitor);
    reset_unread(&upstream);
    let failed = running.seen.failed.lock().expect("no panic");
    assert_eq!(*failed, [(0, io::ErrorKind::ConnectionReset)]);
}

/// Its sender feels it, and costs nothing.
pub fn input_that_nobody_wants_keeps_the_task_asleep<R: Start>() {
    let mut toy = Toy::default();
    toy.outgoing.insert(9, (BytesMut::zeroed(HELD_MAX), false));
    let running = Running::<R>::start(toy);
    let mut visitor = running.visit(8);
    for _ in 0..100 {
        visitor.write_all(b"more").expect("room in the kernel");
    }
    reset(visitor);
    let failed = [(8, io::ErrorKind::ConnectionReset)];
    until(|| *running.seen.failed.lock().expect("no panic") == failed);
    // Once when it came, and once for each time that the runtime had news.
    let looks = running.seen.looks_at_others.load(Ordering::Relaxed);
    assert!(looks < 300, "{looks}");
}

/// [`Ask::Close`].
pub fn a_close_is_no_reset_though_input_was_not_read<R: Start>() {
    let running = Running::<R>::start(Toy::default());
    let (mut visitor, inner) = super::kit::pair();
    visitor.write_all(b"unread").expect("open");
    // The bytes have arrived, and the machine closes without reading them.
    until(|| inner.peek(&mut [0; 1]).is_ok());
    running.change(move |driver| {
        driver.insert(SocketId(0), inner, Purpose::Local);
        driver.machine.asks.push_back(Ask::Close(SocketId(0)));
    });
    assert_eq!(visitor.read(&mut [0; 1]).expect("no reset"), 0);
}

/// Not a moment.
pub fn a_timer_fires_at_its_time_and_never_before<R: Start>() {
    let deadline = Instant::ORIGIN + Duration::from_millis(30);
    let running = Running::<R>::start(Toy {
        deadline: Some(deadline),
        ..Toy::default()
    });
    let seen = running.join();
    let fired = seen.fired.lock().expect("no panic");
    assert!(matches!(fired[..], [(at, now)] if at == deadline && now >= at));
}

/// Who is ready is found in constant time.
pub fn a_busy_socket_does_not_make_the_task_look_at_idle_ones<R: Start>() {
    let running = Running::<R>::start(Toy::default());
    let mut idle = Vec::new();
    for n in 1..50 {
        let (mut visitor, mut upstream) = running.pipe(2 * n);
        visitor.write_all(b"hello").expect("open");
        upstream.read_exact(&mut [0; 5]).expect("open");
        idle.push((visitor, upstream));
    }
    let (mut visitor, mut upstream) = running.pipe(0);
    let seen = &running.seen;
    let looks = seen.looks_at_others.load(Ordering::Relaxed);
    assert!(looks > 50);
    for _ in 0..1_000 {
        visitor.write_all(b"ping").expect("open");
        upstream.read_exact(&mut [0; 4]).expect("open");
    }
    // The last of the greetings may still have been served after the first look.
    assert!(seen.looks_at_others.load(Ordering::Relaxed) < looks + 10);
}

/// Neither with the thread that it ran on.
pub fn a_task_that_panics_takes_no_other_with_it<R: Start>() {
    let (told, heard) = mpsc::channel();
    let started = R::start(Threads::One, |runtime| async move {
        let failing = async { panic!("as a test may") };
        let other = async move { told.send(()).expect("somebody hears") };
        crate::all(&runtime, [catch::to_the_end("a test", failing)]).await;
        crate::all(&runtime, [other]).await;
    });
    started.expect("a runtime");
    assert_eq!(heard.try_iter().count(), 1);
}
