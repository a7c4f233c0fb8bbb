//! Cases of sessions for programs of their own.

use std::future::poll_fn;
use std::io;

use adit_core::{CarrierFacts, ClientId, Code, HandshakeError, Token, TunnelName};

use super::kit::numbered;
use super::pipe::pipe;
use crate::session::{AcceptError, Client, ConnectError, Host, Session, Stream};
use crate::{Runtime, Start, Threads, all};

const PLAIN: CarrierFacts = CarrierFacts {
    exporter: None,
    tls: false,
    certificate_checked: false,
};

type Sides = (Result<Session, AcceptError>, Result<Session, ConnectError>);

/// Host and client over a pipe; the client knows this token.
async fn sides<R: Runtime>(runtime: R, text: &'static str) -> Sides {
    let tunnel = TunnelName::new("attic").expect("a name");
    let token = Token::new(b"the right token of the test").expect("long enough");
    let host = Host::new(Default::default()).expect("limits that fit");
    let host = host.with_tunnel(&tunnel, &token);
    let known = Token::new(text.as_bytes()).expect("long enough");
    let client = Client::new(known, tunnel, ClientId::new("me").expect("a name"));
    let (near, far) = pipe();
    let (told, heard) = std::sync::mpsc::channel();
    let own = runtime.clone();
    let accepting = async move {
        let accepted = host.accept(&own, near, None).await;
        told.send(accepted).expect("somebody hears");
    };
    let (connected_told, connected) = std::sync::mpsc::channel();
    let own = runtime.clone();
    let connecting = async move {
        let session = client.connect(&own, far, PLAIN).await;
        connected_told.send(session).expect("somebody hears");
    };
    all(
        &runtime,
        [Box::pin(accepting) as Task, Box::pin(connecting)],
    )
    .await;
    let accepted = heard.recv().expect("it was told");
    (accepted, connected.recv().expect("it was told"))
}

type Task = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

async fn write(stream: &Stream, mut data: &[u8]) -> io::Result<()> {
    while !data.is_empty() {
        let written = poll_fn(|context| stream.poll_write(context, data)).await?;
        data = &data[written..];
    }
    stream.finish()
}

async fn read(stream: &Stream) -> io::Result<Vec<u8>> {
    let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match poll_fn(|context| stream.poll_read(context, &mut buffer)).await? {
            0 => return Ok(all),
            read => all.extend_from_slice(&buffer[..read]),
        }
    }
}

/// Over a pipe that takes 1,500 bytes at a time.
pub fn a_session_carries_streams_over_any_carrier<R: Start>() {
    let started = R::start(Threads::One, |runtime| async move {
        let (server, client) = sides(runtime.clone(), "the right token of the test").await;
        let (server, client) = (server.expect("a session"), client.expect("a session"));
        let answering = async move {
            let stream = client.accept().await.expect("a stream");
            let request = read(&stream).await.expect("all of it");
            write(&stream, &request).await.expect("room, in time");
            // Until the other side has seen the end.
            client.ended().await;
        };
        let asking = async move {
            let stream = server.open().expect("a stream");
            let sent = numbered(300_000);
            write(&stream, &sent).await.expect("room, in time");
            assert!(read(&stream).await.expect("all of it") == sent);
        };
        all(&runtime, [Box::pin(answering) as Task, Box::pin(asking)]).await;
    });
    started.expect("a runtime");
}

/// On neither side.
pub fn a_wrong_token_gets_no_session<R: Start>() {
    let sides = R::start(Threads::One, |runtime| {
        sides(runtime, "a wrong token of the test!")
    });
    let (server, client) = sides.expect("a runtime");
    assert!(matches!(server, Err(AcceptError::Refused(_))));
    let Err(ConnectError::Handshake(HandshakeError::Refused { code, .. })) = client else {
        panic!("the client was not refused")
    };
    assert_eq!(code, Code::UNAUTHORIZED);
}
