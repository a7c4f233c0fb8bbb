//! The settings of a server, checked as a whole.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::SettingsError;
use crate::flags::{Environment, Given, ServerFlags, TlsMode};
use crate::shared::{LogSettings, SessionLimits, token_source};
use crate::values::{ControlPath, Host, Networks, PortRanges, TokenSource, TunnelName};

/// All that a server can be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSettings {
    /// Where the control plane listens.
    pub control_addr: SocketAddr,
    /// The path at which it takes carriers.
    pub path: ControlPath,
    /// How the control plane's TLS ends.
    pub tls: TlsChoice,
    /// Whether proofs must be bound to the TLS connection; without meaning when `tls` is off.
    pub channel_binding: bool,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Networks,
    /// The one tunnel that is served.
    pub tunnel: TunnelGrant,
    /// The address on which the data plane listens.
    pub data_addr: IpAddr,
    /// Where operators find metrics and health, if anywhere.
    pub admin_addr: Option<SocketAddr>,
    /// Sessions at one time, at least 1.
    pub max_sessions: u32,
    /// Control connections without a proof at one time, at least 1.
    pub max_handshakes: u32,
    /// Sessions at one time that are without a carrier, at least 1.
    pub max_detached: u32,
    /// Bytes of memory that those may hold together.
    pub detached_memory: u64,
    /// Limits of each session.
    pub session: SessionLimits,
    /// How long streams may run on after SIGTERM.
    pub grace_period: Duration,
    /// How to log.
    pub log: LogSettings,
    /// What to tell the operator once at start; holds no secrets.
    pub warnings: Vec<String>,
}

/// How the TLS of the control plane ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsChoice {
    /// With a self-signed certificate that the server makes once.
    Auto {
        /// What it is made for, besides what the server knows itself.
        names: Vec<Host>,
        /// Where it is kept.
        state_dir: PathBuf,
    },
    /// With a certificate from files, read again when they change.
    Files {
        /// The certificate chain, PEM.
        cert: PathBuf,
        /// The private key, PEM.
        key: PathBuf,
    },
    /// Not here: something in front ends it.
    Off,
}

/// A tunnel, the token that opens it, and what it may expose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TunnelGrant {
    /// Its name.
    pub name: TunnelName,
    /// Its token.
    pub token: TokenSource,
    /// The data-plane ports that its clients may ask for.
    pub allow_ports: PortRanges,
}

impl ServerSettings {
    pub(crate) fn of(flags: ServerFlags, environment: &Environment) -> Result<Self, SettingsError> {
        let mut warnings = environment.misspelt();
        let ServerFlags {
            control,
            tls,
            tunnel,
            data,
            admin,
            limits,
            shared_limits,
            stop,
            log,
        } = flags;
        let tls_choice = TlsChoice::of(
            tls.tls,
            tls.tls_cert,
            tls.tls_key,
            tls.tls_name,
            tls.state_dir,
            environment,
        )?;
        let token = token_source(tunnel.token_file, tunnel.token, &mut warnings)?;
        Ok(Self {
            control_addr: control.control_addr,
            path: control.path,
            tls: tls_choice,
            channel_binding: tls.channel_binding,
            trusted_proxies: Networks::new(control.trusted_proxies),
            tunnel: TunnelGrant {
                name: tunnel.tunnel,
                token,
                allow_ports: PortRanges::new(data.allow_ports),
            },
            data_addr: data.data_addr,
            admin_addr: admin.admin_addr.0,
            max_sessions: limits.max_sessions.get(),
            max_handshakes: limits.max_handshakes.get(),
            max_detached: limits.max_detached.get(),
            detached_memory: limits.detached_memory.0,
            session: SessionLimits::of(shared_limits)?,
            grace_period: stop.grace_period,
            log: LogSettings::of(log),
            warnings,
        })
    }
}

impl TlsChoice {
    fn of(
        mode: TlsMode,
        cert: Option<Given<PathBuf>>,
        key: Option<Given<PathBuf>>,
        names: Vec<Host>,
        state_dir: Option<Given<PathBuf>>,
        environment: &Environment,
    ) -> Result<Self, SettingsError> {
        let wrong = |why: String| Err(SettingsError::Combination(why));
        if !names.is_empty() && mode != TlsMode::Auto {
            return wrong(
                "--tls-name is for the self-signed certificate of --tls auto; leave it out".into(),
            );
        }
        match (mode, cert, key) {
            (TlsMode::Files, Some(cert), Some(key)) => Ok(Self::Files {
                cert: cert.value,
                key: key.value,
            }),
            (TlsMode::Files, cert, _) => {
                let missing = if cert.is_none() {
                    "--tls-cert"
                } else {
                    "--tls-key"
                };
                wrong(format!(
                    "--tls files needs --tls-cert and --tls-key; {missing} is missing"
                ))
            }
            (TlsMode::Auto, None, None) => {
                let state_dir = state_dir
                    .map(|given| given.value)
                    .or_else(|| default_state_dir(environment))
                    .ok_or_else(|| {
                        SettingsError::Combination(
                            "there is no place to keep the self-signed certificate, because HOME \
                             is not set either: give --state-dir DIR"
                                .into(),
                        )
                    })?;
                Ok(Self::Auto { names, state_dir })
            }
            (TlsMode::Off, None, None) => Ok(Self::Off),
            (TlsMode::Auto | TlsMode::Off, cert, key) => {
                let origin = cert
                    .or(key)
                    .map(|given| given.origin.to_string())
                    .unwrap_or_default();
                wrong(format!(
                    "{origin} has no effect without --tls files: add it, or leave both \
                               --tls-cert and --tls-key out"
                ))
            }
        }
    }
}

/// The directory that systemd gives (the first, where it gives several), else the user's own.
fn default_state_dir(environment: &Environment) -> Option<PathBuf> {
    if let Some(given) = environment.get("STATE_DIRECTORY") {
        return given.split(':').next().map(PathBuf::from);
    }
    let absolute = |name| {
        environment
            .get(name)
            .map(PathBuf::from)
            .filter(|dir| dir.is_absolute())
    };
    let base =
        absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    Some(base.join("adit"))
}
