//! A session over one stream of a QUIC connection, with quinn.
//!
//! QUIC encrypts by TLS 1.3 with a self-signed certificate that nobody checks. That is safe all the same, because both sides bind their proof of the
//! token to this very connection: its exporter value (RFC 9266) differs from what anybody in the middle would have.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use adit_core::CarrierFacts;
use adit_examples::{Error, answer, ask, client, host};
use quinn::rustls::pki_types::PrivatePkcs8KeyDer;
use quinn::{ClientConfig, Connection, Endpoint, ServerConfig};

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let made = rcgen::generate_simple_self_signed(["adit".to_owned()])?;
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let config = ServerConfig::with_single_cert(vec![made.cert.der().clone()], key.into())?;
    let server = Endpoint::server(config, LOOPBACK)?;
    let addr = server.local_addr()?;

    let serving = async {
        let incoming = server.accept().await.ok_or("nobody came")?;
        let connection = incoming.await?;
        // The host speaks first, so it opens the stream.
        let (send, receive) = connection.open_bi().await?;
        let exporter = exporter(&connection)?;
        let session = host()?
            .accept(tokio::io::join(receive, send), Some(exporter))
            .await?;
        ask(&session).await
    };
    let connecting = async {
        let mut endpoint = Endpoint::client(LOOPBACK)?;
        endpoint.set_default_client_config(trusting(made.cert.der().clone())?);
        let connection = endpoint.connect(addr, "adit")?.await?;
        let (send, receive) = connection.accept_bi().await?;
        let facts = CarrierFacts {
            exporter: Some(exporter(&connection)?),
            tls: true,
            certificate_checked: false,
        };
        let session = client()
            .connect(tokio::io::join(receive, send), facts)
            .await?;
        answer(&session).await
    };
    tokio::try_join!(serving, connecting)?;
    println!("ten megabytes went both ways, over QUIC");
    Ok(())
}

/// The channel-binding value of TLS 1.3 (RFC 9266).
fn exporter(connection: &Connection) -> Result<[u8; 32], Error> {
    let mut value = [0; 32];
    let exported = connection.export_keying_material(&mut value, b"EXPORTER-Channel-Binding", b"");
    exported.map_err(|_| "this connection exports no keying material")?;
    Ok(value)
}

fn trusting(
    certificate: quinn::rustls::pki_types::CertificateDer<'static>,
) -> Result<ClientConfig, Error> {
    let mut roots = quinn::rustls::RootCertStore::empty();
    roots.add(certificate)?;
    Ok(ClientConfig::with_root_certificates(Arc::new(roots))?)
}
