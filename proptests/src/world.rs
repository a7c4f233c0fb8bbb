//! The simulator: whole servers and clients, with everything around them, on one virtual clock.
//!
//! A [`World`] holds Adit servers and clients ([`Machine`]s), and *puppets*: plain ends of connections that a test moves by hand, or that echo, or
//! act as an HTTP proxy. It does what a runtime adapter does, and honours the asks to the letter: a socket is read only after
//! `WantRead` and written only after `WantWrite`, so a wake-up that is missing shows as a stall. Nothing waits: a run is a function of its seed.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use adit_core::{Instant, Token};
use adit_relay::client::{Client, ClientConfig};
use adit_relay::server::{Handover, ListenerId, Peer, PeerId, Server, ServerConfig, Visitor};
use adit_relay::{Counters, Machine, Meter, Notice, SocketId, Told};

use crate::network::{Break, End, Network};
use crate::pipe::Shape;
use crate::puppet::{Behaviour, Puppet};

/// A puppet: one end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PuppetId(pub(crate) usize);

/// A task: a client, or a peer of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskId(pub(crate) usize);

/// A server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerId(pub(crate) usize);

/// Who listens on an address.
pub(crate) enum Listening {
    Control(ServerId),
    Data(ServerId, ListenerId),
    Puppets {
        behaviour: Behaviour,
        accepted: VecDeque<PuppetId>,
    },
    /// Takes the SYN and never answers.
    Hole,
}

pub(crate) enum Any {
    Peer(Box<Peer>),
    Client(Box<Client>),
}

impl Any {
    pub(crate) fn machine(&mut self) -> &mut dyn Machine {
        match self {
            Self::Peer(peer) => &mut **peer,
            Self::Client(client) => &mut **client,
        }
    }
}

pub(crate) struct Task {
    pub(crate) machine: Any,
    pub(crate) sockets: BTreeMap<u32, Socket>,
    pub(crate) token: Result<Token, String>,
    pub(crate) frozen: bool,
    pub(crate) server: Option<(ServerId, PeerId)>,
}

pub(crate) struct Socket {
    /// Tells this socket from an earlier one of the same id.
    pub(crate) serial: u64,
    pub(crate) end: Option<End>,
    pub(crate) reading: bool,
    pub(crate) writing: bool,
    /// Was asked to be written to, and has not been yet.
    pub(crate) asked: bool,
}

/// Something that happens at a time.
pub(crate) enum Later {
    Tell(TaskId, Told),
    Syn {
        task: TaskId,
        socket: SocketId,
        serial: u64,
        addr: SocketAddr,
    },
    Connected {
        task: TaskId,
        socket: SocketId,
        serial: u64,
        end: Option<End>,
    },
}

pub(crate) struct Host {
    pub(crate) server: Server,
    pub(crate) peers: HashMap<PeerId, TaskId>,
    pub(crate) listeners: HashMap<ListenerId, SocketAddr>,
}

/// Everything there is.
pub struct World {
    /// The time.
    pub now: Instant,
    /// Whether more is read from sockets than their read limit allows, as a careless adapter might.
    pub careless: bool,
    /// How often a task was asked to write to a socket and then had nothing for it: each is a turn of an adapter's loop for nothing.
    pub asked_in_vain: usize,
    /// Everything that was said, and when.
    pub notices: Vec<(Instant, Notice)>,
    pub(crate) network: Network,
    pub(crate) puppets: Vec<Puppet>,
    pub(crate) tasks: Vec<Option<Task>>,
    pub(crate) hosts: Vec<Host>,
    pub(crate) listening: BTreeMap<SocketAddr, Listening>,
    /// Connections to servers, as they were made.
    carriers: Vec<End>,
    pub(crate) names: BTreeMap<String, Vec<SocketAddr>>,
    /// The address from which clients would reach a server now; `None` while no way leads there.
    pub route: Option<IpAddr>,
    /// Shapes of connections to these addresses, where they are not those of all others.
    shapes: BTreeMap<SocketAddr, Shape>,
    pub(crate) later: BTreeMap<(Instant, u64), Later>,
    pub(crate) serial: u64,
    pub(crate) next_port: u16,
    seed: u64,
}

impl World {
    /// A world in which a byte takes 5 ms from one end to the other.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let latency = Duration::from_millis(5);
        Self::with_shape(
            seed,
            Shape {
                latency,
                ..Shape::default()
            },
        )
    }

    /// A world whose connections have this shape.
    #[must_use]
    pub const fn with_shape(seed: u64, shape: Shape) -> Self {
        Self {
            now: Instant::from_millis(1_000),
            careless: false,
            asked_in_vain: 0,
            notices: Vec::new(),
            network: Network::new(shape, seed),
            puppets: Vec::new(),
            tasks: Vec::new(),
            hosts: Vec::new(),
            listening: BTreeMap::new(),
            carriers: Vec::new(),
            names: BTreeMap::new(),
            route: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            shapes: BTreeMap::new(),
            later: BTreeMap::new(),
            serial: 0,
            next_port: 40_000,
            seed,
        }
    }

    fn seed(&mut self) -> [u8; 32] {
        self.serial += 1;
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.seed.to_be_bytes());
        seed[8..16].copy_from_slice(&self.serial.to_be_bytes());
        seed
    }

    // Who is there.

    /// Starts a server that listens for clients on `control`.
    pub fn server(&mut self, control: &str, config: ServerConfig) -> ServerId {
        let server = Server::new(config, self.seed());
        let id = ServerId(self.hosts.len());
        self.hosts.push(Host {
            server,
            peers: HashMap::new(),
            listeners: HashMap::new(),
        });
        self.listening.insert(addr(control), Listening::Control(id));
        id
    }

    /// A server's handle.
    #[must_use]
    pub fn handle(&self, server: ServerId) -> &Server {
        &self.hosts[server.0].server
    }

    /// Ends a server at once: its connections are reset, as when its process is killed.
    pub fn kill_server(&mut self, server: ServerId) {
        let dead = |listening: &Listening| matches!(listening, Listening::Control(id) | Listening::Data(id, _) if *id == server);
        self.listening.retain(|_, listening| !dead(listening));
        let peers: Vec<TaskId> = self.hosts[server.0]
            .peers
            .drain()
            .map(|(_, task)| task)
            .collect();
        peers.into_iter().for_each(|task| self.kill(task));
    }

    /// Stops a server in its tracks, as a machine that lost power or its network.
    pub fn freeze_server(&mut self, server: ServerId) {
        let peers: Vec<TaskId> = self.hosts[server.0].peers.values().copied().collect();
        peers.into_iter().for_each(|task| self.freeze(task));
        let of_it =
            |listening: &Listening| matches!(listening, Listening::Control(id) if *id == server);
        let addrs = self
            .listening
            .iter()
            .filter(|(_, listening)| of_it(listening));
        let addrs: Vec<SocketAddr> = addrs.map(|(addr, _)| *addr).collect();
        for addr in addrs {
            self.listening.insert(addr, Listening::Hole);
        }
    }

    /// Tells a server to drain.
    pub fn drain_server(&mut self, server: ServerId, grace: Duration) {
        self.listening
            .retain(|_, listening| !matches!(listening, Listening::Control(id) if *id == server));
        self.hosts[server.0].server.drain(self.now, grace);
    }

    /// Starts a client.
    pub fn client(&mut self, config: ClientConfig, token: Result<Token, String>) -> TaskId {
        let client = Client::new(config, self.seed(), self.now);
        self.spawn(Any::Client(Box::new(client)), token, None)
    }

    /// A client's counters.
    #[must_use]
    pub fn meter(&self, client: TaskId) -> Option<Meter> {
        match &self.tasks[client.0].as_ref()?.machine {
            Any::Client(client) => Some(client.meter()),
            Any::Peer(_) => None,
        }
    }

    /// A server's counters.
    #[must_use]
    pub fn counters(&self, server: ServerId) -> Counters {
        self.hosts[server.0].server.counters()
    }

    /// How many carriers of a server have a task.
    #[must_use]
    pub fn tasks_of(&self, server: ServerId) -> usize {
        self.hosts[server.0].peers.len()
    }

    /// What a client's token file holds from now on.
    pub fn set_token(&mut self, client: TaskId, token: Result<Token, String>) {
        if let Some(task) = &mut self.tasks[client.0] {
            task.token = token;
        }
    }

    /// Tells a client to drain.
    pub fn drain_client(&mut self, client: TaskId, grace: Duration) {
        let now = self.now;
        if let Some(Task {
            machine: Any::Client(client),
            ..
        }) = &mut self.tasks[client.0]
        {
            client.drain(now, grace);
        }
    }

    /// Whether a task has ended.
    #[must_use]
    pub fn has_ended(&self, task: TaskId) -> bool {
        self.tasks[task.0].is_none()
    }

    /// Stops a task in its tracks, as a machine that lost power or its network: its connections stay, silent.
    pub fn freeze(&mut self, task: TaskId) {
        if let Some(task) = &mut self.tasks[task.0] {
            task.frozen = true;
        }
        self.cut_off(task);
    }

    /// Stops a task for a while, as a machine that sleeps: its connections stay, and what comes waits.
    pub fn suspend(&mut self, task: TaskId, suspended: bool) {
        if let Some(task) = &mut self.tasks[task.0] {
            task.frozen = suspended;
        }
    }

    /// Takes all its connections from a task, which runs on: they stay, silent. Later ones are not touched.
    pub fn cut_off(&mut self, task: TaskId) {
        if let Some(task) = &mut self.tasks[task.0] {
            let ends: Vec<End> = task
                .sockets
                .values()
                .filter_map(|socket| socket.end)
                .collect();
            ends.into_iter().for_each(|end| self.network.cut(end));
        }
    }

    /// Breaks every connection between clients and servers that was made until now.
    pub fn break_carriers(&mut self, how: Break) {
        for end in std::mem::take(&mut self.carriers) {
            self.network.sever(self.now, end, how);
        }
    }

    /// Ends a task at once; its connections are reset.
    pub fn kill(&mut self, task: TaskId) {
        if let Some(task) = self.tasks[task.0].take() {
            for end in task.sockets.values().filter_map(|socket| socket.end) {
                self.network.abort(self.now, end);
            }
        }
    }

    /// Gives a name an address, or several.
    pub fn name(&mut self, name: &str, addrs: &[&str]) {
        let addrs = addrs.iter().map(|text| addr(text)).collect();
        self.names.insert(name.to_owned(), addrs);
    }

    /// The address of `HOST:PORT`, as the world's resolver knows it.
    pub(crate) fn look_up(&self, target: &str) -> Option<String> {
        if target.parse::<SocketAddr>().is_ok() {
            return Some(target.to_owned());
        }
        let (host, port) = target.rsplit_once(':')?;
        let ip = self.names.get(host)?.first()?.ip();
        Some(SocketAddr::new(ip, port.parse().ok()?).to_string())
    }

    /// Puppets accept on an address and behave like this.
    pub fn listen(&mut self, at: &str, behaviour: Behaviour) {
        let accepted = VecDeque::new();
        self.listening.insert(
            addr(at),
            Listening::Puppets {
                behaviour,
                accepted,
            },
        );
    }

    /// Connections to an address hang from now on.
    pub fn hole(&mut self, at: &str) {
        self.listening.insert(addr(at), Listening::Hole);
    }

    /// Connections to an address have this shape from now on.
    pub fn shape(&mut self, at: &str, shape: Shape) {
        self.shapes.insert(addr(at), shape);
    }

    pub(crate) fn shape_to(&self, at: SocketAddr) -> Shape {
        let shape = self.shapes.get(&at).copied();
        shape.unwrap_or_else(|| self.network.shape())
    }

    /// A server can be reached again on its control address.
    pub fn reopen(&mut self, server: ServerId, control: &str) {
        self.listening
            .insert(addr(control), Listening::Control(server));
    }

    /// Nobody listens on an address any more.
    pub fn unlisten(&mut self, at: &str) {
        self.listening.remove(&addr(at));
    }

    /// Whether somebody listens on an address.
    #[must_use]
    pub fn is_open(&self, at: &str) -> bool {
        self.listening.contains_key(&addr(at))
    }

    /// The next puppet that was connected to on an address.
    pub fn accepted(&mut self, at: &str) -> Option<PuppetId> {
        match self.listening.get_mut(&addr(at))? {
            Listening::Puppets { accepted, .. } => accepted.pop_front(),
            _ => None,
        }
    }

    /// Connects a puppet to an address; `None` if nobody listens there.
    pub fn visit(&mut self, at: &str) -> Option<PuppetId> {
        self.visit_as(at, Behaviour::Manual)
    }

    pub(crate) fn visit_as(&mut self, at: &str, behaviour: Behaviour) -> Option<PuppetId> {
        if !self.is_open(at) {
            return None;
        }
        let end = self.network.connect(self.shape_to(addr(at)));
        let puppet = self.puppet(end, behaviour);
        self.arrive(addr(at), end);
        Some(puppet)
    }

    fn puppet(&mut self, end: End, behaviour: Behaviour) -> PuppetId {
        self.puppets.push(Puppet::new(end, behaviour));
        PuppetId(self.puppets.len() - 1)
    }

    fn spawn(
        &mut self,
        machine: Any,
        token: Result<Token, String>,
        server: Option<(ServerId, PeerId)>,
    ) -> TaskId {
        self.tasks.push(Some(Task {
            machine,
            sockets: BTreeMap::new(),
            token,
            frozen: false,
            server,
        }));
        TaskId(self.tasks.len() - 1)
    }

    /// A connection arrives where somebody listens; `end` is the end that dialled.
    pub(crate) fn arrive(&mut self, at: SocketAddr, end: End) {
        let from = SocketAddr::new(
            [192, 0, 2, 1].into(),
            10_000 + u16::try_from(self.serial % 50_000).unwrap_or(0),
        );
        match self.listening.get_mut(&at) {
            Some(Listening::Control(server)) => {
                let server = *server;
                self.carriers.push(end);
                match self.hosts[server.0].server.accept(self.now, from) {
                    Ok(peer) => {
                        let id = peer.id();
                        let nothing = Err(String::new());
                        let task =
                            self.spawn(Any::Peer(Box::new(peer)), nothing, Some((server, id)));
                        self.hosts[server.0].peers.insert(id, task);
                        self.insert(task, Peer::CARRIER, Some(end.other()));
                    }
                    Err(_) => self.network.abort(self.now, end.other()),
                }
            }
            Some(Listening::Data(server, listener)) => {
                let (server, listener) = (*server, *listener);
                let visitor = self.hosts[server.0].server.visitor(listener, from, at);
                self.deliver(server, end.other(), visitor);
            }
            Some(Listening::Puppets { behaviour, .. }) => {
                let behaviour = behaviour.clone();
                let puppet = self.puppet(end.other(), behaviour);
                if let Some(Listening::Puppets { accepted, .. }) = self.listening.get_mut(&at) {
                    accepted.push_back(puppet);
                }
            }
            Some(Listening::Hole) => {}
            None => self.network.abort(self.now, end.other()),
        }
    }

    /// Hands a visitor to whose turn it is, until somebody takes it; `end` is the server's end.
    pub(crate) fn deliver(&mut self, server: ServerId, end: End, mut next: Option<Visitor>) {
        while let Some(visitor) = next {
            let host = &self.hosts[server.0];
            let id = host.peers.get(&visitor.peer()).copied();
            let task = id.and_then(|id| self.tasks[id.0].as_mut());
            let taken = match task.map(|task| &mut task.machine) {
                Some(Any::Peer(peer)) => peer.visitor(self.now, visitor),
                _ => Err(visitor),
            };
            match (id, taken) {
                (Some(id), Ok(socket)) => {
                    self.insert(id, socket, Some(end));
                    return;
                }
                (_, Err(visitor)) => next = host.server.again(visitor),
                (None, Ok(_)) => break,
            }
        }
        self.network.abort(self.now, end);
    }

    /// Hands a carrier to the peer whose session it brings back; `end` is the server's end.
    pub(crate) fn adopt(&mut self, server: ServerId, end: End, handover: Handover) {
        let id = self.hosts[server.0].peers.get(&handover.peer()).copied();
        let task = id.and_then(|id| Some((id, self.tasks[id.0].as_mut()?)));
        if let Some((id, task)) = task
            && let Any::Peer(peer) = &mut task.machine
            && let Some(socket) = peer.adopt(self.now, handover)
        {
            self.insert(id, socket, Some(end));
        } else {
            self.network.close(self.now, end);
        }
    }

    pub(crate) fn insert(&mut self, task: TaskId, socket: SocketId, end: Option<End>) -> u64 {
        self.serial += 1;
        let serial = self.serial;
        if let Some(task) = &mut self.tasks[task.0] {
            let new = Socket {
                serial,
                end,
                reading: false,
                asked: false,
                writing: false,
            };
            let old = task.sockets.insert(socket.0, new);
            assert!(old.is_none(), "{socket:?} was used again before it ended");
        }
        serial
    }

    pub(crate) fn at(&mut self, when: Instant, later: Later) {
        self.serial += 1;
        self.later.insert((when, self.serial), later);
    }

    /// Whether something was noticed that `is` what is looked for.
    #[must_use]
    pub fn noticed(&self, is: impl Fn(&Notice) -> bool) -> bool {
        self.notices.iter().any(|(_, notice)| is(notice))
    }
}

/// Reads an address that a test has written down.
pub(crate) fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}
