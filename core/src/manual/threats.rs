//! Known attacks, what answers them, and what is left to whoever drives the machines.
//!
//! `spec/11-security.md` says what the protocol promises. This page is for those who build something on it.
//!
//! # The token is guessed or stolen
//!
//! Neither the token nor a key made from it crosses the wire: both sides prove that they know it, over fresh nonces and everything that both have said
//! ([`ClientHandshake`](crate::ClientHandshake), [`ServerHandshake`](crate::ServerHandshake); the construction is SCRAM's, RFC 5802, with HKDF). Whoever ends TLS in between sees a proof, and can test guesses against it
//! for as long as he likes; nothing slow stands in his way, because nothing slow would save a weak token. So [`Token::new`](crate::Token::new) refuses fewer than 16 bytes, and
//! [`Token::looks_weak`](crate::Token::looks_weak) tells what is likely to have been typed by a person. A server may keep a [`Verifier`](crate::Verifier) instead of the token: who
//! steals that can pose as the server, and not as a client.
//!
//! *Left to you:* make tokens from 16 random bytes or more; keep them out of logs (none of the types here prints one); give each tenant its own.
//!
//! # Somebody stands in between
//!
//! A proof that is passed on proves nothing, if it is bound to the connection that it was made for: the exporter value of TLS 1.3 (RFC 9266) is under the proof, in
//! [`ServerFacts`](crate::ServerFacts) and [`CarrierFacts`](crate::CarrierFacts). The server says in its hello, which is under the proof as well, that it wants that. A client whose peer's certificate could not be
//! checked sends no proof to a server that does not. So a man in the middle can neither use a proof, nor talk anybody out of the binding.
//!
//! *Left to you:* tell the truth in the facts. `certificate_checked: true` for a certificate that nobody checked opens the door again.
//!
//! # A handshake is recorded and played again
//!
//! Both nonces are under every proof, and both are made from the seed. *Left to you:* a seed that nobody can predict and that is never used twice. A device that boots with the same seed each time
//! makes the same nonces each time.
//!
//! # Somebody looks for tunnels
//!
//! An unknown tunnel and a wrong token look the same and cost the same: [`ServerHandshake::authenticate`](crate::ServerHandshake::authenticate) takes `None` for a tunnel that there is not, and goes on as if it were there.
//! Comparisons take constant time. *Left to you:* the time in which you look the tunnel up.
//!
//! # Strangers take all places
//!
//! Before the proof, a carrier costs the body of one frame and what was read out of it, and has [`handshake_timeout`](crate::Config::handshake_timeout) in all, which single bytes don't prolong.
//! [`handshakes_max`](crate::Config::handshakes_max) bounds how many there are. *Left to you:* which of them goes when there are too many (`adit-relay` lets the one go that has been silent for longest), and delays for those who
//! fail. Delay the answer to a failure by all means; never refuse a right proof for somebody else's wrong ones, or one misconfigured client behind a shared address locks out all others.
//!
//! # A session is taken over
//!
//! To go on with a session takes a proof of its resume key, which both sides made from the token's keys and never sent. The old carrier is left only after the proof was checked; a session that was made bound to a TLS
//! connection goes on only bound. What was recorded of a session is of no use for it.
//!
//! # A peer breaks the rules
//!
//! Lengths are checked before anything is allocated, lists grow as their entries are really there, and unknown frames are skipped or end the session, by their number. Data beyond the credit ends the session, with
//! a code. Frames that do no work (empty data, the same credit again, streams that are reset before they carried anything) are counted as glitches, against
//! [`glitches_max`](crate::Config::glitches_max); frames in proportion to work are not. No input makes a machine panic: that would be a bug, and fuzzers look for it.
//!
//! # Memory is taken and not given back
//!
//! [`Config::memory_bound`](crate::Config::memory_bound) is what one session can cost, whatever its peer does: see [`limits`](super::limits). A stalled stream keeps its own first credit and at most a share of what is free;
//! it never takes it all. *Left to you:* say with [`Session::handle_input`](crate::Session::handle_input) how large the buffer is that a slice keeps alive. A slice of ten bytes that holds a buffer of a megabyte is a megabyte.
//!
//! # What a stream carries
//!
//! Is not looked at, not changed, and not protected beyond the carrier. A reset is told apart from an end: [`Event::Reset`](crate::Event::Reset) must become a reset or an error on your side, or an answer that was cut short will
//! pass for a whole one.
