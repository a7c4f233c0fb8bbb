//! What both handshakes need of their carrier: frames out, bytes in, and an eye on the time.

use std::io;
use std::time::Duration;

use adit_core::{Instant, Transmit};
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::clock::Clock;

/// The longest frame asked for: one batch on a carrier.
pub(super) const FRAME_MAX_BYTES: usize = 16 * 1024;

/// Bytes asked for in one read.
pub(super) const READ_BYTES: usize = 16 * 1024;

/// Sends all frames that there are.
///
/// # Errors
///
/// [`TimedOut`](io::ErrorKind::TimedOut) if the carrier did not take them within `patience`; what the carrier says.
pub(super) async fn send(
    io: &mut (impl AsyncWrite + Unpin),
    patience: Duration,
    mut next: impl FnMut() -> Option<Transmit>,
) -> io::Result<()> {
    let sending = async {
        while let Some(frame) = next() {
            io.write_all(frame.head()).await?;
            io.write_all(frame.payload()).await?;
        }
        io.flush().await
    };
    tokio::time::timeout(patience, sending)
        .await
        .unwrap_or_else(|_| {
            let text = "the other side did not read within the time of the handshake";
            Err(io::Error::new(io::ErrorKind::TimedOut, text))
        })
}

/// What a carrier had to say.
pub(super) enum Heard {
    Bytes(Bytes),
    End,
    /// The time came first.
    Nothing,
}

/// Waits for bytes, or for the time.
pub(super) async fn listen(
    io: &mut (impl AsyncRead + Unpin),
    clock: Clock,
    until: Option<Instant>,
) -> io::Result<Heard> {
    let mut buffer = BytesMut::with_capacity(READ_BYTES);
    let read = io.read_buf(&mut buffer);
    let read = match until {
        None => read.await?,
        Some(until) => match tokio::time::timeout(until - clock.now(), read).await {
            Ok(read) => read?,
            Err(_) => return Ok(Heard::Nothing),
        },
    };
    Ok(if read == 0 {
        Heard::End
    } else {
        Heard::Bytes(buffer.freeze())
    })
}
