//! The simulator: whole servers and clients, with everything around them, on one virtual clock.
//!
//! A [`World`] holds Adit servers and clients ([`Machine`]s), and *puppets*: plain ends of connections that a test moves by hand, or that echo, or
//! act as an HTTP proxy. It does what a runtime adapter does, and honours the asks to the letter: a socket is read only after
//! `WantRead` and written only after `WantWrite`, so a wake-up that is missing shows as a stall. Nothing waits: a run is a function of its seed.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::{ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::time::Duration;

use adit_core::{Instant, Token};
use adit_relay::client::{Client, ClientConfig};
use adit_relay::server::{ListenerId, Peer, PeerId, Server, ServerAsk, ServerConfig};
use adit_relay::{Ask, Counters, Machine, Meter, Notice, SocketId, Told};

use crate::network::{End, Network, Read};
use crate::pipe::Shape;
use crate::puppet::{Behaviour, Puppet};

/// Rounds without progress in time after which something is taken to spin.
const ROUNDS_MAX: usize = 20_000;

/// A puppet: one end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PuppetId(pub(crate) usize);

/// A task: a client, or a peer of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskId(usize);

/// A server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerId(usize);

/// Who listens on an address.
enum Listening {
    Control(ServerId),
    Data(ServerId, ListenerId),
    Puppets {
        behaviour: Behaviour,
        accepted: VecDeque<PuppetId>,
    },
    /// Takes the SYN and never answers.
    Hole,
}

enum Any {
    Peer(Box<Peer>),
    Client(Box<Client>),
}

impl Any {
    fn machine(&mut self) -> &mut dyn Machine {
        match self {
            Self::Peer(peer) => &mut **peer,
            Self::Client(client) => &mut **client,
        }
    }
}

struct Task {
    machine: Any,
    sockets: BTreeMap<u32, Socket>,
    token: Result<Token, String>,
    frozen: bool,
    server: Option<(ServerId, PeerId)>,
}

struct Socket {
    /// Tells this socket from an earlier one of the same id.
    serial: u64,
    end: Option<End>,
    reading: bool,
    writing: bool,
}

/// Something that happens at a time.
enum Later {
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

struct Host {
    server: Server,
    peers: HashMap<PeerId, TaskId>,
    listeners: HashMap<ListenerId, SocketAddr>,
}

/// Everything there is.
pub struct World {
    /// The time.
    pub now: Instant,
    /// Everything that was said, and when.
    pub notices: Vec<(Instant, Notice)>,
    pub(crate) network: Network,
    pub(crate) puppets: Vec<Puppet>,
    tasks: Vec<Option<Task>>,
    hosts: Vec<Host>,
    listening: BTreeMap<SocketAddr, Listening>,
    names: BTreeMap<String, Vec<SocketAddr>>,
    later: BTreeMap<(Instant, u64), Later>,
    serial: u64,
    next_port: u16,
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
            notices: Vec::new(),
            network: Network::new(shape, seed),
            puppets: Vec::new(),
            tasks: Vec::new(),
            hosts: Vec::new(),
            listening: BTreeMap::new(),
            names: BTreeMap::new(),
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
            let ends: Vec<End> = task
                .sockets
                .values()
                .filter_map(|socket| socket.end)
                .collect();
            ends.into_iter().for_each(|end| self.network.cut(end));
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
        let end = self.network.connect();
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
    fn arrive(&mut self, at: SocketAddr, end: End) {
        let from = SocketAddr::new(
            [192, 0, 2, 1].into(),
            10_000 + u16::try_from(self.serial % 50_000).unwrap_or(0),
        );
        match self.listening.get_mut(&at) {
            Some(Listening::Control(server)) => {
                let server = *server;
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
                let host = &self.hosts[server.0];
                let peer = host.server.visitor(listener);
                let task = peer.and_then(|peer| host.peers.get(&peer)).copied();
                let socket = task.and_then(|id| {
                    match &mut self.tasks[id.0].as_mut()?.machine {
                        Any::Peer(peer) => peer.visitor(self.now, listener, from, at),
                        Any::Client(_) => None,
                    }
                    .map(|socket| (id, socket))
                });
                match socket {
                    Some((task, socket)) => {
                        self.insert(task, socket, Some(end.other()));
                    }
                    None => self.network.abort(self.now, end.other()),
                }
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

    fn insert(&mut self, task: TaskId, socket: SocketId, end: Option<End>) -> u64 {
        self.serial += 1;
        let serial = self.serial;
        if let Some(task) = &mut self.tasks[task.0] {
            let new = Socket {
                serial,
                end,
                reading: false,
                writing: false,
            };
            let old = task.sockets.insert(socket.0, new);
            assert!(old.is_none(), "{socket:?} was used again before it ended");
        }
        serial
    }

    fn at(&mut self, when: Instant, later: Later) {
        self.serial += 1;
        self.later.insert((when, self.serial), later);
    }

    /// Whether something was noticed that `is` what is looked for.
    #[must_use]
    pub fn noticed(&self, is: impl Fn(&Notice) -> bool) -> bool {
        self.notices.iter().any(|(_, notice)| is(notice))
    }

    // How time passes.

    /// Lets everything run for a while.
    pub fn run(&mut self, time: Duration) {
        self.run_until(time, |_| false);
    }

    /// Lets everything run until `done`, or for `limit` at most; whether it was done.
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let end = self.now + limit;
        loop {
            let mut rounds = 0;
            while self.round() {
                rounds += 1;
                assert!(rounds < ROUNDS_MAX, "something spins at {}", self.now);
            }
            if done(self) {
                return true;
            }
            match self.next_time() {
                Some(next) if next <= end => self.now = next,
                _ => {
                    self.now = end;
                    return false;
                }
            }
        }
    }

    fn next_time(&mut self) -> Option<Instant> {
        let now = self.now;
        let mut next = self.later.first_key_value().map(|((at, _), _)| *at);
        let mut consider = |at: Option<Instant>| next = next.into_iter().chain(at).min();
        for task in self.tasks.iter_mut().flatten().filter(|task| !task.frozen) {
            consider(task.machine.machine().poll_timeout());
            for end in task.sockets.values().filter_map(|socket| socket.end) {
                consider(self.network.due(now, end));
            }
        }
        for puppet in &self.puppets {
            consider(puppet.end.and_then(|end| self.network.due(now, end)));
        }
        next
    }

    /// Everything that can happen now, once. Whether anything did.
    fn round(&mut self) -> bool {
        let mut busy = false;
        while let Some(entry) = self.later.first_entry()
            && entry.key().0 <= self.now
        {
            let later = entry.remove();
            self.happen(later);
            busy = true;
        }
        for index in 0..self.hosts.len() {
            busy |= self.do_server(ServerId(index));
        }
        for index in 0..self.tasks.len() {
            busy |= self.do_task(TaskId(index));
        }
        for index in 0..self.puppets.len() {
            busy |= self.do_puppet(index);
        }
        busy
    }

    fn happen(&mut self, later: Later) {
        let latency = self.network.latency();
        match later {
            Later::Tell(task, told) => self.tell(task, told),
            Later::Syn {
                task,
                socket,
                serial,
                addr,
            } => {
                if matches!(self.listening.get(&addr), Some(Listening::Hole)) {
                    return;
                }
                let end = self
                    .listening
                    .contains_key(&addr)
                    .then(|| self.network.connect());
                if let Some(end) = end {
                    self.arrive(addr, end);
                }
                let connected = Later::Connected {
                    task,
                    socket,
                    serial,
                    end,
                };
                self.at(self.now + latency, connected);
            }
            Later::Connected {
                task,
                socket,
                serial,
                end,
            } => {
                let waiting = self.tasks[task.0]
                    .as_mut()
                    .and_then(|task| task.sockets.get_mut(&socket.0))
                    .filter(|socket| socket.serial == serial);
                match (waiting, end) {
                    (Some(waiting), Some(_)) => {
                        waiting.end = end;
                        self.tell(task, Told::Connected { socket });
                    }
                    (Some(_), None) => {
                        let kind = ErrorKind::ConnectionRefused;
                        self.tell(task, Told::ConnectFailed { socket, kind });
                    }
                    (None, Some(end)) => self.network.abort(self.now, end),
                    (None, None) => {}
                }
            }
        }
    }

    fn tell(&mut self, task: TaskId, told: Told) {
        if let Some(task) = self.tasks[task.0].as_mut().filter(|task| !task.frozen) {
            task.machine.machine().tell(self.now, told);
        }
    }

    fn do_server(&mut self, id: ServerId) -> bool {
        let mut busy = false;
        while let Some(ask) = self.hosts[id.0].server.poll_ask() {
            busy = true;
            match ask {
                ServerAsk::Listen { listener, addr } => {
                    let result = self.open_port(id, listener, addr);
                    self.hosts[id.0].server.told_listening(listener, result);
                }
                ServerAsk::Unlisten { listener } => {
                    if let Some(addr) = self.hosts[id.0].listeners.remove(&listener) {
                        self.listening.remove(&addr);
                    }
                }
                ServerAsk::Wake(peer) => {
                    let task = self.hosts[id.0].peers.get(&peer).copied();
                    if let Some(Task {
                        machine: Any::Peer(peer),
                        ..
                    }) = task.and_then(|task| self.tasks[task.0].as_mut())
                    {
                        peer.handle_wake(self.now);
                    }
                }
                ServerAsk::Notice(notice) => self.notices.push((self.now, notice)),
            }
        }
        busy
    }

    fn open_port(
        &mut self,
        server: ServerId,
        listener: ListenerId,
        mut addr: SocketAddr,
    ) -> Result<SocketAddr, ErrorKind> {
        if addr.port() == 0 {
            addr.set_port(self.next_port);
            self.next_port += 1;
        }
        if self.listening.contains_key(&addr) {
            return Err(ErrorKind::AddrInUse);
        }
        self.listening
            .insert(addr, Listening::Data(server, listener));
        self.hosts[server.0].listeners.insert(listener, addr);
        Ok(addr)
    }

    /// One turn of a task: its timers, its asks, its sockets.
    fn do_task(&mut self, id: TaskId) -> bool {
        let now = self.now;
        let Some(mut task) = self.tasks[id.0].take_if(|task| !task.frozen) else {
            return false;
        };
        let mut busy = false;
        let machine = task.machine.machine();
        if machine.poll_timeout().is_some_and(|at| at <= now) {
            machine.handle_timeout(now);
            busy = true;
        }
        busy |= self.carry_out(id, &mut task);
        let sockets: Vec<u32> = task.sockets.keys().copied().collect();
        for socket in sockets {
            busy |= self.read(&mut task, SocketId(socket));
            busy |= self.carry_out(id, &mut task);
            busy |= self.write(&mut task, SocketId(socket));
            busy |= self.carry_out(id, &mut task);
        }
        if task.machine.machine().is_done() {
            assert!(
                task.sockets.is_empty(),
                "a machine ended before its sockets"
            );
            if let Some((server, peer)) = task.server {
                self.hosts[server.0].peers.remove(&peer);
            }
            return true;
        }
        self.tasks[id.0] = Some(task);
        busy
    }

    fn carry_out(&mut self, id: TaskId, task: &mut Task) -> bool {
        let latency = self.network.latency();
        let mut busy = false;
        while let Some(ask) = task.machine.machine().poll_ask(self.now) {
            busy = true;
            match ask {
                Ask::Resolve { query, host, port } => {
                    let result = match self.names.get(&host) {
                        // The resolver hangs.
                        Some(addrs) if addrs.is_empty() => continue,
                        Some(addrs) => Ok(addrs
                            .iter()
                            .map(|addr| SocketAddr::new(addr.ip(), port))
                            .collect()),
                        None => Err("no such name".to_owned()),
                    };
                    let told = Told::Resolved { query, result };
                    self.at(self.now + latency, Later::Tell(id, told));
                }
                Ask::ReadToken { query } => {
                    let result = task.token.clone();
                    self.at(self.now, Later::Tell(id, Told::Token { query, result }));
                }
                Ask::Connect { socket, addr } => {
                    self.serial += 1;
                    let serial = self.serial;
                    let new = Socket {
                        serial,
                        end: None,
                        reading: false,
                        writing: false,
                    };
                    let old = task.sockets.insert(socket.0, new);
                    assert!(old.is_none(), "{socket:?} was used again before it ended");
                    let syn = Later::Syn {
                        task: id,
                        socket,
                        serial,
                        addr,
                    };
                    self.at(self.now + latency, syn);
                }
                Ask::WantRead(socket) => task.socket(socket).reading = true,
                Ask::WantWrite(socket) => task.socket(socket).writing = true,
                Ask::Shutdown(socket) => {
                    let end = task.socket(socket).end.expect("FIN before the connection");
                    self.network.finish(self.now, end);
                }
                Ask::Close(socket) => {
                    let socket = task.sockets.remove(&socket.0).expect("a socket ends once");
                    if let Some(end) = socket.end {
                        self.network.close(self.now, end);
                    }
                }
                Ask::Abort(socket) => {
                    let end = task.sockets.remove(&socket.0).and_then(|socket| socket.end);
                    if let Some(end) = end {
                        self.network.abort(self.now, end);
                    }
                }
                Ask::Notice(notice) => self.notices.push((self.now, notice)),
            }
        }
        busy
    }

    fn read(&mut self, task: &mut Task, id: SocketId) -> bool {
        let Some(socket) = task.sockets.get_mut(&id.0) else {
            return false;
        };
        let (true, Some(end)) = (socket.reading, socket.end) else {
            return false;
        };
        let machine = task.machine.machine();
        let limit = machine.read_limit(id);
        if limit == 0 {
            socket.reading = false;
            return false;
        }
        match self.network.read(self.now, end, limit) {
            Read::Data(data) => machine.received(self.now, id, data),
            Read::Eof => {
                socket.reading = false;
                machine.received_eof(self.now, id);
            }
            Read::Reset => {
                socket.reading = false;
                machine.failed(self.now, id, ErrorKind::ConnectionReset);
            }
            Read::Nothing => return false,
        }
        true
    }

    fn write(&mut self, task: &mut Task, id: SocketId) -> bool {
        let Some(socket) = task.sockets.get_mut(&id.0) else {
            return false;
        };
        let (true, Some(end)) = (socket.writing, socket.end) else {
            return false;
        };
        let machine = task.machine.machine();
        let mut slices = [IoSlice::new(&[]); 16];
        let filled = machine.gather(self.now, id, &mut slices);
        if filled == 0 {
            socket.writing = false;
            return true;
        }
        match self.network.write(self.now, end, &slices[..filled]) {
            Ok(0) => false,
            Ok(n) => {
                machine.written(self.now, id, n);
                true
            }
            Err(_) => {
                socket.writing = false;
                machine.failed(self.now, id, ErrorKind::BrokenPipe);
                true
            }
        }
    }
}

impl Task {
    fn socket(&mut self, id: SocketId) -> &mut Socket {
        self.sockets
            .get_mut(&id.0)
            .expect("an ask for a socket that is not there")
    }
}

/// Reads an address that a test has written down.
pub(crate) fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}
