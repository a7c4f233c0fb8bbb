//! The keys of one direction, once the handshake has made them (RFC 8446 sections 5.2, 5.3 and 7.2).

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use rustls::{
    ConnectionTrafficSecrets, KeyLog, Tls13CipherSuite,
    crypto::{cipher::NONCE_LEN, tls13::OkmBlock},
};
use zeroize::Zeroizing;

use super::provider::aead::{
    AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey,
};

/// The bytes that sealing adds behind a record's content, for every suite of TLS 1.3.
pub(super) const TAG: usize = 16;

/// What an update of the keys is made from: both sides' traffic secrets. rustls tells them to whoever
/// asks for a log of keys, and to nobody else.
#[derive(Default)]
pub(super) struct Secrets {
    client: OnceLock<Secret>,
    server: OnceLock<Secret>,
}

type Secret = Zeroizing<Vec<u8>>;

impl Secrets {
    /// The secrets of what this side sends, and of what it receives.
    pub(super) fn take(self: Arc<Self>, client: bool) -> Option<(Secret, Secret)> {
        let (client_secret, server_secret) = (self.client.get()?, self.server.get()?);
        let (client_secret, server_secret) = (client_secret.clone(), server_secret.clone());
        Some(if client {
            (client_secret, server_secret)
        } else {
            (server_secret, client_secret)
        })
    }
}

impl KeyLog for Secrets {
    fn log(&self, label: &str, _client_random: &[u8], secret: &[u8]) {
        let place = match label {
            "CLIENT_TRAFFIC_SECRET_0" => &self.client,
            "SERVER_TRAFFIC_SECRET_0" => &self.server,
            _ => return,
        };
        // A connection has one handshake, so this is set once.
        let _ = place.set(Zeroizing::new(secret.to_vec()));
    }

    fn will_log(&self, label: &str) -> bool {
        label.ends_with("_TRAFFIC_SECRET_0")
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets")
    }
}

/// The key, the initial vector and the count of records of one direction.
pub(super) struct Keys {
    suite: &'static Tls13CipherSuite,
    key: LessSafeKey,
    iv: [u8; NONCE_LEN],
    sequence: u64,
    secret: Secret,
}

/// A record that can't be opened, or keys that are used up.
#[derive(Debug)]
pub(super) struct Failed;

impl Keys {
    /// Those that the handshake ended with, after `sequence` records.
    pub(super) fn new(
        suite: &'static Tls13CipherSuite,
        (sequence, traffic): (u64, ConnectionTrafficSecrets),
        secret: Secret,
    ) -> Option<Self> {
        let (algorithm, key, iv) = match &traffic {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&AES_128_GCM, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&AES_256_GCM, key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (&CHACHA20_POLY1305, key, iv),
            _ => return None,
        };
        Some(Self {
            suite,
            key: less_safe(algorithm, key.as_ref())?,
            iv: iv.as_ref().try_into().ok()?,
            sequence,
            secret,
        })
    }

    #[cfg(test)]
    pub(super) fn limit(&mut self, suite: &'static Tls13CipherSuite) {
        self.suite = suite;
    }

    /// Whether the next record should be an update of the keys: a key must not see more records than are safe for it.
    pub(super) const fn is_nearly_used_up(&self) -> bool {
        // The update itself and an alert still have to go out.
        self.sequence.saturating_add(2) >= self.suite.common.confidentiality_limit
    }

    /// The next keys of this direction.
    pub(super) fn update(&mut self) -> Option<()> {
        let next = self.expand(&self.secret, b"traffic upd", self.secret.len())?;
        let algorithm = self.key.algorithm();
        let key = self.expand(&next, b"key", algorithm.key_len())?;
        let iv = self.expand(&next, b"iv", NONCE_LEN)?;
        self.key = less_safe(algorithm, &key)?;
        self.iv = iv.as_slice().try_into().ok()?;
        self.sequence = 0;
        self.secret = next;
        Some(())
    }

    /// HKDF-Expand-Label without context (RFC 8446 section 7.1).
    fn expand(&self, secret: &[u8], label: &[u8], len: usize) -> Option<Secret> {
        const PREFIX: &[u8] = b"tls13 ";
        let hkdf = self.suite.hkdf_provider;
        let expander = hkdf.expander_for_okm(&OkmBlock::new(secret));
        let out_len = u16::try_from(len).ok()?.to_be_bytes();
        let label_len = [u8::try_from(PREFIX.len() + label.len()).ok()?];
        let mut out = Zeroizing::new(vec![0; len]);
        let info = [&out_len[..], &label_len, PREFIX, label, &[0]];
        expander.expand_slice(&info, &mut out).ok()?;
        Some(out)
    }

    /// Seals what stands in `content`, in place, and gives the tag to put behind it. `head` is the record's.
    pub(super) fn seal(&mut self, head: [u8; 5], content: &mut [u8]) -> Result<[u8; TAG], Failed> {
        let nonce = self.nonce()?;
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce, Aad::from(head), content);
        tag.ok()
            .and_then(|tag| tag.as_ref().try_into().ok())
            .ok_or(Failed)
    }

    /// Opens a record's body in place, and says how long the content is that stands at its front now.
    pub(super) fn open(&mut self, head: [u8; 5], body: &mut [u8]) -> Result<usize, Failed> {
        let nonce = self.nonce()?;
        let content = self.key.open_in_place(nonce, Aad::from(head), body);
        content.map(|content| content.len()).map_err(|_| Failed)
    }

    /// The sequence number of the next record, under the initial vector. No two records of one key have the same.
    fn nonce(&mut self) -> Result<Nonce, Failed> {
        let mut nonce = self.iv;
        for (byte, of_sequence) in nonce.iter_mut().rev().zip(self.sequence.to_le_bytes()) {
            *byte ^= of_sequence;
        }
        self.sequence = self.sequence.checked_add(1).ok_or(Failed)?;
        Ok(Nonce::assume_unique_for_key(nonce))
    }
}

fn less_safe(algorithm: &'static Algorithm, key: &[u8]) -> Option<LessSafeKey> {
    UnboundKey::new(algorithm, key).ok().map(LessSafeKey::new)
}
