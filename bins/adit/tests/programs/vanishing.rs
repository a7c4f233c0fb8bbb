//! Visitors that go without a word: nothing of them may stay in either program.

#![cfg(target_os = "linux")]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use crate::kit::{Program, Site, Upstream, ask, connect, free, metric, reset, service_of, until};

/// Who could write nothing for so long can't go on.
const STALLED: Duration = Duration::from_millis(500);

/// Streams that a program says it has, at its admin address.
fn streams(admin: SocketAddr) -> u64 {
    metric(admin, "adit_streams")
}

/// How many files each of the programs has open.
fn files(programs: [&Program; 2]) -> [usize; 2] {
    programs.map(Program::files)
}

#[test]
fn three_hundred_visitors_that_vanish_leave_no_file_and_no_stream_on_either_side() {
    // It greets, and answers when the request has ended. Some never do, and a request that begins with ! it never reads on.
    let upstream = Upstream::start(|mut stream| {
        let _ = stream.write_all(b"hello");
        let mut request = vec![0];
        if stream.read_exact(&mut request).is_ok() && request == b"!" {
            loop {
                std::thread::park();
            }
        }
        if stream.read_to_end(&mut request).is_ok() {
            let _ = stream.write_all(&request);
        }
    });
    let (site, admins) = (Site::new(), [free(), free()]);
    let [at_server, at_client] = admins.map(|admin| admin.to_string());
    let server = site.server(&["--admin-addr", &at_server]);
    let client = site.client(
        &server,
        &[
            "--admin-addr",
            &at_client,
            "--upstream",
            &upstream.anywhere(),
        ],
    );
    let addr = service_of(&client, upstream.addr());
    let programs = [&server, &client];
    let before = files(programs);

    for n in 0..300 {
        let mut visitor = connect(addr);
        match n % 6 {
            // At once.
            0 => reset(visitor),
            1 => drop(visitor),
            // In the middle of a request.
            2 => {
                visitor.write_all(b"half a requ").unwrap();
                reset(visitor);
            }
            3 => visitor.write_all(b"half a requ").unwrap(),
            // In the middle of the answer.
            4 => {
                visitor.read_exact(&mut [0; 2]).unwrap();
                reset(visitor);
            }
            // When nobody takes what it still has to say.
            5 if n < 18 => {
                visitor.set_write_timeout(Some(STALLED)).unwrap();
                while visitor.write(&[b'!'; 100_000]).is_ok() {}
                reset(visitor);
            }
            // With a FIN, and then a RST for the answer.
            _ => {
                visitor.write_all(&[7; 100_000]).unwrap();
                visitor.shutdown(Shutdown::Write).unwrap();
            }
        }
    }
    until("all streams to end", || admins.map(streams) == [0, 0]);
    until("all files to be closed", || files(programs) == before);
    assert_eq!(ask(addr, b" you").unwrap(), b"hello you");
}
