//! The yardstick and the peers: how each is set up and started.

use super::{Part, Place, Side};
use std::fs;
use std::io;
use std::net::SocketAddr;

pub(super) fn bare(place: &Place<'_>) -> io::Result<Vec<Part>> {
    let certificate = place.folder.join("bare.pem").display().to_string();
    let [bulk, http] = [0, 1].map(|at| {
        let (listen, upstream) = (place.listen(Side::Client, at), place.upstreams[at]);
        format!("{listen}=127.0.0.1:{upstream}")
    });
    let mut far = place.client(
        "bare",
        &["far", "--certificate", &certificate, &bulk, &http],
    )?;
    far.listens = Some(place.listen(Side::Client, 1));
    let [bulk, http] = [0, 1].map(|at| {
        let (visitors, far) = (place.visitors[at], place.dial(Side::Client, at));
        format!("127.0.0.1:{visitors}={far}")
    });
    let near = ["near", "--certificate", &certificate, &bulk, &http];
    Ok(vec![far, place.server("bare", place.visit(1), &near)?])
}

pub(super) fn rathole(place: &Place<'_>, wss: bool) -> io::Result<Vec<Part>> {
    let (control, dial) = (place.listen(Side::Server, 0), place.dial(Side::Server, 0));
    let (mut at_server, mut at_client) = (String::new(), String::new());
    if wss {
        place.certificate()?;
        let made = "pkcs12 -export -in cert.pem -inkey key.pem -out id.pfx -passout pass:adit";
        place.make("openssl", &made.split(' ').collect::<Vec<_>>())?;
        let folder = place.folder.display();
        let websocket = |end: &str| {
            format!(
                "[{end}.transport]\ntype = \"websocket\"\n[{end}.transport.websocket]\ntls = true\n\
                 [{end}.transport.tls]\n"
            )
        };
        at_server = websocket("server")
            + &format!("pkcs12 = \"{folder}/id.pfx\"\npkcs12_password = \"adit\"\n");
        at_client = websocket("client")
            + &format!("trusted_root = \"{folder}/cert.pem\"\nhostname = \"localhost\"\n");
    }
    let mut server = format!(
        "[server]\nbind_addr = \"{control}\"\ndefault_token = \"adit\"\n{at_server}"
    );
    let mut client = format!(
        "[client]\nremote_addr = \"{dial}\"\ndefault_token = \"adit\"\n{at_client}"
    );
    for (at, name) in ["bulk", "http"].into_iter().enumerate() {
        let (visitors, upstream) = (place.visitors[at], place.upstreams[at]);
        server += &format!("[server.services.{name}]\nbind_addr = \"127.0.0.1:{visitors}\"\n");
        client += &format!("[client.services.{name}]\nlocal_addr = \"127.0.0.1:{upstream}\"\n");
    }
    let server = place.file("server.toml", &server)?;
    let client = place.file("client.toml", &client)?;
    Ok(vec![
        place.server("rathole", control, &["--server", &server])?,
        place.client("rathole", &["--client", &client])?,
    ])
}

/// The port on which bore's clients find it; it can't be chosen.
pub(super) const BORE: u16 = 7835;

/// bore has a client for each service.
pub(super) fn bore(place: &Place<'_>) -> io::Result<Vec<Part>> {
    let (listens, to) = (place.listen(Side::Server, 0), place.dial(Side::Server, 0));
    let (ip, to) = (listens.ip().to_string(), to.ip().to_string());
    let mut args = vec!["server", "--min-port", "1024", "--bind-addr", &ip];
    args.extend(["--bind-tunnels", "127.0.0.1"]);
    let mut parts = vec![place.server("bore", listens, &args)?];
    for at in [0, 1] {
        let (upstream, port) = (
            place.upstreams[at].to_string(),
            place.visitors[at].to_string(),
        );
        let args = ["local", &upstream, "--to", &to, "--port", &port];
        parts.push(place.client("bore", &args)?);
    }
    Ok(parts)
}

pub(super) fn ssh(place: &Place<'_>, cipher: Option<&str>) -> io::Result<Vec<Part>> {
    for key in ["host", "user"] {
        place.make("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", key])?;
    }
    let (listens, to) = (place.listen(Side::Server, 0), place.dial(Side::Server, 0));
    let folder = place.folder.display();
    let config = place.file(
        "sshd_config",
        &format!(
            "Port {}\nListenAddress {}\nHostKey {folder}/host\n\
             AuthorizedKeysFile {folder}/user.pub\nStrictModes no\nPidFile none\nUsePAM no\n",
            listens.port(),
            listens.ip()
        ),
    )?;
    // The server only starts where it can give up its rights.
    fs::create_dir_all("/run/sshd")?;
    let server = place.server("sshd", listens, &["-D", "-e", "-f", &config])?;
    let user = std::env::var("USER").unwrap_or_else(|_| "root".to_owned());
    let (port, key) = (to.port().to_string(), format!("{folder}/user"));
    let target = format!("{user}@{}", to.ip());
    let mut args = vec![
        "-F",
        "none",
        "-N",
        "-p",
        &port,
        "-i",
        &key,
        "-o",
        "BatchMode=yes",
    ];
    args.extend([
        "-o",
        "StrictHostKeyChecking=no",
        "-o",
        "UserKnownHostsFile=/dev/null",
    ]);
    args.extend(["-o", "ExitOnForwardFailure=yes"]);
    if let Some(cipher) = cipher {
        args.extend(["-c", cipher]);
    }
    let [bulk, http] = [0, 1].map(|at| {
        let (visitors, upstream) = (place.visitors[at], place.upstreams[at]);
        format!("127.0.0.1:{visitors}:127.0.0.1:{upstream}")
    });
    args.extend(["-R", &bulk, "-R", &http, &target]);
    Ok(vec![server, place.client("ssh", &args)?])
}

pub(super) fn stunnel(place: &Place<'_>) -> io::Result<Vec<Part>> {
    let [cert, key] = place.certificate()?;
    let services = |route: &dyn Fn(usize) -> [SocketAddr; 2]| {
        let service = |at: usize, name: &str| {
            let [accept, connect] = route(at);
            format!("[{name}]\naccept = {accept}\nconnect = {connect}\n")
        };
        service(0, "bulk") + &service(1, "http")
    };
    let far = services(&|at| [place.listen(Side::Client, at), place.upstream(at)]);
    let near = services(&|at| [place.visit(at), place.dial(Side::Client, at)]);
    let far = format!("foreground = yes\npid =\ncert = {cert}\nkey = {key}\n{far}");
    let near = format!("foreground = yes\npid =\nclient = yes\n{near}");
    let far = place.file("far.conf", &far)?;
    let near = place.file("near.conf", &near)?;
    let mut far = place.client("stunnel", &[&far])?;
    far.listens = Some(place.listen(Side::Client, 1));
    Ok(vec![far, place.server("stunnel", place.visit(1), &[&near])?])
}

pub(super) fn wstunnel(place: &Place<'_>) -> io::Result<Vec<Part>> {
    let control = place.listen(Side::Server, 0);
    let server = format!("wss://{control}");
    let server = place.server("wstunnel", control, &["server", &server])?;
    let url = format!("wss://{}", place.dial(Side::Server, 0));
    let [bulk, http] = [0, 1].map(|at| {
        let (visitors, upstream) = (place.visitors[at], place.upstreams[at]);
        format!("tcp://127.0.0.1:{visitors}:127.0.0.1:{upstream}")
    });
    let client = place.client("wstunnel", &["client", "-R", &bulk, "-R", &http, &url])?;
    Ok(vec![server, client])
}
