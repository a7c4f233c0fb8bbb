//! TLS by rustls. Nothing outside this module knows rustls: its buffers change with its next
//! release.
//!
//! rustls 0.23 keeps its own buffers. Bytes are copied into it, decrypted in place, copied out once
//! as plaintext and once more into ours; on the way out they are copied into a record, sealed in
//! place, and copied to the output. Its unbuffered interface would save copies, but has no exporter,
//! and so no channel binding.

mod client;
mod pem;
mod provider;
mod server;

use std::{
    io::{self, BufRead, IoSlice, Write},
    sync::{Arc, OnceLock},
};

use bytes::BytesMut;
use rustls::{
    AlertDescription, ClientConnection, Connection, Error, ProtocolVersion, ServerConnection,
    SupportedProtocolVersion, pki_types::ServerName,
};

pub use client::{ClientTls, Roots};
pub use server::{SelfSigned, ServerTls};

use crate::{
    error::{LinkError, Phase, SetupError, escape},
    output::Output,
};

/// The one protocol offered and selected: the upgrade is HTTP/1.1's.
const ALPN: &[u8] = b"http/1.1";

const VERSIONS: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

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
    connection: Connection,
    /// Stays empty on servers.
    seen: Arc<Seen>,
    closed: bool,
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
        let (config, seen) = setup.connection(http);
        let connection =
            ClientConnection::new(config, server).map_err(|error| SetupError::Tls {
                problem: escape(&error.to_string()),
            })?;
        Ok(Self::new(connection.into(), seen))
    }

    /// The end that accepted.
    pub(crate) fn server(setup: &ServerTls) -> Result<Self, SetupError> {
        let connection =
            ServerConnection::new(setup.current()).map_err(|error| SetupError::Tls {
                problem: escape(&error.to_string()),
            })?;
        Ok(Self::new(connection.into(), Arc::default()))
    }

    fn new(mut connection: Connection, seen: Arc<Seen>) -> Self {
        // The carrier bounds what it gives to rustls, and takes everything out at once. A limit in
        // here would cut a batch in two.
        connection.set_buffer_limit(None);
        Self {
            connection,
            seen,
            closed: false,
        }
    }

    /// Takes bytes from the wire, hands each record's plaintext to `take`, in a buffer of its own: a
    /// slice that is kept then keeps no other record alive. The phase is for the error.
    pub(crate) fn read(
        &mut self,
        phase: Phase,
        mut wire: &[u8],
        mut take: impl FnMut(BytesMut),
    ) -> Result<(), LinkError> {
        while !wire.is_empty() && !self.closed {
            let failed = |error: &dyn std::fmt::Display| LinkError::tls(phase, error);
            // The plaintext is taken out below, so this fails only if a peer sends what makes
            // rustls's own buffer too large.
            let taken = self
                .connection
                .read_tls(&mut wire)
                .map_err(|error| failed(&error))?;
            let state = self.connection.process_new_packets().map_err(|error| {
                self.without_certificate(&error)
                    .unwrap_or_else(|| failed(&error))
            });
            self.take_plain(&mut take);
            self.closed |= state?.peer_has_closed() || taken == 0;
        }
        Ok(())
    }

    fn take_plain(&mut self, take: &mut impl FnMut(BytesMut)) {
        let mut reader = self.connection.reader();
        // An error says that there is nothing more for now, or for good.
        while let Ok(chunk) = reader.fill_buf() {
            let len = chunk.len();
            if len == 0 {
                break;
            }
            take(BytesMut::from(chunk));
            reader.consume(len);
        }
    }

    /// Encrypts these bytes, up to [`RECORD_MAX`] of them as one record.
    pub(crate) fn write(&mut self, slices: &[IoSlice<'_>]) -> Result<(), LinkError> {
        let failed = |error: io::Error| LinkError::tls(Phase::Open, error);
        let len: usize = slices.iter().map(|slice| slice.len()).sum();
        let written = self
            .connection
            .writer()
            .write_vectored(slices)
            .map_err(failed)?;
        if written < len {
            // Without a buffer limit everything is taken, unless the keys are used up.
            return Err(LinkError::tls(Phase::Open, "no more data can be encrypted"));
        }
        Ok(())
    }

    /// Moves the records that are ready to the output.
    pub(crate) fn flush(&mut self, output: &mut Output) {
        while self.connection.wants_write() {
            // The output takes everything.
            if !matches!(self.connection.write_tls(output), Ok(1..)) {
                break;
            }
        }
    }

    /// Says that nothing more will be sent (close_notify).
    pub(crate) fn close(&mut self) {
        self.connection.send_close_notify();
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
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
        if self.connection.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
            return None;
        }
        // An empty context and none are the same in TLS 1.3 (RFC 8446 section 7.5).
        self.connection
            .export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(&[]))
            .ok()
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
