//! A server inside somebody's axum application: one route takes clients, another asks what they have.
//!
//! The client is the one that `adit-client` runs, with reconnecting and all; it dials `ws://…/connect` and leads streams to a private service. In
//! a real application TLS ends in front of it.

use std::net::SocketAddr;
use std::sync::Arc;

use adit_core::ClientId;
use adit_examples::{BYTES, Error, ask, host, token, tunnel};
use adit_link::{ClientSetup, ClientUpgrade};
use adit_relay::HostPort;
use adit_relay::client::{Client, ClientConfig, Offer};
use adit_tokio::session::{Host, Session};
use adit_tokio::{Clock, Env, Tokio, run_client, stopper};
use axum::Router;
use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::any;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::io::{CopyToBytes, SinkWriter, StreamReader};

/// What the application knows: who may come, and where sessions go.
#[derive(Clone)]
struct App {
    host: Arc<Host>,
    sessions: mpsc::Sender<Session>,
}

/// The route of clients.
async fn connect(State(app): State<App>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(|socket| async move {
        if let Ok(session) = app.host.accept(carrier(socket), None).await {
            // An application that ends takes no more sessions.
            let _ = app.sessions.send(session).await;
        }
    })
}

/// Binary messages are the carrier's bytes; where one ends means nothing.
fn carrier(
    socket: WebSocket,
) -> impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static {
    let (sink, messages) = socket.split();
    let input = messages.filter_map(async |message| match message {
        Ok(Message::Binary(data)) => Some(Ok::<Bytes, std::io::Error>(data)),
        // Pings are answered by axum; a close, or anything else, is followed by the end.
        Ok(_) => None,
        Err(error) => Some(Err(std::io::Error::other(error))),
    });
    let output = sink
        .with(async |data: Bytes| Ok::<_, axum::Error>(Message::Binary(data)))
        .sink_map_err(std::io::Error::other);
    tokio::io::join(
        StreamReader::new(Box::pin(input)),
        SinkWriter::new(CopyToBytes::new(Box::pin(output))),
    )
}

/// A client as its operator would start it.
fn private_side(server: SocketAddr, service: SocketAddr, clock: Clock) -> Result<Client, Error> {
    let at = |addr: SocketAddr| HostPort::new(addr.ip().to_string(), addr.port());
    let carrier = ClientSetup {
        upgrade: Some(ClientUpgrade {
            host: server.to_string(),
            path: "/connect".to_owned(),
            ..ClientUpgrade::default()
        }),
        ..ClientSetup::default()
    };
    let mut config = ClientConfig::new(carrier, at(server), tunnel(), ClientId::new("kitchen")?);
    config.offers.push(Offer {
        address: "0".to_owned(),
        upstream: at(service),
    });
    Ok(Client::new(config, [7; 32], clock.now()))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let service = TcpListener::bind("127.0.0.1:0").await?;
    let (sessions, mut opened) = mpsc::channel(1);
    let host = Arc::new(host()?);
    let app = Router::new()
        .route("/connect", any(connect))
        .with_state(App { host, sessions });
    let public = TcpListener::bind("127.0.0.1:0").await?;
    let (at, clock) = (public.local_addr()?, Clock::start());
    tokio::spawn(async move { axum::serve(public, app).await });

    let (_stopper, stopping) = stopper();
    let client = private_side(at, service.local_addr()?, clock)?;
    let read_token = Arc::new(|| Ok(token()));
    let env = Env::logging(clock);
    tokio::spawn(run_client(Tokio::here(), client, read_token, env, stopping));

    // The private service gives back what it gets.
    tokio::spawn(async move {
        let (mut stream, _) = service.accept().await?;
        let (mut reader, mut writer) = stream.split();
        tokio::io::copy(&mut reader, &mut writer).await
    });
    let session = opened.recv().await.ok_or("no session")?;
    ask(&session).await?;
    println!("{BYTES} bytes went to a private service and came back, through axum");
    Ok(())
}
