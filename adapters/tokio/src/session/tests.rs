//! Two programs of their own, over pipes in memory.

use std::io::ErrorKind;

use adit_core::{CarrierFacts, ClientId, Code, HandshakeError, SessionError, Token, TunnelName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

const PLAIN: CarrierFacts = CarrierFacts {
    exporter: None,
    tls: false,
    certificate_checked: false,
};

fn token(text: &str) -> Token {
    Token::new(text.as_bytes()).unwrap()
}

fn host() -> Host {
    let tunnel = TunnelName::new("attic").unwrap();
    Host::new(Default::default())
        .unwrap()
        .with_tunnel(&tunnel, &token("the right token of the test"))
}

fn client(text: &str) -> Client {
    Client::new(
        token(text),
        TunnelName::new("attic").unwrap(),
        ClientId::new("me").unwrap(),
    )
}

/// Server and client, over a pipe that holds `room` bytes.
async fn sessions(room: usize) -> (Session, Session) {
    let (near, far) = tokio::io::duplex(room);
    let (host, client) = (host(), client("the right token of the test"));
    let (server, client) = tokio::join!(host.accept(near, None), client.connect(far, PLAIN));
    (server.unwrap(), client.unwrap())
}

#[tokio::test]
async fn a_wrong_token_gets_no_session_on_either_side() {
    let (near, far) = tokio::io::duplex(1024);
    let (host, client) = (host(), client("a wrong token of the test!"));
    let (server, client) = tokio::join!(host.accept(near, None), client.connect(far, PLAIN));
    assert!(matches!(server, Err(AcceptError::Refused(_))));
    let Err(ConnectError::Handshake(HandshakeError::Refused { code, .. })) = client else {
        panic!("the client was not refused")
    };
    assert_eq!(code, Code::UNAUTHORIZED);
}

#[tokio::test]
async fn a_carrier_that_ends_in_the_handshake_gives_no_session() {
    let (near, far) = tokio::io::duplex(1024);
    drop(far);
    assert!(host().accept(near, None).await.is_err());
}

#[tokio::test]
async fn megabytes_pass_in_both_directions_over_a_narrow_pipe() {
    let (server, client) = sessions(1_000).await;
    let sent: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 253) as u8).collect();
    let mut out = server.open().unwrap();
    let mut echo = client.accept().await.unwrap();
    let echoing = async {
        let (mut reader, mut writer) = tokio::io::split(&mut echo);
        tokio::io::copy(&mut reader, &mut writer).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let mut received = Vec::new();
    let asking = async {
        let (mut reader, mut writer) = tokio::io::split(&mut out);
        let writing = async {
            writer.write_all(&sent).await.unwrap();
            writer.shutdown().await.unwrap();
        };
        tokio::join!(writing, reader.read_to_end(&mut received))
            .1
            .unwrap();
    };
    tokio::join!(echoing, asking);
    assert!(received == sent);
}

#[tokio::test]
async fn both_sides_may_open_streams() {
    let (server, client) = sessions(4096).await;
    let mut one = server.open().unwrap();
    let mut two = client.open().unwrap();
    one.write_all(b"1").await.unwrap();
    two.write_all(b"2").await.unwrap();
    let (mut at_client, mut at_server) = (
        client.accept().await.unwrap(),
        server.accept().await.unwrap(),
    );
    assert_eq!(at_client.read_u8().await.unwrap(), b'1');
    assert_eq!(at_server.read_u8().await.unwrap(), b'2');
}

#[tokio::test]
async fn dropping_an_unfinished_stream_is_an_error_for_the_peer_and_no_end() {
    let (server, client) = sessions(4096).await;
    let mut out = server.open().unwrap();
    out.write_all(b"half").await.unwrap();
    let mut stream = client.accept().await.unwrap();
    stream.read_exact(&mut [0; 4]).await.unwrap();
    drop(out);
    let error = stream.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(
        stream.write_u8(1).await.unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
}

#[tokio::test]
async fn a_writer_waits_for_a_reader_and_goes_on_when_it_reads() {
    let (server, client) = sessions(4096).await;
    let mut out = server.open().unwrap();
    let mut stream = client.accept().await.unwrap();
    // More than all windows and buffers hold.
    let sent = vec![7; 40_000_000];
    let writing = tokio::spawn(async move {
        out.write_all(&sent).await.unwrap();
        out.shutdown().await.unwrap();
        out
    });
    let mut received = Vec::new();
    stream.read_to_end(&mut received).await.unwrap();
    assert_eq!(received.len(), 40_000_000);
    writing.await.unwrap();
}

#[tokio::test]
async fn a_closed_session_ends_everything_and_says_why() {
    let (server, client) = sessions(4096).await;
    let mut out = server.open().unwrap();
    out.write_all(b"x").await.unwrap();
    let mut stream = client.accept().await.unwrap();
    server.close();
    assert_eq!(client.ended().await, SessionError::PeerClosed(Code::DONE));
    assert!(client.accept().await.is_none());
    let error = stream.read_to_end(&mut Vec::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert!(client.open().is_err());
    let error = out.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
    assert!(server.accept().await.is_none() && server.open().is_err());
}

/// A stream that is over on the server's side, and of which the client has read nothing yet.
async fn unread(server: &Session, client: &Session) -> Stream {
    let mut out = server.open().unwrap();
    out.write_all(b"last words").await.unwrap();
    out.shutdown().await.unwrap();
    let mut stream = client.accept().await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(out.read(&mut [0; 1]).await.unwrap(), 0);
    stream
}

/// Lets the tasks of both sessions do all that they can.
async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_had_ended_before_its_session_was_closed_can_still_be_read() {
    let (server, client) = sessions(4096).await;
    let mut stream = unread(&server, &client).await;
    server.close();
    settle().await;
    let mut received = Vec::new();
    stream.read_to_end(&mut received).await.unwrap();
    assert_eq!(received, b"last words");
    drop(stream);
    assert_eq!(client.ended().await, SessionError::PeerClosed(Code::DONE));
}

#[tokio::test]
async fn what_had_ended_before_its_session_was_dropped_can_still_be_read() {
    let (server, client) = sessions(4096).await;
    let mut stream = unread(&server, &client).await;
    drop(server);
    settle().await;
    let mut received = Vec::new();
    stream.read_to_end(&mut received).await.unwrap();
    assert_eq!(received, b"last words");
    drop(stream);
    assert_eq!(client.ended().await, SessionError::PeerClosed(Code::DONE));
}

#[tokio::test]
async fn a_peer_that_never_reads_does_not_hold_up_the_end() {
    let (server, client) = sessions(4096).await;
    let _stream = unread(&server, &client).await;
    server.close();
    assert_eq!(server.ended().await, SessionError::Closed(Code::DONE));
}

#[tokio::test(start_paused = true)]
async fn a_carrier_that_takes_nothing_ends_the_handshake_in_its_time() {
    let (near, _far) = tokio::io::duplex(8);
    let Err(AcceptError::Carrier(error)) = host().accept(near, None).await else {
        panic!("the handshake went on")
    };
    assert_eq!(error.kind(), ErrorKind::TimedOut);
}

#[tokio::test]
async fn streams_run_on_when_the_handle_is_gone_and_then_the_session_ends() {
    let (server, client) = sessions(4096).await;
    let mut out = server.open().unwrap();
    out.write_all(b"x").await.unwrap();
    let mut stream = client.accept().await.unwrap();
    drop(server);
    out.write_all(b"y").await.unwrap();
    out.shutdown().await.unwrap();
    let mut received = Vec::new();
    stream.read_to_end(&mut received).await.unwrap();
    assert_eq!(received, b"xy");
    stream.shutdown().await.unwrap();
    assert_eq!(out.read(&mut [0; 1]).await.unwrap(), 0);
    drop((out, stream));
    assert_eq!(client.ended().await, SessionError::PeerClosed(Code::DONE));
}

#[tokio::test]
async fn a_lost_carrier_ends_the_session() {
    let (near, mut one) = tokio::io::duplex(4096);
    let (mut two, far) = tokio::io::duplex(4096);
    let relay =
        tokio::spawn(async move { tokio::io::copy_bidirectional(&mut one, &mut two).await });
    let (host, client) = (host(), client("the right token of the test"));
    let (server, client) = tokio::join!(host.accept(near, None), client.connect(far, PLAIN));
    let (server, client) = (server.unwrap(), client.unwrap());
    relay.abort();
    assert_eq!(server.ended().await, SessionError::CarrierLost);
    assert_eq!(client.ended().await, SessionError::CarrierLost);
}
