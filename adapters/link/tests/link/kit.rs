//! A client's and a server's carrier with a wire of two buffers between them.

use std::{
    io::IoSlice,
    net::SocketAddr,
    sync::{Arc, LazyLock},
    time::Duration,
};

use adit_core::Instant;
use adit_link::{
    Carrier, CarrierEvent, ClientSetup, ClientTls, ClientUpgrade, LinkError, Ready, SelfSigned,
    ServerSetup, ServerTls, ServerUpgrade,
};
use bytes::{Bytes, BytesMut};

/// What the client dials, and what the server's certificate is for.
pub(crate) const HOST: &str = "orion.example.com";
pub(crate) const PATH: &str = "/connect";

pub(crate) fn peer() -> SocketAddr {
    "192.0.2.1:4711".parse().unwrap()
}

/// One certificate for all tests: making keys takes time.
pub(crate) static CERTIFICATE: LazyLock<SelfSigned> =
    LazyLock::new(|| SelfSigned::generate([HOST.to_owned()]).unwrap());

pub(crate) fn server_tls() -> ServerTls {
    ServerTls::from_pem(
        CERTIFICATE.certificate.as_bytes(),
        CERTIFICATE.key.as_bytes(),
    )
    .unwrap()
}

/// A client that trusts the server's certificate.
pub(crate) fn trusting() -> ClientTls {
    static TLS: LazyLock<ClientTls> = LazyLock::new(|| trust_only(&CERTIFICATE));
    TLS.clone()
}

fn trust_only(ca: &SelfSigned) -> ClientTls {
    ClientTls::from_pem(Some(ca.certificate.as_bytes()), None).unwrap()
}

/// A client that trusts somebody else's, which was made alike.
pub(crate) fn doubting() -> ClientTls {
    static TLS: LazyLock<ClientTls> =
        LazyLock::new(|| trust_only(&SelfSigned::generate([HOST.to_owned()]).unwrap()));
    TLS.clone()
}

/// Which layers there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layers {
    pub(crate) tls: bool,
    pub(crate) upgrade: bool,
}

pub(crate) const ALL_LAYERS: [Layers; 4] = [
    Layers {
        tls: true,
        upgrade: true,
    },
    Layers {
        tls: true,
        upgrade: false,
    },
    Layers {
        tls: false,
        upgrade: true,
    },
    Layers {
        tls: false,
        upgrade: false,
    },
];

pub(crate) fn upgrade() -> ClientUpgrade {
    ClientUpgrade {
        host: HOST.to_owned(),
        path: PATH.to_owned(),
        headers: Vec::new(),
    }
}

pub(crate) fn client_setup(layers: Layers) -> ClientSetup {
    ClientSetup {
        tls: layers.tls.then(trusting),
        server_name: HOST.to_owned(),
        upgrade: layers.upgrade.then(upgrade),
        ..Default::default()
    }
}

pub(crate) fn server_setup(layers: Layers) -> ServerSetup {
    ServerSetup {
        tls: layers.tls.then(server_tls),
        upgrade: layers.upgrade.then(|| ServerUpgrade::new(PATH).unwrap()),
        ..Default::default()
    }
}

pub(crate) fn client(layers: Layers) -> Carrier {
    Carrier::client(client_setup(layers), [1; 32], Instant::ORIGIN).unwrap()
}

pub(crate) fn server(layers: Layers) -> Carrier {
    serve(server_setup(layers))
}

pub(crate) fn serve(setup: ServerSetup) -> Carrier {
    Carrier::server(Arc::new(setup), peer(), [2; 32], Instant::ORIGIN)
}

pub(crate) fn at(seconds: f64) -> Instant {
    Instant::ORIGIN + Duration::from_secs_f64(seconds)
}

/// At most `limit` bytes of what a carrier wants to write, taken from it.
pub(crate) fn take_output(carrier: &mut Carrier, limit: usize) -> BytesMut {
    let mut slices = [IoSlice::new(&[]); 8];
    let used = carrier.gather(&mut slices);
    let mut bytes: BytesMut = slices[..used]
        .iter()
        .flat_map(|slice| slice.iter())
        .collect();
    bytes.truncate(limit);
    carrier.written(bytes.len());
    bytes
}

/// All of it.
pub(crate) fn drain_output(carrier: &mut Carrier) -> BytesMut {
    let mut all = BytesMut::new();
    while carrier.has_output() {
        all.unsplit(take_output(carrier, usize::MAX));
    }
    all
}

/// A carrier and what came out of it.
pub(crate) struct End {
    pub(crate) carrier: Carrier,
    pub(crate) events: Vec<CarrierEvent>,
    pub(crate) received: Vec<u8>,
    pub(crate) error: Option<LinkError>,
}

impl End {
    pub(crate) fn new(carrier: Carrier) -> Self {
        let mut this = Self {
            carrier,
            events: Vec::new(),
            received: Vec::new(),
            error: None,
        };
        this.poll();
        this
    }

    pub(crate) fn input(&mut self, bytes: BytesMut) {
        if let Err(error) = self.carrier.handle_input(Instant::ORIGIN, bytes) {
            self.error.get_or_insert(error);
        }
        self.poll();
    }

    pub(crate) fn poll(&mut self) {
        self.events
            .extend(std::iter::from_fn(|| self.carrier.poll_event()));
        for payload in std::iter::from_fn(|| self.carrier.poll_payload()) {
            self.received.extend_from_slice(&payload);
        }
    }

    /// Sends all of this, as one frame if there is room.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> usize {
        let mut left = Bytes::copy_from_slice(bytes);
        self.carrier.send(|room| {
            let frame = left.split_to(room.min(left.len()));
            (!frame.is_empty()).then_some(frame)
        })
    }

    pub(crate) fn ready(&self) -> &Ready {
        let found = self.events.iter().find_map(|event| match event {
            CarrierEvent::Ready(ready) => Some(ready),
            _ => None,
        });
        found.unwrap_or_else(|| panic!("not ready: {:?} {:?}", self.error, self.events))
    }
}

/// Both ends.
pub(crate) struct Pair {
    pub(crate) client: End,
    pub(crate) server: End,
}

impl Pair {
    pub(crate) fn new(client: Carrier, server: Carrier) -> Self {
        Self {
            client: End::new(client),
            server: End::new(server),
        }
    }

    pub(crate) fn with(layers: Layers) -> Self {
        Self::new(client(layers), server(layers))
    }

    /// With everything moved until nothing moves any more.
    pub(crate) fn settled(client: Carrier, server: Carrier) -> Self {
        let mut this = Self::new(client, server);
        this.settle();
        this
    }

    pub(crate) fn settle(&mut self) {
        self.settle_cut(|| usize::MAX);
    }

    /// Moves bytes both ways, in pieces as long as `cut` says, until nothing moves.
    pub(crate) fn settle_cut(&mut self, mut cut: impl FnMut() -> usize) {
        loop {
            let mut moved = false;
            for to_server in [true, false] {
                let (from, to) = if to_server {
                    (&mut self.client, &mut self.server)
                } else {
                    (&mut self.server, &mut self.client)
                };
                let limit = cut().min(to.carrier.read_limit());
                let bytes = take_output(&mut from.carrier, limit);
                if !bytes.is_empty() {
                    to.input(bytes);
                    moved = true;
                }
            }
            if !moved {
                return;
            }
        }
    }
}
