//! The Adit server and client as machines.
//!
//! Everything that a server and a client decide is here, free of IO, clocks, threads and runtimes: who may come in, which ports are
//! open, when to dial, what to read and what to write. A machine *asks* ([`Ask`]) and is *told* ([`Told`]);
//! [`Machine`] is the whole border. So one implementation serves every runtime, and all of it runs
//! in the simulator.
//!
//! # Driving a machine
//!
//! Carry out what [`Machine::poll_ask`] yields until it yields nothing; then wait for a socket, an answer or the time of [`Machine::poll_timeout`], hand that
//! over, and begin again. `adit-driver` is that loop for any runtime. By hand it begins like this:
//!
//! ```
//! use std::time::Duration;
//!
//! use adit_core::{ClientId, Instant, Token, TunnelName};
//! use adit_link::ClientSetup;
//! use adit_relay::client::{Client, ClientConfig, Offer};
//! use adit_relay::{Ask, HostPort, Machine, Told};
//!
//! // A client that leads visitors of port 9090 on its server to a Prometheus beside it.
//! let server = HostPort::new("server.example.com", 8123);
//! let tunnel = TunnelName::new("orion-aws")?;
//! let mut config = ClientConfig::new(ClientSetup::default(), server, tunnel, ClientId::new("me")?);
//! config.offers.push(Offer {
//!     address: "9090".to_owned(),
//!     upstream: HostPort::new("prometheus", 9090),
//! });
//! let now = Instant::ORIGIN + Duration::from_secs(1);
//! let mut client = Client::new(config, [7; 32], now);
//!
//! let mut dialled = Vec::new();
//! while let Some(ask) = client.poll_ask(now) {
//!     match ask {
//!         // Another program would read a file.
//!         Ask::ReadToken { query } => {
//!             let result = Token::new(b"3q2-7wEjRWeJq83vEjRWeA").map_err(|error| error.to_string());
//!             client.tell(now, Told::Token { query, result });
//!         }
//!         // And ask a resolver.
//!         Ask::Resolve { query, host, port, .. } => {
//!             assert_eq!(host, "server.example.com");
//!             let result = Ok(vec![([192, 0, 2, 1], port).into()]);
//!             client.tell(now, Told::Resolved { query, result });
//!         }
//!         // Here a socket is made. Once it is connected: `client.tell(now, Told::Connected { socket })`, then
//!         // `received` for what comes, and `gather` and `written` for what goes.
//!         Ask::Connect { addr, .. } => dialled.push(addr.to_string()),
//!         Ask::Notice(notice) => println!("{notice}"),
//!         _ => {}
//!     }
//! }
//! assert_eq!(dialled, ["192.0.2.1:8123"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod address;
pub mod client;
mod counters;
mod io;
mod leaving;
mod notice;
mod patience;
mod random;
pub mod server;
mod sockets;
mod streams;
mod wire;

pub use address::HostPort;
pub use counters::{Counters, Meter, RESET_CODES};
pub use io::{Ask, Machine, Purpose, SocketId, Told};
pub use notice::{Level, Notice, Who};
pub use streams::READ_MAX;
