//! The networks between the two ends of a tunnel: none but loopback, a long way that is no bottleneck, or a link of packets between two
//! namespaces.

use crate::link::{self, Link, Spec};
use crate::tunnels::Side;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What lies between a tunnel's ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Network {
    /// This machine's loopback.
    Loopback,
    /// A relay of TCP connections on loopback that takes its time, and anything that comes: so many milliseconds of round trip. TCP itself sees loopback.
    Delay(u32),
    /// A link between two namespaces, packet by packet.
    Link(Line),
}

/// What a link is like. Its queue holds one product of rate and round trip, and TCP on it is cubic.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    /// As [`link::Rate`] reads it.
    pub rate: &'static str,
    /// Milliseconds of round trip.
    pub rtt: u32,
    /// As [`link::Loss`] reads it.
    pub loss: &'static str,
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loopback => write!(f, "loopback"),
            Self::Delay(rtt) => write!(f, "unlimited, {rtt} ms round trip"),
            Self::Link(line) => match line.spec() {
                Ok(spec) => spec.fmt(f),
                Err(error) => error.fmt(f),
            },
        }
    }
}

impl Line {
    fn spec(self) -> io::Result<Spec> {
        let wrong = |error: String| io::Error::new(io::ErrorKind::InvalidInput, error);
        Ok(Spec {
            rate: Some(self.rate.parse().map_err(wrong)?),
            rtt: std::time::Duration::from_millis(self.rtt.into()),
            loss: self.loss.parse().map_err(wrong)?,
            ..Spec::default()
        })
    }
}

/// The far end of a long way: another address of loopback, so that ports are the same on both.
const FAR: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// A network that is up, until it is dropped.
#[derive(Debug)]
pub struct Net(Kind);

#[derive(Debug)]
enum Kind {
    Loopback,
    Delay { compare: PathBuf, rtt: u32 },
    Link(Link),
}

impl Net {
    /// Starts it. `compare` is the program that can be a relay.
    ///
    /// # Errors
    ///
    /// A link needs root, iproute2 and `/dev/net/tun`.
    pub fn start(network: Network, compare: &Path) -> io::Result<Self> {
        Ok(Self(match network {
            Network::Loopback => Kind::Loopback,
            Network::Delay(rtt) => Kind::Delay {
                compare: compare.to_owned(),
                rtt,
            },
            Network::Link(line) => Kind::Link(Link::start(&line.spec()?)?),
        }))
    }

    /// Where something of `side` listens for the other side.
    pub fn listen(&self, side: Side, port: u16) -> SocketAddr {
        let ip = match &self.0 {
            Kind::Loopback | Kind::Delay { .. } => Ipv4Addr::LOCALHOST,
            Kind::Link(_) => end(side).address(),
        };
        (IpAddr::V4(ip), port).into()
    }

    /// Where the other side finds what listens there.
    pub fn dial(&self, side: Side, port: u16) -> SocketAddr {
        match &self.0 {
            Kind::Loopback | Kind::Link(_) => self.listen(side, port),
            Kind::Delay { .. } => (IpAddr::V4(FAR), port).into(),
        }
    }

    /// What has to run for [`dial`](Self::dial) to reach these ports, if anything has to.
    pub fn relay(&self, ports: &[u16]) -> Option<Command> {
        let Kind::Delay { compare, rtt } = &self.0 else {
            return None;
        };
        let mut command = Command::new(compare);
        command.args(["delay", "--rtt", &rtt.to_string()]);
        command.args(ports.iter().map(|port| format!("{FAR}:{port}=127.0.0.1:{port}")));
        Some(self.place(Side::Server, &command))
    }

    /// The same program with the same arguments, on that side of the network. It ends when whoever starts it does, however that ends.
    pub fn place(&self, side: Side, command: &Command) -> Command {
        let mut placed = Command::new("setpriv");
        placed.args(["--pdeathsig", "KILL", "--"]);
        if let Kind::Link(link) = &self.0 {
            let door = link.command(end(side), command.get_program());
            placed.arg(door.get_program()).args(door.get_args());
        } else {
            placed.arg(command.get_program());
        }
        placed.args(command.get_args());
        placed
    }

    /// Connects from that side.
    ///
    /// # Errors
    ///
    /// As [`TcpStream::connect`].
    pub fn connect(&self, side: Side, to: SocketAddr) -> io::Result<TcpStream> {
        match &self.0 {
            Kind::Link(link) => link.end(end(side)).enter(|| TcpStream::connect(to)),
            _ => TcpStream::connect(to),
        }
    }
}

const fn end(side: Side) -> link::Side {
    match side {
        Side::Server => link::Side::A,
        Side::Client => link::Side::B,
    }
}
