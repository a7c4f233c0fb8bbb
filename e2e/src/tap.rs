//! A man in the middle whom the client's authority trusts: he ends TLS, reads
//! everything, and passes it on in TLS of his own. A company's inspecting proxy
//! does the same.

use crate::authority::Identity;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, Connection, DigitallySignedStruct, ServerConfig,
    ServerConnection, SignatureScheme,
};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How long to rest when neither side has anything.
const REST: Duration = Duration::from_micros(200);

/// The plaintext of one connection.
#[derive(Clone, Debug, Default)]
pub struct Capture {
    /// What the client sent.
    pub from_client: Vec<u8>,
    /// What the server sent.
    pub from_server: Vec<u8>,
}

/// A running tap.
#[derive(Debug)]
pub struct Tap {
    /// The port to connect to instead of the server's.
    pub port: u16,
    captures: Arc<Mutex<Vec<Capture>>>,
}

impl Tap {
    /// Listens as `identity` and passes on to the TLS server at `target`.
    ///
    /// # Panics
    ///
    /// When it can't listen or the identity is not valid PEM.
    pub fn start(identity: &Identity, target: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let server = Arc::new(server_config(identity));
        let client = Arc::new(client_config());
        let captures = Arc::new(Mutex::new(Vec::new()));
        let ours = Arc::clone(&captures);
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let (server, client) = (Arc::clone(&server), Arc::clone(&client));
                let captures = Arc::clone(&ours);
                // A connection that breaks has told what it had to tell.
                thread::spawn(move || drop(relay(near, target, server, client, &captures)));
            }
        });
        Self { port, captures }
    }

    /// What was read so far, connection by connection.
    pub fn captures(&self) -> Vec<Capture> {
        lock(&self.captures).clone()
    }
}

fn relay(
    near: TcpStream,
    target: u16,
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    captures: &Mutex<Vec<Capture>>,
) -> io::Result<()> {
    let far = TcpStream::connect((Ipv4Addr::LOCALHOST, target))?;
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    let near_tls = ServerConnection::new(server).map_err(io::Error::other)?;
    let far_tls = ClientConnection::new(client, name).map_err(io::Error::other)?;
    let mut near = Leg::new(near, near_tls.into())?;
    let mut far = Leg::new(far, far_tls.into())?;
    let index = {
        let mut captures = lock(captures);
        captures.push(Capture::default());
        captures.len() - 1
    };
    while !(near.ended && far.ended) {
        let sent = near.step()?;
        let answered = far.step()?;
        near.tls.writer().write_all(&answered)?;
        far.tls.writer().write_all(&sent)?;
        if sent.is_empty() && answered.is_empty() {
            thread::sleep(REST);
        }
        if let Some(capture) = lock(captures).get_mut(index) {
            capture.from_client.extend(sent);
            capture.from_server.extend(answered);
        }
    }
    Ok(())
}

/// One side of the tap.
struct Leg {
    socket: TcpStream,
    tls: Connection,
    ended: bool,
}

impl Leg {
    fn new(socket: TcpStream, tls: Connection) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            tls,
            ended: false,
        })
    }

    /// Writes what waits, reads what came, and returns its plaintext.
    fn step(&mut self) -> io::Result<Vec<u8>> {
        while self.tls.wants_write() && !blocked(self.tls.write_tls(&mut self.socket))? {}
        let mut plain = Vec::new();
        while !self.ended && self.tls.wants_read() {
            match self.tls.read_tls(&mut self.socket) {
                Ok(0) => self.ended = true,
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => return Err(e),
            }
            let state = self.tls.process_new_packets().map_err(io::Error::other)?;
            let mut part = vec![0; state.plaintext_bytes_to_read()];
            self.tls.reader().read_exact(&mut part)?;
            plain.extend(part);
        }
        while self.tls.wants_write() && !blocked(self.tls.write_tls(&mut self.socket))? {}
        Ok(plain)
    }
}

fn blocked(result: io::Result<usize>) -> io::Result<bool> {
    match result {
        Ok(_) => Ok(false),
        Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(true),
        Err(e) => Err(e),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn server_config(identity: &Identity) -> ServerConfig {
    let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes());
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes());
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider knows TLS 1.3")
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.expect("a certificate")],
            key.expect("a key"),
        )
        .expect("the key is the certificate's")
}

fn client_config() -> ClientConfig {
    let provider = Arc::new(ring::default_provider());
    ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("the provider knows TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
        .with_no_client_auth()
}

/// Takes every certificate: the tap knows where it connects to.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::Authority;
    use crate::services;

    /// A TLS server in front of a plain service, made of the tap's own parts.
    fn tls_front(identity: &Identity, target: u16) -> u16 {
        let config = Arc::new(server_config(identity));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        thread::spawn(move || {
            let (socket, _) = listener.accept().expect("a connection");
            let tls = ServerConnection::new(config).expect("a configuration");
            let mut stream = rustls::StreamOwned::new(tls, socket);
            let mut question = [0; 4];
            stream.read_exact(&mut question).expect("a question");
            let mut behind = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).expect("a service");
            behind.write_all(&question).expect("it listens");
            behind.read_exact(&mut question).expect("it answers");
            stream.write_all(&question).expect("the visitor listens");
            stream.flush().expect("the visitor listens");
        });
        port
    }

    #[test]
    fn the_tap_reads_both_directions_and_passes_them_on() {
        let authority = Authority::new();
        let identity = authority.identity(&["localhost"]);
        let tap = Tap::start(&identity, tls_front(&identity, services::echo()));
        let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, tap.port)).expect("it listens");
        let name = ServerName::try_from("localhost").expect("a name");
        let tls = ClientConnection::new(Arc::new(client_config()), name).expect("a client");
        let mut stream = rustls::StreamOwned::new(tls, socket);
        stream.write_all(b"ping").expect("it takes bytes");
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).expect("it answers");
        assert_eq!(&answer, b"ping");
        let capture = tap.captures().remove(0);
        assert_eq!(
            (&capture.from_client[..], &capture.from_server[..]),
            (&b"ping"[..], &b"ping"[..])
        );
    }
}
