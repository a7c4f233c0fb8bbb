//! RFC 6455 WebSocket frames as a codec: bytes in, bytes out.
//!
//! There is no HTTP here, no IO, no clock and no randomness: the upgrade has happened, the caller
//! reads and writes, and mask keys come from a generator that the caller passes in. The crate is
//! `no_std`; its one real dependency is `bytes`.
//!
//! Two things set this codec apart from a usual WebSocket library.
//!
//! * **Decoding cuts through.** Payload leaves as soon as it arrives, as a slice of the buffer that
//!   it arrived in, unmasked in place. A frame is never collected, and a declared length never
//!   leads to an allocation, so a peer can't make a [`Decoder`] hold more than one control frame.
//! * **A frame to send is a head and a mask, not a buffer.** [`Head`] is a small inline array, the
//!   payload stays where it is, and the two meet in a vectored write; a client masks in place or
//!   while copying ([`Mask`]).
//!
//! [`WebSocket`] joins a [`Decoder`] and an [`Encoder`] with the little state that RFC 6455 asks
//! for between them: which ping to answer, and how far the close handshake went.
//!
//! ```
//! use adit_websocket::{Config, Item, Kind, WebSocket};
//! use bytes::BytesMut;
//!
//! let mut client = WebSocket::client(|| [1, 2, 3, 4], Config::default());
//! let mut server: WebSocket = WebSocket::server(Config::default());
//!
//! let payload = b"hello";
//! let mut wire = BytesMut::new();
//! let (head, mut mask) = client.data(Kind::Binary, payload.len() as u64, true)?;
//! wire.extend_from_slice(head.as_slice());
//! mask.copy_into(payload, &mut wire);
//!
//! let Some(Item::Data { payload, end, .. }) = server.decode(&mut wire)? else { unreachable!() };
//! assert_eq!(payload, &b"hello"[..]);
//! assert!(end);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![no_std]
#![forbid(unsafe_code)]

mod close;
mod control;
mod decoder;
mod encoder;
mod error;
mod flood;
mod frame;
mod head;
mod mask;
mod socket;
mod utf8;

pub use close::{Close, CloseCode};
pub use control::{ControlFrame, ControlPayload, MAX_CONTROL_PAYLOAD};
pub use decoder::{Config, Decoder, Item};
pub use encoder::{Encoder, MaskKeys};
pub use error::{Error, SendError};
pub use flood::DEFAULT_FLOOD_BUDGET;
pub use frame::{Kind, Role};
pub use head::{Head, MAX_HEAD};
pub use mask::Mask;
pub use socket::WebSocket;
