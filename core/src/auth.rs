//! Keys and proofs: the construction of spec/04-handshake.md, sections 4.1, 4.2 and 4.7.
//!
//! Everything here is a pure function of its arguments. Keys are wiped from memory when they are
//! dropped, are compared in constant time and never show in `Debug`. The module is public so that
//! another implementation, or a test, can compare every value on the way.

use core::fmt;

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::ids::TunnelName;
use crate::token::Token;

/// Bytes of a key, a proof, a hash, an exporter value.
const LEN: usize = 32;

/// A 32-byte secret: wiped when dropped.
type Secret = Zeroizing<[u8; LEN]>;

/// What a server keeps of a token: enough to check a client and to prove itself, not enough to pose
/// as a client.
#[derive(Clone)]
pub struct Verifier {
    stored_key: Secret,
    server_key: Secret,
}

impl Verifier {
    /// The verifier of `tunnel`'s `token`.
    #[must_use]
    pub fn new(token: &Token, tunnel: &TunnelName) -> Self {
        Keys::new(token, tunnel).verifier()
    }

    /// A verifier that nobody can meet, for a tunnel that does not exist: no key is known whose hash
    /// is the random `stored_key`.
    pub(crate) fn decoy(stored_key: [u8; LEN], server_key: [u8; LEN]) -> Self {
        Self {
            stored_key: Zeroizing::new(stored_key),
            server_key: Zeroizing::new(server_key),
        }
    }

    /// The keys behind a client's `proof` over `t1`, if it made the proof with the right token.
    #[must_use]
    pub fn check(&self, t1: &Transcript, proof: &[u8; LEN]) -> Option<Keys> {
        let client_key = xor(
            &signature(&self.stored_key, b"adit client proof", t1),
            proof,
        );
        let right = bool::from(sha256(&[&*client_key]).ct_eq(&*self.stored_key));
        right.then(|| Keys {
            client_key,
            server_key: self.server_key.clone(),
        })
    }
}

impl PartialEq for Verifier {
    /// In constant time.
    fn eq(&self, other: &Self) -> bool {
        let stored = self.stored_key.ct_eq(&*other.stored_key);
        bool::from(stored & self.server_key.ct_eq(&*other.server_key))
    }
}

impl Eq for Verifier {}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[verifier]")
    }
}

/// Both keys of a token: what a client derives, and what a server knows of a client whose proof was
/// right.
#[derive(Clone)]
pub struct Keys {
    client_key: Secret,
    server_key: Secret,
}

impl Keys {
    /// The keys of `tunnel`'s `token`.
    #[must_use]
    pub fn new(token: &Token, tunnel: &TunnelName) -> Self {
        let salt = [b"adit-1 ", tunnel.as_str().as_bytes()].concat();
        let prk = Hkdf::<Sha256>::new(Some(&salt), token.expose());
        Self {
            client_key: expand(&prk, b"adit client key"),
            server_key: expand(&prk, b"adit server key"),
        }
    }

    /// What a server may keep of them.
    #[must_use]
    pub fn verifier(&self) -> Verifier {
        Verifier {
            stored_key: sha256(&[&*self.client_key]),
            server_key: self.server_key.clone(),
        }
    }

    /// The client's proof over `t1`.
    #[must_use]
    pub fn client_proof(&self, t1: &Transcript) -> [u8; LEN] {
        let stored_key = sha256(&[&*self.client_key]);
        *xor(
            &self.client_key,
            &signature(&stored_key, b"adit client proof", t1),
        )
    }

    /// The server's proof over `t2`.
    #[must_use]
    pub fn server_proof(&self, t2: &Transcript) -> [u8; LEN] {
        *signature(&self.server_key, b"adit server proof", t2)
    }

    /// Whether `proof` is the server's over `t2`.
    #[must_use]
    pub fn check_server(&self, t2: &Transcript, proof: &[u8; LEN]) -> bool {
        self.server_proof(t2).ct_eq(proof).into()
    }

    /// The key with which the session that begins with `t2` can be resumed.
    #[must_use]
    pub fn resume_key(&self, t2: &Transcript) -> ResumeKey {
        let ikm = Zeroizing::new([*self.client_key, *self.server_key].concat());
        let prk = Hkdf::<Sha256>::new(Some(&t2.0), &ikm);
        ResumeKey(expand(&prk, b"adit resume key"))
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[keys]")
    }
}

/// The right to resume one session.
#[derive(Clone)]
pub struct ResumeKey(Secret);

impl ResumeKey {
    /// A key that opens nothing.
    pub(crate) fn decoy(key: [u8; LEN]) -> Self {
        Self(Zeroizing::new(key))
    }

    /// The client's proof over `r1`.
    #[must_use]
    pub fn client_proof(&self, r1: &Transcript) -> [u8; LEN] {
        *signature(&self.0, b"adit resume client", r1)
    }

    /// Whether `proof` is the client's over `r1`.
    #[must_use]
    pub fn check_client(&self, r1: &Transcript, proof: &[u8; LEN]) -> bool {
        self.client_proof(r1).ct_eq(proof).into()
    }

    /// The server's proof over `r2`.
    #[must_use]
    pub fn server_proof(&self, r2: &Transcript) -> [u8; LEN] {
        *signature(&self.0, b"adit resume server", r2)
    }

    /// Whether `proof` is the server's over `r2`.
    #[must_use]
    pub fn check_server(&self, r2: &Transcript, proof: &[u8; LEN]) -> bool {
        self.server_proof(r2).ct_eq(proof).into()
    }

    /// The key itself, to keep or to compare.
    #[must_use]
    pub fn expose(&self) -> &[u8; LEN] {
        &self.0
    }
}

impl fmt::Debug for ResumeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[resume key]")
    }
}

/// A hash over all that was said so far, byte for byte: what a proof is made over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transcript([u8; LEN]);

impl Transcript {
    /// `T1`: both hellos. `auth` is AUTH's encoding without its proof.
    #[must_use]
    pub fn auth(server_hello: &[u8], auth: &[u8]) -> Self {
        Self(*sha256(&[b"adit auth 1", server_hello, auth]))
    }

    /// `T2`: this `T1`, the client's proof, and WELCOME's encoding without its own.
    #[must_use]
    pub fn welcome(&self, client_proof: &[u8; LEN], welcome: &[u8]) -> Self {
        Self(*sha256(&[
            b"adit welcome 1",
            &self.0,
            client_proof,
            welcome,
        ]))
    }

    /// `R1`: `resume` is RESUME's encoding without its proof.
    #[must_use]
    pub fn resume(server_hello: &[u8], resume: &[u8]) -> Self {
        Self(*sha256(&[b"adit resume 1", server_hello, resume]))
    }

    /// `R2`: this `R1`, the client's proof, and RESUMED's encoding without its own.
    #[must_use]
    pub fn resumed(&self, client_proof: &[u8; LEN], resumed: &[u8]) -> Self {
        Self(*sha256(&[
            b"adit resumed 1",
            &self.0,
            client_proof,
            resumed,
        ]))
    }

    /// The hash.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; LEN] {
        &self.0
    }
}

fn sha256(parts: &[&[u8]]) -> Secret {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    Zeroizing::new(hash.finalize().into())
}

fn expand(prk: &Hkdf<Sha256>, info: &[u8]) -> Secret {
    let mut key = Zeroizing::new([0; LEN]);
    let done = prk.expand(info, &mut *key);
    debug_assert!(done.is_ok(), "HKDF gives up to 255 hashes, and this is one");
    key
}

/// HMAC-SHA-256 of `label` and `transcript`.
fn signature(key: &[u8; LEN], label: &[u8], transcript: &Transcript) -> Secret {
    // What HMAC does with a short key (RFC 2104): zeros up to the hash's block.
    let mut block = Zeroizing::new([0; 64]);
    block[..LEN].copy_from_slice(key);
    let mac = Hmac::<Sha256>::new((&*block).into());
    let tag = mac
        .chain_update(label)
        .chain_update(transcript.0)
        .finalize();
    Zeroizing::new(tag.into_bytes().into())
}

fn xor(a: &[u8; LEN], b: &[u8; LEN]) -> Secret {
    let mut out = Zeroizing::new(*a);
    for (out, b) in out.iter_mut().zip(b) {
        *out ^= b;
    }
    out
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    fn token(text: &str) -> Token {
        Token::new(text.as_bytes()).expect("long enough")
    }

    fn tunnel(name: &str) -> TunnelName {
        TunnelName::new(name).expect("a name")
    }

    #[test]
    fn white_space_around_a_token_is_no_part_of_it() {
        let plain = Keys::new(&token("0123456789abcdef"), &tunnel("a"));
        let wrapped = Keys::new(&token(" \t0123456789abcdef\r\n"), &tunnel("a"));
        assert_eq!(plain.verifier(), wrapped.verifier());
    }

    #[test]
    fn the_same_token_gives_other_keys_for_another_tunnel() {
        let token = token("0123456789abcdef");
        assert_ne!(
            Verifier::new(&token, &tunnel("a")),
            Verifier::new(&token, &tunnel("b"))
        );
        assert_eq!(
            Verifier::new(&token, &tunnel("a")),
            Verifier::new(&token, &tunnel("a"))
        );
    }

    #[test]
    fn a_proof_is_good_for_its_transcript_and_its_token_only() {
        let keys = Keys::new(&token("0123456789abcdef"), &tunnel("a"));
        let (t1, other) = (
            Transcript::auth(b"hello", b"auth"),
            Transcript::auth(b"hell", b"oauth"),
        );
        let proof = keys.client_proof(&t1);
        assert!(keys.verifier().check(&t1, &proof).is_some());
        assert!(
            keys.verifier()
                .check(&Transcript::auth(b"hello", b"auti"), &proof)
                .is_none()
        );
        // Parts are not delimited in the hash; frames carry their own lengths.
        assert_eq!(t1, other);
        let wrong = Keys::new(&token("0123456789abcdeg"), &tunnel("a"));
        assert!(wrong.verifier().check(&t1, &proof).is_none());
        assert!(
            Verifier::decoy([0; LEN], [0; LEN])
                .check(&t1, &proof)
                .is_none()
        );
    }

    #[test]
    fn what_a_server_keeps_makes_no_client_proof() {
        let keys = Keys::new(&token("0123456789abcdef"), &tunnel("a"));
        let verifier = keys.verifier();
        let t1 = Transcript::auth(b"", b"");
        // The best that the verifier offers in the client key's place.
        let posing = Keys {
            client_key: verifier.stored_key.clone(),
            server_key: verifier.server_key.clone(),
        };
        assert!(verifier.check(&t1, &posing.client_proof(&t1)).is_none());
    }

    #[test]
    fn the_server_recovers_the_keys_so_that_both_derive_one_resume_key() {
        let keys = Keys::new(&token("0123456789abcdef"), &tunnel("a"));
        let t1 = Transcript::auth(b"hello", b"auth");
        let proof = keys.client_proof(&t1);
        let known = keys.verifier().check(&t1, &proof).expect("right");
        let t2 = t1.welcome(&proof, b"welcome");
        assert!(keys.check_server(&t2, &known.server_proof(&t2)));
        assert!(!keys.check_server(&t1, &known.server_proof(&t2)));
        assert_eq!(
            keys.resume_key(&t2).expose(),
            known.resume_key(&t2).expose()
        );
    }

    #[test]
    fn the_two_proofs_of_a_resumption_differ() {
        let key = ResumeKey::decoy([9; LEN]);
        let r1 = Transcript::resume(b"hello", b"resume");
        let client = key.client_proof(&r1);
        assert!(key.check_client(&r1, &client));
        assert!(!key.check_server(&r1, &client));
        let r2 = r1.resumed(&client, b"resumed");
        assert!(key.check_server(&r2, &key.server_proof(&r2)));
    }

    #[test]
    fn no_secret_shows_in_debug() {
        let token = token("0123456789abcdef");
        let keys = Keys::new(&token, &tunnel("a"));
        let key = keys.resume_key(&Transcript::auth(b"", b""));
        let shown = format!("{token:?} {keys:?} {:?} {key:?}", keys.verifier());
        assert_eq!(shown, "[token] [keys] [verifier] [resume key]");
    }
}
