//! A client with several sessions.

use std::io::Write;

use crate::kit::{Site, Upstream, ask, connect, free, metric, read_all, until};

const SESSIONS: u64 = 3;

#[test]
fn a_client_holds_as_many_sessions_as_it_is_told_and_ends_with_all_of_them() {
    let site = Site::new();
    let admin = [free(), free()];
    let [at_server, at_client] = admin.map(|addr| addr.to_string());
    let server = site.server(&["--admin-addr", &at_server]);
    let upstream = Upstream::echo("reply");
    let data = free();
    let service = format!("{}={}", data.port(), upstream.addr());
    let sessions = SESSIONS.to_string();
    let args = ["--upstream", &service, "--admin-addr", &at_client];
    let mut client = site.client(&server, &[&args[..], &["--sessions", &sessions]].concat());
    let both = |name| admin.map(|addr| metric(addr, name));
    until("all sessions", || {
        metric(admin[0], "adit_sessions") == SESSIONS
    });
    until("the client to count them", || {
        both("adit_sessions") == [SESSIONS; 2]
    });

    // As many visitors at one time as each session gets two of, and all are served.
    let mut visitors: Vec<_> = (0..2 * SESSIONS).map(|_| connect(data)).collect();
    for visitor in &mut visitors {
        visitor.write_all(b"a word").unwrap();
    }
    until("their streams", || {
        both("adit_streams") == [2 * SESSIONS; 2]
    });
    for visitor in visitors {
        visitor.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(read_all(visitor).unwrap(), b"reply:a word");
    }
    assert_eq!(ask(data, b"another").unwrap(), b"reply:another");

    client.terminate();
    assert!(client.ended().success());
    until("the server to know", || {
        metric(admin[0], "adit_sessions") == 0
    });
    assert!(!server.log().contains("panicked"));
}

#[test]
fn a_new_run_of_a_client_takes_the_place_of_all_sessions_of_the_old_one() {
    let site = Site::new();
    let admin = free();
    let at_server = admin.to_string();
    let server = site.server(&["--admin-addr", &at_server]);
    let (upstream, data) = (Upstream::echo("reply"), free());
    let service = format!("{}={}", data.port(), upstream.addr());
    let args = ["--upstream", &service, "--sessions", "3"];
    let start = || site.client(&server, &args);
    let mut old = start();
    until("all sessions", || {
        metric(admin, "adit_sessions") == SESSIONS
    });
    old.kill();
    let _new = start();
    until("the new ones instead", || {
        metric(admin, "adit_sessions_opened_total") == 2 * SESSIONS
            && metric(admin, "adit_sessions") == SESSIONS
            && metric(admin, "adit_sessions_detached") == 0
    });
    assert_eq!(ask(data, b"a word").unwrap(), b"reply:a word");
}
