//! What Adit is measured with. Nothing here is part of the programs.
//!
//! - [`link`] is a network between two namespaces of this machine, with a rate, a delay, loss and a queue of a known length, packet by packet
//! - [`bare`] is the least that an encrypted tunnel could do, the yardstick
//! - [`upstream`] and [`load`] are the ends between which everything is measured
//! - [`tunnels`] says how each tunnel is started, [`workloads`] what is asked of it
//! - [`rounds`] runs all of it in turns; [`account`] reads what it cost, [`figures`] keeps it
//! - [`goals`] and [`page`] say what came out

#[cfg(target_os = "linux")]
pub mod account;
pub mod bare;
#[cfg(target_os = "linux")]
pub mod figures;
#[cfg(target_os = "linux")]
pub mod goals;
#[cfg(target_os = "linux")]
pub mod link;
#[cfg(target_os = "linux")]
pub mod load;
#[cfg(target_os = "linux")]
pub mod machine;
#[cfg(target_os = "linux")]
pub mod page;
#[cfg(target_os = "linux")]
pub mod rounds;
#[cfg(target_os = "linux")]
pub mod stats;
#[cfg(target_os = "linux")]
pub mod tunnels;
#[cfg(target_os = "linux")]
pub mod upstream;
#[cfg(target_os = "linux")]
pub mod workloads;
