//! A server's peer and a client of relay, with a bare carrier between them, and visitors and upstreams that are no more than counts of bytes.
//! What each of the two asks for is done in constant time, so that what grows is theirs.

use super::Ready;
use adit_core::{Config, Instant};
use adit_proptests::scene::{client_config, server_config, token};
use adit_relay::client::Client;
use adit_relay::server::{ListenerId, Peer, Server, ServerAsk};
use adit_relay::{Ask, Machine, SocketId, Told};
use bytes::BytesMut;
use std::collections::VecDeque;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

const PORT: &str = "9090";
const UPSTREAM: &str = "192.0.2.1:80";
/// Bytes of bulk.
const ALL: usize = 8 << 20;
const VISITS: usize = 100;
const REQUEST: usize = 200;
const ANSWER: usize = 1_024;
/// What is read at once.
static SAID: [u8; 64 * 1024] = [7; 64 * 1024];
/// After so long idle streams have given back what credit they do not use.
const IDLE: Duration = Duration::from_secs(30);

/// Whose socket it is.
const PEER: usize = 0;
const CLIENT: usize = 1;

/// Somebody at a local socket.
#[derive(Default)]
struct Local {
    /// Bytes that it has not said yet, and whether FIN follows.
    says: usize,
    leaves: bool,
    /// Bytes that it is still to hear before it answers, the answer, and whether it leaves then.
    hears: usize,
    answer: Option<usize>,
    answers_once: bool,
    /// All it has heard.
    heard: usize,
}

enum Socket {
    Carrier,
    Local(Local),
}

/// The sockets of one machine, by their number, and those that want something.
#[derive(Default)]
struct Sockets {
    all: Vec<Option<Socket>>,
    readable: VecDeque<u32>,
    writable: VecDeque<u32>,
    /// What has come on the carrier.
    carried: VecDeque<BytesMut>,
    carrier: Option<u32>,
}

impl Sockets {
    fn insert(&mut self, id: SocketId, socket: Socket) {
        if self.all.len() <= id.index() {
            self.all.resize_with(id.index() + 1, || None);
        }
        if matches!(socket, Socket::Carrier) {
            self.carrier = Some(id.0);
        }
        self.all[id.index()] = Some(socket);
        self.readable.push_back(id.0);
    }

    fn get(&mut self, id: u32) -> Option<&mut Socket> {
        self.all.get_mut(id as usize)?.as_mut()
    }
}

/// Copies in pieces that are too short for the copying instruction, whose every step callgrind counts as one.
fn copy(from: &[u8], to: &mut BytesMut) {
    for piece in from.chunks(1_024) {
        to.extend_from_slice(piece);
    }
}

struct Tunnel {
    now: Instant,
    server: Server,
    peer: Option<Peer>,
    client: Client,
    sockets: [Sockets; 2],
    listener: Option<(ListenerId, SocketAddr)>,
    /// What the next upstream is like.
    upstream: fn() -> Local,
    /// The client's socket of the last one.
    dialled: u32,
}

impl Tunnel {
    fn new() -> Self {
        let core = |config: &Config| Config {
            streams_max: 20_000,
            glitches_max: u32::MAX,
            ..config.clone()
        };
        let (mut server, mut client) = (server_config(), client_config(&[(PORT, UPSTREAM)]));
        server.core = core(&server.core).into();
        client.core = Arc::new(core(&client.core));
        let now = Instant::from_millis(1);
        let mut tunnel = Self {
            now,
            server: Server::new(server, [7; 32]),
            peer: None,
            client: Client::new(client, [1; 32], now),
            sockets: Default::default(),
            listener: None,
            upstream: Local::default,
            dialled: 0,
        };
        tunnel.run();
        assert!(tunnel.listener.is_some(), "they have met");
        tunnel
    }

    fn machine(&mut self, at: usize) -> Option<&mut dyn Machine> {
        match at {
            PEER => self.peer.as_mut().map(|peer| peer as &mut dyn Machine),
            _ => Some(&mut self.client),
        }
    }

    /// Everything, until nobody has anything to do.
    fn run(&mut self) {
        loop {
            self.now += Duration::from_micros(50);
            let mut busy = self.do_server();
            for at in [CLIENT, PEER] {
                let now = self.now;
                let Some(machine) = self.machine(at) else {
                    continue;
                };
                if machine.poll_timeout().is_some_and(|due| due <= now) {
                    machine.handle_timeout(now);
                }
                busy |= self.carry_out(at);
                while let Some(id) = self.sockets[at].readable.pop_front() {
                    busy |= self.read(at, id);
                    self.carry_out(at);
                }
                while let Some(id) = self.sockets[at].writable.pop_front() {
                    busy |= self.write(at, id);
                    self.carry_out(at);
                }
            }
            if !busy {
                return;
            }
        }
    }

    fn do_server(&mut self) -> bool {
        let mut busy = false;
        while let Some(ask) = self.server.poll_ask() {
            busy = true;
            match ask {
                ServerAsk::Listen { listener, addr, .. } => {
                    self.listener = Some((listener, addr));
                    self.server.told_listening(listener, Ok(addr));
                }
                ServerAsk::Wake(_) => {
                    if let Some(peer) = &mut self.peer {
                        peer.handle_wake(self.now);
                    }
                }
                ServerAsk::Unlisten { .. } | ServerAsk::Notice(_) => {}
            }
        }
        busy
    }

    fn carry_out(&mut self, at: usize) -> bool {
        let (mut busy, now) = (false, self.now);
        while let Some(ask) = self.machine(at).and_then(|machine| machine.poll_ask(now)) {
            busy = true;
            let told = match ask {
                Ask::Resolve { query, port, .. } => Told::Resolved {
                    query,
                    result: Ok(vec![SocketAddr::from(([192, 0, 2, 1], port))]),
                },
                Ask::ReadToken { query } => Told::Token {
                    query,
                    result: Ok(token("a")),
                },
                Ask::Route { socket } => Told::Route {
                    socket,
                    local: None,
                },
                Ask::Connect {
                    socket, purpose, ..
                } => {
                    self.connect(socket, purpose == adit_relay::Purpose::Carrier);
                    Told::Connected { socket }
                }
                Ask::WantRead(socket) => {
                    self.sockets[at].readable.push_back(socket.0);
                    continue;
                }
                Ask::WantWrite(socket) => {
                    self.sockets[at].writable.push_back(socket.0);
                    continue;
                }
                Ask::Shutdown(socket) => {
                    // Who is told that no more comes leaves as well.
                    let sockets = &mut self.sockets[at];
                    if let Some(Socket::Local(local)) = sockets.get(socket.0) {
                        local.leaves = true;
                        sockets.readable.push_back(socket.0);
                    }
                    continue;
                }
                Ask::Close(socket) | Ask::Abort(socket) => {
                    self.sockets[at].all[socket.index()] = None;
                    continue;
                }
                Ask::HandOn { .. } | Ask::HandOver { .. } => unreachable!("there is one session"),
                Ask::Notice(_) => continue,
            };
            if let Some(machine) = self.machine(at) {
                machine.tell(now, told);
            }
        }
        busy
    }

    fn connect(&mut self, socket: SocketId, carrier: bool) {
        if carrier {
            let from = SocketAddr::from(([198, 51, 100, 1], 40_000));
            let peer = self
                .server
                .accept(self.now, from)
                .expect("it takes clients");
            self.peer = Some(peer);
            self.sockets[PEER].insert(Peer::CARRIER, Socket::Carrier);
            self.sockets[CLIENT].insert(socket, Socket::Carrier);
        } else {
            self.dialled = socket.0;
            let upstream = (self.upstream)();
            self.sockets[CLIENT].insert(socket, Socket::Local(upstream));
        }
    }

    fn read(&mut self, at: usize, id: u32) -> bool {
        let (now, socket) = (self.now, SocketId(id));
        let Some(limit) = self.machine(at).map(|machine| machine.read_limit(socket)) else {
            return false;
        };
        let sockets = &mut self.sockets[at];
        let mut eof = false;
        let data = match sockets.all.get_mut(socket.index()).and_then(Option::as_mut) {
            None => return false,
            Some(_) if limit == 0 => return false,
            Some(Socket::Carrier) => {
                let Some(mut first) = sockets.carried.pop_front() else {
                    return false;
                };
                if first.len() > limit {
                    let rest = first.split_off(limit);
                    sockets.carried.push_front(rest);
                }
                first
            }
            Some(Socket::Local(local)) => {
                let len = local.says.min(limit).min(SAID.len());
                local.says -= len;
                eof = len == 0 && std::mem::take(&mut local.leaves);
                if len == 0 && !eof {
                    return false;
                }
                let mut data = BytesMut::with_capacity(len);
                copy(&SAID[..len], &mut data);
                data
            }
        };
        sockets.readable.push_back(id);
        if let Some(machine) = self.machine(at) {
            if eof {
                machine.received_eof(now, socket);
            } else {
                machine.received(now, socket, data);
            }
        }
        true
    }

    fn write(&mut self, at: usize, id: u32) -> bool {
        let (now, socket) = (self.now, SocketId(id));
        let mut slices = [IoSlice::new(&[]); 64];
        let machine: &mut dyn Machine = match at {
            PEER => match &mut self.peer {
                Some(peer) => peer,
                None => return false,
            },
            _ => &mut self.client,
        };
        let filled = machine.gather(now, socket, &mut slices);
        if filled == 0 {
            return false;
        }
        let len: usize = slices[..filled].iter().map(|slice| slice.len()).sum();
        let carrier = self.sockets[at].carrier == Some(id);
        if carrier {
            let mut bytes = BytesMut::with_capacity(len);
            for slice in &slices[..filled] {
                copy(slice, &mut bytes);
            }
            let other = &mut self.sockets[1 - at];
            other.carried.push_back(bytes);
            other.readable.extend(other.carrier);
        }
        machine.written(now, socket, len);
        let sockets = &mut self.sockets[at];
        if let Some(Socket::Local(local)) = sockets.get(id) {
            local.heard += len;
            if local.heard >= local.hears
                && let Some(answer) = local.answer.take()
            {
                local.says += answer;
                local.leaves = local.answers_once;
                sockets.readable.push_back(id);
            }
        }
        sockets.writable.push_back(id);
        true
    }

    /// A visitor who says something; the peer's socket.
    fn visitor(&mut self, says: usize) -> u32 {
        let (listener, addr) = self.listener.expect("it listens");
        let from = SocketAddr::from(([192, 0, 2, 7], 50_000));
        let visitor = self
            .server
            .visitor(listener, from, addr)
            .expect("a session");
        let peer = self.peer.as_mut().expect("a session");
        let Ok(socket) = peer.visitor(self.now, visitor) else {
            panic!("it is taken");
        };
        let local = Local {
            says,
            ..Local::default()
        };
        self.sockets[PEER].insert(socket, Socket::Local(local));
        self.run();
        socket.0
    }

    /// So many streams that have carried a byte; the client's socket of one in the middle.
    fn with_streams(streams: usize) -> (Self, u32) {
        let mut tunnel = Self::new();
        let mut one = 0;
        for number in 0..streams {
            tunnel.visitor(1);
            if number == streams / 2 {
                one = tunnel.dialled;
            }
        }
        let until = tunnel.now + IDLE;
        while tunnel.now < until {
            tunnel.now += Duration::from_millis(200);
            tunnel.run();
        }
        (tunnel, one)
    }

    /// A request and its answer on a stream that stays.
    fn exchange(&mut self, visitor: u32, upstream: u32) {
        let Some(Socket::Local(local)) = self.sockets[CLIENT].get(upstream) else {
            panic!("it is there");
        };
        local.hears = local.heard + REQUEST;
        local.answer = Some(ANSWER);
        let Some(Socket::Local(local)) = self.sockets[PEER].get(visitor) else {
            panic!("it is there");
        };
        let heard = local.heard + ANSWER;
        local.says = REQUEST;
        self.sockets[PEER].readable.push_back(visitor);
        self.run();
        let local = self.sockets[PEER].get(visitor);
        assert!(matches!(local, Some(Socket::Local(local)) if local.heard == heard));
    }

    fn bulk(&mut self, upstream: u32) {
        let Some(Socket::Local(local)) = self.sockets[CLIENT].get(upstream) else {
            panic!("it is there");
        };
        local.says = ALL;
        self.sockets[CLIENT].readable.push_back(upstream);
        self.run();
        let said = self.sockets[CLIENT].get(upstream);
        assert!(matches!(said, Some(Socket::Local(Local { says: 0, .. }))));
    }

    fn visit(&mut self) {
        self.upstream = || Local {
            hears: REQUEST,
            answer: Some(ANSWER),
            answers_once: true,
            ..Local::default()
        };
        let socket = self.visitor(REQUEST);
        assert!(self.sockets[PEER].get(socket).is_none(), "it has ended");
    }
}

pub(crate) fn bulk_on_one(streams: usize) -> Ready {
    let (mut tunnel, one) = Tunnel::with_streams(streams);
    tunnel.bulk(one);
    Ready {
        run: Box::new(move || tunnel.bulk(one)),
        units: ALL,
    }
}

pub(crate) fn visit(streams: usize) -> Ready {
    let (mut tunnel, _) = Tunnel::with_streams(streams);
    tunnel.visit();
    Ready {
        run: Box::new(move || (0..VISITS).for_each(|_| tunnel.visit())),
        units: VISITS,
    }
}

pub(super) fn exchange(streams: usize) -> Ready {
    let (mut tunnel, _) = Tunnel::with_streams(streams);
    let visitor = tunnel.visitor(1);
    let upstream = tunnel.dialled;
    tunnel.exchange(visitor, upstream);
    Ready {
        run: Box::new(move || (0..VISITS).for_each(|_| tunnel.exchange(visitor, upstream))),
        units: VISITS,
    }
}
