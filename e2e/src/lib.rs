//! The kit of the end-to-end scenarios: it starts Adit's programs and other
//! people's (Prometheus, nginx, PostgreSQL, ...) on free loopback ports in a
//! folder of their own, waits for what can be observed, and ends all of them
//! again, by id, also when a scenario fails.
//!
//! The scenarios are in `tests/scenarios/`. They are ignored by default,
//! because they need programs that `cargo test` must not need; `.ci/run` runs
//! them. The kit's own tests need nothing and always run.

pub mod adit;
pub mod authority;
pub mod http;
pub mod nginx;
pub mod noise;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod prometheus;
pub mod relay;
pub mod scene;
pub mod secrets;
pub mod services;
pub mod tap;
pub mod wait;
pub mod wire;
