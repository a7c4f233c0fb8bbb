//! A TCP relay that plays the network between two programs: it can take its
//! time, cut every connection in one of the ways that networks have, or go
//! silent.

mod passage;

use passage::{Passage, Planned};
use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

/// How a connection breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cut {
    /// The relay's whole process dies: for one that runs apart.
    Killed,
    /// Both ends get an RST.
    Reset,
    /// Both ends get a FIN, and what they send is dropped.
    End,
    /// What the dialling side sends stays on the way for ever.
    StallUp,
    /// What the side that was dialled sends stays on the way for ever.
    StallDown,
    /// Both.
    Silence,
}

impl Cut {
    /// Its name on a command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Reset => "reset",
            Self::End => "end",
            Self::StallUp => "stall-up",
            Self::StallDown => "stall-down",
            Self::Silence => "silence",
        }
    }
}

impl FromStr for Cut {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        [
            Self::Killed,
            Self::Reset,
            Self::End,
            Self::StallUp,
            Self::StallDown,
            Self::Silence,
        ]
        .into_iter()
        .find(|cut| cut.name() == name)
        .ok_or_else(|| format!("{name:?} is no way to cut a connection"))
    }
}

/// A running relay. Its threads end with their connections, the listener's
/// thread with the process.
#[derive(Debug)]
pub struct Relay {
    /// The port to connect to instead of the real one.
    pub port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Bytes that each direction of a connection may pass on in its life.
    limit: AtomicU64,
    /// What befalls new connections from the start.
    outage: Mutex<Option<Cut>>,
    /// What befalls the connections to come, one each.
    plan: Arc<Mutex<VecDeque<Planned>>>,
    connections: Mutex<Vec<Weak<Passage>>>,
    arrivals: Mutex<Vec<Instant>>,
}

impl Relay {
    /// Passes connections on to a port of 127.0.0.1; every byte arrives `delay`
    /// later, in each direction, and the first ones of a connection once a handshake of TCP would be
    /// over.
    ///
    /// # Panics
    ///
    /// When it can't listen.
    pub fn start(target: u16, delay: Duration) -> Self {
        Self::with_plan(0, target, delay, [], |_| {})
    }

    /// The same on a given port. Each connection is cut as the plan's next entry
    /// says: how, and after how many bytes (at least 1) in both directions together. `fired`
    /// hears the number of an entry when it happens. An entry whose connection ends before goes to
    /// another.
    ///
    /// # Panics
    ///
    /// When it can't listen.
    pub fn with_plan(
        port: u16,
        target: u16,
        delay: Duration,
        plan: impl IntoIterator<Item = (Cut, u64)>,
        fired: impl Fn(usize) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let planned = |(number, (cut, after))| Planned { number, cut, after };
        let shared = Arc::new(Shared {
            limit: AtomicU64::new(u64::MAX),
            outage: Mutex::default(),
            plan: Arc::new(Mutex::new(
                plan.into_iter().enumerate().map(planned).collect(),
            )),
            connections: Mutex::default(),
            arrivals: Mutex::default(),
        });
        let ours = Arc::clone(&shared);
        let fired: Arc<dyn Fn(Planned) + Send + Sync> =
            Arc::new(move |planned: Planned| fired(planned.number));
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                // A target that is down looks like one: the connection ends.
                let _ = ours.join(near, target, delay, &fired);
            }
        });
        Self { port, shared }
    }

    /// Lets this befall every connection that there is now.
    pub fn cut(&self, cut: Cut) {
        for passage in lock(&self.shared.connections).drain(..) {
            if let Some(passage) = passage.upgrade() {
                passage.cut(cut);
            }
        }
    }

    /// Lets this befall every connection that there is now, and each new one at
    /// once, until told otherwise. Those that it befell stay as they are.
    pub fn outage(&self, cut: Option<Cut>) {
        *lock(&self.shared.outage) = cut;
        if let Some(cut) = cut {
            self.cut(cut);
        }
    }

    /// From now on (or no longer) nothing is passed on, and nobody is told:
    /// what an unplugged cable looks like. Afterwards everything arrives, late.
    pub fn silence(&self, on: bool) {
        self.silence_after(if on { 0 } else { u64::MAX });
    }

    /// The same, but each direction of a connection goes silent only after this
    /// many bytes, counted from its beginning.
    pub fn silence_after(&self, bytes: u64) {
        let connections = lock(&self.shared.connections);
        self.shared.limit.store(bytes, Ordering::SeqCst);
        for passage in connections.iter().filter_map(Weak::upgrade) {
            passage.limit(bytes);
        }
    }

    /// How many connections were made since the last cut.
    pub fn connections(&self) -> usize {
        lock(&self.shared.connections).len()
    }

    /// When each connection was made, also those that were cut.
    pub fn arrivals(&self) -> Vec<Instant> {
        lock(&self.shared.arrivals).clone()
    }
}

impl Shared {
    fn join(
        &self,
        near: TcpStream,
        target: u16,
        delay: Duration,
        fired: &Arc<dyn Fn(Planned) + Send + Sync>,
    ) -> io::Result<()> {
        lock(&self.arrivals).push(Instant::now());
        let far = TcpStream::connect((Ipv4Addr::LOCALHOST, target))?;
        let outage = lock(&self.outage);
        let mut connections = lock(&self.connections);
        let limit = self.limit.load(Ordering::SeqCst);
        let passage = Passage::start((near, far), delay, limit, &self.plan, fired)?;
        if let Some(cut) = *outage {
            passage.cut(cut);
        }
        connections.push(Arc::downgrade(&passage));
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services;
    use std::io::{Read, Write};
    use std::net::Shutdown;
    use std::sync::mpsc;

    /// A connection through the relay that was seen to work.
    fn connect(relay: &Relay) -> TcpStream {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, relay.port)).expect("it listens");
        stream.write_all(b"x").expect("it takes bytes");
        stream.read_exact(&mut [0]).expect("it echoes");
        stream
            .set_read_timeout(Some(Duration::from_millis(100)))
            .expect("a time limit");
        stream
    }

    fn is_silent(mut stream: &TcpStream) -> bool {
        matches!(stream.read(&mut [0]), Err(e) if e.kind() == io::ErrorKind::WouldBlock)
    }

    #[test]
    fn both_directions_and_their_ends_pass() {
        let relay = Relay::start(services::reply_after_the_end(), Duration::from_millis(1));
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, relay.port)).expect("it listens");
        stream.write_all(b"question").expect("it takes bytes");
        stream.shutdown(Shutdown::Write).expect("it takes the end");
        let mut answer = String::new();
        stream
            .read_to_string(&mut answer)
            .expect("it answers and ends");
        assert_eq!(answer, "8 bytes, then the end");
    }

    #[test]
    fn nothing_arrives_before_the_delay() {
        let delay = Duration::from_millis(30);
        let relay = Relay::start(services::page(b"late".to_vec()), delay);
        let start = Instant::now();
        let answer = crate::http::get(relay.port, "/").expect("an answer");
        assert_eq!(answer.text(), "late");
        assert!(
            start.elapsed() >= 2 * delay,
            "there and back took {:?}",
            start.elapsed()
        );
    }

    #[test]
    fn a_cut_ends_connections() {
        let relay = Relay::start(services::echo(), Duration::ZERO);
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, relay.port)).expect("it listens");
        stream.write_all(b"x").expect("it takes bytes");
        stream.read_exact(&mut [0]).expect("it echoes");
        relay.cut(Cut::End);
        assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
    }

    #[test]
    fn a_relay_that_goes_silent_later_passes_the_beginning() {
        let relay = Relay::start(services::echo(), Duration::ZERO);
        relay.silence_after(3);
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, relay.port)).expect("it listens");
        stream.write_all(b"abcd").expect("it takes bytes");
        let mut answer = [0; 3];
        stream.read_exact(&mut answer).expect("the beginning");
        assert_eq!(&answer, b"abc");
        stream
            .set_read_timeout(Some(Duration::from_millis(100)))
            .expect("a time limit");
        let error = stream.read(&mut [0]).expect_err("nothing more comes");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn a_silent_relay_passes_nothing_and_ends_nothing() {
        let relay = Relay::start(services::echo(), Duration::ZERO);
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, relay.port)).expect("it listens");
        relay.silence(true);
        stream.write_all(b"x").expect("it takes bytes");
        stream
            .set_read_timeout(Some(Duration::from_millis(100)))
            .expect("a time limit");
        let error = stream
            .read(&mut [0])
            .expect_err("nothing comes, not even an end");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn a_reset_is_felt_as_one() {
        let relay = Relay::start(services::echo(), Duration::from_millis(1));
        let mut stream = connect(&relay);
        stream.set_read_timeout(None).expect("no time limit");
        relay.cut(Cut::Reset);
        let error = stream.read(&mut [0]).expect_err("no ordinary end");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }

    #[test]
    fn connections_made_in_an_outage_stay_silent_and_later_ones_work() {
        let relay = Relay::start(services::echo(), Duration::ZERO);
        let before = connect(&relay);
        relay.outage(Some(Cut::Silence));
        let mut during = TcpStream::connect((Ipv4Addr::LOCALHOST, relay.port)).expect("it listens");
        crate::wait::until("it to be taken", Duration::from_secs(30), || {
            (relay.connections() == 1).then_some(())
        });
        relay.outage(None);
        drop(connect(&relay));
        during.write_all(b"x").expect("the kernel takes it");
        during
            .set_read_timeout(Some(Duration::from_millis(100)))
            .expect("a time limit");
        assert!(is_silent(&before) && is_silent(&during));
    }

    #[test]
    fn a_stall_stops_one_direction_only() {
        let (sender, sent) = mpsc::channel();
        let relay = Relay::start(services::end_first(sender), Duration::ZERO);
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, relay.port)).expect("it listens");
        stream.read_exact(&mut [0]).expect("it speaks first");
        relay.cut(Cut::StallDown);
        stream.write_all(b"up").expect("it takes bytes");
        stream.shutdown(Shutdown::Write).expect("half-close");
        assert_eq!(sent.recv().expect("what went up"), b"up");
    }

    #[test]
    fn a_planned_cut_comes_at_its_byte_and_an_unused_one_goes_to_another_connection() {
        let (sender, fired) = mpsc::channel();
        let relay = Relay::with_plan(
            0,
            services::echo(),
            Duration::ZERO,
            [(Cut::Silence, 5)],
            move |number| sender.send(number).expect("the test listens"),
        );
        let mut first = connect(&relay);
        first.shutdown(Shutdown::Write).expect("half-close");
        assert_eq!(first.read(&mut [0]).expect("the end"), 0);
        assert!(fired.try_recv().is_err());
        // The entry is free once the relay is done with the first connection.
        let mut second = crate::wait::until("the entry", Duration::from_secs(30), || {
            let mut stream = connect(&relay);
            stream.write_all(b"abcd").expect("it takes bytes");
            fired
                .recv_timeout(Duration::from_millis(100))
                .ok()
                .map(|_| stream)
        });
        let mut answer = Vec::new();
        assert!(second.read_to_end(&mut answer).is_err(), "no end comes");
        assert!(answer.len() < 3, "{answer:?}");
    }
}
