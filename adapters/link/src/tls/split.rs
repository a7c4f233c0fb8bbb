//! Whole records out of what comes from the wire, however it was cut (RFC 8446 section 5.1).

use bytes::{BufMut, BytesMut};

/// The head of a record: its type, a version, the length of its body.
pub(super) const HEAD: usize = 5;

/// The longest body of a record that TLS 1.2 allows; that of TLS 1.3 is shorter (RFC 5246 section 6.2.3).
const BODY_MAX: usize = 16_384 + 2_048;

/// Cuts the wire's bytes into records. A record that came whole keeps its place in memory; one that came in parts is put together in a buffer of its own.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    part: BytesMut,
}

impl Splitter {
    /// The next record, with its head. `Ok(None)` when there is none yet: `wire` is then empty.
    ///
    /// # Errors
    ///
    /// The bytes that can't be a record: its head says that it is longer than any.
    pub(super) fn next(&mut self, wire: &mut BytesMut) -> Result<Option<BytesMut>, BytesMut> {
        if self.part.is_empty() {
            match record_len(wire) {
                Some(len) if len > HEAD + BODY_MAX => return Err(wire.split()),
                Some(len) if len <= wire.len() => return Ok(Some(wire.split_to(len))),
                _ => {}
            }
        }
        loop {
            let wanted = record_len(&self.part);
            if let Some(len) = wanted {
                if len > HEAD + BODY_MAX {
                    return Err(self.part.split());
                }
                if len == self.part.len() {
                    return Ok(Some(std::mem::take(&mut self.part)));
                }
            }
            if wire.is_empty() {
                return Ok(None);
            }
            let missing = wanted.unwrap_or(HEAD) - self.part.len();
            let taken = wire.split_to(missing.min(wire.len()));
            self.part.reserve(missing);
            self.part.put_slice(&taken);
        }
    }
}

/// The length of the record that begins here, as far as its head is known.
fn record_len(bytes: &[u8]) -> Option<usize> {
    let length = bytes.get(3..HEAD)?.try_into().ok()?;
    Some(HEAD + usize::from(u16::from_be_bytes(length)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(body: &[u8]) -> Vec<u8> {
        let len = u16::try_from(body.len()).unwrap().to_be_bytes();
        [&[23, 3, 3][..], &len, body].concat()
    }

    proptest! {
        #[test]
        fn records_come_out_whole_however_the_wire_is_cut(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..8),
            cuts in prop::collection::vec(1..200_usize, 1..8),
        ) {
            let records: Vec<_> = bodies.iter().map(|body| record(body)).collect();
            let mut wire = &records.concat()[..];
            let mut splitter = Splitter::default();
            let mut got = Vec::new();
            for cut in cuts.iter().cycle() {
                if wire.is_empty() {
                    break;
                }
                let (now, later) = wire.split_at((*cut).min(wire.len()));
                wire = later;
                let mut now = BytesMut::from(now);
                while let Some(record) = splitter.next(&mut now).unwrap() {
                    got.push(record.to_vec());
                }
                prop_assert!(now.is_empty());
            }
            prop_assert_eq!(got, records);
            prop_assert!(splitter.part.is_empty());
        }
    }

    #[test]
    fn a_record_that_came_whole_is_not_copied() {
        let mut wire = BytesMut::from(&[record(&[7; 900]), record(&[8; 50])].concat()[..]);
        let at = wire.as_ptr();
        let first = Splitter::default().next(&mut wire).unwrap().unwrap();
        assert_eq!(first.as_ptr(), at);
    }

    #[test]
    fn a_length_beyond_any_record_is_refused_at_its_head() {
        for cut in 1..=HEAD {
            let head = [23, 3, 3, 0x48, 1];
            let mut splitter = Splitter::default();
            let mut first = BytesMut::from(&head[..cut]);
            let mut rest = BytesMut::from(&head[cut..]);
            let result = splitter
                .next(&mut first)
                .and_then(|_| splitter.next(&mut rest));
            assert_eq!(result.unwrap_err(), &head[..]);
        }
    }
}
