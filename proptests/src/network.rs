//! A simulated network of TCP connections on the virtual clock: latency, limited room, pieces of any size, FIN, RST, and
//! connections that go silent.

use std::io::IoSlice;
use std::time::Duration;

use adit_core::Instant;
use bytes::{Buf, BytesMut};

use crate::pipe::{Pipe, Shape};
use crate::random::Random;

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct End {
    connection: usize,
    side: usize,
}

impl End {
    /// The other end of the same connection.
    #[must_use]
    pub const fn other(self) -> Self {
        Self {
            connection: self.connection,
            side: 1 - self.side,
        }
    }
}

/// What a read finds.
#[derive(Debug, PartialEq, Eq)]
pub enum Read {
    /// Bytes.
    Data(BytesMut),
    /// The other end's FIN; told once.
    Eof,
    /// The other end's RST; told once.
    Reset,
    /// Nothing yet.
    Nothing,
}

/// Why a write failed: the connection was reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WasReset;

/// All connections.
pub struct Network {
    shape: Shape,
    random: Random,
    connections: Vec<Connection>,
}

struct Connection {
    latency: Duration,
    /// What each side sends.
    flows: [Flow; 2],
    /// Nothing arrives any more, and nobody is told.
    cut: bool,
}

/// One direction.
struct Flow {
    pipe: Pipe,
    /// Arrived, and not read yet.
    arrived: BytesMut,
    fin: Option<Instant>,
    rst: Option<Instant>,
    /// FIN or RST was told.
    ended: bool,
    /// The side that sends this has closed its socket: it reads no more.
    closed: bool,
}

/// How a connection breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// Both ends see a reset, and what was under way is lost.
    Reset,
    /// Both ends see the other's FIN, behind a part of what was under way.
    Fin,
    /// Nothing arrives any more, and nobody is told.
    Silence,
    /// Likewise, in one direction.
    Stall,
}

impl Network {
    /// A network whose connections have this shape.
    #[must_use]
    pub const fn new(shape: Shape, seed: u64) -> Self {
        Self {
            shape,
            random: Random::new(seed),
            connections: Vec::new(),
        }
    }

    /// The shape of connections that are given none of their own.
    #[must_use]
    pub const fn shape(&self) -> Shape {
        self.shape
    }

    /// A new connection; the end that dialled.
    pub fn connect(&mut self, shape: Shape) -> End {
        let mut flow = || Flow {
            pipe: Pipe::new(shape, self.random.next()),
            arrived: BytesMut::new(),
            fin: None,
            rst: None,
            ended: false,
            closed: false,
        };
        let flows = [flow(), flow()];
        self.connections.push(Connection {
            latency: shape.latency,
            flows,
            cut: false,
        });
        End {
            connection: self.connections.len() - 1,
            side: 0,
        }
    }

    /// From now on nothing arrives at either end.
    pub fn cut(&mut self, end: End) {
        self.connections[end.connection].cut = true;
    }

    /// Breaks a connection, whoever its ends belong to.
    pub fn sever(&mut self, now: Instant, end: End, how: Break) {
        let lost = self.random.next();
        let Connection { flows, cut, .. } = &mut self.connections[end.connection];
        match how {
            Break::Silence => *cut = true,
            Break::Stall => flows[usize::from(lost.is_multiple_of(2))].pipe.cut_after(0),
            Break::Reset => flows.iter_mut().for_each(|flow| flow.rst = Some(now)),
            Break::Fin => {
                for flow in flows {
                    let arrives = flow.pipe.under_way() as u64 * (lost % 101) / 100;
                    flow.pipe.cut_after(usize::try_from(arrives).unwrap_or(0));
                    flow.fin = Some(now);
                }
            }
        }
    }

    /// From one end of a connection to the other.
    fn latency(&self, end: End) -> Duration {
        self.connections[end.connection].latency
    }

    fn flows(&mut self, end: End) -> (&mut Flow, &mut Flow) {
        let [first, second] = &mut self.connections[end.connection].flows;
        if end.side == 0 {
            (first, second)
        } else {
            (second, first)
        }
    }

    /// Reads at most `limit` bytes.
    pub fn read(&mut self, now: Instant, end: End, limit: usize) -> Read {
        if self.connections[end.connection].cut {
            return Read::Nothing;
        }
        let (_, flow) = self.flows(end);
        if flow.ended {
            return Read::Nothing;
        }
        if flow.rst.is_some_and(|due| due <= now) {
            flow.ended = true;
            return Read::Reset;
        }
        if flow.arrived.is_empty()
            && let Some(piece) = flow.pipe.pop(now)
        {
            flow.arrived.extend_from_slice(&piece);
        }
        if !flow.arrived.is_empty() {
            let len = limit.min(flow.arrived.len());
            return Read::Data(flow.arrived.split_to(len));
        }
        if flow.pipe.due().is_none() && flow.fin.is_some_and(|due| due <= now) {
            flow.ended = true;
            return Read::Eof;
        }
        Read::Nothing
    }

    /// Writes a part of `slices`, as much as there is room for and chance allows.
    ///
    /// # Errors
    ///
    /// The other end reset the connection.
    pub fn write(
        &mut self,
        now: Instant,
        end: End,
        slices: &[IoSlice<'_>],
    ) -> Result<usize, WasReset> {
        let latency = self.latency(end);
        let (flow, back) = self.flows(end);
        if back.rst.is_some_and(|due| due <= now) {
            return Err(WasReset);
        }
        let total: usize = slices.iter().map(|slice| slice.len()).sum();
        let most = total.min(flow.pipe.room());
        if most == 0 {
            return Ok(0);
        }
        if back.closed && back.rst.is_none() {
            // Nobody reads there: what arrives is answered with RST.
            back.rst = Some(now + latency * 2);
        }
        let len = if self.random.one_in(4) {
            self.random.between(1, most)
        } else {
            most
        };
        let mut bytes = BytesMut::with_capacity(len);
        for slice in slices {
            let part = slice.len().min(len - bytes.len());
            bytes.extend_from_slice(&slice[..part]);
        }
        self.flows(end).0.pipe.push(now, bytes.freeze());
        Ok(len)
    }

    /// Sends FIN behind what was written.
    pub fn finish(&mut self, now: Instant, end: End) {
        let latency = self.latency(end);
        self.flows(end).0.fin.get_or_insert(now + latency);
    }

    /// Closes the socket, as an operating system does: with FIN, or with RST if there is input that nobody has read.
    pub fn close(&mut self, now: Instant, end: End) {
        self.finish(now, end);
        let latency = self.latency(end);
        let (flow, back) = self.flows(end);
        flow.closed = true;
        if back.arrived.has_remaining() || back.pipe.due().is_some_and(|due| due <= now) {
            self.abort(now, end);
        } else if back.pipe.due().is_some() {
            // It arrives where nobody reads.
            self.flows(end).0.rst.get_or_insert(now + latency * 2);
        }
    }

    /// Resets the connection.
    pub fn abort(&mut self, now: Instant, end: End) {
        let due = now + self.latency(end);
        let (flow, _) = self.flows(end);
        flow.closed = true;
        flow.rst = Some(flow.rst.map_or(due, |earlier| earlier.min(due)));
    }

    /// When something arrives at an end for the next time, after `now`.
    #[must_use]
    pub fn due(&self, now: Instant, end: End) -> Option<Instant> {
        let connection = &self.connections[end.connection];
        let flow = &connection.flows[1 - end.side];
        if connection.cut || flow.ended {
            return None;
        }
        let times = [flow.pipe.due(), flow.fin, flow.rst];
        times.into_iter().flatten().filter(|due| *due > now).min()
    }
}
