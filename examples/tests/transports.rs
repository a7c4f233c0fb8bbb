//! Transports of one's own pass the suite: a Unix socket, and a stream of a QUIC connection.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use adit_tokio::Tokio;
use adit_tokio::session::Io;
use quinn::rustls::RootCertStore;
use quinn::rustls::pki_types::PrivatePkcs8KeyDer;
use quinn::{ClientConfig, Endpoint, RecvStream, SendStream, ServerConfig};
use tokio::io::Join;
use tokio::net::UnixStream;

async fn unix_pair(_: Tokio) -> (Io<UnixStream>, Io<UnixStream>) {
    let (near, far) = UnixStream::pair().expect("two ends");
    (Io(near), Io(far))
}

adit_proptests::transport_conformance!(unix_socket: Tokio, unix_pair);

type Quic = Io<Join<RecvStream, SendStream>>;

/// A server and a client that trusts its certificate.
fn endpoints() -> (Endpoint, Endpoint) {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let names = ["adit".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let certificate = made.cert.der().clone();
    let config = ServerConfig::with_single_cert(vec![certificate.clone()], key.into());
    let server = Endpoint::server(config.expect("a key that fits"), any).expect("a port");
    let mut roots = RootCertStore::empty();
    roots.add(certificate).expect("a certificate");
    let config = ClientConfig::with_root_certificates(Arc::new(roots)).expect("its algorithms");
    let mut client = Endpoint::client(any).expect("a port");
    client.set_default_client_config(config);
    (server, client)
}

async fn quic_pair(_: Tokio) -> (Quic, Quic) {
    let (server, client) = endpoints();
    let addr = server.local_addr().expect("its address");
    let serving = async {
        let incoming = server.accept().await.expect("somebody comes");
        let connection = incoming.await.expect("a connection");
        let (mut send, receive) = connection.open_bi().await.expect("a stream");
        // The other side hears of a stream when something comes on it.
        send.write_all(b"!").await.expect("it is open");
        tokio::io::join(receive, send)
    };
    let connecting = async {
        let attempt = client.connect(addr, "adit").expect("an attempt");
        let connection = attempt.await.expect("a connection");
        let (send, mut receive) = connection.accept_bi().await.expect("a stream");
        receive.read_exact(&mut [0; 1]).await.expect("one byte");
        tokio::io::join(receive, send)
    };
    let (near, far) = tokio::join!(serving, connecting);
    (Io(near), Io(far))
}

adit_proptests::transport_conformance!(quic: Tokio, quic_pair);
