//! A network between two namespaces of this machine, packet by packet: a TUN device in each, and a
//! thread for each direction that carries what one sends to the other, at a rate, after a delay, with
//! loss, through a queue that drops. TCP inside sees windows, losses and queues as on a real path, which
//! it does not behind a relay of TCP connections.
//!
//! A link needs root, iproute2 and `/dev/net/tun`. It has 1,500-byte packets, and IPv4 only.

mod forward;
mod namespace;
mod path;
mod spec;

pub use forward::Counts;
pub use namespace::{Namespace, remove_stale};
pub use path::{Fate, Path};
pub use spec::{Loss, Queue, Rate, Spec, round_trip};

use forward::{MTU, forward};
use std::ffi::OsStr;
use std::io::{self, PipeWriter};
use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use tun_rs::{DeviceBuilder, SyncDevice};

/// The device's name in both namespaces.
const DEVICE: &str = "adit0";
/// Packets that a device keeps for its thread: longer than the machine takes to run it, so that
/// only the link's own queue drops.
const DEVICE_QUEUE: u32 = 20_000;

/// An end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// One end.
    A,
    /// The other end.
    B,
}

impl Side {
    /// Its address on the link, the same on every link.
    pub const fn address(self) -> Ipv4Addr {
        match self {
            Self::A => Ipv4Addr::new(10, 77, 0, 1),
            Self::B => Ipv4Addr::new(10, 77, 0, 2),
        }
    }

    /// The other end.
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// A link that carries packets until it is stopped or dropped.
#[derive(Debug)]
pub struct Link {
    ends: [Namespace; 2],
    directions: Option<[JoinHandle<io::Result<Counts>>; 2]>,
    /// Hung up, it stops both directions.
    running: Option<PipeWriter>,
}

impl Link {
    /// A link between two new namespaces, which go with it. Removes those that killed processes left.
    ///
    /// # Errors
    ///
    /// Without root, iproute2 or `/dev/net/tun`; or the kernel refuses a setting.
    pub fn start(spec: &Spec) -> io::Result<Self> {
        remove_stale()?;
        Self::between(spec, [Namespace::make()?, Namespace::make()?])
    }

    /// A link between two namespaces: that of side A and that of side B.
    ///
    /// # Errors
    ///
    /// As [`Link::start`].
    pub fn between(spec: &Spec, ends: [Namespace; 2]) -> io::Result<Self> {
        let [a, b] = &ends;
        let a = Arc::new(device(a, Side::A, spec)?);
        let b = Arc::new(device(b, Side::B, spec)?);
        let (stop, running) = io::pipe()?;
        let directions = [
            direction(
                "adit-link-a-b",
                &a,
                &b,
                Path::new(spec, 0),
                stop.try_clone()?,
            )?,
            direction("adit-link-b-a", &b, &a, Path::new(spec, 1), stop)?,
        ];
        Ok(Self {
            ends,
            directions: Some(directions),
            running: Some(running),
        })
    }

    /// A program to be run at one end. Its process becomes the program, under the same id.
    pub fn command(&self, side: Side, program: impl AsRef<OsStr>) -> Command {
        self.end(side).command(program)
    }

    /// The namespace of one end.
    pub fn end(&self, side: Side) -> &Namespace {
        &self.ends[side as usize]
    }

    /// Stops it, and says what was sent by A and what was sent by B.
    ///
    /// # Errors
    ///
    /// A direction had failed.
    pub fn stop(mut self) -> io::Result<[Counts; 2]> {
        // The devices go with their threads, and their counters with them.
        let overrun = [self.overrun(Side::A)?, self.overrun(Side::B)?];
        let [a, b] = self.halt().ok_or(io::ErrorKind::NotConnected)?;
        let (mut a, mut b) = (a?, b?);
        [a.overrun, b.overrun] = overrun;
        Ok([a, b])
    }

    /// Packets that the device of this side could not keep for its thread.
    fn overrun(&self, side: Side) -> io::Result<u64> {
        let table = self
            .end(side)
            .enter(|| std::fs::read_to_string("/proc/thread-self/net/dev"))?;
        table
            .lines()
            .find_map(|line| line.trim().strip_prefix(DEVICE)?.strip_prefix(':'))
            // Eight columns of what was received; bytes, packets and errors of what was sent; drops.
            .and_then(|columns| columns.split_whitespace().nth(11)?.parse().ok())
            .ok_or_else(|| io::Error::other(format!("{DEVICE} is gone")))
    }

    fn halt(&mut self) -> Option<[io::Result<Counts>; 2]> {
        drop(self.running.take());
        let ended = |direction: JoinHandle<io::Result<Counts>>| {
            direction
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("a direction panicked")))
        };
        self.directions.take().map(|both| both.map(ended))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.halt();
    }
}

/// The thread of one direction.
fn direction(
    name: &str,
    from: &Arc<SyncDevice>,
    to: &Arc<SyncDevice>,
    path: Path,
    stop: io::PipeReader,
) -> io::Result<JoinHandle<io::Result<Counts>>> {
    let (from, to) = (Arc::clone(from), Arc::clone(to));
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || forward(&from, &to, path, &stop))
}

/// Makes the device at one end, and sets how TCP behaves there.
fn device(namespace: &Namespace, side: Side, spec: &Spec) -> io::Result<SyncDevice> {
    let device = namespace.enter(|| {
        let device = DeviceBuilder::new()
            .name(DEVICE)
            .mtu(MTU)
            .tx_queue_len(DEVICE_QUEUE)
            .enable(false)
            .build_sync()?;
        device.set_nonblocking(true)?;
        Ok(device)
    })?;
    // Nothing but what programs send shall be on the link.
    namespace.set("ipv6/conf/all/disable_ipv6", "1")?;
    // What a connection learnt must not help the next one.
    namespace.set("ipv4/tcp_no_metrics_save", "1")?;
    namespace.set("ipv4/tcp_rmem", &format!("4096 131072 {}", spec.buffers))?;
    namespace.set("ipv4/tcp_wmem", &format!("4096 16384 {}", spec.buffers))?;
    let address = format!("{}/24", side.address());
    namespace.ip(&["addr", "add", &address, "dev", DEVICE])?;
    namespace.ip(&["link", "set", DEVICE, "up"])?;
    namespace.congestion(&spec.congestion)?;
    Ok(device)
}
