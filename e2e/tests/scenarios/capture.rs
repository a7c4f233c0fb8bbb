//! Whoever ends TLS between client and server (and is trusted by the client)
//! reads no secret; nor does whoever reads the logs, at their most talkative.

use adit_e2e::adit::{SOON, Server, TOKEN, adit_client, client, wait_served};
use adit_e2e::authority::Authority;
use adit_e2e::scene::Scene;
use adit_e2e::secrets::{Needles, contains};
use adit_e2e::tap::Tap;
use adit_e2e::wire::{Exchange, TokenKeys, websocket_payload};
use adit_e2e::{ports, services, wait};

const TRACE: [&str; 2] = ["--log-level", "trace"];
const WRONG: &str = "3SmbQGv7Tq0XcYw9eKzR5uJhFdLpN2aAiOxWtB8yUrM";

#[test]
#[ignore = "needs Adit's programs; .ci/run runs it"]
fn neither_the_wire_nor_a_log_holds_a_secret() {
    let scene = Scene::new("capture");
    let authority = Authority::new();
    let identity = authority.identity(&["localhost"]);
    let ca = scene.file("ca.pem", authority.pem());
    let cert = scene.file("cert.pem", &identity.certificate);
    let key = scene.file("key.pem", &identity.key);
    let files = ["--tls", "files", "--tls-cert", &cert, "--tls-key", &key];
    let args = [&files[..], &["--channel-binding", "off"], &TRACE].concat();
    let server = Server::start(&scene, "server", &args);
    let tap = Tap::start(&identity, server.control);
    let url = format!("wss://localhost:{}", tap.port);

    let marker = b"a page that may be seen";
    let data = ports::free();
    let upstream = services::page(marker.to_vec());
    let args = [&["--ca-file", &ca][..], &TRACE].concat();
    let right = scene.start("client", client(&scene, &url, &[(data, upstream)], &args));
    wait_served("the page through the tap", data, "/");

    let other = scene.file("wrong-token", WRONG);
    let args = [&args[..], &["--token-file", &other, "--log-format", "json"]].concat();
    let services = [(ports::free(), upstream)];
    let wrong = scene.start("wrong", adit_client(&scene, &url, &services, &args));
    // Two captures more: it was refused, and tries again.
    wait::until("the wrong token's attempts", SOON, || {
        (tap.captures().len() >= 3).then_some(())
    });

    // The capture is complete and was understood: the proofs in it are right.
    let captures = tap.captures();
    let payload = |bytes: &[u8]| websocket_payload(bytes).expect("a WebSocket");
    let (first, second) = (&captures[0], &captures[1]);
    let from_client = payload(&first.from_client);
    let from_server = payload(&first.from_server);
    let keys = TokenKeys::new(TOKEN.as_bytes(), "default");
    let wrong_keys = TokenKeys::new(WRONG.as_bytes(), "default");
    let exchange =
        Exchange::new(&keys, &from_server, &from_client).expect("SERVER_HELLO, AUTH and WELCOME");
    assert!(
        exchange.proofs_right,
        "the proofs are not what spec/04-handshake.md says"
    );
    assert!(
        wrong_keys.made_proof(&payload(&second.from_server), &payload(&second.from_client)),
        "the wrong proof is not made from the wrong token"
    );
    assert!(
        contains(&from_client, marker),
        "the page itself can be read, as it should"
    );

    let mut needles = vec![
        Needles::new("the token", TOKEN.as_bytes()),
        Needles::new("the wrong token", WRONG.as_bytes()),
    ];
    for (whose, keys) in [
        ("the token's", keys.named()),
        ("the session's", exchange.named),
        ("the wrong token's", wrong_keys.named()),
    ] {
        let named = keys.iter();
        needles.extend(named.map(|(name, key)| Needles::new(&format!("{whose} {name}"), key)));
    }
    let mut places = vec![
        (
            "the server's log".to_owned(),
            server.process.log().into_bytes(),
        ),
        ("the client's log".to_owned(), right.log().into_bytes()),
        (
            "the refused client's log".to_owned(),
            wrong.log().into_bytes(),
        ),
    ];
    for (name, log) in &places {
        assert!(
            log.len() > 200,
            "{name} says too little to be a trace: {}",
            log.escape_ascii()
        );
    }
    for (which, capture) in [("right", first), ("wrong", second)] {
        for (side, bytes) in [
            ("client", &capture.from_client),
            ("server", &capture.from_server),
        ] {
            places.push((format!("the {which} token's wire, {side}"), bytes.clone()));
            places.push((
                format!("the {which} token's frames, {side}"),
                payload(bytes),
            ));
        }
    }
    for (place, bytes) in &places {
        for needles in &needles {
            assert_eq!(needles.found_in(bytes), Vec::<&str>::new(), "in {place}");
        }
    }
    println!(
        "searched {} places for {} secrets in every shape",
        places.len(),
        needles.len()
    );
}
