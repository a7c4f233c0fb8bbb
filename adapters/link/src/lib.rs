//! One carrier of an Adit session, as a machine: bytes in, bytes out.
//!
//! A [`Carrier`] stacks up to three layers, each of which can be left out: TLS, the HTTP upgrade, and
//! WebSocket frames. It does no IO, knows no runtime and reads no clock; the one thing that looks at
//! the time of day is TLS, where certificates expire. (So does [`ClientTls::from_pem`] read the
//! system's CAs, when no other are given.)
//!
//! # Driving a carrier
//!
//! * Bytes from the socket go to [`handle_input`](Carrier::handle_input), its end to
//!   [`handle_eof`](Carrier::handle_eof). Afterwards poll [`poll_event`](Carrier::poll_event) and
//!   [`poll_payload`](Carrier::poll_payload) until they give nothing: what is left unpolled lowers
//!   [`read_limit`](Carrier::read_limit).
//! * While [`send_space`](Carrier::send_space) is not 0, hand frames to [`send`](Carrier::send).
//! * Write what [`gather`](Carrier::gather) gives and say how much that was
//!   ([`written`](Carrier::written)).
//! * Call [`handle_timeout`](Carrier::handle_timeout) at [`poll_timeout`](Carrier::poll_timeout).
//! * After an error, a [`CarrierEvent::Answered`] or a [`CarrierEvent::PeerClosed`], write what is
//!   left and close the socket: [`is_finished`](Carrier::is_finished). Where the peer may still be
//!   sending, shut down writing first and read a little longer, or TCP may throw the last words away.
//!
//! ```
//! use std::{io::IoSlice, sync::Arc};
//!
//! use adit_core::Instant;
//! use adit_link::{
//!     Carrier, CarrierEvent, ClientSetup, ClientUpgrade, ServerSetup, ServerUpgrade,
//! };
//! use bytes::{Bytes, BytesMut};
//!
//! /// Stands for a socket.
//! fn carry(from: &mut Carrier, to: &mut Carrier, now: Instant) {
//!     let mut slices = [IoSlice::new(&[]); 8];
//!     let used = from.gather(&mut slices);
//!     let bytes: BytesMut = slices[..used].iter().flat_map(|slice| slice.iter()).collect();
//!     from.written(bytes.len());
//!     to.handle_input(now, bytes).expect("an honest peer");
//! }
//!
//! let now = Instant::ORIGIN;
//! let upgrade = ClientUpgrade { host: "example.com".into(), path: "/connect".into(), ..Default::default() };
//! let setup = ClientSetup { upgrade: Some(upgrade), ..Default::default() };
//! let mut client = Carrier::client(setup, [1; 32], now)?;
//! let setup = ServerSetup { upgrade: Some(ServerUpgrade::new("/connect")?), ..Default::default() };
//! let mut server = Carrier::server(Arc::new(setup), "192.0.2.1:4711".parse()?, [2; 32], now);
//!
//! carry(&mut client, &mut server, now);
//! carry(&mut server, &mut client, now);
//! assert!(matches!(client.poll_event(), Some(CarrierEvent::Ready(_))));
//!
//! let mut frame = Some(Bytes::from_static(b"frames of the session"));
//! client.send(|_limit| frame.take());
//! carry(&mut client, &mut server, now);
//! assert_eq!(server.poll_payload().as_deref(), Some(&b"frames of the session"[..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod carrier;
mod error;
mod escape;
mod event;
mod framing;
pub mod http;
mod limits;
mod output;
mod setup;
mod sniff;
mod tls;

pub use adit_websocket::CloseCode;
pub use carrier::Carrier;
pub use error::{LinkError, Phase, SetupError};
pub use event::{CarrierEvent, Ending, PeerClosed, Ready};
pub use framing::Outgoing;
pub use limits::LinkConfig;
pub use setup::{ClientSetup, ClientUpgrade, ServerSetup, ServerUpgrade};
pub use tls::{ClientTls, Roots, SelfSigned, ServerTls};
