//! One connection through a relay: bytes in both directions, each after its
//! delay, until something befalls it.

use super::{Cut, lock};
use rustix::process::{Signal, getpid, kill_process};
use socket2::SockRef;
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// Chunks on the way in one direction: at 64 KiB each, more than a link of
/// 100 ms and 1 Gbit/s holds.
const IN_FLIGHT: usize = 1024;
const CHUNK: usize = 64 * 1024;

/// A write that the receiver holds up looks so often whether the connection is
/// over.
const LOOK: Duration = Duration::from_millis(20);

/// A direction.
#[derive(Clone, Copy, Debug)]
enum Way {
    Up,
    Down,
}

/// Something that is to befall a connection once so many bytes have passed,
/// both directions taken together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Planned {
    pub(super) number: usize,
    pub(super) cut: Cut,
    pub(super) after: u64,
}

/// A connection: the dialling side is `near`.
#[derive(Debug)]
pub(super) struct Passage {
    near: TcpStream,
    far: TcpStream,
    state: Mutex<State>,
    changed: Condvar,
    /// Where what was planned for it goes if it does not happen.
    plan: Arc<Mutex<VecDeque<Planned>>>,
}

#[derive(Debug)]
struct State {
    passed: [u64; 2],
    /// How much each direction may pass on in its life.
    limits: [u64; 2],
    planned: Option<Planned>,
    fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Passing,
    /// Both ends were told that there is no more; what they send is dropped.
    Draining,
    Over,
}

impl Passage {
    /// Begins to pass bytes on, in threads of its own. `fired` hears of what was
    /// planned when it happens.
    pub(super) fn start(
        (near, far): (TcpStream, TcpStream),
        delay: Duration,
        limit: u64,
        plan: &Arc<Mutex<VecDeque<Planned>>>,
        fired: &Arc<dyn Fn(Planned) + Send + Sync>,
    ) -> std::io::Result<Arc<Self>> {
        for end in [&near, &far] {
            end.set_nodelay(true)?;
            end.set_write_timeout(Some(LOOK))?;
        }
        let passage = Arc::new(Self {
            near,
            far,
            state: Mutex::new(State {
                passed: [0; 2],
                limits: [limit; 2],
                planned: lock(plan).pop_front(),
                fate: Fate::Passing,
            }),
            changed: Condvar::new(),
            plan: Arc::clone(plan),
        });
        for way in [Way::Up, Way::Down] {
            let (ours, fired) = (Arc::clone(&passage), Arc::clone(fired));
            thread::spawn(move || ours.carry(way, delay, &*fired));
        }
        Ok(passage)
    }

    /// Changes how much each direction may pass on in its life.
    pub(super) fn limit(&self, limit: u64) {
        self.change(|state| state.limits = [limit; 2]);
    }

    /// Lets this befall it.
    pub(super) fn cut(&self, cut: Cut) {
        match cut {
            Cut::Killed => {
                let _ = kill_process(getpid(), Signal::KILL);
            }
            Cut::Reset => {
                for end in [&self.near, &self.far] {
                    let _ = SockRef::from(end).set_linger(Some(Duration::ZERO));
                }
                self.end();
            }
            Cut::End => {
                self.change(|state| state.fate = Fate::Draining);
                for end in [&self.near, &self.far] {
                    let _ = end.shutdown(Shutdown::Write);
                }
            }
            Cut::StallUp => self.change(|state| state.limits[0] = 0),
            Cut::StallDown => self.change(|state| state.limits[1] = 0),
            Cut::Silence => self.limit(0),
        }
    }

    /// Lets the threads go, and with the last of them the sockets.
    fn end(&self) {
        self.change(|state| state.fate = Fate::Over);
        // Towards the network this does nothing; it wakes who is reading.
        for end in [&self.near, &self.far] {
            let _ = end.shutdown(Shutdown::Read);
        }
    }

    fn carry(self: Arc<Self>, way: Way, delay: Duration, fired: &(dyn Fn(Planned) + Send + Sync)) {
        if delay.is_zero() {
            self.read(way, |chunk| self.pass(way, chunk, fired));
            return;
        }
        // What the handshake of TCP takes on such a link, after which the first byte leaves.
        let open = Instant::now() + 2 * delay;
        let (sender, receiver) = mpsc::sync_channel::<(Instant, Vec<u8>)>(IN_FLIGHT);
        let reader = Arc::clone(&self);
        thread::spawn(move || {
            reader.read(way, |chunk| {
                sender
                    .send((open.max(Instant::now()) + delay, chunk.to_vec()))
                    .is_ok()
            });
        });
        for (due, chunk) in receiver {
            if !self.wait_for(due) || !self.pass(way, &chunk, fired) {
                return;
            }
        }
    }

    /// Reads until the end, which is an empty chunk.
    fn read(&self, way: Way, mut take: impl FnMut(&[u8]) -> bool) {
        let mut from = match way {
            Way::Up => &self.near,
            Way::Down => &self.far,
        };
        let mut chunk = vec![0; CHUNK];
        loop {
            match from.read(&mut chunk) {
                Ok(n) if take(chunk.get(..n).unwrap_or_default()) && n > 0 => {}
                Ok(_) => return,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return self.broke(),
            }
        }
    }

    /// One end was reset: so is the other, unless nothing passes any more.
    fn broke(&self) {
        let state = self.state();
        let silent = state.limits == [0; 2];
        drop(state);
        if !silent {
            self.cut(Cut::Reset);
        }
    }

    /// Passes a chunk on, or the end. Whether there can be more.
    fn pass(&self, way: Way, chunk: &[u8], fired: &(dyn Fn(Planned) + Send + Sync)) -> bool {
        if chunk.is_empty() {
            if let Some(Step::Write(..)) = self.step(way, 0) {
                let _ = self.to(way).shutdown(Shutdown::Write);
            }
            return false;
        }
        let mut left = chunk;
        while !left.is_empty() {
            match self.step(way, left.len()) {
                None => return false,
                Some(Step::Drop) => return true,
                Some(Step::Write(n, planned)) => {
                    let (now, later) = left.split_at(n);
                    if !self.write(way, now) {
                        return false;
                    }
                    if let Some(planned) = planned {
                        fired(planned);
                        self.cut(planned.cut);
                    }
                    left = later;
                }
            }
        }
        true
    }

    /// What to do with the next bytes, of which `len` are there; waits while
    /// nothing may pass. `None`: it is over.
    fn step(&self, way: Way, len: usize) -> Option<Step> {
        let i = way as usize;
        let mut state = self.state();
        loop {
            let room = state.limits[i].saturating_sub(state.passed[i]);
            match state.fate {
                Fate::Over => return None,
                Fate::Draining => return Some(Step::Drop),
                Fate::Passing if room > 0 => {
                    let until_cut = state.planned.map_or(u64::MAX, |planned| planned.after);
                    let most = usize::try_from(room.min(until_cut)).unwrap_or(usize::MAX);
                    let n = len.min(most);
                    state.passed[i] += n as u64;
                    if let Some(planned) = &mut state.planned {
                        planned.after -= n as u64;
                    }
                    let planned = state.planned.take_if(|planned| planned.after == 0);
                    return Some(Step::Write(n, planned));
                }
                Fate::Passing => {
                    let waited = self.changed.wait(state);
                    state = waited.unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    fn write(&self, way: Way, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            match self.to(way).write(bytes) {
                Ok(n) => bytes = bytes.get(n..).unwrap_or_default(),
                Err(e)
                    if matches!(
                        e.kind(),
                        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                    ) =>
                {
                    if self.state().fate != Fate::Passing {
                        return false;
                    }
                }
                Err(_) => {
                    self.broke();
                    return false;
                }
            }
        }
        true
    }

    const fn to(&self, way: Way) -> &TcpStream {
        match way {
            Way::Up => &self.far,
            Way::Down => &self.near,
        }
    }

    /// Whether it was not over by then.
    fn wait_for(&self, due: Instant) -> bool {
        let mut state = self.state();
        loop {
            let left = due.saturating_duration_since(Instant::now());
            if state.fate == Fate::Over || left.is_zero() {
                return state.fate != Fate::Over;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        let planned = self.state().planned.take();
        lock(&self.plan).extend(planned);
    }
}

enum Step {
    /// So many bytes go out, and then what was planned happens.
    Write(usize, Option<Planned>),
    Drop,
}
