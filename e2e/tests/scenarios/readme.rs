//! What README.md says, done as it stands there.

use adit_e2e::adit::{SOON, Server, client, program, wait_served};
use adit_e2e::authority::Authority;
use adit_e2e::nginx::Nginx;
use adit_e2e::process::{Recipe, run};
use adit_e2e::scene::Scene;
use adit_e2e::{ports, services};
use std::os::unix::fs::symlink;

const README: &str = include_str!("../../../README.md");

/// The blocks of code in this language below a heading, up to the next one.
fn blocks(heading: &str, language: &str) -> Vec<&'static str> {
    let (_, section) = README
        .split_once(&format!("\n## {heading}\n"))
        .unwrap_or_else(|| panic!("no section {heading:?}"));
    let section = section.split("\n## ").next().unwrap_or_default();
    let start = format!("```{language}\n");
    let blocks = section.split(&start).skip(1);
    blocks
        .filter_map(|block| block.split("```").next())
        .collect()
}

/// The quick start uses fixed ports, so it runs where nobody else has any: in a network of its own.
#[test]
#[ignore = "needs Adit's programs, unshare and ip; .ci/run runs it"]
fn the_quick_start_works_as_it_stands() {
    let blocks = blocks("Quick start, in two terminals", "sh");
    let [prepare, public_side, private_side] = blocks[..] else {
        panic!("{blocks:?}");
    };
    let visit = "curl http://127.0.0.1:9000/";
    assert!(
        README.contains(&format!("`{visit}`")),
        "README visits elsewhere"
    );

    let scene = Scene::new("quick-start");
    // Built already: the scenario sees that README builds what it uses, and where it looks for it.
    let adit = program("adit");
    let release = scene.subfolder("target/release");
    symlink(&adit, release.join("adit")).expect("a link");
    let script = format!(
        "cargo() {{ [ \"$*\" = 'build --release -p adit' ]; }}
         patiently() {{ for try in {{1..300}}; do \"$@\" && return; sleep 0.1; done; false; }}
         ip link set lo up
         {prepare}
         ({public_side}) &
         mkdir private && cp token.txt private && cd private && echo 'a private page' >index.html
         ({private_side}) &
         patiently {visit} --silent --show-error --fail
        "
    );
    let script = scene.file("quick-start.sh", script);
    let at = format!(
        "cd {} && exec bash -euo pipefail {script}",
        scene.folder().display()
    );
    let recipe = Recipe::new("unshare").args(["-rn", "bash", "-c", &at]);
    let printed = run("quick-start", SOON * 2, &recipe);
    assert!(printed.contains("a private page"), "{printed}");
}

#[test]
#[ignore = "needs nginx; .ci/run runs it"]
fn the_nginx_block_passes_clients_on() {
    let scene = Scene::new("readme-nginx");
    let authority = Authority::new();
    let name = "orion-aws.prometheus.example.com";
    let identity = authority.identity(&[name]);
    let server = Server::start(&scene, "server", &["--tls", "off"]);
    let port = ports::free();
    let [block] = blocks("Federating Prometheus", "nginx")[..] else {
        panic!("one nginx block");
    };
    // Places and ports of the reader's machine become the scene's.
    let mut config = block.to_owned();
    for (theirs, ours) in [
        ("listen 443 ssl;", format!("listen 127.0.0.1:{port} ssl;")),
        (
            "/etc/ssl/adit.pem",
            scene.file("cert.pem", identity.certificate),
        ),
        ("/etc/ssl/adit.key", scene.file("key.pem", identity.key)),
        (
            "http://127.0.0.1:8123;",
            format!("http://127.0.0.1:{};", server.control),
        ),
    ] {
        assert!(config.contains(theirs), "no {theirs:?} in {block}");
        config = config.replace(theirs, &ours);
    }
    let _nginx = Nginx::start(&scene, port, &config);

    let ca = scene.file("ca.pem", authority.pem());
    let data = ports::free();
    let upstream = services::page(b"up".to_vec());
    let url = format!("wss://{name}:{port}");
    let recipe = client(&scene, &url, &[(data, upstream)], &["--ca-file", &ca]);
    let _client = scene.start("client", scene.with_names(recipe, &[name]));
    wait_served("the page behind nginx", data, "/");
}
