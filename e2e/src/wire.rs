//! Reading a captured session as a stranger would who has only `spec/`: the
//! WebSocket's payload, the first frames, and, for one who knows the token, all
//! keys that the exchange makes. Written apart from Adit's own code on purpose.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

const PROOF: usize = 32;

/// The payload of the binary messages behind an HTTP upgrade head, unmasked.
/// None if the capture is something else.
pub fn websocket_payload(capture: &[u8]) -> Option<Vec<u8>> {
    let head = capture.windows(4).position(|four| four == b"\r\n\r\n")?;
    let mut left = capture.get(head + 4..)?;
    let mut payload = Vec::new();
    while let [first, second, rest @ ..] = left {
        let (length, rest) = match second & 0x7f {
            126 => (
                u64::from(u16::from_be_bytes(*rest.first_chunk()?)),
                rest.get(2..)?,
            ),
            127 => (u64::from_be_bytes(*rest.first_chunk()?), rest.get(8..)?),
            short => (u64::from(short), rest),
        };
        let (mask, rest) = if second & 0x80 == 0 {
            ([0; 4], rest)
        } else {
            (*rest.first_chunk::<4>()?, rest.get(4..)?)
        };
        // The capture may end inside a message.
        let length = usize::try_from(length).ok()?.min(rest.len());
        if first & 0x0f <= 2 {
            let bytes = rest.iter().take(length).zip(mask.iter().cycle());
            payload.extend(bytes.map(|(byte, mask)| byte ^ mask));
        }
        left = rest.get(length..)?;
    }
    Some(payload)
}

/// The first frame's encoding, head included (spec, 3.2; types below 0xc0).
pub fn first_frame(payload: &[u8]) -> Option<&[u8]> {
    let (length, size) = varint(payload.get(1..)?)?;
    payload.get(..1 + size + usize::try_from(length).ok()?)
}

/// A varint of RFC 9000, and how many bytes it takes.
fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let (&first, rest) = bytes.split_first()?;
    let size = 1 << (first >> 6);
    let rest = rest.get(..size - 1)?;
    let value = rest.iter().fold(u64::from(first & 0x3f), |value, &byte| {
        value << 8 | u64::from(byte)
    });
    Some((value, size))
}

/// A key with its name in the specification.
pub type NamedKey = (&'static str, Vec<u8>);

/// The keys that a token gives for a tunnel, whatever is said (spec, 4.1).
#[derive(Debug)]
pub struct TokenKeys {
    prk: Vec<u8>,
    client_key: Vec<u8>,
    server_key: Vec<u8>,
    stored_key: Vec<u8>,
}

impl TokenKeys {
    /// From the token and the tunnel's name.
    ///
    /// # Panics
    ///
    /// Never: 32 bytes can always be had.
    pub fn new(token: &[u8], tunnel: &str) -> Self {
        let salt = [b"adit-1 ", tunnel.as_bytes()].concat();
        let (prk, keys) = Hkdf::<Sha256>::extract(Some(&salt), token);
        let client_key = expand(&keys, "adit client key");
        Self {
            prk: prk.to_vec(),
            server_key: expand(&keys, "adit server key"),
            stored_key: Sha256::digest(&client_key).to_vec(),
            client_key,
        }
    }

    /// Whether the proof in AUTH was made from these keys; false if a frame is
    /// missing.
    pub fn made_proof(&self, from_server: &[u8], from_client: &[u8]) -> bool {
        let auth = first_frame(from_client).and_then(split_proof);
        let frames = first_frame(from_server).zip(auth);
        frames.is_some_and(|(hello, (auth, proof))| self.proof(&t1(hello, auth)) == proof)
    }

    fn proof(&self, t1: &[u8]) -> Vec<u8> {
        let pad = mac(&self.stored_key, &[b"adit client proof", t1]);
        self.client_key
            .iter()
            .zip(&pad)
            .map(|(a, b)| a ^ b)
            .collect()
    }

    /// All of them.
    pub fn named(&self) -> Vec<NamedKey> {
        vec![
            ("prk", self.prk.clone()),
            ("client key", self.client_key.clone()),
            ("server key", self.server_key.clone()),
            ("stored key", self.stored_key.clone()),
        ]
    }
}

/// What one exchange between two who know the token proves and makes (spec, 4.2).
#[derive(Debug)]
pub struct Exchange {
    /// Its keys.
    pub named: Vec<NamedKey>,
    /// Whether the client's proof and the server's are what the keys say they
    /// must be: if so, the exchange was understood whole.
    pub proofs_right: bool,
}

impl Exchange {
    /// From the first frames of both directions: SERVER_HELLO and WELCOME,
    /// AUTH. None if frames are missing.
    pub fn new(keys: &TokenKeys, from_server: &[u8], from_client: &[u8]) -> Option<Self> {
        let hello = first_frame(from_server)?;
        let auth = first_frame(from_client)?;
        let welcome = first_frame(from_server.get(hello.len()..)?)?;
        let (auth, client_proof) = split_proof(auth)?;
        let (welcome, server_proof) = split_proof(welcome)?;

        let t1 = t1(hello, auth);
        let t2 = hash(&[b"adit welcome 1", &t1, client_proof, welcome]);
        let both = [keys.client_key.as_slice(), &keys.server_key].concat();
        let (prk, session) = Hkdf::<Sha256>::extract(Some(&t2), &both);
        let server_right = mac(&keys.server_key, &[b"adit server proof", &t2]) == server_proof;
        Some(Self {
            proofs_right: keys.proof(&t1) == client_proof && server_right,
            named: vec![
                ("resume prk", prk.to_vec()),
                ("resume key", expand(&session, "adit resume key")),
            ],
        })
    }
}

/// A frame without its proof, and the proof.
fn split_proof(frame: &[u8]) -> Option<(&[u8], &[u8])> {
    frame.split_at_checked(frame.len().checked_sub(PROOF)?)
}

fn t1(hello: &[u8], auth: &[u8]) -> Vec<u8> {
    hash(&[b"adit auth 1", hello, auth])
}

fn hash(parts: &[&[u8]]) -> Vec<u8> {
    Sha256::digest(parts.concat()).to_vec()
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().to_vec()
}

fn expand(keys: &Hkdf<Sha256>, info: &str) -> Vec<u8> {
    let mut out = vec![0; 32];
    keys.expand(info.as_bytes(), &mut out)
        .expect("32 bytes can always be had");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_have_their_values_of_rfc_9000() {
        // RFC 9000, appendix A.1.
        assert_eq!(varint(&[0x25]), Some((37, 1)));
        assert_eq!(varint(&[0x7b, 0xbd]), Some((15_293, 2)));
        assert_eq!(varint(&[0x9d, 0x7f, 0x3e, 0x7d]), Some((494_878_333, 4)));
        let eight = [0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c];
        assert_eq!(varint(&eight), Some((151_288_809_941_952_652, 8)));
        assert_eq!(varint(&[0x7b]), None);
    }

    #[test]
    fn messages_are_unmasked_and_joined() {
        // RFC 6455, section 5.7: "Hello" masked, after it "Hello" bare, then a ping.
        let mut capture = b"HTTP/1.1 101 Switching Protocols\r\n\r\n".to_vec();
        capture.extend([
            0x82, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
        ]);
        capture.extend([0x82, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
        capture.extend([0x89, 0x01, 0x21]);
        assert_eq!(
            websocket_payload(&capture).as_deref(),
            Some(&b"HelloHello"[..])
        );
    }

    #[test]
    fn the_first_frame_ends_where_its_length_says() {
        assert_eq!(first_frame(&[1, 2, 7, 7, 9, 9]), Some(&[1, 2, 7, 7][..]));
        assert_eq!(first_frame(&[1, 2, 7]), None);
    }
}
