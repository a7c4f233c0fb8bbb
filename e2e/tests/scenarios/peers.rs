//! What a broken connection does to whoever uses a tunnel: the same test through Adit and
//! through others, as careful people run them. docs/outages.md has the table.

mod service;
mod tunnels;

use adit_e2e::noise::{self, MIB};
use adit_e2e::relay::Cut;
use service::State;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tunnels::{Setup, Tunnel};

/// MiB of the transfer that is cut.
const SIZE: usize = 24;
/// It takes so long if nothing breaks: between two MiB, it waits.
const PAUSE: Duration = Duration::from_millis(60);
/// When its connection is cut.
const CUT_AFTER: Duration = Duration::from_millis(500);
/// A visitor comes so long after the cut.
const COMES_AFTER: Duration = Duration::from_millis(200);
/// The idle connection is used again so long after the cut.
const USED_AFTER: Duration = Duration::from_secs(10);
/// Who has heard nothing for so long has lost its connection, whether it is told or not.
const STUCK: Duration = Duration::from_secs(40);
/// One attempt to be served. An sshd that has something to do does not notice that its client is gone, so
/// attempts must not come thick and fast.
const ATTEMPT: Duration = Duration::from_secs(7);
/// Attempts are over then: rathole keeps eight connections ready, and gives each that a cut has silenced to a
/// visitor.
const GIVE_UP: Duration = Duration::from_secs(60);
/// Who finds the port closed, or is reset, comes again after so long.
const COMES_AGAIN: Duration = Duration::from_millis(20);
/// How often the service is asked about a connection that may still break.
const LOOK: Duration = Duration::from_millis(100);

/// What befalls the network. Without a cut all must survive: else a tunnel's failure would say nothing.
const CUTS: [Option<Cut>; 7] = [
    None,
    Some(Cut::Killed),
    Some(Cut::Reset),
    Some(Cut::End),
    Some(Cut::StallUp),
    Some(Cut::StallDown),
    Some(Cut::Silence),
];

/// What became of one end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Whole,
    Broken,
    /// It is open, and nothing comes.
    Stuck,
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Whole => "whole",
            Self::Broken => "broken",
            Self::Stuck => "stuck, never told",
        })
    }
}

impl From<&io::Error> for Fate {
    fn from(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Self::Stuck,
            _ => Self::Broken,
        }
    }
}

/// What became of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ends {
    visitor: Fate,
    service: Fate,
}

impl Ends {
    const WHOLE: Self = Self {
        visitor: Fate::Whole,
        service: Fate::Whole,
    };

    /// `whole` is the service's state if nothing was lost. Where the visitor has lost something, the
    /// service gets until `deadline` to be told of it.
    fn see(visitor: Fate, setup: &Setup, number: usize, whole: State, deadline: Instant) -> Self {
        let state = || setup.service.state(number);
        while visitor != Fate::Whole && state() == State::Open && Instant::now() < deadline {
            thread::sleep(LOOK);
        }
        let service = match state() {
            State::Open if visitor != Fate::Whole => Fate::Stuck,
            // Also where the visitor lost what came back: all that was sent had arrived, and the end of it.
            state if state == whole => Fate::Whole,
            State::Open => Fate::Stuck,
            State::Ended(_) | State::Broken => Fate::Broken,
        };
        Self { visitor, service }
    }
}

impl fmt::Display for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.visitor)?;
        if self.service != self.visitor {
            write!(f, " (at the service {})", self.service)?;
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Outcome {
    transfer: Ends,
    /// From the cut until the transfer's visitor had all, or was told that it is over, or gave up.
    transfer_took: Duration,
    idle: Ends,
    visitor: Fate,
    served: Option<Served>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "transfer {} after {:.1} s, idle connection {}, visitor {:.1} s later {}, ",
            self.transfer,
            self.transfer_took.as_secs_f64(),
            self.idle,
            COMES_AFTER.as_secs_f64(),
            self.visitor,
        )?;
        match &self.served {
            Some(served) => write!(
                f,
                "new ones served after {:.1} s, {} before had to give up",
                served.after.as_secs_f64(),
                served.in_vain
            ),
            None => write!(f, "new ones not served within {} s", GIVE_UP.as_secs()),
        }
    }
}

/// The first of those who come one after the other and are served.
#[derive(Debug)]
struct Served {
    after: Duration,
    /// So many before it got no answer.
    in_vain: usize,
}

impl Served {
    /// Nothing, if nobody is served for long.
    fn wait(setup: &Setup) -> Option<Self> {
        let start = Instant::now();
        let mut in_vain = 0;
        while start.elapsed() < GIVE_UP {
            match setup.connect(ATTEMPT).map(|stream| echo(&stream)) {
                Ok(Fate::Whole) => {
                    let after = start.elapsed();
                    return Some(Self { after, in_vain });
                }
                Ok(Fate::Stuck) => in_vain += 1,
                // Told at once, it comes again.
                Ok(Fate::Broken) | Err(_) => thread::sleep(COMES_AGAIN),
            }
        }
        None
    }
}

/// Whether a word comes back.
fn echo(mut stream: &TcpStream) -> Fate {
    let mut word = [0; 5];
    let result = stream
        .write_all(b"hello")
        .and_then(|()| stream.read_exact(&mut word));
    match result {
        Ok(()) if word == *b"hello" => Fate::Whole,
        Ok(()) => Fate::Broken,
        Err(error) => Fate::from(&error),
    }
}

/// Writes with pauses, so that a cut falls into the middle.
struct Paced<'a> {
    to: &'a TcpStream,
    /// Nothing comes back any more. A write that was held up reports the part that the kernel took, and the
    /// next one would be held up for as long again.
    over: &'a AtomicBool,
}

impl Write for Paced<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.over.load(Ordering::Relaxed) {
            return Err(ErrorKind::TimedOut.into());
        }
        let written = self.to.write(bytes)?;
        let share = u32::try_from(written).unwrap_or(u32::MAX);
        thread::sleep(PAUSE * share / (1 << 20));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Sends noise and takes it back.
fn transfer(stream: &TcpStream) -> Fate {
    let over = AtomicBool::new(false);
    let to = Paced {
        to: stream,
        over: &over,
    };
    thread::scope(|scope| {
        let sending = scope.spawn(move || {
            let sum = noise::send(7, SIZE, to)?;
            stream.shutdown(Shutdown::Write)?;
            Ok::<_, io::Error>(sum)
        });
        let received = noise::receive(stream);
        over.store(true, Ordering::Relaxed);
        match (sending.join().expect("no panic"), received) {
            (Ok(sent), Ok((_, sum))) if sent == sum => Fate::Whole,
            (_, Err(error)) => Fate::from(&error),
            // An end that comes too early; the sender only repeats that it is over.
            _ => Fate::Broken,
        }
    })
}

fn run(tunnel: Tunnel, cut: Option<Cut>) -> Outcome {
    let mut setup = Setup::start(tunnel, cut);
    Served::wait(&setup).expect("it works before the cut");
    let before = setup.service.connections();
    let idle = setup.connect(STUCK).expect("it listens");
    assert_eq!(echo(&idle), Fate::Whole, "before the cut");
    let idle_there = setup.service.next(before);
    let long = setup.connect(STUCK).expect("it listens");
    let long_there = setup.service.next(before + 1);
    thread::scope(|scope| {
        let transfer = scope.spawn(|| (transfer(&long), Instant::now()));
        thread::sleep(CUT_AFTER);
        assert!(!transfer.is_finished(), "the cut falls into the transfer");
        if let Some(cut) = cut {
            setup.network.cut(cut);
        }
        let cut_at = Instant::now();
        let setup = &setup;
        let visitor = scope.spawn(move || {
            thread::sleep(COMES_AFTER);
            match setup.connect(STUCK) {
                Ok(stream) => echo(&stream),
                Err(error) => Fate::from(&error),
            }
        });
        let idle = scope.spawn(|| {
            thread::sleep(USED_AFTER);
            echo(&idle)
        });
        let served = Served::wait(setup);
        let idle = idle.join().expect("no panic");
        let (transfer, over) = transfer.join().expect("no panic");
        let deadline = cut_at + STUCK;
        let all = State::Ended((SIZE * MIB) as u64);
        Outcome {
            transfer: Ends::see(transfer, setup, long_there, all, deadline),
            transfer_took: over - cut_at,
            idle: Ends::see(idle, setup, idle_there, State::Open, deadline),
            visitor: visitor.join().expect("no panic"),
            served,
        }
    })
}

#[test]
#[ignore = "needs OpenSSH and rathole; .ci/run runs it"]
fn a_cut_that_breaks_the_connections_of_others_is_a_pause_here() {
    // Before anything that takes long.
    tunnels::peer("rathole");
    for tunnel in [Tunnel::Adit, Tunnel::OpenSsh, Tunnel::Rathole] {
        // They wait for most of the time.
        let outcomes = thread::scope(|scope| {
            CUTS.map(|cut| (cut, scope.spawn(move || run(tunnel, cut))))
                .map(|(cut, outcome)| (cut, outcome.join().expect("it says why")))
        });
        for (cut, outcome) in &outcomes {
            let cut = cut.map_or("no cut", Cut::name);
            println!("FIGURE {tunnel:?}, {cut}: {outcome}");
        }
        for (cut, outcome) in outcomes {
            let what = format!("{tunnel:?}, {cut:?}: {outcome:?}");
            let whole = [outcome.transfer, outcome.idle].map(|ends| ends == Ends::WHOLE);
            if tunnel == Tunnel::Adit || cut.is_none() {
                assert_eq!(whole, [true, true], "{what}");
                assert_eq!(outcome.visitor, Fate::Whole, "{what}");
            } else {
                assert_eq!(
                    whole,
                    [false, false],
                    "it survived, and docs/outages.md says that it does not: {what}"
                );
            }
        }
    }
}
