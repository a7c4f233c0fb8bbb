//! An ingress that lets only those in who have a certificate of its own CA.

use adit_e2e::adit::{SOON, Server, client, wait_served};
use adit_e2e::authority::Authority;
use adit_e2e::nginx::Nginx;
use adit_e2e::scene::Scene;
use adit_e2e::{ports, services, wait};

#[test]
#[ignore = "needs nginx; .ci/run runs it"]
fn a_client_shows_its_certificate_and_without_one_is_told_the_flags() {
    let scene = Scene::new("client-certificate");
    let (ingress, clients) = (Authority::new(), Authority::new());
    let ca = scene.file("ca.pem", ingress.pem());
    let server = Server::start(&scene, "server", &["--tls", "off"]);
    let hosts = [("localhost", server.control)];
    let nginx = Nginx::proxy_for(&scene, &ingress, &hosts, &clients);
    let url = format!("wss://localhost:{}", nginx.port);
    let upstream = services::page(b"up".to_vec());

    let start = |name: &str, data: u16, signed_by: Option<&Authority>| {
        let mut args = vec!["--ca-file".to_owned(), ca.clone()];
        if let Some(authority) = signed_by {
            let identity = authority.identity(&[name]);
            for (flag, pem) in [
                ("--client-cert", identity.certificate),
                ("--client-key", identity.key),
            ] {
                args.extend([
                    flag.to_owned(),
                    scene.file(&format!("{name}{flag}.pem"), pem),
                ]);
            }
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        scene.start(name, client(&scene, &url, &[(data, upstream)], &args))
    };

    let data = ports::free();
    let _right = start("right", data, Some(&clients));
    wait_served("the page behind nginx", data, "/");

    for (name, signed_by, words) in [
        (
            "none",
            None,
            "give one that the server trusts with --client-cert and --client-key",
        ),
        ("stranger", Some(&ingress), "the one in --client-cert"),
    ] {
        let refused = start(name, ports::free(), signed_by);
        let line = wait::until("the client to say why", SOON, || {
            let log = refused.log();
            log.lines()
                .find(|line| line.contains("no session with"))
                .map(str::to_owned)
        });
        assert!(line.contains(words), "{line}");
        assert!(!refused.log().contains("connected to"));
    }
}
