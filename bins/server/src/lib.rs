//! The server program: settings in, a running exit node out.
//!
//! Exit codes: 0 after it was told to stop, 1 if it could not begin, 2 for settings that make no sense.

mod certificate;
mod reload;

use std::sync::Arc;

use adit_driver::{Clock, Env, ReadToken, Runtime, Start, Stopping, Threads};
use adit_link::{ServerSetup, ServerTls, ServerUpgrade};
use adit_program::{Admin, Failure, Hangup, Phase, Role};
use adit_relay::server::{Ports, Server, ServerConfig, Tunnel, Tunnels};
use adit_settings::{ServerSettings, TlsChoice, TunnelGrant};

/// Runs a server on the runtime `R` until SIGTERM or Ctrl-C.
///
/// # Errors
///
/// It could not begin: the token, the certificate or an address is not to be had.
pub fn run<R: Start>(settings: ServerSettings) -> Result<(), Failure> {
    adit_program::start_logging(&settings.log)?;
    let stopping = adit_program::stop_on_signals(settings.grace_period)?;
    // Sessions have threads of their own; what is left for the first one is to accept clients.
    let started = R::start(Threads::Cores, |runtime| serve(runtime, settings, stopping));
    started.unwrap_or_else(|error| Err(Failure::Runtime(format!("can't start: {error}"))))
}

/// Runs a server until it was told to stop, its sessions on the workers of the runtime. Called in a task of it.
///
/// # Errors
///
/// As for [`run`].
pub async fn serve(
    runtime: impl Runtime,
    settings: ServerSettings,
    stopping: Stopping,
) -> Result<(), Failure> {
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    let clock = Clock::start();
    let read_token = adit_program::token_reader(settings.tunnel.token.clone())?;
    let tunnels = tunnels(&settings.tunnel, &read_token)?;
    let tls = tls(&settings)?;
    let control = adit_program::listen("--control-addr", settings.control_addr)?;
    let addr = control.local_addr().unwrap_or(settings.control_addr);

    let config = config(&settings, tls.clone(), tunnels)?;
    let server = Server::new(config, adit_program::seed()?);
    serve_admin(&runtime, &settings, &server, &stopping, clock)?;
    let hangup = Hangup::new()?;
    if let (Some(tls), TlsChoice::Files { cert, key }) = (tls, &settings.tls) {
        let (cert, key) = (cert.clone(), key.clone());
        let certificate = reload::certificate(runtime.clone(), tls, cert, key, hangup.clone());
        runtime.spawn_here(certificate);
    }
    let grant = settings.tunnel.clone();
    let token = reload::token(runtime.clone(), server.clone(), grant, read_token, hangup);
    runtime.spawn_here(token);

    let scheme = if settings.tls == TlsChoice::Off {
        "ws"
    } else {
        "wss"
    };
    tracing::info!(
        "adit-server {}: clients connect to {scheme}://{addr}{}, tunnel {}",
        env!("CARGO_PKG_VERSION"),
        settings.path.as_str(),
        settings.tunnel.name.as_str(),
    );
    // Whoever connects from now on waits until the runtime accepts.
    adit_program::tell_manager(Phase::Ready);
    adit_driver::serve(runtime, server, control, Env::logging(clock), stopping)
        .await
        .map_err(|error| Failure::Runtime(format!("can't wait for clients: {error}")))?;
    tracing::info!("stopped");
    Ok(())
}

fn config(
    settings: &ServerSettings,
    tls: Option<ServerTls>,
    tunnels: Tunnels,
) -> Result<ServerConfig, Failure> {
    let upgrade = ServerUpgrade::new(settings.path.as_str())
        .map_err(|error| Failure::Usage(format!("--path: {error}")))?
        .trusting(settings.trusted_proxies.iter().collect());
    let setup = ServerSetup {
        tls,
        upgrade: Some(upgrade),
        ..ServerSetup::default()
    };
    let core = adit_program::core_config(settings.session, |core| {
        core.sessions_max = settings.max_sessions as usize;
        core.handshakes_max = settings.max_handshakes as usize;
        core.detached_max = settings.max_detached as usize;
        // There is one tunnel, and nobody else to be pushed out.
        core.detached_per_tunnel = core.detached_max;
        core.detached_bytes = usize::try_from(settings.detached_memory).unwrap_or(usize::MAX);
    })?;
    Ok(ServerConfig {
        core,
        channel_binding: settings.channel_binding,
        data_addr: settings.data_addr,
        software: concat!("adit-server/", env!("CARGO_PKG_VERSION")).to_owned(),
        ..ServerConfig::new(Arc::new(setup), Arc::new(tunnels))
    })
}

/// The one tunnel, with the token as it is now.
fn tunnels(grant: &TunnelGrant, read_token: &ReadToken) -> Result<Tunnels, Failure> {
    let token = read_token().map_err(Failure::Runtime)?;
    let name = adit_program::tunnel_name(&grant.name)?;
    let verifier = adit_core::Verifier::new(&token, &name);
    let ports = Ports::new(grant.allow_ports.iter());
    Ok(Tunnels::from_iter([(name, Tunnel { verifier, ports })]))
}

fn tls(settings: &ServerSettings) -> Result<Option<ServerTls>, Failure> {
    match &settings.tls {
        TlsChoice::Off => Ok(None),
        TlsChoice::Files { cert, key } => certificate::from_files(cert, key).map(Some),
        TlsChoice::Auto { names, state_dir } => {
            let names = certificate::names(names, settings.control_addr.ip());
            certificate::kept_in(state_dir, names).map(Some)
        }
    }
}

fn serve_admin(
    runtime: &impl Runtime,
    settings: &ServerSettings,
    server: &Server,
    stopping: &Stopping,
    clock: Clock,
) -> Result<(), Failure> {
    let (server, stopping) = (server.clone(), stopping.clone());
    let admin = Admin {
        role: Role::Server,
        counters: Box::new(move || server.counters()),
        ready: Box::new(move || !stopping.has_begun()),
    };
    adit_program::serve_admin(runtime, settings.admin_addr, admin, clock)
}
