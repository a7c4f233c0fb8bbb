//! The loop against a toy machine: a pipe between pairs of sockets, with a bound on what it holds.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::*;
use crate::options;

/// What a toy holds for one socket at most.
const HELD_MAX: usize = 3_000;

/// What the test sees of the toy in its task.
#[derive(Default)]
struct Seen {
    failed: Mutex<Vec<(u32, io::ErrorKind)>>,
    connect_failed: Mutex<Vec<io::ErrorKind>>,
    resolved: Mutex<Vec<Result<Vec<SocketAddr>, String>>>,
    fired: Mutex<Vec<(Instant, Instant)>>,
    /// Calls of `read_limit` for sockets other than the first two.
    looks_at_others: AtomicUsize,
    routes: Mutex<Vec<Option<IpAddr>>>,
}

/// Socket 2n is copied to socket 2n + 1 and back.
#[derive(Default)]
struct Toy {
    asks: VecDeque<Ask>,
    /// To be written to the socket, and whether a FIN follows.
    outgoing: HashMap<u32, (BytesMut, bool)>,
    deadline: Option<Instant>,
    seen: Arc<Seen>,
    done: bool,
}

fn partner(socket: SocketId) -> SocketId {
    SocketId(socket.0 ^ 1)
}

impl Toy {
    fn shut(&mut self, socket: SocketId) {
        if let Some((data, true)) = self.outgoing.get(&socket.0)
            && data.is_empty()
        {
            self.asks.push_back(Ask::Shutdown(socket));
        }
    }
}

impl Machine for Toy {
    fn poll_ask(&mut self, _: Instant) -> Option<Ask> {
        self.asks.pop_front()
    }

    fn tell(&mut self, _: Instant, told: Told) {
        match told {
            Told::Resolved { result, .. } => self.seen.resolved.lock().unwrap().push(result),
            Told::ConnectFailed { kind, .. } => self.seen.connect_failed.lock().unwrap().push(kind),
            Told::Connected { socket } => {
                self.asks.extend([
                    Ask::WantRead(partner(socket)),
                    Ask::WantWrite(socket),
                    Ask::Route { socket },
                ]);
            }
            Told::Route { local, .. } => self.seen.routes.lock().unwrap().push(local),
            Told::Token { .. } => {}
        }
    }

    fn read_limit(&self, socket: SocketId) -> usize {
        if socket.0 > 1 {
            self.seen.looks_at_others.fetch_add(1, Ordering::Relaxed);
        }
        HELD_MAX
            - self
                .outgoing
                .get(&partner(socket).0)
                .map_or(0, |(data, _)| data.len())
    }

    fn received(&mut self, _: Instant, socket: SocketId, data: BytesMut) {
        assert!(!data.is_empty() && data.len() <= self.read_limit(socket));
        self.outgoing
            .entry(partner(socket).0)
            .or_default()
            .0
            .extend_from_slice(&data);
        self.asks.push_back(Ask::WantWrite(partner(socket)));
    }

    fn received_eof(&mut self, _: Instant, socket: SocketId) {
        self.outgoing.entry(partner(socket).0).or_default().1 = true;
        self.shut(partner(socket));
    }

    fn gather<'a>(&'a mut self, _: Instant, socket: SocketId, out: &mut [IoSlice<'a>]) -> usize {
        match self.outgoing.get(&socket.0) {
            Some((data, _)) if !data.is_empty() => {
                let (first, second) = data.split_at(data.len() / 2);
                out[0] = IoSlice::new(first);
                out[1] = IoSlice::new(second);
                2
            }
            _ => 0,
        }
    }

    fn written(&mut self, _: Instant, socket: SocketId, n: usize) {
        let (data, _) = self.outgoing.get_mut(&socket.0).unwrap();
        let _ = data.split_to(n);
        self.shut(socket);
        self.asks.push_back(Ask::WantRead(partner(socket)));
    }

    fn failed(&mut self, _: Instant, socket: SocketId, error: io::ErrorKind) {
        self.seen.failed.lock().unwrap().push((socket.0, error));
        self.asks
            .extend([Ask::Close(socket), Ask::Abort(partner(socket))]);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
    }

    fn handle_timeout(&mut self, now: Instant) {
        if let Some(deadline) = self.deadline.take() {
            self.seen.fired.lock().unwrap().push((deadline, now));
            self.done = true;
        }
    }

    fn is_done(&self) -> bool {
        self.done
    }
}

type Change = Box<dyn FnOnce(&mut Driver<Toy>) + Send>;

/// Runs a toy in a task of its own; changes to it can be sent there.
fn run(
    toy: Toy,
) -> (
    mpsc::UnboundedSender<Change>,
    Arc<Seen>,
    tokio::task::JoinHandle<()>,
) {
    let seen = Arc::clone(&toy.seen);
    let (sender, mut changes) = mpsc::unbounded_channel::<Change>();
    let mut driver = Driver::new(toy, Env::logging(crate::Clock::start()), Arc::default());
    let task = tokio::spawn(async move {
        poll_fn(|context| {
            while let Poll::Ready(Some(change)) = changes.poll_recv(context) {
                change(&mut driver);
            }
            driver.poll(context, |_| ())
        })
        .await;
    });
    (sender, seen, task)
}

/// A connected pair of sockets.
async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (near, far) = tokio::join!(
        TcpStream::connect(listener.local_addr().unwrap()),
        listener.accept()
    );
    (near.unwrap(), far.unwrap().0)
}

/// Waits for something that another task brings about.
async fn until(mut reached: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !reached() {
        assert!(tokio::time::Instant::now() < deadline, "waited in vain");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// A pipe from the visitor returned to the upstream returned.
async fn piped(changes: &mpsc::UnboundedSender<Change>, first: u32) -> (TcpStream, TcpStream) {
    let (visitor, inner) = pair().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let change: Change = Box::new(move |driver| {
        driver.insert(SocketId(first), inner.into_std().unwrap(), Purpose::Local);
        let socket = SocketId(first + 1);
        driver.machine.asks.push_back(Ask::Connect {
            socket,
            addr,
            purpose: Purpose::Local,
        });
    });
    changes.send(change).ok().unwrap();
    (visitor, listener.accept().await.unwrap().0)
}

#[tokio::test]
async fn bytes_and_half_closes_pass_in_both_directions() {
    let (changes, _, _) = run(Toy::default());
    let (mut visitor, mut upstream) = piped(&changes, 0).await;
    let sent: Vec<u8> = (0..2_000_000_u32).map(|n| (n % 251) as u8).collect();
    let (mut request, mut reply) = (Vec::new(), Vec::new());
    let expected = sent.clone();
    let answering = async {
        // The reply begins when the whole request and its end have come.
        upstream.read_to_end(&mut request).await.unwrap();
        upstream.write_all(&request).await.unwrap();
        upstream.shutdown().await.unwrap();
    };
    let asking = async {
        visitor.write_all(&sent).await.unwrap();
        visitor.shutdown().await.unwrap();
        visitor.read_to_end(&mut reply).await.unwrap();
    };
    tokio::join!(answering, asking);
    assert!(request == expected && reply == expected);
}

#[tokio::test]
async fn a_refused_connection_is_told_with_its_kind() {
    let addr = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let mut toy = Toy::default();
    toy.asks.push_back(Ask::Connect {
        socket: SocketId(1),
        addr,
        purpose: Purpose::Local,
    });
    let (_changes, seen, _) = run(toy);
    until(|| *seen.connect_failed.lock().unwrap() == [io::ErrorKind::ConnectionRefused]).await;
}

#[tokio::test]
async fn the_way_of_a_connection_is_told_and_that_there_is_none_for_one_that_is_gone() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut toy = Toy::default();
    toy.asks.push_back(Ask::Connect {
        socket: SocketId(1),
        addr: listener.local_addr().unwrap(),
        purpose: Purpose::Local,
    });
    toy.asks.push_back(Ask::Route {
        socket: SocketId(7),
    });
    let (_changes, seen, _) = run(toy);
    let routes = [None, Some(Ipv4Addr::LOCALHOST.into())];
    until(|| *seen.routes.lock().unwrap() == routes).await;
}

#[tokio::test]
async fn names_are_resolved() {
    let mut toy = Toy::default();
    for host in ["127.0.0.1", "::1", "no such name"] {
        toy.asks.push_back(Ask::Resolve {
            query: 0,
            host: host.to_owned(),
            port: 7,
            purpose: Purpose::Local,
        });
    }
    let (_changes, seen, _) = run(toy);
    until(|| seen.resolved.lock().unwrap().len() == 3).await;
    let mut answers = Vec::new();
    for answer in seen.resolved.lock().unwrap().iter().flatten() {
        answers.push(answer.clone());
    }
    answers.sort();
    assert_eq!(
        answers,
        [
            vec!["127.0.0.1:7".parse().unwrap()],
            vec!["[::1]:7".parse().unwrap()]
        ]
    );
}

#[tokio::test]
async fn a_reset_is_told_and_an_abort_is_a_reset() {
    let (changes, seen, _) = run(Toy::default());
    let (visitor, mut upstream) = piped(&changes, 0).await;
    options::reset_on_close(&visitor);
    drop(visitor);
    let error = upstream.read(&mut [0; 1]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(
        *seen.failed.lock().unwrap(),
        [(0, io::ErrorKind::ConnectionReset)]
    );
}

/// Waits for the reset of a connection without reading from it.
async fn reset_unread(stream: &TcpStream) -> bool {
    let waiting = stream.ready(tokio::io::Interest::ERROR);
    let waited = tokio::time::timeout(Duration::from_secs(20), waiting).await;
    waited.expect("no reset came").unwrap();
    stream.take_error().unwrap().is_some()
}

#[tokio::test]
async fn a_reset_behind_the_end_of_the_input_is_told() {
    let (changes, seen, _) = run(Toy::default());
    let (mut visitor, mut upstream) = piped(&changes, 0).await;
    visitor.write_all(b"all").await.unwrap();
    visitor.shutdown().await.unwrap();
    let mut request = Vec::new();
    upstream.read_to_end(&mut request).await.unwrap();
    // The end has passed, and both sides are silent.
    options::reset_on_close(&visitor);
    drop(visitor);
    assert!(reset_unread(&upstream).await);
    assert_eq!(seen.failed.lock().unwrap()[0].0, 0);
}

#[tokio::test]
async fn a_reset_of_a_socket_that_is_not_read_is_told() {
    let (changes, seen, _) = run(Toy::default());
    let (visitor, upstream) = piped(&changes, 0).await;
    // More than the toy and the kernel hold, as nobody reads at the other end.
    let full = [1; 64 * 1024];
    while tokio::time::timeout(Duration::from_millis(200), visitor.writable())
        .await
        .is_ok()
    {
        let _ = visitor.try_write(&full);
    }
    options::reset_on_close(&visitor);
    drop(visitor);
    assert!(reset_unread(&upstream).await);
    assert_eq!(
        *seen.failed.lock().unwrap(),
        [(0, io::ErrorKind::ConnectionReset)]
    );
}

#[tokio::test]
async fn input_that_nobody_wants_keeps_the_task_asleep() {
    let mut toy = Toy::default();
    toy.outgoing.insert(9, (BytesMut::zeroed(HELD_MAX), false));
    let (changes, seen, _) = run(toy);
    let (mut visitor, inner) = pair().await;
    let change: Change = Box::new(move |driver| {
        driver.insert(SocketId(8), inner.into_std().unwrap(), Purpose::Local)
    });
    changes.send(change).ok().unwrap();
    for _ in 0..100 {
        visitor.write_all(b"more").await.unwrap();
        tokio::task::yield_now().await;
    }
    options::reset_on_close(&visitor);
    drop(visitor);
    until(|| *seen.failed.lock().unwrap() == [(8, io::ErrorKind::ConnectionReset)]).await;
    // Once when it came, and once for each time that the runtime had news.
    assert!(seen.looks_at_others.load(Ordering::Relaxed) < 300);
}

#[tokio::test]
async fn a_close_is_no_reset_though_input_was_not_read() {
    let (changes, _, _) = run(Toy::default());
    let (mut visitor, inner) = pair().await;
    visitor.write_all(b"unread").await.unwrap();
    // The bytes have arrived, and the machine closes without reading them.
    inner.readable().await.unwrap();
    let change: Change = Box::new(move |driver| {
        driver.insert(SocketId(0), inner.into_std().unwrap(), Purpose::Local);
        driver.machine.asks.push_back(Ask::Close(SocketId(0)));
    });
    changes.send(change).ok().unwrap();
    assert_eq!(visitor.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_timer_fires_at_its_time_and_never_before() {
    let deadline = Instant::ORIGIN + Duration::from_millis(30);
    let (_changes, seen, task) = run(Toy {
        deadline: Some(deadline),
        ..Toy::default()
    });
    task.await.unwrap();
    let fired = seen.fired.lock().unwrap();
    assert!(matches!(fired[..], [(at, now)] if at == deadline && now >= at));
}

#[tokio::test]
async fn a_busy_socket_does_not_make_the_task_look_at_idle_ones() {
    let (changes, seen, _) = run(Toy::default());
    let mut idle = Vec::new();
    for n in 1..50 {
        let (mut visitor, mut upstream) = piped(&changes, 2 * n).await;
        visitor.write_all(b"hello").await.unwrap();
        upstream.read_exact(&mut [0; 5]).await.unwrap();
        idle.push((visitor, upstream));
    }
    let (mut visitor, mut upstream) = piped(&changes, 0).await;
    let looks = seen.looks_at_others.load(Ordering::Relaxed);
    assert!(looks > 50);
    for _ in 0..1_000 {
        visitor.write_all(b"ping").await.unwrap();
        upstream.read_exact(&mut [0; 4]).await.unwrap();
    }
    // The last of the greetings may still have been served after the first look.
    assert!(seen.looks_at_others.load(Ordering::Relaxed) < looks + 10);
}
