//! Every setting of every command. To add one, add a field here and use it where the command's
//! settings are made; its flag, variable, key and help follow.
//!
//! A field reads `name: Kind<Type> "PLACEHOLDER" = "default", alias "x", also "VARIABLE";`, the
//! default and what follows it being optional. Names must not end in `_port` or start with
//! `service_`: Kubernetes sets variables like `ADIT_PORT` and `ADIT_SERVICE_HOST` by itself for a
//! Service named adit.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::field::{Field, ListenOrOff, Many, Maybe, One, Port, Switch, Value};
use super::source::Source;
use super::{Flag, Group, Table};
use crate::SettingsError;
use crate::values::{
    ByteSize, ClientId, ControlPath, Header, Host, Invalid, PortRange, ProxyChoice, Secret,
    ServerUrl, TunnelName, Upstream,
};

/// Makes a struct of typed fields, and a `Flag` for each, from one list.
macro_rules! flag_groups {
    ($(
        $heading:literal $name:ident {
            $(
                $(#[doc = $help:literal])+
                $field:ident: $kind:ident<$type:ty> $placeholder:literal $(= $default:literal)?
                    $(, alias $alias:literal)* $(, also $variable:literal)*;
            )+
        }
    )+) => { $(
        #[derive(Debug)]
        pub(crate) struct $name { $(pub(crate) $field: $kind<$type>,)+ }

        impl $name {
            const GROUP: Group = Group {
                heading: $heading,
                flags: &[$(Flag {
                    field: stringify!($field),
                    help: concat!($($help),+),
                    placeholder: $placeholder,
                    default: flag_groups!(@default $($default)?),
                    shape: <$kind<$type> as Field>::SHAPE,
                    aliases: &[$($alias),*],
                    also_variables: &[$($variable),*],
                }),+],
            };

            fn read(source: &Source<'_>) -> Result<Self, SettingsError> {
                let mut flags = Self::GROUP.flags.iter();
                $(let $field = match flags.next() {
                    Some(flag) => Field::read(flag, source)?,
                    None => unreachable!("one flag is made for each field"),
                };)+
                Ok(Self { $($field),+ })
            }
        }
    )+ };
    (@default) => { None };
    (@default $default:literal) => { Some($default) };
}

/// Makes the set of all flags of a command from groups.
macro_rules! flag_sets {
    ($($table:literal $name:ident { $($field:ident: $group:ident),+ $(,)? })+) => { $(
        #[derive(Debug)]
        pub(crate) struct $name { $(pub(crate) $field: $group,)+ }

        impl $name {
            pub(crate) const TABLE: Table =
                Table { name: $table, groups: &[$($group::GROUP),+] };
        }

        impl FlagSet for $name {
            fn table() -> &'static Table {
                &Self::TABLE
            }

            fn read(source: &Source<'_>) -> Result<Self, SettingsError> {
                Ok(Self { $($field: $group::read(source)?),+ })
            }
        }
    )+ };
}

/// The flags of one command, read from all sources.
pub(crate) trait FlagSet: Sized {
    fn table() -> &'static Table;
    fn read(source: &Source<'_>) -> Result<Self, SettingsError>;
}

flag_sets! {
    "server" ServerFlags {
        control: ControlPlane,
        tls: ServerTls,
        tunnel: TunnelAndToken,
        data: DataPlane,
        admin: ServerAdmin,
        limits: ServerLimitFlags,
        shared_limits: SessionLimitFlags,
        stop: Stopping,
        log: Logging,
    }
    "client" ClientFlags {
        connection: Connection,
        tunnel: TunnelAndToken,
        identity: Identity,
        services: Services,
        trust: ClientTls,
        patience: Patience,
        admin: ClientAdmin,
        shared_limits: SessionLimitFlags,
        stop: Stopping,
        log: Logging,
    }
    "token" TokenFlags { file: TokenFile }
    "demo" DemoFlags { log: Logging }
}

flag_groups! {
    "Control plane" ControlPlane {
        /// Address that clients dial
        control_addr: One<SocketAddr> "IP:PORT" = "0.0.0.0:8123";
        /// Path that clients ask for
        path: One<ControlPath> "PATH" = "/connect";
        /// Addresses and networks of proxies whose X-Forwarded-For is believed (repeatable or
        /// comma separated)
        trusted_proxies: Many<IpNet> "NETWORKS";
    }

    "TLS of the control plane" ServerTls {
        /// Where the certificate comes from: auto makes a self-signed one and keeps it, files
        /// takes yours, off leaves TLS to an ingress in front
        tls: One<TlsMode> "auto|files|off" = "auto";
        /// Certificate chain in PEM, for --tls files; read again when it changes
        tls_cert: Maybe<PathBuf> "FILE";
        /// Private key in PEM, for --tls files
        tls_key: Maybe<PathBuf> "FILE";
        /// Name or IP address that the self-signed certificate is for (repeatable or comma
        /// separated)
        tls_name: Many<Host> "NAME";
        /// Directory that keeps the self-signed certificate. Without it: $STATE_DIRECTORY, else
        /// $XDG_STATE_HOME/adit, else ~/.local/state/adit
        state_dir: Maybe<PathBuf> "DIR";
        /// Whether a client's proof must be bound to this TLS connection, which keeps out a man
        /// in the middle
        channel_binding: One<bool> "on|off" = "on";
    }

    "Tunnel" TunnelAndToken {
        /// Name of the tunnel; server and client must agree on it
        tunnel: One<TunnelName> "NAME" = "default";
        /// File with the token that server and client share
        token_file: Maybe<PathBuf> "FILE";
        /// The token itself. Other users can see a flag in the list of processes: prefer a file,
        /// or else the variable
        token: Maybe<Secret> "TOKEN";
    }

    "Data plane" DataPlane {
        /// IP address on which the services of clients are opened to visitors
        data_addr: One<IpAddr> "IP" = "127.0.0.1";
        /// Ports that a client may open (repeatable or comma separated)
        allow_ports: Many<PortRange> "PORTS" = "1024-65535";
    }

    "Operating" ServerAdmin {
        /// Address of /healthz, /readyz and /metrics, or off
        admin_addr: One<ListenOrOff> "IP:PORT|off" = "127.0.0.1:8124";
    }

    "Operating" ClientAdmin {
        /// Address of /healthz, /readyz and /metrics, or off
        admin_addr: One<ListenOrOff> "IP:PORT|off" = "off";
    }

    "Limits" ServerLimitFlags {
        /// Sessions at one time
        max_sessions: One<NonZeroU32> "N" = "1024";
        /// Connections to the control plane that have not proved the token yet
        max_handshakes: One<NonZeroU32> "N" = "1024";
        /// Sessions at one time that lost their connection and wait for another; beyond it the one
        /// that waits longest ends
        max_detached: One<NonZeroU32> "N" = "1024";
        /// Most memory that all sessions without a connection may hold together; beyond it the one
        /// that waits longest ends
        detached_memory: One<ByteSize> "SIZE" = "512MiB";
    }

    "Limits" SessionLimitFlags {
        /// Streams at one time in a session
        max_streams: One<NonZeroU32> "N" = "8192";
        /// Most bytes that a session's streams may hold for slow readers, in each direction
        session_window: One<ByteSize> "SIZE" = "64MiB";
        /// Likewise for one stream: what one connection can have on its way to here. A path of 1 Gbit/s
        /// and 100 ms holds 12 MB
        stream_window: One<ByteSize> "SIZE" = "16MiB";
        /// Most bytes that a session sends without their being acknowledged, and keeps to send them
        /// again on another connection
        replay_limit: One<ByteSize> "SIZE" = "16MiB";
        /// How long a session waits for a new connection after it lost one, its streams held; 0s: not
        /// at all. The shorter of both sides' counts
        resume_window: One<Duration> "TIME" = "60s";
    }

    "Operating" Stopping {
        /// How long streams may still run after SIGTERM
        grace_period: One<Duration> "TIME" = "30s";
    }

    "Logging" Logging {
        /// Form of the log lines
        log_format: One<LogFormat> "text|json" = "text";
        /// What is logged: a level (error, warn, info, debug, trace), or levels for each part, as
        /// in info,adit_relay=debug
        log_level: One<String> "LEVELS" = "info", also "ADIT_LOG";
    }

    "Server" Connection {
        /// Where the server is, as in wss://tunnel.example.com/connect; the path defaults to
        /// /connect, the scheme to wss
        url: Maybe<ServerUrl> "URL";
        /// Header to add to the request, as in 'X-Team: data' (repeatable; in a variable one to a
        /// line)
        header: Many<Header> "'NAME: VALUE'";
        /// HTTP proxy to go through, or off. Without it HTTPS_PROXY, ALL_PROXY and NO_PROXY count
        proxy: Maybe<ProxyChoice> "http://[USER:PASSWORD@]HOST:PORT|off";
        /// Take standard input and output for the connection to the server instead of dialling it,
        /// and end with it: for whoever starts the client from the server's side, as by ssh
        stdio: One<Switch> "true|false" = "false";
    }

    "Tunnel" Identity {
        /// Who this client is, the same from run to run. Without it: the host name
        client_id: Maybe<ClientId> "ID";
        /// Sessions to hold at a time, over a connection each: visitors are spread over them. More
        /// than one helps where packets get lost
        sessions: One<NonZeroU32> "N" = "1";
    }

    "Services" Services {
        /// What visitors reach: 9090=prometheus:9090, or prometheus:9090 for the same port on
        /// both sides, or prometheus with --ports (repeatable or comma separated)
        upstream: Many<Upstream> "UPSTREAM";
        /// Ports for an --upstream that is only a host (repeatable or comma separated)
        ports: Many<Port> "PORTS", alias "port";
        /// How long connecting to an upstream may take
        dial_timeout: One<Duration> "TIME" = "10s";
    }

    "TLS to the server" ClientTls {
        /// Certificates in PEM to trust for the server, in place of the system's
        ca_file: Maybe<PathBuf> "FILE";
        /// Own certificate chain in PEM, for an ingress that asks for one
        client_cert: Maybe<PathBuf> "FILE";
        /// Private key in PEM of the own certificate
        client_key: Maybe<PathBuf> "FILE";
        /// Allow a ws:// URL, without TLS, to other hosts than this one
        insecure_plaintext: One<Switch> "true|false" = "false";
    }

    "Reconnecting" Patience {
        /// How long one attempt to reach the server may take
        connect_timeout: One<Duration> "TIME" = "5s";
        /// Shortest wait before the next attempt
        reconnect_min: One<Duration> "TIME" = "250ms";
        /// Longest wait before the next attempt
        reconnect_max: One<Duration> "TIME" = "30s";
    }

    "Output" TokenFile {
        /// File to write the token to, readable by its owner only. Without it: standard output
        out: Maybe<PathBuf> "FILE";
    }
}

/// Where the server's certificate comes from, before it is known whether all it needs is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TlsMode {
    Auto,
    Files,
    Off,
}

impl Value for TlsMode {
    fn parse(text: &str) -> Result<Self, Invalid> {
        match text {
            "auto" => Ok(Self::Auto),
            "files" => Ok(Self::Files),
            "off" => Ok(Self::Off),
            _ => Err(Invalid::new("expected auto, files or off")),
        }
    }
}

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Value for LogFormat {
    fn parse(text: &str) -> Result<Self, Invalid> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(Invalid::new("expected text or json")),
        }
    }
}
