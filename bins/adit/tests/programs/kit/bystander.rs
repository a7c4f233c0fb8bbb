//! A client with a visitor that never stops asking: what others do to the server is to be nothing to it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::{Program, Site, Upstream, connect, service_of, until};

/// How long the visitor rests between two questions: a test has other things to do, too.
const REST: Duration = Duration::from_millis(2);

/// A session of its own, and one connection through it that is used all the time.
pub(crate) struct Bystander {
    client: Program,
    shared: Arc<Shared>,
    visitor: JoinHandle<io::Result<()>>,
}

#[derive(Default)]
struct Shared {
    answers: AtomicU64,
    enough: AtomicBool,
}

impl Bystander {
    /// A client of the server at this URL, whose visitor was answered already.
    pub(crate) fn of(site: &Site, url: &str) -> Self {
        let upstream = Upstream::start(|stream| {
            let mut reader = &stream;
            // It ends as its visitor does.
            let _ = io::copy(&mut reader, &mut &stream);
        });
        let args = ["--client-id", "bystander", "--upstream"];
        let client = site.client_of(url, &[&args[..], &[&upstream.anywhere()]].concat());
        let stream = connect(service_of(&client, upstream.addr()));
        let shared = Arc::new(Shared::default());
        let ours = Arc::clone(&shared);
        let visitor = thread::spawn(move || ours.ask(stream));
        let this = Self {
            client,
            shared,
            visitor,
        };
        this.is_served();
        this
    }

    /// Waits for one more answer.
    fn is_served(&self) {
        let before = self.answers();
        until("the bystander's visitor to be answered", || {
            self.answers() > before || self.visitor.is_finished()
        });
    }

    fn answers(&self) -> u64 {
        self.shared.answers.load(Ordering::SeqCst)
    }

    /// Its one connection is served still, every answer was right, and its session is the first one.
    pub(crate) fn noticed_nothing(self) {
        self.is_served();
        self.shared.enough.store(true, Ordering::SeqCst);
        self.visitor.join().unwrap().unwrap();
        let log = self.client.log();
        assert_eq!(log.matches("connected to").count(), 1, "{log}");
        for trouble in ["session ended", "no session with"] {
            assert!(!log.contains(trouble), "{log}");
        }
    }
}

impl Shared {
    fn ask(&self, mut stream: TcpStream) -> io::Result<()> {
        while !self.enough.load(Ordering::SeqCst) {
            let question = self.answers.load(Ordering::SeqCst).to_be_bytes();
            stream.write_all(&question)?;
            let mut answer = [0; 8];
            stream.read_exact(&mut answer)?;
            if answer != question {
                return Err(io::Error::new(ErrorKind::InvalidData, "another answer"));
            }
            self.answers.fetch_add(1, Ordering::SeqCst);
            thread::sleep(REST);
        }
        Ok(())
    }
}
