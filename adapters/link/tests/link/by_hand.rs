//! The record layer of TLS 1.3, made by hand from RFC 8446 for whoever wants to send what no library would. It shares no code with the carrier's: other key
//! derivation, other way to the nonce.

use rustls::CipherSuite;

use super::cryptography::{aead, hkdf};

/// Types of content (RFC 8446, section 5.1).
pub(crate) const CHANGE_CIPHER_SPEC: u8 = 20;
pub(crate) const ALERT: u8 = 21;
pub(crate) const HANDSHAKE: u8 = 22;
pub(crate) const DATA: u8 = 23;

/// A KeyUpdate, and one that asks for the other side's.
pub(crate) const KEY_UPDATE: [u8; 5] = [24, 0, 0, 1, 0];
pub(crate) const KEY_UPDATE_ASKING: [u8; 5] = [24, 0, 0, 1, 1];

pub(crate) const CLOSE_NOTIFY: [u8; 2] = [1, 0];

/// The shortest NewSessionTicket that says something (section 4.6.1).
pub(crate) const TICKET: [u8; 19] = [4, 0, 0, 15, 0, 0, 14, 16, 1, 2, 3, 4, 1, 0, 0, 1, 7, 0, 0];

/// One direction.
pub(crate) struct Half {
    suite: CipherSuite,
    secret: Vec<u8>,
    sequence: u64,
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

impl Half {
    /// As it is when the handshake is done.
    pub(crate) fn new(suite: CipherSuite, secret: Vec<u8>) -> Self {
        Self {
            suite,
            secret,
            sequence: 0,
        }
    }

    fn algorithms(&self) -> (&'static aead::Algorithm, hkdf::Algorithm) {
        match self.suite {
            CipherSuite::TLS13_AES_128_GCM_SHA256 => (&aead::AES_128_GCM, hkdf::HKDF_SHA256),
            CipherSuite::TLS13_AES_256_GCM_SHA384 => (&aead::AES_256_GCM, hkdf::HKDF_SHA384),
            CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => {
                (&aead::CHACHA20_POLY1305, hkdf::HKDF_SHA256)
            }
            other => panic!("{other:?} is not one of TLS 1.3"),
        }
    }

    /// HKDF-Expand-Label with an empty context (section 7.1).
    fn expand(&self, label: &str, len: usize) -> Vec<u8> {
        let label = format!("tls13 {label}");
        let mut info = vec![0, len as u8, label.len() as u8];
        info.extend_from_slice(label.as_bytes());
        info.push(0);
        let mut out = vec![0; len];
        let prk = hkdf::Prk::new_less_safe(self.algorithms().1, &self.secret);
        let info = [&info[..]];
        prk.expand(&info, Length(len))
            .and_then(|okm| okm.fill(&mut out))
            .unwrap();
        out
    }

    /// The keys after a KeyUpdate (section 7.2).
    pub(crate) fn update(&mut self) {
        self.secret = self.expand("traffic upd", self.secret.len());
        self.sequence = 0;
    }

    /// A record is left out.
    pub(crate) fn skip(&mut self) {
        self.sequence += 1;
    }

    fn key_and_nonce(&mut self) -> (aead::LessSafeKey, aead::Nonce) {
        let algorithm = self.algorithms().0;
        let key = aead::UnboundKey::new(algorithm, &self.expand("key", algorithm.key_len()));
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&self.sequence.to_be_bytes());
        for (byte, iv) in nonce.iter_mut().zip(self.expand("iv", 12)) {
            *byte ^= iv;
        }
        self.sequence += 1;
        (
            aead::LessSafeKey::new(key.unwrap()),
            aead::Nonce::assume_unique_for_key(nonce),
        )
    }

    /// A record with whatever inner plaintext, and `head` bound to it in place of the right one.
    pub(crate) fn seal_inner(&mut self, inner: &[u8], head: Option<[u8; 3]>) -> Vec<u8> {
        let mut body = inner.to_vec();
        let [a, b, c] = head.unwrap_or([DATA, 3, 3]);
        let [high, low] = ((inner.len() + 16) as u16).to_be_bytes();
        let (key, nonce) = self.key_and_nonce();
        let aad = aead::Aad::from([a, b, c, high, low]);
        key.seal_in_place_append_tag(nonce, aad, &mut body).unwrap();
        [&[DATA, 3, 3, high, low], &body[..]].concat()
    }

    /// A record as it should be, with so much padding.
    pub(crate) fn seal_padded(&mut self, kind: u8, content: &[u8], padding: usize) -> Vec<u8> {
        let inner = [content, &[kind], &vec![0; padding]].concat();
        self.seal_inner(&inner, None)
    }

    /// A record as it should be.
    pub(crate) fn seal(&mut self, kind: u8, content: &[u8]) -> Vec<u8> {
        self.seal_padded(kind, content, 0)
    }

    /// Opens all records, follows the updates of their keys, and gives types and contents.
    pub(crate) fn open_all(&mut self, mut wire: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let mut opened = Vec::new();
        while !wire.is_empty() {
            let (head, rest) = wire.split_first_chunk::<5>().unwrap();
            let (body, rest) = rest.split_at(usize::from(u16::from_be_bytes([head[3], head[4]])));
            wire = rest;
            let (key, nonce) = self.key_and_nonce();
            let mut body = body.to_vec();
            let inner = key
                .open_in_place(nonce, aead::Aad::from(*head), &mut body)
                .unwrap();
            let end = inner.iter().rposition(|byte| *byte != 0).unwrap();
            let (kind, content) = (inner[end], inner[..end].to_vec());
            if kind == HANDSHAKE && content[0] == KEY_UPDATE[0] {
                self.update();
            }
            opened.push((kind, content));
        }
        opened
    }
}
