//! A client whose only way out is an HTTP proxy that asks for a password.

use adit_e2e::adit::{SOON, Server, client, wait_served};
use adit_e2e::process::{Process, Recipe};
use adit_e2e::scene::Scene;
use adit_e2e::{ports, services, wait};
use std::net::{Ipv4Addr, TcpStream};

/// A name of this machine, because variables don't send what is local to a proxy.
const NAME: &str = "tunnel.example.com";

fn tinyproxy(scene: &Scene, name: &str) -> (Process, u16) {
    let port = ports::free();
    let config = format!(
        "Port {port}\nListen 127.0.0.1\nBasicAuth miner shaft-7.north\nAllow 127.0.0.1\n\
         Timeout 600\nMaxClients 50\nLogLevel Info\n"
    );
    let config = scene.file(&format!("{name}.conf"), config);
    let recipe = Recipe::new("tinyproxy").args(["-d", "-c"]).args([config]);
    let process = scene.start(name, scene.with_names(recipe, &[NAME]));
    wait::until("tinyproxy to listen", SOON, || {
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()
    });
    (process, port)
}

#[test]
#[ignore = "needs tinyproxy; .ci/run runs it"]
fn a_session_goes_through_a_proxy_with_a_password() {
    let scene = Scene::new("proxy");
    let server = Server::start(&scene, "server", &[]);
    let upstream = services::page(b"up".to_vec());
    for by_flag in [true, false] {
        let (proxy, port) = tinyproxy(&scene, if by_flag { "by-flag" } else { "by-variable" });
        let data = ports::free();
        let address = format!("http://miner:shaft%2D7.north@127.0.0.1:{port}");
        let args = if by_flag {
            vec!["--proxy", address.as_str()]
        } else {
            vec![]
        };
        let url = format!("wss://{NAME}:{}", server.control);
        let mut recipe = client(&scene, &url, &[(data, upstream)], &args);
        if !by_flag {
            recipe = recipe.env("HTTPS_PROXY", address.as_str());
        }
        let client = scene.start(&format!("{}-client", proxy.name()), recipe);
        wait_served("the page through the proxy", data, "/");
        let wanted = format!("CONNECT {NAME}:{}", server.control);
        assert!(
            proxy.log().contains(&wanted),
            "the proxy was not asked:\n{}",
            proxy.log()
        );
        assert!(
            !client.log().contains("shaft-7.north"),
            "the password is in the client's log"
        );
    }
}

#[test]
#[ignore = "needs tinyproxy; .ci/run runs it"]
fn a_wrong_proxy_password_is_named_and_not_shown() {
    let scene = Scene::new("proxy-wrong");
    let server = Server::start(&scene, "server", &[]);
    let (_proxy, port) = tinyproxy(&scene, "tinyproxy");
    let data = ports::free();
    let address = format!("http://miner:nonsense@127.0.0.1:{port}");
    let recipe = client(
        &scene,
        &server.url(),
        &[(data, data)],
        &["--proxy", &address],
    );
    let client = scene.start("client", recipe);
    // tinyproxy 1.11 answers 401 where the standard wants 407.
    let log = wait::until("the client to say what the proxy answered", SOON, || {
        Some(client.log()).filter(|log| log.contains("401") || log.contains("407"))
    });
    assert!(log.to_lowercase().contains("proxy"), "{log}");
    assert!(
        !log.contains("nonsense"),
        "the password is in the client's log:\n{log}"
    );
}
