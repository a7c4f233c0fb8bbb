//! Adit among real programs, one scenario a file. `.ci/run` runs them all; to
//! run one by hand:
//!
//! ```sh
//! cargo build --release -p adit-server -p adit-client -p adit
//! ADIT_BINS=target/release cargo test -p adit-e2e --test scenarios -- --ignored --show-output federation
//! ```

mod burst;
mod capture;
mod client_certificate;
mod costs;
mod download;
mod federation;
mod half_close;
mod idle;
mod outage;
mod peers;
mod postgres;
mod proxy;
mod readme;
mod redis;
mod resume_cost;
mod resume_federation;
mod resume_ssh;
mod resume_transfer;
mod two_clients;
mod wrong_token;
