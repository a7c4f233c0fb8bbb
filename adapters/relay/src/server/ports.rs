//! Data-plane ports: who may open which, who serves them, and whose turn a visitor is.
//!
//! A port belongs to a tunnel. Several sessions of that tunnel may serve it, and take turns; a session of another tunnel can't
//! have it. It closes when its last session leaves.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr};

use adit_core::{ClientId, Code, Service, ServiceId, ServiceKind, TunnelName};

use super::tunnels::Ports;
use super::{ListenerId, PeerId};

/// Who asks for a port.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    pub(super) peer: PeerId,
    pub(super) tunnel: TunnelName,
    pub(super) client_id: ClientId,
}

/// What becomes of a wish for a port.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Refused(Code, Option<String>),
    /// Open already, and shared from now on.
    Open(ListenerId, SocketAddr),
    /// The result of an earlier listen decides.
    Waiting(ListenerId),
    /// To be listened on.
    Listen(ListenerId, SocketAddr),
}

/// The result of a listen, for one of those who waited for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) peer: PeerId,
    pub(super) listener: ListenerId,
    pub(super) result: Result<SocketAddr, (Code, Option<String>)>,
}

/// A port whose listener is to be closed.
#[derive(Debug)]
pub(super) struct Closed {
    pub(super) listener: ListenerId,
    pub(super) tunnel: TunnelName,
    pub(super) addr: SocketAddr,
    /// Whether a session ever served it.
    pub(super) served: bool,
}

/// All ports of a server.
pub(super) struct PortTable {
    data_addr: IpAddr,
    ports_max: usize,
    ports: HashMap<ListenerId, Port>,
    /// By number first: a number is one tunnel's, whatever the address. Ports that ask for any number have no entry until they are bound.
    by_addr: BTreeMap<(u16, IpAddr), ListenerId>,
    next: u32,
}

struct Port {
    tunnel: TunnelName,
    addr: SocketAddr,
    /// Asked for as port 0, and by whom: the same client gets the same port again, as long as it is open.
    any: Option<(ClientId, ServiceId)>,
    allowed: Ports,
    /// The listen was answered.
    open: bool,
    /// A session has served it: until then a visitor finds nobody.
    served: bool,
    members: Vec<PeerId>,
    /// The next member to serve a visitor, as an index.
    turn: usize,
}

impl Port {
    fn close(self, listener: ListenerId) -> Closed {
        Closed {
            listener,
            tunnel: self.tunnel,
            addr: self.addr,
            served: self.served,
        }
    }
}

impl PortTable {
    pub(super) fn new(data_addr: IpAddr, ports_max: usize) -> Self {
        Self {
            data_addr,
            ports_max,
            ports: HashMap::new(),
            by_addr: BTreeMap::new(),
            next: 0,
        }
    }

    /// A session wants a service opened.
    pub(super) fn ask(&mut self, asker: &Asker, service: &Service, allowed: &Ports) -> Answer {
        let addr = match self.address(service) {
            Ok(addr) => addr,
            Err(code) => return Answer::Refused(code, None),
        };
        let any = (addr.port() == 0).then(|| (asker.client_id.clone(), service.id));
        if any.is_none() && !allowed.contains(addr.port()) {
            return Answer::Refused(Code::PORT_NOT_ALLOWED, None);
        }
        if let Some(listener) = self.find(asker, addr, any.as_ref()) {
            return match listener {
                Ok(listener) => self.join(asker.peer, listener),
                Err(code) => Answer::Refused(code, None),
            };
        }
        if self.ports.len() >= self.ports_max {
            return Answer::Refused(Code::TOO_MANY, None);
        }
        let listener = ListenerId(self.next);
        self.next = self.next.wrapping_add(1);
        if any.is_none() {
            self.by_addr.insert((addr.port(), addr.ip()), listener);
        }
        let port = Port {
            tunnel: asker.tunnel.clone(),
            addr,
            any,
            allowed: allowed.clone(),
            open: false,
            served: false,
            members: vec![asker.peer],
            turn: 0,
        };
        self.ports.insert(listener, port);
        Answer::Listen(listener, addr)
    }

    /// The address to listen on: the server's own data address, or loopback where a client asks for it, by number or as `localhost`.
    fn address(&self, service: &Service) -> Result<SocketAddr, Code> {
        if service.kind != ServiceKind::Tcp {
            return Err(Code::UNSUPPORTED);
        }
        if let Ok(port) = service.address.parse::<u16>() {
            return Ok(SocketAddr::new(self.data_addr, port));
        }
        if let Some(port) = service.address.strip_prefix("localhost:") {
            let ip = Some(self.data_addr).filter(IpAddr::is_loopback);
            let port = port.parse::<u16>().map_err(|_| Code::BAD_ADDRESS)?;
            return Ok(SocketAddr::new(ip.unwrap_or(LOCALHOST), port));
        }
        match service.address.parse::<SocketAddr>() {
            Ok(addr) if addr.ip() == self.data_addr || addr.ip().is_loopback() => Ok(addr),
            _ => Err(Code::BAD_ADDRESS),
        }
    }

    /// The port that exists already and answers this wish, or why it can't be had.
    fn find(
        &self,
        asker: &Asker,
        addr: SocketAddr,
        any: Option<&(ClientId, ServiceId)>,
    ) -> Option<Result<ListenerId, Code>> {
        if let Some(any) = any {
            let same = |port: &Port| {
                port.tunnel == asker.tunnel
                    && port.any.as_ref() == Some(any)
                    && !port.members.contains(&asker.peer)
            };
            return self
                .ports
                .iter()
                .find(|(_, port)| same(port))
                .map(|(id, _)| Ok(*id));
        }
        let of_number = self
            .by_addr
            .range((addr.port(), LOWEST)..)
            .take_while(|(key, _)| key.0 == addr.port());
        for (&(_, ip), listener) in of_number {
            let port = self.ports.get(listener)?;
            if port.tunnel != asker.tunnel {
                return Some(Err(Code::PORT_IN_USE));
            }
            if ip == addr.ip() {
                // Two services of one session on one port: nobody could tell which a visitor means.
                let twice = port.members.contains(&asker.peer);
                return Some(if twice {
                    Err(Code::PORT_IN_USE)
                } else {
                    Ok(*listener)
                });
            }
        }
        None
    }

    fn join(&mut self, peer: PeerId, listener: ListenerId) -> Answer {
        let Some(port) = self.ports.get_mut(&listener) else {
            return Answer::Refused(Code::BIND_FAILED, None);
        };
        port.members.push(peer);
        if port.open {
            Answer::Open(listener, port.addr)
        } else {
            Answer::Waiting(listener)
        }
    }

    /// A listen was answered: what those who waited are told, and whether the listener is wanted.
    ///
    /// `false` for a listener that was bound and is not wanted any more.
    pub(super) fn told_listening(
        &mut self,
        listener: ListenerId,
        result: Result<SocketAddr, io::ErrorKind>,
    ) -> (Vec<Outcome>, bool) {
        let Some(port) = self.ports.get_mut(&listener) else {
            return (Vec::new(), false);
        };
        let result = match result {
            Ok(addr) if port.any.is_some() && !port.allowed.contains(addr.port()) => Err((
                Code::PORT_NOT_ALLOWED,
                Some(format!("the system chose {}", addr.port())),
            )),
            Ok(addr) => Ok(addr),
            Err(kind) => Err((code_of(kind), Some(kind.to_string()))),
        };
        port.open = true;
        let outcome = |peer: &PeerId| Outcome {
            peer: *peer,
            listener,
            result: result.clone(),
        };
        let outcomes: Vec<Outcome> = port.members.iter().map(outcome).collect();
        let wanted = !outcomes.is_empty() && result.is_ok();
        match &result {
            Ok(addr) if wanted => {
                port.addr = *addr;
                self.by_addr.insert((addr.port(), addr.ip()), listener);
            }
            _ => {
                self.remove(listener);
            }
        }
        (outcomes, wanted)
    }

    /// A session serves a port from now on. Whose port it is and where, if no session did before.
    pub(super) fn serve(&mut self, listener: ListenerId) -> Option<(TunnelName, SocketAddr)> {
        let port = self.ports.get_mut(&listener)?;
        let first = !std::mem::replace(&mut port.served, true);
        first.then(|| (port.tunnel.clone(), port.addr))
    }

    /// Whose port it is.
    pub(super) fn tunnel(&self, listener: ListenerId) -> Option<&TunnelName> {
        self.ports.get(&listener).map(|port| &port.tunnel)
    }

    /// Who serves a port, or will when it is open.
    pub(super) fn members(&self, listener: ListenerId) -> impl Iterator<Item = PeerId> + '_ {
        let port = self.ports.get(&listener);
        port.into_iter()
            .flat_map(|port| port.members.iter().copied())
    }

    /// A session no longer serves a port. Where it is, if its listener is to be closed now.
    pub(super) fn leave(&mut self, peer: PeerId, listener: ListenerId) -> Option<Closed> {
        let port = self.ports.get_mut(&listener)?;
        port.members.retain(|member| *member != peer);
        // While the listen is under way, its answer finds out that nobody wants it.
        if !port.members.is_empty() || !port.open {
            return None;
        }
        self.remove(listener).map(|port| port.close(listener))
    }

    fn remove(&mut self, listener: ListenerId) -> Option<Port> {
        let port = self.ports.remove(&listener)?;
        let key = (port.addr.port(), port.addr.ip());
        if self.by_addr.get(&key) == Some(&listener) {
            self.by_addr.remove(&key);
        }
        Some(port)
    }

    /// Whose turn a visitor is: the next session that answers, or, if none does, the next one at all. `answers` is `None` for a
    /// member that has no session yet.
    pub(super) fn turn(
        &mut self,
        listener: ListenerId,
        answers: impl Fn(PeerId) -> Option<bool>,
    ) -> Option<PeerId> {
        let port = self.ports.get_mut(&listener)?;
        let count = port.members.len();
        let state = |index: usize| port.members.get(index).and_then(|peer| answers(*peer));
        let in_turn = (0..count).map(|step| (port.turn.wrapping_add(step)) % count);
        let chosen = in_turn
            .clone()
            .find(|&index| state(index) == Some(true))
            .or_else(|| in_turn.clone().find(|&index| state(index).is_some()))?;
        port.turn = chosen + 1;
        port.members.get(chosen).copied()
    }

    /// All ports that are open or being opened, for the end of the server.
    pub(super) fn clear(&mut self) -> Vec<Closed> {
        self.by_addr.clear();
        let open = self.ports.drain().filter(|(_, port)| port.open);
        open.map(|(listener, port)| port.close(listener)).collect()
    }
}

const LOCALHOST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

const LOWEST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);

fn code_of(kind: io::ErrorKind) -> Code {
    match kind {
        io::ErrorKind::AddrInUse => Code::PORT_IN_USE,
        _ => Code::BIND_FAILED,
    }
}
