//! `adit demo`: a private service, a server and a client in one process, and an address to open.
//!
//! It takes free ports, needs no rights, and keeps everything in memory: the token, the self-signed
//! certificate and its key are gone with the process.

mod sample;

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use adit_core::{ClientId, Token, TunnelName, Verifier};
use adit_link::{
    ClientSetup, ClientTls, ClientUpgrade, SelfSigned, ServerSetup, ServerTls, ServerUpgrade,
};
use adit_program::Failure;
use adit_relay::client::{Client, ClientConfig, Offer};
use adit_relay::server::{Ports, Server, ServerConfig, Tunnel, Tunnels};
use adit_relay::{HostPort, Notice};
use adit_settings::LogSettings;
use adit_tokio::{Clock, Env, Report, Tokio};
use sample::Sample;
use tokio::sync::mpsc;

/// The tunnel's path on the server.
const PATH: &str = "/connect";

/// How long running connections have after Ctrl-C.
const GRACE: Duration = Duration::from_secs(1);

/// How long the whole demo may take to begin. On loopback it takes a moment.
const START_MAX: Duration = Duration::from_secs(30);

static SAMPLE: LazyLock<Sample> = LazyLock::new(Sample::default);

/// Runs the demo until Ctrl-C.
pub(crate) fn run(log: &LogSettings) -> Result<(), Failure> {
    adit_program::start_logging(log)?;
    let runtime =
        adit_tokio::runtime().map_err(|error| Failure::Runtime(format!("can't start: {error}")))?;
    let outcome = runtime.block_on(demo());
    runtime.shutdown_background();
    outcome
}

async fn demo() -> Result<(), Failure> {
    let stopping = adit_program::stop_on_signals(GRACE)?;
    let clock = Clock::start();
    let token = adit_program::new_token()?;
    let token = Token::new(token.as_bytes()).map_err(internal)?;
    let tunnel = TunnelName::new("demo").map_err(internal)?;

    let service = listen_on_loopback()?;
    let service_addr = service.local_addr().map_err(internal)?;
    let service = tokio::net::TcpListener::from_std(service).map_err(internal)?;
    tokio::spawn(sample::serve(service, &SAMPLE));

    let control = listen_on_loopback()?;
    let control_addr = control.local_addr().map_err(internal)?;
    let server = server(&token, &tunnel)?;
    let runtime = Tokio::here();
    let server = adit_tokio::serve(
        runtime.clone(),
        server,
        control,
        Env::logging(clock),
        stopping.clone(),
    );

    let (client_env, mut opened) = watching(clock);
    let client = client(&tunnel, control_addr, service_addr, clock)?;
    let read_token = Arc::new(move || Ok(token.clone()));
    let client = adit_tokio::run_client(runtime, client, read_token, client_env, stopping.clone());

    let running = async { tokio::join!(server, client) };
    let telling = async {
        match tokio::time::timeout(START_MAX, opened.recv()).await {
            Ok(Some(address)) => print(&address, control_addr, service_addr)?,
            _ => {
                return Err(internal(format!(
                    "no tunnel within {START_MAX:?}; the log says why"
                )));
            }
        }
        std::future::pending().await
    };
    tokio::select! {
        (served, ()) = running => served.map_err(internal),
        failed = telling => failed,
    }
}

fn listen_on_loopback() -> Result<TcpListener, Failure> {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    adit_tokio::listen(any).map_err(|error| {
        Failure::Runtime(format!(
            "can't listen on a free port of {}: {error}",
            any.ip()
        ))
    })
}

/// A server with TLS of its own, whose certificate nobody knows: the proof is bound to the connection.
fn server(token: &Token, tunnel: &TunnelName) -> Result<Server, Failure> {
    let made = SelfSigned::generate(["localhost".to_owned()]).map_err(internal)?;
    let tls = ServerTls::from_pem(made.certificate.as_bytes(), made.key.as_bytes());
    let setup = ServerSetup {
        tls: Some(tls.map_err(internal)?),
        upgrade: Some(ServerUpgrade::new(PATH).map_err(internal)?),
        ..ServerSetup::default()
    };
    let grant = Tunnel {
        verifier: Verifier::new(token, tunnel),
        ports: Ports::new([(1024, u16::MAX)]),
    };
    let tunnels = Tunnels::from_iter([(tunnel.clone(), grant)]);
    let config = ServerConfig::new(Arc::new(setup), Arc::new(tunnels));
    Ok(Server::new(config, adit_program::seed()?))
}

/// A client that asks for any port and leads it to the service.
fn client(
    tunnel: &TunnelName,
    server: SocketAddr,
    service: SocketAddr,
    clock: Clock,
) -> Result<Client, Failure> {
    let carrier = ClientSetup {
        tls: Some(ClientTls::from_pem(None, None).map_err(internal)?),
        server_name: "localhost".to_owned(),
        upgrade: Some(ClientUpgrade {
            host: server.to_string(),
            path: PATH.to_owned(),
            ..ClientUpgrade::default()
        }),
        ..ClientSetup::default()
    };
    let at = |addr: SocketAddr| HostPort::new(addr.ip().to_string(), addr.port());
    let id = ClientId::new("demo").map_err(internal)?;
    let mut config = ClientConfig::new(carrier, at(server), tunnel.clone(), id);
    config.offers.push(Offer {
        address: "0".to_owned(),
        upstream: at(service),
    });
    Ok(Client::new(config, adit_program::seed()?, clock.now()))
}

/// Notices go to the log; the address of every service that opens comes out as well.
fn watching(clock: Clock) -> (Env, mpsc::UnboundedReceiver<String>) {
    let (sender, opened) = mpsc::unbounded_channel();
    let report: Report = Arc::new(move |notice| {
        adit_tokio::log(&notice);
        if let Notice::ServiceOpened { address, .. } = notice {
            // Only the first one is waited for.
            let _ = sender.send(address);
        }
    });
    (Env { clock, report }, opened)
}

/// The address comes first and alone on its line, so that a script can take it.
fn print(address: &str, control: SocketAddr, service: SocketAddr) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "http://{address}/\n\n\
         Open it: the page comes from a private service, through the tunnel.\n\n\
         \u{20} visitors     http://{address}/   (and /metrics, for a Prometheus)\n\
         \u{20} server       wss://{control}{PATH}   self-signed TLS; the proof of the token is bound to it\n\
         \u{20} client       has dialled the server, and dials the service for each visitor\n\
         \u{20} service      http://{service}/   the private one\n\n\
         Ctrl-C ends it. No file was written.",
    )
    .and_then(|()| out.flush())
    .map_err(|error| Failure::Runtime(format!("can't write to standard output: {error}")))
}

fn internal(error: impl std::fmt::Display) -> Failure {
    Failure::Runtime(format!("the demo can't start: {error}"))
}
