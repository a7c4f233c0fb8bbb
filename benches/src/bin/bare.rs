//! One half of the yardstick (see `adit_benches::bare`).
//!
//! ```sh
//! bare far --certificate bare.pem 127.0.0.1:7001=127.0.0.1:8000 &
//! bare near --certificate bare.pem 127.0.0.1:9000=127.0.0.1:7001
//! ```

use adit_benches::bare::Half;
use adit_benches::routes::route;
use clap::{Parser, ValueEnum};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// A bare relay pair over TLS, to measure tunnels by
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Which half this is: near takes visitors, far dials upstreams
    half: Side,
    /// Where the far half writes its certificate, and the near half reads it
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,
    /// Where to listen, and where to relay that to
    #[arg(required = true, value_name = "LISTEN=TO", value_parser = route)]
    routes: Vec<(SocketAddr, SocketAddr)>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Side {
    Near,
    Far,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let half = match arguments.half {
        Side::Near => Half::near(&arguments.certificate)?,
        Side::Far => Half::far(&arguments.certificate)?,
    };
    let mut serving = JoinSet::new();
    for (listen, to) in arguments.routes {
        let listener = TcpListener::bind(listen).await?;
        serving.spawn(half.clone().serve(listener, to));
    }
    while let Some(ended) = serving.join_next().await {
        ended??;
    }
    Ok(())
}
