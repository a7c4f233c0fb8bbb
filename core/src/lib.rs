//! The Adit protocol as pure state machines: handshake, token proof, multiplexing, flow control.
//!
//! Nothing in this crate does IO. Time enters as an [`Instant`], entropy as a seed, bytes as [`Bytes`](bytes::Bytes); what
//! must go out is asked for. The specification stands in `spec/`, and the code names its sections.
//!
//! # Driving a machine
//!
//! [`ClientHandshake`], [`ServerHandshake`] and [`Session`] have methods of four kinds, legal in any order:
//!
//! - getters, which change nothing;
//! - `handle_*`: what happened: bytes arrived, time passed, the carrier died;
//! - verbs: what the application wants: open, write, finish, reset, close;
//! - `poll_*`: what to do next: a frame to send, an event to see to, when to come back.
//!
//! The loop is: hand over what happened, poll events until there are none, poll frames while the carrier takes them, and come
//! back at [`poll_timeout`](Session::poll_timeout) at the latest. Polling late costs latency, never correctness.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use adit_core::{Config, Event, Instant, Open, ServiceId, ServiceKind, Session, Side};
//! use bytes::Bytes;
//!
//! // Time is an argument. Who the two are was settled by a handshake, which is left out here.
//! let now = Instant::ORIGIN + Duration::from_secs(1);
//! let config = Arc::new(Config::default());
//! let mut client = Session::new(Arc::clone(&config), Side::Client, config.limits(), now);
//! let mut server = Session::new(Arc::clone(&config), Side::Server, config.limits(), now);
//!
//! // A verb: the server opens a stream and writes to it. Nothing is awaited.
//! let open = Open { kind: ServiceKind::Tcp, service: ServiceId(0), visitor: None, dialled: None };
//! let stream = server.open(now, open)?;
//! server.write(stream, &mut Bytes::from_static(b"hello"))?;
//! server.finish(stream)?;
//!
//! // What must go out is asked for, frame by frame, and handed in at the other side.
//! while let Some(frame) = server.poll_transmit(now, 16 * 1024) {
//!     let bytes = Bytes::from([frame.head(), frame.payload()].concat());
//!     let slab = bytes.len();
//!     client.handle_input(now, bytes, slab);
//! }
//!
//! // What follows from it is told as events.
//! let mut heard = Vec::new();
//! while let Some(event) = client.poll_event() {
//!     if let Event::Readable(stream) = event {
//!         let read: Vec<u8> = client.chunks(stream).flat_map(|chunk| chunk.to_vec()).collect();
//!         client.consume(now, stream, read.len());
//!         heard.extend(read);
//!     }
//! }
//! assert_eq!(heard, b"hello");
//! // And when to come back, if nothing happens before.
//! assert!(client.poll_timeout().is_some_and(|at| at > now));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A handshake, and both sides over a wire of one's own, stand in the guide `docs/embedding.md`. [`manual`] has what signatures can't say: threats, limits, tuning.
//!
//! # The parts
//!
//! | file | what it decides |
//! | --- | --- |
//! | `endpoint`, `handshake`, `auth` | who may open a session: version, proof, channel binding, limits |
//! | `frame`, `decode`, `codec`, `transmit` | bytes to frames and back |
//! | `session` | what a frame means, positions and acknowledgements, liveness, going away |
//! | `stream` | a stream's two halves, its credit and its window |
//! | `schedule` | whose data goes out next |
//! | `backoff` | when to try again |
//! | `config`, `code`, `error` | every limit, every code, every error |

#![no_std]
#![forbid(unsafe_code)]
#![warn(
    clippy::alloc_instead_of_core,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc
)]

extern crate alloc;

#[cfg(test)]
extern crate std;

pub mod auth;
mod backoff;
mod budget;
mod code;
mod codec;
mod config;
mod decode;
mod endpoint;
mod error;
mod frame;
mod handshake;
mod ids;
pub mod manual;
mod random;
mod schedule;
mod session;
mod stream;
mod time;
mod token;
mod transmit;

pub use auth::Verifier;
pub use backoff::Backoff;
pub use budget::Budget;
pub use code::Code;
pub use codec::VARINT_MAX;
pub use config::{
    Config, ConfigError, DATA_FRAME_MAX, HOLD_FACTOR, SEND_FLOOR, SEND_HOLD_FACTOR, STREAM_COST,
};
pub use decode::{Decoder, Piece};
pub use endpoint::{AdmitError, AtLimit, Attachment, Endpoint, SessionRecord};
pub use error::{HandshakeError, OpenError, ProtocolError, SessionError, StreamError};
pub use frame::{
    Auth, BODY_MAX, DETAIL_MAX, Frame, Grant, LIST_MAX, Limits, MAGIC, Open, PAYLOAD_MAX, Resume,
    Resumed, SERVICES_MAX, ServerHello, Service, ServiceKind, VERSION, Welcome, features, flags,
    kind,
};
pub use handshake::{
    AuthFailure, CarrierFacts, ClientHandshake, ClientHello, Established, HandshakeEvent, Request,
    Resumption, ServerFacts, ServerHandshake,
};
pub use ids::{ClientId, Instance, NameError, ServiceId, SessionId, Side, StreamId, TunnelName};
pub use session::{Event, Session, Stated, Stats};
pub use stream::Chunks;
pub use time::Instant;
pub use token::{Token, TokenError};
pub use transmit::Transmit;
