//! Carriers in memory: no sockets, no clock.

#![allow(
    clippy::unwrap_used,
    reason = "a failure in the tests' kit is a failure of the test"
)]

mod bounds;
mod by_hand;
mod bytes_through;
mod certificates;
mod garbage;
mod interop;
mod kit;
mod patience;
mod peer;
mod plain_http;
mod records;
mod tls;
mod upgrade;

#[cfg(feature = "aws-lc-rs")]
use aws_lc_rs as cryptography;
#[cfg(not(feature = "aws-lc-rs"))]
use ring as cryptography;
