//! What a session needs of the byte stream that carries it.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::task::{Context, Poll};

/// A reliable, ordered stream of bytes in both directions. Every `poll_…` that is pending wakes the context's waker when calling again may tell
/// something new.
pub trait Carrier: Send + 'static {
    /// Reads once. `Ok(0)` is the end of the input; `buffer` is not empty.
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>>;

    /// Writes a prefix of `slices` once; not all of them are empty. Wrong is `Ok(0)`.
    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>>;

    /// Sends what it holds back.
    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Ends the sending direction.
    fn poll_close(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>;
}

/// Writes everything.
pub(super) async fn write_all(carrier: &mut impl Carrier, mut data: &[u8]) -> io::Result<()> {
    while !data.is_empty() {
        let slices = [IoSlice::new(data)];
        match poll_fn(|context| carrier.poll_write(context, &slices)).await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => data = data.get(written..).unwrap_or_default(),
        }
    }
    Ok(())
}
