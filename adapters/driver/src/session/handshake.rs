//! What both handshakes need of their carrier: frames out, bytes in, and an eye on the time.

use std::future::poll_fn;
use std::io;
use std::time::Duration;

use adit_core::{Instant, Transmit};
use bytes::{Bytes, BytesMut};

use super::carrier::{Carrier, write_all};
use crate::clock::Clock;
use crate::{Runtime, time};

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
    runtime: &impl Runtime,
    carrier: &mut impl Carrier,
    patience: Duration,
    mut next: impl FnMut() -> Option<Transmit>,
) -> io::Result<()> {
    let sending = async {
        while let Some(frame) = next() {
            write_all(carrier, frame.head()).await?;
            write_all(carrier, frame.payload()).await?;
        }
        poll_fn(|context| carrier.poll_flush(context)).await
    };
    let sent = time::within(runtime, patience, sending).await;
    sent.unwrap_or_else(|| {
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
    runtime: &impl Runtime,
    carrier: &mut impl Carrier,
    clock: Clock,
    until: Option<Instant>,
) -> io::Result<Heard> {
    let mut buffer = BytesMut::zeroed(READ_BYTES);
    let reading = poll_fn(|context| carrier.poll_read(context, &mut buffer));
    let read = match until {
        None => Some(reading.await?),
        Some(until) => {
            let read = time::within(runtime, until - clock.now(), reading).await;
            read.transpose()?
        }
    };
    Ok(match read {
        None => Heard::Nothing,
        Some(0) => Heard::End,
        Some(read) => {
            buffer.truncate(read);
            Heard::Bytes(buffer.freeze())
        }
    })
}
