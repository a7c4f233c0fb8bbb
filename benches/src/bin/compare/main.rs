//! Measures tunnels in turns: `compare run` starts each one, puts the workloads on it, and prints what
//! came out; `compare page` makes the page of the documentation of that.
//!
//! ```sh
//! cargo build --profile dist -p adit-server -p adit-client -p adit-benches
//! target/dist/compare run --quick
//! ```
//!
//! Upstream and visitors are this program, too, as processes of their own.

#[cfg(target_os = "linux")]
mod linux;

#[cfg(target_os = "linux")]
fn main() -> std::io::Result<()> {
    linux::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("compare: what a process costs is read as Linux tells it");
    std::process::exit(1);
}
