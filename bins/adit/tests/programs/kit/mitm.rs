//! Somebody between client and server who ends TLS with a certificate of his own, reads all frames,
//! and may rewrite them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use adit_core::{Decoder, Frame, Instant, Piece, flags};
use adit_link::{
    Carrier, ClientSetup, ClientTls, ClientUpgrade, SelfSigned, ServerSetup, ServerTls,
    ServerUpgrade,
};
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What he does to the frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tamper {
    /// He only reads.
    No,
    /// He tells the client that the server does not end TLS and wants no binding.
    TlsEndsElsewhere,
    /// He takes the client's binding out of its proof.
    StripBinding,
    /// He puts his own exporter, which the server sees, into the client's proof.
    OwnBinding,
}

/// A running man in the middle.
pub(crate) struct Mitm {
    port: u16,
    certificate: String,
    read: Arc<Mutex<Vec<u8>>>,
}

impl Mitm {
    /// Listens on a free port; the server behind speaks TLS or not.
    pub(crate) fn start(server: u16, server_speaks_tls: bool, tamper: Tamper) -> Self {
        let made = SelfSigned::generate(["127.0.0.1".to_owned()]).unwrap();
        let tls = ServerTls::from_pem(made.certificate.as_bytes(), made.key.as_bytes()).unwrap();
        let read = Arc::new(Mutex::new(Vec::new()));
        let relay = Relay {
            server,
            server_speaks_tls,
            tamper,
            tls,
            read: Arc::clone(&read),
        };
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(relay.run(listener));
        });
        Self {
            port,
            certificate: made.certificate,
            read,
        }
    }

    /// Where he waits for clients.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// His certificate, for a client that trusts him.
    pub(crate) fn certificate(&self) -> &str {
        &self.certificate
    }

    /// All plaintext that he saw, in both directions.
    pub(crate) fn read(&self) -> Vec<u8> {
        self.read.lock().unwrap().clone()
    }
}

#[derive(Clone)]
struct Relay {
    server: u16,
    server_speaks_tls: bool,
    tamper: Tamper,
    tls: ServerTls,
    read: Arc<Mutex<Vec<u8>>>,
}

impl Relay {
    async fn run(self, listener: std::net::TcpListener) {
        listener.set_nonblocking(true).unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let relay = self.clone();
            tokio::spawn(async move {
                // Either side may end whenever it likes.
                let _ = relay.pass(client).await;
            });
        }
    }

    async fn pass(self, client: TcpStream) -> Result<(), Box<dyn std::error::Error>> {
        let server = TcpStream::connect(("127.0.0.1", self.server)).await?;
        let now = Instant::ORIGIN;
        let upgrade = Some(ServerUpgrade::new("/connect")?);
        let setup = ServerSetup {
            tls: Some(self.tls.clone()),
            upgrade,
            ..ServerSetup::default()
        };
        let peer = SocketAddr::from(([127, 0, 0, 1], 1));
        let towards_client = Carrier::server(Arc::new(setup), peer, [1; 32], now);
        let setup = ClientSetup {
            tls: if self.server_speaks_tls {
                Some(ClientTls::from_pem(None, None)?)
            } else {
                None
            },
            server_name: "127.0.0.1".to_owned(),
            upgrade: Some(ClientUpgrade {
                host: "127.0.0.1".to_owned(),
                path: "/connect".to_owned(),
                headers: Vec::new(),
            }),
            ..ClientSetup::default()
        };
        let towards_server = Carrier::client(setup, [2; 32], now)?;
        let mut client = Side::new(client, towards_client);
        let mut server = Side::new(server, towards_server);
        loop {
            client.flush().await?;
            server.flush().await?;
            tokio::select! {
                ended = client.read() => if ended? { break },
                ended = server.read() => if ended? { break },
            }
            for frame in client.frames(&self.read)? {
                server
                    .waiting
                    .extend_from_slice(&self.rewritten_for_server(frame, server.exporter));
            }
            for frame in server.frames(&self.read)? {
                client
                    .waiting
                    .extend_from_slice(&self.rewritten_for_client(frame));
            }
        }
        client.flush().await?;
        server.flush().await?;
        Ok(())
    }

    fn rewritten_for_client(&self, frame: Bytes) -> Bytes {
        match (self.tamper, parse(&frame)) {
            (Tamper::TlsEndsElsewhere, Some(Frame::ServerHello(mut hello))) => {
                hello.flags &= !(flags::TLS_HERE | flags::BINDING);
                encode(Frame::ServerHello(hello))
            }
            _ => frame,
        }
    }

    fn rewritten_for_server(&self, frame: Bytes, exporter: Option<[u8; 32]>) -> Bytes {
        match (self.tamper, parse(&frame)) {
            (Tamper::StripBinding, Some(Frame::Auth(mut auth))) => {
                auth.binding = None;
                encode(Frame::Auth(auth))
            }
            (Tamper::OwnBinding, Some(Frame::Auth(mut auth))) => {
                auth.binding = exporter;
                encode(Frame::Auth(auth))
            }
            _ => frame,
        }
    }
}

fn parse(encoding: &Bytes) -> Option<Frame> {
    match Decoder::default().decode(&mut encoding.clone()) {
        Ok(Some(piece @ Piece::Body { kind, .. })) => Frame::parse(kind, piece.body()).ok(),
        _ => None,
    }
}

fn encode(frame: Frame) -> Bytes {
    let frame = frame.encode();
    [frame.head(), frame.payload()].concat().into()
}

/// One of his two connections.
struct Side {
    socket: TcpStream,
    carrier: Carrier,
    exporter: Option<[u8; 32]>,
    decoder: Option<Decoder>,
    waiting: BytesMut,
}

impl Side {
    fn new(socket: TcpStream, carrier: Carrier) -> Self {
        let decoder = Some(Decoder::default());
        Self {
            socket,
            carrier,
            exporter: None,
            decoder,
            waiting: BytesMut::new(),
        }
    }

    async fn flush(&mut self) -> Result<(), Box<dyn std::error::Error>> {
        loop {
            let waiting = &mut self.waiting;
            self.carrier.send(|limit| {
                let some = limit.min(waiting.len());
                (some > 0).then(|| waiting.split_to(some).freeze())
            });
            let mut slices = [std::io::IoSlice::new(&[]); 16];
            let filled = self.carrier.gather(&mut slices);
            let bytes = slices[..filled]
                .iter()
                .flat_map(|slice| slice.iter().copied());
            let bytes: Vec<u8> = bytes.collect();
            if bytes.is_empty() {
                return Ok(());
            }
            self.carrier.written(bytes.len());
            self.socket.write_all(&bytes).await?;
        }
    }

    /// Whether the connection has ended. May be dropped while it waits.
    async fn read(&mut self) -> Result<bool, Box<dyn std::error::Error>> {
        let mut input = BytesMut::with_capacity(self.carrier.read_limit());
        let read = tokio::time::timeout(Duration::from_secs(60), self.socket.read_buf(&mut input));
        if read.await?? == 0 {
            return Ok(true);
        }
        self.carrier.handle_input(Instant::ORIGIN, input)?;
        Ok(false)
    }

    /// What came, cut into handshake frames while the handshake lasts, and as it is afterwards.
    fn frames(&mut self, seen: &Mutex<Vec<u8>>) -> Result<Vec<Bytes>, Box<dyn std::error::Error>> {
        while let Some(event) = self.carrier.poll_event() {
            if let adit_link::CarrierEvent::Ready(ready) = event {
                self.exporter = ready.facts.exporter;
            }
        }
        let mut frames = Vec::new();
        while let Some(mut payload) = self.carrier.poll_payload() {
            seen.lock().unwrap().extend_from_slice(&payload);
            // The first frame of each side is the one worth rewriting.
            if let Some(mut decoder) = self.decoder.take() {
                match decoder.decode(&mut payload)? {
                    Some(Piece::Body { encoding, .. }) => frames.push(encoding),
                    Some(Piece::Payload { .. }) => return Err("payload before a handshake".into()),
                    None => self.decoder = Some(decoder),
                }
            }
            if !payload.is_empty() {
                frames.push(payload);
            }
        }
        Ok(frames)
    }
}
