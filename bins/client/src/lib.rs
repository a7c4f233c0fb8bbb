//! The client program: settings in, a running client out.
//!
//! Exit codes: 0 after it was told to stop, 1 if it could not begin, 2 for settings that make no sense. A
//! server that can't be reached, or that refuses, is no reason to end: the client says so and goes on trying.

mod stdio;

use adit_driver::{Clock, Env, Runtime, Start, Stopping, Threads};
use adit_link::{ClientSetup, ClientTls, ClientUpgrade, Roots};
use adit_program::{Admin, Failure, Phase, Role};
use adit_relay::client::{Client, ClientConfig, Offer, Proxy};
use adit_relay::{HostPort, Meter};
use adit_settings::ClientSettings;

/// Runs a client on the runtime `R` until SIGTERM or Ctrl-C.
///
/// # Errors
///
/// It could not begin: the token, a certificate or an address is not to be had.
pub fn run<R: Start>(settings: ClientSettings) -> Result<(), Failure> {
    adit_program::start_logging(&settings.log)?;
    // A client is one machine, which is one task: more threads would only hand its bytes around.
    let stopping = adit_program::stop_on_signals(settings.grace_period)?;
    let started = R::start(Threads::One, |runtime| connect(runtime, settings, stopping));
    started.unwrap_or_else(|error| Err(Failure::Runtime(format!("can't start: {error}"))))
}

/// Runs a client until it was told to stop. Called in a task of the runtime.
///
/// # Errors
///
/// As for [`run`].
pub async fn connect(
    runtime: impl Runtime,
    settings: ClientSettings,
    stopping: Stopping,
) -> Result<(), Failure> {
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    let clock = Clock::start();
    let read_token = adit_program::token_reader(settings.token.clone())?;
    let clients = clients(&settings, &clock)?;
    let meters: Vec<Meter> = clients.iter().map(Client::meter).collect();
    let sessions = meters.clone();
    let admin = Admin {
        role: Role::Client,
        counters: Box::new(move || Meter::sum(&meters)),
        ready: Box::new(move || Meter::sum(&sessions).sessions > 0),
    };
    adit_program::serve_admin(&runtime, settings.admin_addr, admin, clock)?;
    tracing::info!(
        "adit-client {}: {} to {}, tunnel {}",
        env!("CARGO_PKG_VERSION"),
        settings.client_id.as_str(),
        settings.url,
        settings.tunnel.as_str(),
    );
    // A server that is away now is looked for as long as it takes: the program does its work.
    adit_program::tell_manager(Phase::Ready);
    let outcome = if settings.stdio {
        let pumps = stdio::Pumps::start(stopping.stopper())?;
        let client = clients.into_iter().next();
        let over = client.map(|client| {
            let (runtime, carrier) = (runtime.clone(), pumps.carrier);
            let env = Env::logging(clock);
            adit_driver::run_client_over(runtime, carrier, client, read_token, env, stopping)
        });
        adit_driver::all(&runtime, over).await;
        pumps.ended.outcome()
    } else {
        let running = clients.into_iter().map(|client| {
            let env = Env::logging(clock);
            let (read_token, stopping) = (read_token.clone(), stopping.clone());
            adit_driver::run_client(runtime.clone(), client, read_token, env, stopping)
        });
        adit_driver::all(&runtime, running).await;
        Ok(())
    };
    tracing::info!("stopped");
    outcome
}

/// A client for each session. On the server each is one of its own, so that a new run of one takes the place of the old run of the same, whatever the others do.
fn clients(settings: &ClientSettings, clock: &Clock) -> Result<Vec<Client>, Failure> {
    let config = config(settings)?;
    let ids = (1..=settings.sessions).map(|number| match number {
        1 => Ok(config.client_id.clone()),
        _ => adit_program::numbered(&config.client_id, number),
    });
    ids.map(|client_id| {
        let config = ClientConfig {
            client_id: client_id?,
            ..config.clone()
        };
        Ok(Client::new(config, adit_program::seed()?, clock.now()))
    })
    .collect()
}

fn config(settings: &ClientSettings) -> Result<ClientConfig, Failure> {
    let url = &settings.url;
    let server = adit_program::host(url.host());
    let carrier = ClientSetup {
        tls: if url.tls() {
            Some(tls(settings)?)
        } else {
            None
        },
        server_name: server.clone(),
        upgrade: Some(ClientUpgrade {
            host: url.authority(),
            path: url.target().to_owned(),
            headers: headers(settings),
        }),
        ..ClientSetup::default()
    };
    Ok(ClientConfig {
        core: adit_program::core_config(settings.session, |_| ())?,
        proxy: if settings.stdio {
            None
        } else {
            proxy(settings)?
        },
        offers: settings.services.iter().map(offer).collect(),
        software: concat!("adit-client/", env!("CARGO_PKG_VERSION")).to_owned(),
        connect_timeout: settings.connect_timeout,
        dial_timeout: settings.dial_timeout,
        reconnect_min: settings.reconnect_min,
        reconnect_max: settings.reconnect_max,
        ..ClientConfig::new(
            carrier,
            HostPort::new(server, url.port()),
            adit_program::tunnel_name(&settings.tunnel)?,
            adit_program::client_id(&settings.client_id)?,
        )
    })
}

fn tls(settings: &ClientSettings) -> Result<ClientTls, Failure> {
    let ca = match &settings.ca_file {
        Some(path) => Some(adit_program::read(
            "the CA's certificates (--ca-file)",
            path,
        )?),
        None => None,
    };
    let identity = match &settings.identity {
        Some(files) => Some((
            adit_program::read("the client's certificate (--client-cert)", &files.cert)?,
            adit_program::read("the client's private key (--client-key)", &files.key)?,
        )),
        None => None,
    };
    let identity = identity
        .as_ref()
        .map(|(cert, key)| (cert.as_slice(), key.as_slice()));
    let tls = ClientTls::from_pem(ca.as_ref().map(|pem| pem.as_slice()), identity)
        .map_err(|error| Failure::Runtime(error.to_string()))?;
    if tls.roots() == Roots::BuiltIn {
        tracing::info!(
            "this system has no CA certificates: those built into adit-client are used. Install its \
             package ca-certificates, see SSL_CERT_FILE and SSL_CERT_DIR if they are set, or give --ca-file"
        );
    }
    Ok(tls)
}

fn headers(settings: &ClientSettings) -> Vec<(String, String)> {
    let header = |header: &adit_settings::Header| {
        (header.name().to_owned(), header.value().expose().to_owned())
    };
    settings.headers.iter().map(header).collect()
}

fn proxy(settings: &ClientSettings) -> Result<Option<Proxy>, Failure> {
    let chosen = settings.proxy.decide(&settings.url);
    let proxy = chosen.map_err(|error| Failure::Usage(error.to_string()))?;
    Ok(proxy.map(|proxy| {
        tracing::info!("through the proxy {proxy}");
        let credentials = proxy.credentials.as_ref();
        Proxy {
            at: HostPort::new(adit_program::host(&proxy.address.host), proxy.address.port),
            credentials: credentials
                .map(|(user, password)| (user.clone(), password.expose().to_owned())),
        }
    }))
}

fn offer(service: &adit_settings::Service) -> Offer {
    let upstream = &service.upstream;
    Offer {
        address: service.port.to_string(),
        upstream: HostPort::new(adit_program::host(&upstream.host), upstream.port),
    }
}

#[cfg(test)]
mod tests {
    use adit_settings::Environment;

    use super::*;

    fn config_of(args: &[&str]) -> ClientConfig {
        let always = ["adit-client", "--token", "8xTq2L0vYw5uJm9aRb3NcKe7ZsGd1HfP"];
        let args = always.iter().chain(args).map(|&arg| arg.into());
        let settings = adit_settings::client(args, &Environment::of("here", [])).unwrap();
        config(&settings).unwrap()
    }

    #[test]
    fn an_ipv6_server_is_dialled_without_brackets_and_named_with_them() {
        let config = config_of(&["--url", "ws://[::1]:8123", "--upstream", "9090=[::2]:80"]);
        assert_eq!(config.server, HostPort::new("::1", 8123));
        assert_eq!(config.carrier.server_name, "::1");
        let upgrade = config.carrier.upgrade.unwrap();
        assert_eq!(
            (upgrade.host.as_str(), upgrade.path.as_str()),
            ("[::1]:8123", "/connect")
        );
        let offer = Offer {
            address: "9090".to_owned(),
            upstream: HostPort::new("::2", 80),
        };
        assert_eq!(config.offers, [offer]);
    }

    #[test]
    fn only_a_wss_url_gets_tls() {
        let offer = ["--upstream", "a:9090"];
        let tls = |url: &str| {
            config_of(&[&["--url", url], &offer[..]].concat())
                .carrier
                .tls
        };
        assert!(tls("wss://localhost").is_some());
        assert!(tls("ws://localhost").is_none());
    }

    #[test]
    fn the_proxys_password_arrives_decoded() {
        let proxy = "http://me:p%40ss@proxy.example.com:3128";
        let args = [
            "--url",
            "wss://a.example.com",
            "--proxy",
            proxy,
            "--upstream",
            "b:80",
        ];
        let proxy = config_of(&args).proxy.unwrap();
        assert_eq!(proxy.at, HostPort::new("proxy.example.com", 3128));
        assert_eq!(
            proxy.credentials,
            Some(("me".to_owned(), "p@ss".to_owned()))
        );
    }
}
