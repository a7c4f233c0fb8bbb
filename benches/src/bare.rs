//! The yardstick: a bare relay pair, TCP to TLS to TCP, one TLS connection for each relayed one,
//! without multiplexing, masking, credit or resumption. It is the least that an encrypted tunnel
//! can do, so it is tuned as a tunnel is: rustls makes the handshake and hands its keys over; then
//! several records at a time are read to where they are sealed or opened, and written from there.
//! No byte is copied but the part of a record at the end of a read.

pub mod records;

use records::{DATA, HEAD, Keys, RECORD, length};
use rustls::crypto::ring::{cipher_suite, default_provider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, Connection, ServerConfig};
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::yield_now;

/// Records that are sealed or opened at a time. Their buffer stays in a core's second-level cache.
const RECORDS: usize = 8;
/// The name in the certificate.
const NAME: &str = "localhost";

/// Which half of the pair a process is.
#[derive(Clone, Debug)]
pub enum Half {
    /// Takes visitors, and dials the other half by TLS.
    Near(Arc<ClientConfig>),
    /// Takes TLS connections of the other half, and dials upstreams.
    Far(Arc<ServerConfig>),
}

impl Half {
    /// The half of the visitors, which trusts the certificate in `certificate` (PEM).
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn near(certificate: &Path) -> io::Result<Self> {
        let mut roots = rustls::RootCertStore::empty();
        let certificate = CertificateDer::from_pem_file(certificate).map_err(io::Error::other)?;
        roots.add(certificate).map_err(io::Error::other)?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.enable_secret_extraction = true;
        Ok(Self::Near(Arc::new(config)))
    }

    /// The half of the upstreams, which makes its certificate and writes it to `certificate` (PEM).
    ///
    /// # Errors
    ///
    /// When it can't be written.
    pub fn far(certificate: &Path) -> io::Result<Self> {
        let made =
            rcgen::generate_simple_self_signed(vec![NAME.to_owned()]).map_err(io::Error::other)?;
        let key =
            PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(io::Error::other)?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .map_err(io::Error::other)?;
        config.enable_secret_extraction = true;
        // A ticket would be a record that is not application data.
        config.send_tls13_tickets = 0;
        std::fs::write(certificate, made.cert.pem())?;
        Ok(Self::Far(Arc::new(config)))
    }

    /// Relays what comes to `listener` to `to`, for ever.
    ///
    /// # Errors
    ///
    /// When nothing more can be accepted.
    pub async fn serve(self, listener: TcpListener, to: SocketAddr) -> io::Result<()> {
        loop {
            let (accepted, _) = listener.accept().await?;
            let half = self.clone();
            tokio::spawn(async move {
                // A connection that fails ends by itself, and its visitor sees it end.
                let _ = half.relay(accepted, to).await;
            });
        }
    }

    async fn relay(self, accepted: TcpStream, to: SocketAddr) -> io::Result<()> {
        let dialled = TcpStream::connect(to).await?;
        accepted.set_nodelay(true)?;
        dialled.set_nodelay(true)?;
        let (plain, mut tls, connection) = match self {
            Self::Near(config) => {
                let name = ServerName::try_from(NAME).map_err(io::Error::other)?;
                let connection = rustls::ClientConnection::new(config, name);
                (accepted, dialled, connection.map(Connection::Client))
            }
            Self::Far(config) => {
                let connection = rustls::ServerConnection::new(config);
                (dialled, accepted, connection.map(Connection::Server))
            }
        };
        let connection = connection.map_err(io::Error::other)?;
        let (sending, receiving) = handshake(&mut tls, connection).await?;
        tokio::try_join!(seal(&plain, &tls, sending), open(&tls, &plain, receiving))?;
        Ok(())
    }
}

/// The suite that is fastest where there are instructions for AES.
fn provider() -> rustls::crypto::CryptoProvider {
    let mut provider = default_provider();
    provider.cipher_suites = vec![cipher_suite::TLS13_AES_128_GCM_SHA256];
    provider
}

/// Makes the handshake, reading a record at a time, so that nothing behind it is taken by rustls.
async fn handshake(tls: &mut TcpStream, mut connection: Connection) -> io::Result<(Keys, Keys)> {
    let mut bytes = vec![0; RECORD + 256];
    loop {
        let mut out = Vec::new();
        while connection.wants_write() {
            connection.write_tls(&mut out)?;
        }
        tls.write_all(&out).await?;
        if !connection.is_handshaking() {
            break;
        }
        tls.read_exact(&mut bytes[..HEAD]).await?;
        let whole = length(&bytes).unwrap_or(HEAD);
        let record = bytes
            .get_mut(..whole)
            .ok_or_else(|| io::Error::from(ErrorKind::InvalidData))?;
        tls.read_exact(&mut record[HEAD..]).await?;
        let mut rest = &*record;
        while !rest.is_empty() {
            connection.read_tls(&mut rest)?;
            connection.process_new_packets().map_err(io::Error::other)?;
        }
    }
    let secrets = connection
        .dangerous_extract_secrets()
        .map_err(io::Error::other)?;
    Ok((Keys::new(secrets.tx)?, Keys::new(secrets.rx)?))
}

/// Reads plain bytes to the places of records' data, and writes the records in one piece.
async fn seal(plain: &TcpStream, tls: &TcpStream, mut keys: Keys) -> io::Result<()> {
    let mut buffer = vec![0; RECORDS * RECORD];
    loop {
        let read = {
            let mut places = Vec::with_capacity(RECORDS);
            for record in buffer.chunks_exact_mut(RECORD) {
                places.push(IoSliceMut::new(&mut record[HEAD..HEAD + DATA]));
            }
            read_vectored(plain, &mut places).await?
        };
        if read == 0 {
            // An empty record is this pair's good-bye: half-close without an alert.
            let whole = keys.seal(&mut buffer, 0)?;
            write_all(tls, &mut [IoSlice::new(&buffer[..whole])]).await?;
            return Ok(());
        }
        let (mut left, mut end) = (read, 0);
        for record in buffer.chunks_exact_mut(RECORD) {
            if left == 0 {
                break;
            }
            let len = left.min(DATA);
            end += keys.seal(record, len)?;
            left -= len;
        }
        write_all(tls, &mut [IoSlice::new(&buffer[..end])]).await?;
        // Whoever always has something must not keep the others from their turn.
        yield_now().await;
    }
}

/// Reads several records, opens them where they lie, and writes their data from there.
async fn open(tls: &TcpStream, plain: &TcpStream, mut keys: Keys) -> io::Result<()> {
    let mut buffer = vec![0; RECORDS * RECORD];
    let mut filled = 0;
    loop {
        let places = &mut [IoSliceMut::new(&mut buffer[filled..])];
        let read = read_vectored(tls, places).await?;
        if read == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        filled += read;
        let (mut at, mut ranges, mut closed) = (0, Vec::with_capacity(RECORDS), false);
        while let Some(whole) = length(&buffer[at..filled])
            && whole <= filled - at
        {
            match keys.open(&mut buffer[at..at + whole])? {
                Some(data) => ranges.push(at + data.start..at + data.end),
                None => closed = true,
            }
            at += whole;
        }
        let mut slices = Vec::with_capacity(ranges.len());
        slices.extend(ranges.into_iter().map(|range| IoSlice::new(&buffer[range])));
        write_all(plain, &mut slices).await?;
        if closed {
            return rustix::net::shutdown(plain, rustix::net::Shutdown::Write)
                .map_err(io::Error::from);
        }
        buffer.copy_within(at..filled, 0);
        filled -= at;
        yield_now().await;
    }
}

async fn read_vectored(from: &TcpStream, places: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    loop {
        from.readable().await?;
        match from.try_read_vectored(places) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            done => return done,
        }
    }
}

async fn write_all(to: &TcpStream, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
    while !slices.is_empty() {
        match to.try_write_vectored(slices) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut slices, written),
            Err(error) if error.kind() == ErrorKind::WouldBlock => to.writable().await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
