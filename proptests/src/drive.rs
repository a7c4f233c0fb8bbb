//! How time passes in a [`World`]: what a runtime adapter does, on a virtual clock.

use std::io::{ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::time::Duration;

use adit_core::Instant;
use adit_relay::server::{ListenerId, ServerAsk};
use adit_relay::{Ask, Notice, SocketId, Told};

use crate::network::Read;
use crate::world::{Any, Later, Listening, ServerId, Socket, Task, TaskId, World};

/// Rounds without progress in time after which something is taken to spin.
const ROUNDS_MAX: usize = 20_000;

/// What a careless adapter reads at once, in bytes.
const READ_MAX: usize = 64 * 1024;

impl World {
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
                let shape = self.shape_to(addr);
                let end = self
                    .listening
                    .contains_key(&addr)
                    .then(|| self.network.connect(shape));
                if let Some(end) = end {
                    self.arrive(addr, end);
                }
                let connected = Later::Connected {
                    task,
                    socket,
                    serial,
                    end,
                };
                self.at(self.now + shape.latency, connected);
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
                ServerAsk::Listen { listener, addr, .. } => {
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
                ServerAsk::Notice(notice) => {
                    if matches!(notice, Notice::PortOpened { .. }) {
                        let sessions = self.counters(id).sessions;
                        assert!(sessions > 0, "nobody serves what is said to be served");
                    }
                    self.notices.push((self.now, notice));
                }
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
        let mut busy = false;
        while let Some(ask) = task.machine.machine().poll_ask(self.now) {
            busy = true;
            match ask {
                Ask::Resolve {
                    query, host, port, ..
                } => {
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
                    let latency = self.network.shape().latency;
                    self.at(self.now + latency, Later::Tell(id, told));
                }
                Ask::Route { socket } => {
                    let local = self.route;
                    self.at(self.now, Later::Tell(id, Told::Route { socket, local }));
                }
                Ask::ReadToken { query } => {
                    let result = task.token.clone();
                    self.at(self.now, Later::Tell(id, Told::Token { query, result }));
                }
                Ask::Connect { socket, addr, .. } => {
                    self.serial += 1;
                    let serial = self.serial;
                    let new = Socket {
                        serial,
                        end: None,
                        reading: false,
                        asked: false,
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
                    let latency = self.shape_to(addr).latency;
                    self.at(self.now + latency, syn);
                }
                Ask::WantRead(socket) => task.socket(socket).reading = true,
                Ask::WantWrite(socket) => {
                    let socket = task.socket(socket);
                    socket.writing = true;
                    socket.asked = true;
                }
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
                Ask::HandOn { socket, visitor } => {
                    let end = task.sockets.remove(&socket.0).and_then(|socket| socket.end);
                    let (server, _) = task.server.expect("only servers have visitors");
                    let next = self.hosts[server.0].server.again(visitor);
                    self.deliver(server, end.expect("a visitor is connected"), next);
                }
                Ask::HandOver { socket, handover } => {
                    let end = task.sockets.remove(&socket.0).and_then(|socket| socket.end);
                    let (server, _) = task.server.expect("only servers hand carriers over");
                    self.adopt(server, end.expect("a carrier is connected"), *handover);
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
        let limit = if self.careless {
            READ_MAX.max(limit)
        } else {
            limit
        };
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
        let asked = std::mem::take(&mut socket.asked);
        if filled == 0 {
            socket.writing = false;
            self.asked_in_vain += usize::from(asked);
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
