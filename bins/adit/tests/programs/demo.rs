//! `adit demo`, and `adit token new`.

use std::fs;
use std::io::Write;

use crate::kit::{Program, connect, read_all};

#[test]
fn the_demo_prints_an_address_first_and_serves_its_page_and_metrics_there_through_the_tunnel() {
    let dir = tempfile::tempdir().unwrap();
    let mut demo = Program::start(dir.path(), &["demo"], &[]);
    let line = demo.first_line();
    let addr = line
        .strip_prefix("http://")
        .unwrap()
        .strip_suffix('/')
        .unwrap();
    let get = |path: &str| {
        let mut visitor = connect(addr.parse().unwrap());
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        visitor.write_all(request.as_bytes()).unwrap();
        let answer = String::from_utf8(read_all(visitor).unwrap()).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        answer
    };
    assert!(get("/").contains("It works."));
    assert!(get("/metrics").contains("\nsample_requests_total{path=\"/\"} 1\n"));
    // It did come through the tunnel: the proof was bound to its TLS.
    assert!(demo.log().contains("bound to TLS"));

    demo.interrupt();
    assert!(demo.ended().success());
    assert_eq!(
        fs::read_dir(dir.path()).unwrap().count(),
        0,
        "it left files"
    );
}

#[test]
fn two_demos_run_side_by_side() {
    let dir = tempfile::tempdir().unwrap();
    let one = Program::start(dir.path(), &["demo"], &[]);
    let two = Program::start(dir.path(), &["demo"], &[]);
    assert_ne!(one.first_line(), two.first_line());
}

#[test]
fn a_new_token_goes_to_a_private_file_that_is_never_overwritten() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    let new = || Program::start(dir.path(), &["token", "new", "--out", "token"], &[]);
    assert!(new().ended().success());
    let token = fs::read_to_string(&path).unwrap();
    assert_eq!(token.trim().len(), 43);
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let mut second = new();
    assert_eq!(second.ended().code(), Some(1));
    assert!(second.logged("never overwritten").contains("token"));
    assert_eq!(fs::read_to_string(&path).unwrap(), token);
}

#[test]
fn a_new_token_goes_to_standard_output_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut program = Program::start(dir.path(), &["token", "new"], &[]);
    assert!(program.ended().success());
    assert_eq!(program.first_line().len(), 43);
    assert_eq!(program.output().lines().count(), 1);
}
