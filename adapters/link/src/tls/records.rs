//! TLS 1.3 after its handshake: records of application data, and what little else may still come (RFC 8446 sections 4.6 and 5).
//!
//! rustls makes the handshake and hands its keys over; from there on, bytes are opened in the buffer that they were read into, and sealed in the one that they are
//! written from. rustls's own buffers would cost three copies more in each direction.

use std::{mem, sync::Arc};

use bytes::{Buf, BufMut, BytesMut};
use rustls::{AlertDescription, Connection, Error, InvalidMessage};

use super::{
    RECORD_MAX,
    keys::{Keys, Secrets, TAG},
    split::HEAD,
};

/// Types of content (RFC 8446 section 5.1).
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

/// Handshake messages that may come after the handshake (RFC 8446 section 4).
const NEW_SESSION_TICKET: u8 = 4;
const KEY_UPDATE: u8 = 24;

/// The longest body of a record, in bytes (RFC 8446 section 5.2).
const BODY_MAX: usize = RECORD_MAX + 256;

/// Longest handshake message that is put together from several records, in bytes. A ticket is all that an honest peer sends, of a few hundred bytes.
const MESSAGE_MAX: usize = 16_384;

/// Records in a row that bring no application data, before the peer is taken for one that only wants to keep this side busy.
const IDLE_RECORDS_MAX: u32 = 32;

/// The record layer of an open connection.
pub(super) struct Records {
    client: bool,
    send: Keys,
    receive: Keys,
    /// A handshake message that has come in part.
    message: Vec<u8>,
    /// Records since the last application data.
    idle: u32,
    /// The peer wants this side's keys updated.
    update_owed: bool,
    /// The alert to send, and whether it was the last word.
    alert: Option<[u8; 2]>,
    ended: bool,
}

/// What a record was.
pub(super) enum Received {
    /// Application data: the record's buffer, cut to its content.
    Data(BytesMut),
    /// Nothing for the application.
    Nothing,
    /// The peer sends nothing more.
    Closed,
}

impl Records {
    /// Takes over from rustls, whose handshake is done and whose output was taken.
    pub(super) fn take_over(connection: Connection, secrets: Arc<Secrets>) -> Result<Self, Error> {
        let client = matches!(connection, Connection::Client(_));
        let suite = connection
            .negotiated_cipher_suite()
            .and_then(|suite| suite.tls13());
        let keys = connection.dangerous_extract_secrets()?;
        let missing = || Error::General("the handshake left no keys".to_owned());
        let suite = suite.ok_or_else(missing)?;
        let (sending, receiving) = secrets.take(client).ok_or_else(missing)?;
        Ok(Self {
            client,
            send: Keys::new(suite, keys.tx, sending).ok_or_else(missing)?,
            receive: Keys::new(suite, keys.rx, receiving).ok_or_else(missing)?,
            message: Vec::new(),
            idle: 0,
            update_owed: false,
            alert: None,
            ended: false,
        })
    }

    /// Puts another suite, that differs in its limit, in the place of the one that was agreed on.
    #[cfg(test)]
    pub(super) fn limit_keys(&mut self, suite: &'static rustls::Tls13CipherSuite) {
        self.send.limit(suite);
    }

    /// Opens a record in its own buffer.
    pub(super) fn receive(&mut self, record: BytesMut) -> Result<Received, Error> {
        let received = self.open(record);
        if let Err(error) = &received {
            self.alert.get_or_insert(fatal(error));
        }
        received
    }

    fn open(&mut self, mut record: BytesMut) -> Result<Received, Error> {
        let unexpected = Error::General("a record that does not belong here".to_owned());
        let Some((&head, _)) = record.split_first_chunk::<HEAD>() else {
            return Err(unexpected);
        };
        if head[0] != APPLICATION_DATA {
            // Outside of the handshake everything is sealed.
            return Err(unexpected);
        }
        // Longer ones are refused before anything is done with them (RFC 8446 section 5.2).
        if usize::from(u16::from_be_bytes([head[3], head[4]])) > BODY_MAX {
            return Err(Error::PeerSentOversizedRecord);
        }
        record.advance(HEAD);
        let len = self.receive.open(head, &mut record);
        record.truncate(len.map_err(|_| Error::DecryptError)?);
        // Padding counts as well (RFC 8446 section 5.4).
        if record.len() > RECORD_MAX + 1 {
            return Err(Error::PeerSentOversizedRecord);
        }
        let kind = unpad(&mut record)?;
        if record.len() > RECORD_MAX {
            return Err(Error::PeerSentOversizedRecord);
        }
        if kind == APPLICATION_DATA && self.message.is_empty() && !record.is_empty() {
            self.idle = 0;
            return Ok(Received::Data(record));
        }
        self.idle += 1;
        if self.idle > IDLE_RECORDS_MAX {
            return Err(Error::General("too many records without data".to_owned()));
        }
        match kind {
            APPLICATION_DATA if self.message.is_empty() => Ok(Received::Nothing),
            HANDSHAKE if !record.is_empty() => self.messages(&record),
            ALERT if self.message.is_empty() => alert(&record),
            _ => Err(unexpected),
        }
    }

    /// Handshake messages, whole or in part.
    fn messages(&mut self, bytes: &[u8]) -> Result<Received, Error> {
        self.message.extend_from_slice(bytes);
        let message = mem::take(&mut self.message);
        let mut left = &message[..];
        while let Some((&kind, behind)) = left.split_first() {
            // Sessions of TLS are not kept, so nobody looks into a ticket: a carrier lives long.
            let ticket = kind == NEW_SESSION_TICKET && self.client;
            if !ticket && kind != KEY_UPDATE {
                return Err(Error::General(
                    "a handshake message that does not belong here".to_owned(),
                ));
            }
            let Some((&[a, b, c], behind)) = behind.split_first_chunk() else {
                break;
            };
            let len = u32::from_be_bytes([0, a, b, c]) as usize;
            if len > MESSAGE_MAX {
                return Err(InvalidMessage::HandshakePayloadTooLarge.into());
            }
            if !ticket && len != 1 {
                return Err(InvalidMessage::TrailingData("KeyUpdate").into());
            }
            let Some((body, behind)) = behind.split_at_checked(len) else {
                break;
            };
            if !ticket {
                self.key_update(body, behind)?;
            }
            left = behind;
        }
        self.message = left.to_vec();
        Ok(Received::Nothing)
    }

    fn key_update(&mut self, body: &[u8], behind: &[u8]) -> Result<(), Error> {
        let &[asked @ (0 | 1)] = body else {
            return Err(InvalidMessage::InvalidKeyUpdate.into());
        };
        // The keys change at the end of a record.
        if !behind.is_empty() {
            return Err(Error::General("a message behind KeyUpdate".to_owned()));
        }
        self.update_owed |= asked == 1;
        let updated = self.receive.update();
        updated.ok_or_else(|| Error::General("no further keys".to_owned()))
    }

    /// Says good-bye (close_notify).
    pub(super) fn close(&mut self) {
        self.alert.get_or_insert([1, 0]);
    }

    /// What is owed to the peer: an update of the keys if there is `room`, the last alert. Without, a peer that asks again and again and reads nothing would make
    /// the output grow without end; the update is due only before the next data (RFC 8446 section 4.6.3).
    pub(super) fn settle(&mut self, room: bool, out: &mut BytesMut) {
        if room && (self.update_owed || self.send.is_nearly_used_up()) && !self.ended {
            self.update_owed = false;
            let update = [KEY_UPDATE, 0, 0, 1, 0];
            self.ended |= self
                .seal(HANDSHAKE, out, update.len(), |out| out.put_slice(&update))
                .is_err()
                || self.send.update().is_none();
        }
        if let Some(alert) = self.alert
            && !self.ended
        {
            let _ = self.seal(ALERT, out, alert.len(), |out| out.put_slice(&alert));
            self.ended = true;
        }
    }

    /// Appends a record with the `len` bytes that `fill` appends, at most [`RECORD_MAX`].
    pub(super) fn send(
        &mut self,
        out: &mut BytesMut,
        len: usize,
        fill: impl FnOnce(&mut BytesMut),
    ) -> Result<(), Error> {
        self.settle(true, out);
        if self.ended {
            return Err(Error::EncryptError);
        }
        self.seal(APPLICATION_DATA, out, len, fill)
    }

    fn seal(
        &mut self,
        kind: u8,
        out: &mut BytesMut,
        len: usize,
        fill: impl FnOnce(&mut BytesMut),
    ) -> Result<(), Error> {
        let start = out.len();
        // One byte for the type of content.
        out.reserve(HEAD + len + 1 + TAG);
        out.put_slice(&[0; HEAD]);
        fill(out);
        out.put_u8(kind);
        let sealed = self.seal_from(start, out);
        if sealed.is_none() {
            // Nothing may leave that is not sealed.
            out.truncate(start);
        }
        sealed.ok_or(Error::EncryptError)
    }

    fn seal_from(&mut self, start: usize, out: &mut BytesMut) -> Option<()> {
        let (head, content) = out.get_mut(start..)?.split_first_chunk_mut::<HEAD>()?;
        if content.len() > RECORD_MAX + 1 {
            return None;
        }
        let [high, low] = u16::try_from(content.len() + TAG).ok()?.to_be_bytes();
        *head = [APPLICATION_DATA, 3, 3, high, low];
        let tag = self.send.seal(*head, content).ok()?;
        out.put_slice(&tag);
        Some(())
    }
}

/// Takes the padding off, and the type of content that stands in front of it (RFC 8446 section 5.4).
fn unpad(content: &mut BytesMut) -> Result<u8, Error> {
    let Some(at) = content.iter().rposition(|byte| *byte != 0) else {
        return Err(Error::General("a record without a type".to_owned()));
    };
    let kind = content.get(at).copied().unwrap_or_default();
    content.truncate(at);
    Ok(kind)
}

/// Takes the peer's alert: every one but two is an error (RFC 8446 section 6).
fn alert(content: &[u8]) -> Result<Received, Error> {
    let &[_, description] = content else {
        return Err(Error::General("an alert of the wrong length".to_owned()));
    };
    match AlertDescription::from(description) {
        AlertDescription::CloseNotify => Ok(Received::Closed),
        AlertDescription::UserCanceled => Ok(Received::Nothing),
        alert => Err(Error::AlertReceived(alert)),
    }
}

/// The alert that an error is answered with. An alert of the peer's is answered by none but the good-bye.
fn fatal(error: &Error) -> [u8; 2] {
    let description = match error {
        Error::AlertReceived(_) => return [1, AlertDescription::CloseNotify.into()],
        Error::DecryptError => AlertDescription::BadRecordMac,
        Error::PeerSentOversizedRecord => AlertDescription::RecordOverflow,
        Error::InvalidMessage(InvalidMessage::InvalidKeyUpdate) => {
            AlertDescription::IllegalParameter
        }
        Error::InvalidMessage(_) => AlertDescription::DecodeError,
        _ => AlertDescription::UnexpectedMessage,
    };
    [2, description.into()]
}
