//! The protocol without relays: frames, the handshake, and what two sessions owe each other on good carriers, bad ones and with a peer that lies.

mod fairness;
mod frames;
mod handshake;
mod hostile;
mod resume;
mod rules;
mod session;
