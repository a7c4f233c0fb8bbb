//! The settings of a client, checked as a whole.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::SettingsError;
use crate::flags::{ClientFlags, Environment, Given};
use crate::shared::{LogSettings, SessionLimits, token_source};
use crate::values::{
    ClientId, Header, HostPort, ProxyRules, ServerUrl, Service, TokenSource, TunnelName, Upstream,
    format_duration,
};

/// All that a client can be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientSettings {
    /// The server.
    pub url: ServerUrl,
    /// Whether standard input and output are the connection to it. `sessions` is 1 then.
    pub stdio: bool,
    /// Headers to add to the upgrade request, in the order given.
    pub headers: Vec<Header>,
    /// Which proxy to go through; it can be relied on to decide for `url` without an error.
    pub proxy: ProxyRules,
    /// The tunnel to ask for.
    pub tunnel: TunnelName,
    /// The token that proves the right to it.
    pub token: TokenSource,
    /// Who this client is.
    pub client_id: ClientId,
    /// Sessions to hold at a time: 1 to [`SESSIONS_MAX`], and 1 if a port is 0.
    pub sessions: u32,
    /// What it offers: at least one, and no port twice but 0.
    pub services: Vec<Service>,
    /// How long connecting to an upstream may take; never zero.
    pub dial_timeout: Duration,
    /// Certificates to trust in place of the system's, PEM.
    pub ca_file: Option<PathBuf>,
    /// The client's own certificate, if it has one.
    pub identity: Option<ClientIdentity>,
    /// How long an attempt to reach the server may take; never zero.
    pub connect_timeout: Duration,
    /// The shortest wait between attempts; never zero.
    pub reconnect_min: Duration,
    /// The longest; never below `reconnect_min`.
    pub reconnect_max: Duration,
    /// Where operators find metrics and health, if anywhere.
    pub admin_addr: Option<SocketAddr>,
    /// Limits of each session.
    pub session: SessionLimits,
    /// How long streams may run on after SIGTERM.
    pub grace_period: Duration,
    /// How to log.
    pub log: LogSettings,
    /// What to tell the operator once at start; holds no secrets.
    pub warnings: Vec<String>,
}

/// The most sessions that one client may hold: each has windows and buffers of its own.
pub const SESSIONS_MAX: u32 = 16;

/// A certificate and its key, for an ingress that asks clients for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientIdentity {
    /// The certificate chain, PEM.
    pub cert: PathBuf,
    /// The private key, PEM.
    pub key: PathBuf,
}

fn wrong<T>(why: impl Into<String>) -> Result<T, SettingsError> {
    Err(SettingsError::Combination(why.into()))
}

impl ClientSettings {
    pub(crate) fn of(flags: ClientFlags, environment: &Environment) -> Result<Self, SettingsError> {
        let mut warnings = environment.misspelt();
        let ClientFlags {
            connection,
            tunnel,
            identity,
            services,
            trust,
            patience,
            admin,
            shared_limits,
            stop,
            log,
        } = flags;
        let Some(url) = connection.url.map(|given| given.value) else {
            return wrong("there is no server: give --url wss://HOST (or ADIT_URL)");
        };
        if !url.tls() && !url.host().is_loopback() && !trust.insecure_plaintext.0 {
            return wrong(format!(
                "{url} goes over the network without TLS, open to read for everybody between; use \
                 wss://, or add --insecure-plaintext where the network is safe by other means"
            ));
        }
        if !url.tls() && (trust.ca_file.is_some() || trust.client_cert.is_some()) {
            warnings.push(format!(
                "certificates have no effect, because {url} is without TLS"
            ));
        }
        let proxy = ProxyRules::new(connection.proxy.map(|given| given.value), |name| {
            environment.get(name)
        });
        if let Err(why) = proxy.decide(&url) {
            return wrong(why.to_string());
        }
        for (flag, time) in [
            ("dial-timeout", services.dial_timeout),
            ("connect-timeout", patience.connect_timeout),
            ("reconnect-min", patience.reconnect_min),
        ] {
            if time.is_zero() {
                return wrong(format!("--{flag} must be longer than nothing"));
            }
        }
        if patience.reconnect_max < patience.reconnect_min {
            return wrong(format!(
                "--reconnect-max {} is shorter than --reconnect-min {}",
                format_duration(patience.reconnect_max),
                format_duration(patience.reconnect_min)
            ));
        }
        let ports: Vec<u16> = services.ports.iter().map(|port| port.0).collect();
        let services_offered = offered(&services.upstream, &ports)?;
        let sessions = identity.sessions.get();
        if sessions > SESSIONS_MAX {
            return wrong(format!(
                "--sessions {sessions} is more than {SESSIONS_MAX}: each has buffers of its own, and few are enough"
            ));
        }
        let stdio = connection.stdio.0;
        if stdio && sessions > 1 {
            return wrong(format!(
                "--sessions {sessions} can't share the one connection of --stdio: leave one of them out"
            ));
        }
        if sessions > 1 && services_offered.iter().any(|service| service.port == 0) {
            return wrong(format!(
                "--sessions {sessions} needs a port for each service: with port 0 each session would be given \
                 another one"
            ));
        }
        Ok(Self {
            url,
            stdio,
            headers: connection.header,
            proxy,
            tunnel: tunnel.tunnel,
            token: token_source(tunnel.token_file, tunnel.token, &mut warnings)?,
            client_id: identity.client_id.map_or_else(
                || ClientId::from_host_name(environment.host_name()),
                |given| given.value,
            ),
            sessions,
            services: services_offered,
            dial_timeout: services.dial_timeout,
            ca_file: trust.ca_file.map(|given| given.value),
            identity: client_identity(trust.client_cert, trust.client_key)?,
            connect_timeout: patience.connect_timeout,
            reconnect_min: patience.reconnect_min,
            reconnect_max: patience.reconnect_max,
            admin_addr: admin.admin_addr.0,
            session: SessionLimits::of(shared_limits)?,
            grace_period: stop.grace_period,
            log: LogSettings::of(log),
            warnings,
        })
    }
}

fn client_identity(
    cert: Option<Given<PathBuf>>,
    key: Option<Given<PathBuf>>,
) -> Result<Option<ClientIdentity>, SettingsError> {
    match (cert, key) {
        (None, None) => Ok(None),
        (Some(cert), Some(key)) => Ok(Some(ClientIdentity {
            cert: cert.value,
            key: key.value,
        })),
        (Some(cert), None) => wrong(format!(
            "{} needs its private key: add --client-key",
            cert.origin
        )),
        (None, Some(key)) => wrong(format!(
            "{} needs its certificate: add --client-cert",
            key.origin
        )),
    }
}

/// Joins `--upstream` and `--ports` into services.
fn offered(upstreams: &[Upstream], ports: &[u16]) -> Result<Vec<Service>, SettingsError> {
    if upstreams.is_empty() {
        return wrong("there is nothing to offer: give --upstream, as in 9090=prometheus:9090");
    }
    let mut services: Vec<Service> = Vec::new();
    let mut ports_used = false;
    for upstream in upstreams {
        match upstream {
            Upstream::Service(service) => services.push(service.clone()),
            Upstream::Host(host) if ports.is_empty() => {
                return wrong(format!(
                    "--upstream {host} has no port: write {host}:PORT, or add --ports"
                ));
            }
            Upstream::Host(host) => {
                ports_used = true;
                services.extend(ports.iter().map(|&port| Service {
                    port,
                    upstream: HostPort {
                        host: host.clone(),
                        port,
                    },
                }));
            }
        }
    }
    if !ports.is_empty() && !ports_used {
        return wrong("--ports goes with an --upstream that is only a host, and there is none");
    }
    for (index, service) in services.iter().enumerate() {
        let mut before = services.iter().take(index);
        let twin = before.find(|other| other.port == service.port && service.port != 0);
        if let Some(twin) = twin {
            return wrong(format!(
                "port {} is asked for twice, for {} and for {}; give one of them another port, as \
                 in {}={}",
                service.port,
                twin.upstream,
                service.upstream,
                service.port.checked_add(1).unwrap_or(service.port - 1),
                service.upstream
            ));
        }
    }
    Ok(services)
}
