//! Puppets: the programs around Adit in the simulator, each reduced to one end of a connection and a way to behave.

use std::io::IoSlice;

use bytes::{Buf, BytesMut};

use crate::network::{End, Read};
use crate::world::{PuppetId, World};

/// Bytes that a puppet reads at once.
const READ: usize = 64 * 1024;

/// How a puppet behaves.
#[derive(Clone, Debug)]
pub enum Behaviour {
    /// As the test moves it; what arrives is kept.
    Manual,
    /// Sends back what arrives, and FIN after FIN.
    Echo,
    /// An HTTP proxy that knows CONNECT, and wants these basic credentials (as they stand in the header).
    Proxy {
        /// What must follow `Basic `; anything will do if there is none.
        credentials: Option<String>,
    },
    /// Passes everything on to another puppet.
    Relay(PuppetId),
}

/// One end of a connection.
pub(crate) struct Puppet {
    pub(crate) end: Option<End>,
    behaviour: Behaviour,
    heard: Vec<u8>,
    unsaid: BytesMut,
    /// FIN goes out when all is said; `None` once it has.
    finishing: Option<bool>,
    saw_fin: bool,
    was_reset: bool,
    plugged: bool,
}

impl Puppet {
    pub(crate) fn new(end: End, behaviour: Behaviour) -> Self {
        Self {
            end: Some(end),
            behaviour,
            heard: Vec::new(),
            unsaid: BytesMut::new(),
            finishing: Some(false),
            saw_fin: false,
            was_reset: false,
            plugged: false,
        }
    }
}

impl World {
    /// Writes as a puppet.
    pub fn say(&mut self, puppet: PuppetId, bytes: &[u8]) {
        self.puppets[puppet.0].unsaid.extend_from_slice(bytes);
    }

    /// Sends a puppet's FIN behind what it has said.
    pub fn finish(&mut self, puppet: PuppetId) {
        let puppet = &mut self.puppets[puppet.0];
        puppet.finishing = puppet.finishing.map(|_| true);
    }

    /// Resets a puppet's connection.
    pub fn abort(&mut self, puppet: PuppetId) {
        if let Some(end) = self.puppets[puppet.0].end.take() {
            self.network.abort(self.now, end);
        }
    }

    /// What a puppet has received.
    #[must_use]
    pub fn heard(&self, puppet: PuppetId) -> &[u8] {
        &self.puppets[puppet.0].heard
    }

    /// What a puppet has not been able to send yet, in bytes.
    #[must_use]
    pub fn unsaid(&self, puppet: PuppetId) -> usize {
        self.puppets[puppet.0].unsaid.len()
    }

    /// Whether the other end has sent a puppet its FIN.
    #[must_use]
    pub fn saw_fin(&self, puppet: PuppetId) -> bool {
        self.puppets[puppet.0].saw_fin
    }

    /// Whether a puppet's connection was reset.
    #[must_use]
    pub fn was_reset(&self, puppet: PuppetId) -> bool {
        self.puppets[puppet.0].was_reset
    }

    /// A plugged puppet reads nothing.
    pub fn plug(&mut self, puppet: PuppetId, plugged: bool) {
        self.puppets[puppet.0].plugged = plugged;
    }

    /// One turn of a puppet: reads what is there and writes what it has to say. Whether it did anything.
    pub(crate) fn do_puppet(&mut self, index: usize) -> bool {
        let Some(end) = self.puppets[index].end else {
            return false;
        };
        let mut busy = false;
        while !self.puppets[index].plugged {
            match self.network.read(self.now, end, READ) {
                Read::Data(data) => self.react(index, &data),
                Read::Eof => self.react_to_fin(index),
                Read::Reset => {
                    self.react_to_reset(index);
                    return true;
                }
                Read::Nothing => break,
            }
            busy = true;
        }
        busy | self.write_unsaid(index, end)
    }

    fn react(&mut self, index: usize, data: &[u8]) {
        let puppet = &mut self.puppets[index];
        puppet.heard.extend_from_slice(data);
        match &puppet.behaviour {
            Behaviour::Manual => {}
            Behaviour::Echo => puppet.unsaid.extend_from_slice(data),
            Behaviour::Relay(to) => {
                let to = *to;
                self.say(to, data);
            }
            Behaviour::Proxy { .. } => self.act_as_proxy(index),
        }
    }

    fn react_to_fin(&mut self, index: usize) {
        let puppet = &mut self.puppets[index];
        puppet.saw_fin = true;
        match puppet.behaviour {
            Behaviour::Manual => {}
            Behaviour::Echo | Behaviour::Proxy { .. } => self.finish(PuppetId(index)),
            Behaviour::Relay(to) => self.finish(to),
        }
    }

    fn react_to_reset(&mut self, index: usize) {
        let puppet = &mut self.puppets[index];
        puppet.was_reset = true;
        puppet.end = None;
        if let Behaviour::Relay(to) = puppet.behaviour {
            self.abort(to);
        }
    }

    fn write_unsaid(&mut self, index: usize, end: End) -> bool {
        let mut busy = false;
        loop {
            let puppet = &mut self.puppets[index];
            if puppet.unsaid.is_empty() {
                if puppet.finishing == Some(true) {
                    puppet.finishing = None;
                    self.network.finish(self.now, end);
                    busy = true;
                }
                return busy;
            }
            match self
                .network
                .write(self.now, end, &[IoSlice::new(&puppet.unsaid)])
            {
                Ok(0) => return busy,
                Ok(n) => puppet.unsaid.advance(n),
                Err(_) => {
                    puppet.unsaid.clear();
                    return true;
                }
            }
            busy = true;
        }
    }

    /// Reads a CONNECT request, and answers it.
    fn act_as_proxy(&mut self, index: usize) {
        let text = String::from_utf8_lossy(&self.puppets[index].heard).into_owned();
        let Some((head, rest)) = text.split_once("\r\n\r\n") else {
            return;
        };
        let id = PuppetId(index);
        let Behaviour::Proxy { credentials } = self.puppets[index].behaviour.clone() else {
            return;
        };
        let wanted = credentials.map(|word| format!("Proxy-Authorization: Basic {word}"));
        if wanted.is_some_and(|wanted| !head.lines().any(|line| line == wanted)) {
            self.say(
                id,
                b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
            );
            return self.finish(id);
        }
        let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let target = self.look_up(&target);
        match target.and_then(|at| self.visit_as(&at, Behaviour::Relay(id))) {
            Some(far) => {
                self.puppets[index].behaviour = Behaviour::Relay(far);
                self.say(id, b"HTTP/1.1 200 Connection established\r\n\r\n");
                self.say(far, rest.as_bytes());
            }
            None => {
                self.say(
                    id,
                    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
                );
                self.finish(id);
            }
        }
    }
}
