//! A session that carries nothing lives on behind nginx, whose defaults end a
//! connection that is quiet for 60 s.

use adit_e2e::adit::{SOON, Server, client, wait_served};
use adit_e2e::authority::Authority;
use adit_e2e::nginx::Nginx;
use adit_e2e::scene::Scene;
use adit_e2e::{ports, services, wait};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// More than twice nginx's limit.
const IDLE: Duration = Duration::from_secs(130);

#[test]
#[ignore = "needs nginx; .ci/run runs it"]
fn an_idle_session_is_not_cut_by_nginx() {
    let scene = Scene::new("idle");
    let authority = Authority::new();
    let ca = scene.file("ca.pem", authority.pem());
    let server = Server::start(&scene, "server", &["--tls", "off"]);
    let nginx = Nginx::proxy(&scene, &authority, &[("localhost", server.control)]);
    let (page, echo) = (ports::free(), ports::free());
    let upstreams = [
        (page, services::page(b"up".to_vec())),
        (echo, services::echo()),
    ];
    let url = format!("wss://localhost:{}", nginx.port);
    let recipe = client(&scene, &url, &upstreams, &["--ca-file", &ca]);
    let mut client = scene.start("client", recipe);
    wait_served("the page behind nginx", page, "/");

    let mut visitor = TcpStream::connect((Ipv4Addr::LOCALHOST, echo)).expect("it listens");
    visitor.set_read_timeout(Some(SOON)).expect("a time limit");
    let mut say = |word: &[u8; 4]| {
        visitor
            .write_all(word)
            .expect("the visitor's connection lives");
        let mut back = [0; 4];
        visitor
            .read_exact(&mut back)
            .expect("the visitor's connection lives");
        assert_eq!(&back, word);
    };
    say(b"then");
    // nginx writes a line when an upgraded connection ends.
    let ended = || {
        nginx
            .requests()
            .iter()
            .filter(|line| line.contains(" 101 "))
            .count()
    };
    wait::throughout("the one session goes on", IDLE, || ended() == 0);
    say(b"now!");

    client.kill();
    wait::until("the end of a session to show", SOON, || {
        (ended() == 1).then_some(())
    });
}
