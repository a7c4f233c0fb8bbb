//! The yardstick relays bytes whole, in both directions, and each end's good-bye.

use adit_benches::bare::Half;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// More than the buffers on the way hold.
const BYTES: usize = 20 << 20;
/// More than that takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

async fn pair(upstream: SocketAddr) -> io::Result<SocketAddr> {
    let folder = tempfile::tempdir()?;
    let certificate = folder.path().join("bare.pem");
    let between = TcpListener::bind("127.0.0.1:0").await?;
    let visitors = TcpListener::bind("127.0.0.1:0").await?;
    let addresses = (between.local_addr()?, visitors.local_addr()?);
    tokio::spawn(Half::far(&certificate)?.serve(between, upstream));
    tokio::spawn(Half::near(&certificate)?.serve(visitors, addresses.0));
    Ok(addresses.1)
}

fn noise(seed: u32) -> Vec<u8> {
    let mut state = seed;
    let next = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(BYTES).collect()
}

async fn exchange(stream: TcpStream, sent: Vec<u8>) -> io::Result<Vec<u8>> {
    let (mut reading, mut writing) = stream.into_split();
    let sending = tokio::spawn(async move {
        writing.write_all(&sent).await?;
        writing.shutdown().await
    });
    let mut received = Vec::new();
    reading.read_to_end(&mut received).await?;
    sending.await??;
    Ok(received)
}

#[tokio::test]
async fn bytes_arrive_whole_both_ways_at_once_and_each_end_closes_by_itself() -> io::Result<()> {
    let upstream = TcpListener::bind("127.0.0.1:0").await?;
    let visitors = pair(upstream.local_addr()?).await?;
    let (there, back) = (noise(1), noise(2));
    let answer = back.clone();
    let serving = tokio::spawn(async move {
        let (stream, _) = upstream.accept().await?;
        exchange(stream, answer).await
    });
    let visitor = TcpStream::connect(visitors).await?;
    let received = tokio::time::timeout(PATIENCE, exchange(visitor, there.clone())).await;
    assert!(received?? == back);
    assert!(serving.await?? == there);
    Ok(())
}
