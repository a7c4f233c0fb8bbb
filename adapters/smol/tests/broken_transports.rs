//! The suite for transports can fail: one that loses, doubles, swaps or changes a byte, or ends before its end, does not pass.

use std::io::{self, IoSlice};
use std::panic::catch_unwind;
use std::task::{Context, Poll, ready};

use adit_driver::conformance::transport::bulk_passes_both_ways;
use adit_driver::conformance::{Pipe, pipe};
use adit_driver::session::Carrier;
use adit_smol::Smol;

/// The place of the byte with which it goes wrong: behind the handshake, in the middle of bulk.
const AT: usize = 100_000;

#[derive(Clone, Copy, PartialEq)]
enum Flaw {
    None,
    Loses,
    Doubles,
    Swaps,
    Changes,
    Ends,
}

struct Flawed {
    inner: Pipe,
    flaw: Flaw,
    /// Bytes read so far.
    read: usize,
}

impl Carrier for Flawed {
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if self.flaw == Flaw::Ends && self.read >= AT {
            return Poll::Ready(Ok(0));
        }
        // One byte less than there is room for, where one is to be made.
        let room = buffer.len() - usize::from(self.flaw == Flaw::Doubles);
        let read = ready!(self.inner.poll_read(context, &mut buffer[..room]))?;
        let before = self.read;
        self.read += read;
        if before > AT || self.read < AT + 2 || read < 2 {
            return Poll::Ready(Ok(read));
        }
        let at = AT - before;
        Poll::Ready(Ok(match self.flaw {
            Flaw::None | Flaw::Ends => read,
            Flaw::Loses => {
                buffer.copy_within(at + 1..read, at);
                read - 1
            }
            Flaw::Doubles => {
                buffer.copy_within(at..read, at + 1);
                read + 1
            }
            Flaw::Swaps => {
                buffer.swap(at, at + 1);
                read
            }
            Flaw::Changes => {
                buffer[at] ^= 1;
                read
            }
        }))
    }

    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.inner.poll_write(context, slices)
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_flush(context)
    }

    fn poll_close(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_close(context)
    }
}

/// Whether bulk passes over a pipe with this flaw in one direction.
fn passes(flaw: Flaw) -> bool {
    let make = move |_| async move {
        let (near, far) = pipe();
        let flawed = |inner| Flawed {
            inner,
            flaw,
            read: 0,
        };
        (flawed(near), far)
    };
    catch_unwind(|| bulk_passes_both_ways::<Smol, _, _, _, _>(make)).is_ok()
}

#[test]
fn a_transport_without_a_flaw_passes() {
    assert!(passes(Flaw::None));
}

#[test]
fn a_transport_that_is_not_reliable_does_not() {
    for flaw in [
        Flaw::Loses,
        Flaw::Doubles,
        Flaw::Swaps,
        Flaw::Changes,
        Flaw::Ends,
    ] {
        assert!(!passes(flaw));
    }
}
