//! What Adit is measured with. Nothing here is part of the programs.
//!
//! - [`link`] is a network between two namespaces of this machine, with a rate, a delay, loss and a queue of a known length, packet by packet
//! - [`network`] chooses between it, loopback and [`delay`], a long way without a limit
//! - [`bare`] is the least that an encrypted tunnel could do, the yardstick
//! - [`upstream`] and [`load`] are the ends between which everything is measured
//! - [`tunnels`] says how each tunnel is started, [`workloads`] what is asked of it
//! - [`rounds`] runs all of it in turns; [`account`] reads what it cost, [`figures`] keeps it
//! - [`goals`], [`peers`] and [`page`] say what came out

pub mod bare;
pub mod routes;

/// What a process costs, and what a namespace is, is as Linux has it.
macro_rules! on_linux {
    ($($name:ident)*) => {
        $(#[cfg(target_os = "linux")] pub mod $name;)*
    };
}

on_linux! {
    account
    delay
    figures
    goals
    link
    load
    machine
    network
    page
    peers
    rounds
    stats
    tunnels
    upstream
    workloads
}
