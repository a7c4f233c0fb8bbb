//! TLS by rustls. Nothing outside this module knows rustls: its buffers change with its next
//! release.
//!
//! rustls makes the handshake, and all of TLS 1.2. Once a handshake of TLS 1.3 is done it hands its keys over, and
//! [`records`] opens and seals in the carrier's own buffers: one copy on the way out and none on the way in. (rustls 0.23 makes two
//! and three. Its unbuffered interface would save some, but has no exporter, and so no channel binding.)

mod client;
mod keys;
mod pem;
mod provider;
mod records;
mod server;
mod split;

use std::{
    io::{BufRead, Write},
    mem,
    sync::{Arc, OnceLock},
};

use bytes::{BufMut, BytesMut};
use rustls::{
    AlertDescription, ClientConnection, Connection, Error, ProtocolVersion, ServerConnection,
    SupportedProtocolVersion, pki_types::ServerName,
};

use keys::Secrets;
use records::{Received, Records};
use split::Splitter;

pub use client::{ClientTls, Roots};
pub use server::{SelfSigned, ServerTls};

use crate::{
    error::{LinkError, Phase, SetupError, escape},
    output::Output,
};

/// The one protocol offered and selected: the upgrade is HTTP/1.1's.
const ALPN: &[u8] = b"http/1.1";

const VERSIONS: &[&SupportedProtocolVersion] = &[
    &rustls::version::TLS13,
    #[cfg(feature = "tls12")]
    &rustls::version::TLS12,
];

/// The longest plaintext of one record, in bytes (RFC 8446 section 5.1).
pub(crate) const RECORD_MAX: usize = 16_384;

/// The first byte of a record that holds a handshake message (RFC 8446 section 5.1).
pub(crate) const HANDSHAKE_RECORD: u8 = 0x16;
/// The first byte of a record that holds an alert.
pub(crate) const ALERT_RECORD: u8 = 0x15;

/// What a client's handshake has seen of the server.
#[derive(Debug, Default)]
struct Seen {
    /// What became of the check of its certificate; why it failed, in words.
    check: OnceLock<Result<(), String>>,
    /// Whether it was shown the client's own certificate; set only if it asked.
    asked: OnceLock<bool>,
}

/// One end of a TLS connection.
pub(crate) struct Tls {
    stage: Stage,
    splitter: Splitter,
    /// Records of the handshake's that the output has not taken.
    first: BytesMut,
    /// Stays empty on servers.
    seen: Arc<Seen>,
    secrets: Arc<Secrets>,
    /// See [`exporter`](Self::exporter).
    exporter: Option<[u8; 32]>,
    closed: bool,
}

enum Stage {
    /// The handshake; with TLS 1.2, all.
    Rustls(Box<Connection>),
    /// After a handshake of TLS 1.3.
    Records(Box<Records>),
    /// The keys could not be taken over.
    Failed,
}

impl Tls {
    /// The end that dialled. `http` says whether HTTP follows.
    pub(crate) fn client(setup: &ClientTls, name: &str, http: bool) -> Result<Self, SetupError> {
        // An IPv6 address as it stands in a URL.
        let bare = name
            .strip_prefix('[')
            .and_then(|name| name.strip_suffix(']'))
            .unwrap_or(name);
        let server = ServerName::try_from(bare.to_owned())
            .map_err(|_| SetupError::BadServerName { name: escape(name) })?;
        let secrets = Arc::<Secrets>::default();
        let (config, seen) = setup.connection(http, &secrets);
        let connection =
            ClientConnection::new(config, server).map_err(|error| SetupError::Tls {
                problem: escape(&error.to_string()),
            })?;
        Ok(Self::new(connection.into(), seen, secrets))
    }

    /// The end that accepted.
    pub(crate) fn server(setup: &ServerTls) -> Result<Self, SetupError> {
        let secrets = Arc::<Secrets>::default();
        let connection =
            ServerConnection::new(setup.connection(&secrets)).map_err(|error| SetupError::Tls {
                problem: escape(&error.to_string()),
            })?;
        Ok(Self::new(connection.into(), Arc::default(), secrets))
    }

    fn new(mut connection: Connection, seen: Arc<Seen>, secrets: Arc<Secrets>) -> Self {
        // The carrier bounds what it gives to rustls, and takes everything out at once. A limit in
        // here would cut a batch in two.
        connection.set_buffer_limit(None);
        Self {
            stage: Stage::Rustls(Box::new(connection)),
            splitter: Splitter::default(),
            first: BytesMut::new(),
            seen,
            secrets,
            exporter: None,
            closed: false,
        }
    }

    /// Takes bytes from the wire and hands each record's plaintext to `take`. The phase is for the error.
    pub(crate) fn read(
        &mut self,
        phase: Phase,
        mut wire: BytesMut,
        mut take: impl FnMut(BytesMut),
    ) -> Result<(), LinkError> {
        while !self.closed {
            let record = match self.splitter.next(&mut wire) {
                Ok(Some(record)) => record,
                Ok(None) => return Ok(()),
                // Who looks at it says what is wrong with it.
                Err(no_record) => no_record,
            };
            let result = match &mut self.stage {
                Stage::Rustls(connection) => read(connection, &record, &mut take),
                Stage::Records(records) => match records.receive(record) {
                    Ok(Received::Data(plain)) => {
                        take(plain);
                        Ok(false)
                    }
                    Ok(Received::Nothing) => Ok(false),
                    Ok(Received::Closed) => Ok(true),
                    Err(error) => Err(error),
                },
                Stage::Failed => return Ok(()),
            };
            self.closed |= result
                .and_then(|closed| self.take_over().map(|()| closed))
                .map_err(|error| {
                    self.without_certificate(&error)
                        .unwrap_or_else(|| LinkError::tls(phase, &error))
                })?;
        }
        Ok(())
    }

    /// Once the handshake is done, what follows is no longer rustls's, if it is TLS 1.3.
    fn take_over(&mut self) -> Result<(), Error> {
        let Stage::Rustls(connection) = &mut self.stage else {
            return Ok(());
        };
        let version = connection.protocol_version();
        if connection.is_handshaking() || version != Some(ProtocolVersion::TLSv1_3) {
            return Ok(());
        }
        // An empty context and none are the same in TLS 1.3 (RFC 8446 section 7.5).
        self.exporter = connection
            .export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(&[]))
            .ok();
        write_out(connection, &mut self.first);
        if let Stage::Rustls(connection) = mem::replace(&mut self.stage, Stage::Failed) {
            let records = Records::take_over(*connection, mem::take(&mut self.secrets))?;
            self.stage = Stage::Records(Box::new(records));
        }
        Ok(())
    }

    /// Encrypts the `len` bytes that `fill` appends, at most [`RECORD_MAX`], as one record.
    pub(crate) fn write(
        &mut self,
        output: &mut Output,
        len: usize,
        fill: impl FnOnce(&mut BytesMut),
    ) -> Result<(), LinkError> {
        let failed = |_| LinkError::tls(Phase::Open, "no more data can be encrypted");
        match &mut self.stage {
            Stage::Rustls(connection) => {
                let mut plain = BytesMut::with_capacity(len);
                fill(&mut plain);
                let written = connection.writer().write_all(&plain);
                written.map_err(|error| LinkError::tls(Phase::Open, error))
            }
            Stage::Records(records) => {
                let first = mem::take(&mut self.first);
                output.append(|out| {
                    out.extend_from_slice(&first);
                    records.send(out, len, fill).map_err(failed)
                })
            }
            Stage::Failed => Err(failed(Error::EncryptError)),
        }
    }

    /// Moves the records that are ready to the output.
    pub(crate) fn flush(&mut self, output: &mut Output) {
        let first = mem::take(&mut self.first);
        let room = output.is_empty();
        output.append(|out| {
            out.extend_from_slice(&first);
            match &mut self.stage {
                Stage::Rustls(connection) => write_out(connection, out),
                Stage::Records(records) => records.settle(room, out),
                Stage::Failed => {}
            }
        });
    }

    /// Says that nothing more will be sent (close_notify).
    pub(crate) fn close(&mut self) {
        match &mut self.stage {
            Stage::Rustls(connection) => connection.send_close_notify(),
            Stage::Records(records) => records.close(),
            Stage::Failed => {}
        }
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        match &self.stage {
            Stage::Rustls(connection) => connection.is_handshaking(),
            Stage::Records(_) | Stage::Failed => false,
        }
    }

    /// Whether plaintext stands in the buffer that was read from the wire, and not in one of its own.
    pub(crate) fn opens_in_place(&self) -> bool {
        matches!(self.stage, Stage::Records(_))
    }

    /// Whether the peer said that it sends nothing more.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether the server's certificate was checked, and is good.
    pub(crate) fn certificate_checked(&self) -> bool {
        matches!(self.seen.check.get(), Some(Ok(())))
    }

    /// Why the server's certificate could not be checked.
    pub(crate) fn certificate_problem(&self) -> Option<String> {
        self.seen.check.get()?.clone().err()
    }

    /// Whether the server was shown the client's own certificate; `None` if it did not ask for one.
    pub(crate) fn certificate_shown(&self) -> Option<bool> {
        self.seen.asked.get().copied()
    }

    /// The error for an alert by which a server turns away a client for its certificate.
    fn without_certificate(&self, error: &Error) -> Option<LinkError> {
        use AlertDescription as Alert;
        let shown = self.certificate_shown()?;
        let Error::AlertReceived(alert) = error else {
            return None;
        };
        let about_it = matches!(
            alert,
            Alert::CertificateRequired
                | Alert::BadCertificate
                | Alert::UnsupportedCertificate
                | Alert::CertificateRevoked
                | Alert::CertificateExpired
                | Alert::CertificateUnknown
                | Alert::UnknownCA
                | Alert::AccessDenied
                // By a CA of the right name and another key.
                | Alert::DecryptError
                // What is said before TLS 1.3 when there is none.
                | Alert::HandshakeFailure
        );
        let answer = format!("TLS alert {alert:?}");
        about_it.then_some(LinkError::ClientCertificate { shown, answer })
    }

    /// The value to bind to (RFC 9266, label `EXPORTER-Channel-Binding`, empty context); only TLS
    /// 1.3 has one that is safe, and only after the handshake.
    pub(crate) fn exporter(&self) -> Option<[u8; 32]> {
        self.exporter
    }
}

/// Lets rustls read a record, and says whether the peer closed. What came in front of an error still counts.
fn read(
    connection: &mut Connection,
    mut record: &[u8],
    take: &mut impl FnMut(BytesMut),
) -> Result<bool, Error> {
    let mut closed = false;
    while !record.is_empty() && !closed {
        // The plaintext is taken out below, so this fails only if a peer sends what makes
        // rustls's own buffer too large.
        let taken = connection
            .read_tls(&mut record)
            .map_err(|error| Error::General(error.to_string()))?;
        let state = connection.process_new_packets();
        let mut reader = connection.reader();
        // An error says that there is nothing more for now, or for good.
        while let Ok(chunk @ [_, ..]) = reader.fill_buf() {
            let len = chunk.len();
            take(BytesMut::from(chunk));
            reader.consume(len);
        }
        closed = state?.peer_has_closed() || taken == 0;
    }
    Ok(closed)
}

/// Appends the records that rustls has ready.
fn write_out(connection: &mut Connection, out: &mut BytesMut) {
    while connection.wants_write() {
        // A buffer takes everything.
        if !matches!(connection.write_tls(&mut out.writer()), Ok(1..)) {
            break;
        }
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls")
            .field("handshaking", &self.is_handshaking())
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
