//! What the tests share: programs that end with their test, upstreams, visitors, and things that sit
//! between client and server.

mod bystander;
mod mitm;
mod net;
mod program;
mod proxy;
mod rogue;
mod site;

pub(crate) use bystander::Bystander;
pub(crate) use mitm::{Mitm, Tamper};
pub(crate) use net::{Upstream, ask, connect, free, metric, read_all, reset, until};
pub(crate) use program::Program;
pub(crate) use proxy::ConnectProxy;
pub(crate) use rogue::Rogue;
pub(crate) use site::{Site, TOKEN, port_of, service_of, url_of};
