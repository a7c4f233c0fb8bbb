//! What the examples have in common: names, a token, and ten megabytes that go both ways.

use std::io;

use adit_core::{CarrierFacts, ClientId, Token, TunnelName};
use adit_tokio::session::{Client, Host, Session, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What goes each way.
pub const BYTES: usize = 10 * 1024 * 1024;

/// What is known of a carrier that has no TLS of its own.
pub const PLAIN: CarrierFacts = CarrierFacts {
    exporter: None,
    tls: false,
    certificate_checked: false,
};

/// An error of any kind.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// The tunnel that all examples are about.
pub fn tunnel() -> TunnelName {
    TunnelName::new("attic").expect("a short name of plain letters")
}

/// The token that both sides know. A real one comes from `adit token new`, and stands in no program.
pub fn token() -> Token {
    Token::new(b"3q2-7wEjRWeJq83vEjRWeA").expect("16 bytes or more")
}

/// The side that lets clients in.
pub fn host() -> Result<Host, Error> {
    Ok(Host::new(Default::default())?.with_tunnel(&tunnel(), &token()))
}

/// The side that connects.
pub fn client() -> Client {
    let id = ClientId::new("kitchen").expect("a short name of plain letters");
    Client::new(token(), tunnel(), id)
}

/// Opens a stream, sends ten megabytes, reads ten megabytes, and checks them.
pub async fn ask(session: &Session) -> Result<(), Error> {
    exchange(session.open()?).await
}

/// The same for the side that did not open the stream.
pub async fn answer(session: &Session) -> Result<(), Error> {
    exchange(session.accept().await.ok_or("the session ended")?).await
}

async fn exchange(stream: Stream) -> Result<(), Error> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let sending = async move {
        for part in parts() {
            writer.write_all(&part).await?;
        }
        writer.shutdown().await
    };
    let reading = async move {
        for expected in parts() {
            let mut part = vec![0; expected.len()];
            reader.read_exact(&mut part).await?;
            if part != expected {
                return Err(io::Error::other("other bytes came than were sent"));
            }
        }
        // Nothing behind them but the end.
        match reader.read(&mut [0; 1]).await? {
            0 => Ok(()),
            _ => Err(io::Error::other("more bytes came than were sent")),
        }
    };
    tokio::try_join!(sending, reading)?;
    Ok(())
}

/// The bytes, which differ from place to place.
fn parts() -> impl Iterator<Item = Vec<u8>> {
    (0..BYTES / 4096).map(|part| (0..4096).map(|at| ((part * 31 + at) % 251) as u8).collect())
}
