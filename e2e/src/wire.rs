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

/// Everything secret that the token and one exchange make (spec, 4.1 and 4.2).
#[derive(Debug)]
pub struct Keys {
    /// Each with its name in the specification.
    pub named: Vec<(&'static str, Vec<u8>)>,
    /// Whether the client's proof and the server's are what the keys say they
    /// must be: if so, the exchange was understood whole.
    pub proofs_right: bool,
}

impl Keys {
    /// From the token, the tunnel's name, and the first frames of both
    /// directions: SERVER_HELLO and WELCOME, AUTH. None if frames are missing.
    pub fn new(token: &[u8], tunnel: &str, from_server: &[u8], from_client: &[u8]) -> Option<Self> {
        let hello = first_frame(from_server)?;
        let auth = first_frame(from_client)?;
        let welcome = first_frame(from_server.get(hello.len()..)?)?;
        let (auth, client_proof) = auth.split_at_checked(auth.len().checked_sub(PROOF)?)?;
        let (welcome, server_proof) =
            welcome.split_at_checked(welcome.len().checked_sub(PROOF)?)?;

        let salt = [b"adit-1 ", tunnel.as_bytes()].concat();
        let (prk, keys) = Hkdf::<Sha256>::extract(Some(&salt), token);
        let client_key = expand(&keys, "adit client key")?;
        let server_key = expand(&keys, "adit server key")?;
        let stored_key = Sha256::digest(&client_key).to_vec();
        let t1 = hash(&[b"adit auth 1", hello, auth]);
        let t2 = hash(&[b"adit welcome 1", &t1, client_proof, welcome]);
        let pad = mac(&stored_key, &[b"adit client proof", &t1])?;
        let expected: Vec<u8> = client_key.iter().zip(&pad).map(|(a, b)| a ^ b).collect();
        let both = [client_key.as_slice(), &server_key].concat();
        let (session_prk, session) = Hkdf::<Sha256>::extract(Some(&t2), &both);
        let resume_key = expand(&session, "adit resume key")?;
        let server_right = mac(&server_key, &[b"adit server proof", &t2])? == server_proof;
        Some(Self {
            proofs_right: expected == client_proof && server_right,
            named: vec![
                ("prk", prk.to_vec()),
                ("client key", client_key),
                ("server key", server_key),
                ("stored key", stored_key),
                ("resume prk", session_prk.to_vec()),
                ("resume key", resume_key),
            ],
        })
    }
}

fn hash(parts: &[&[u8]]) -> Vec<u8> {
    Sha256::digest(parts.concat()).to_vec()
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Option<Vec<u8>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    parts.iter().for_each(|part| mac.update(part));
    Some(mac.finalize().into_bytes().to_vec())
}

fn expand(keys: &Hkdf<Sha256>, info: &str) -> Option<Vec<u8>> {
    let mut out = vec![0; 32];
    keys.expand(info.as_bytes(), &mut out).ok()?;
    Some(out)
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
