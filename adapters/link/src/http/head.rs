//! Collects the head of an HTTP message: everything up to the empty line.

use bytes::BytesMut;

/// What a [`HeadReader`] made of its input.
#[derive(Debug)]
pub(crate) enum HeadResult {
    /// The empty line has not come.
    Partial,
    /// The head, its empty line included, and what came behind it.
    Whole {
        /// To be parsed, once.
        head: BytesMut,
        /// Not HTTP any more.
        rest: BytesMut,
    },
    /// The limit was reached before the empty line.
    TooLarge,
}

/// Holds at most its limit, and looks at each byte once however the input is cut.
#[derive(Debug)]
pub(crate) struct HeadReader {
    head: BytesMut,
    /// How much of `head` has been searched.
    searched: usize,
    limit: usize,
}

impl HeadReader {
    /// For heads of at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            head: BytesMut::new(),
            searched: 0,
            limit,
        }
    }

    pub(crate) fn read(&mut self, mut input: BytesMut) -> HeadResult {
        let room = self.limit.saturating_sub(self.head.len());
        let taken = input.split_to(room.min(input.len()));
        if self.head.is_empty() {
            self.head = taken;
        } else {
            self.head.extend_from_slice(&taken);
        }
        let Some(end) = self.find_end() else {
            return if self.head.len() < self.limit {
                HeadResult::Partial
            } else {
                HeadResult::TooLarge
            };
        };
        let mut head = std::mem::take(&mut self.head);
        let mut rest = head.split_off(end);
        // Where both are still one buffer, this copies nothing.
        rest.unsplit(input);
        HeadResult::Whole { head, rest }
    }

    /// The position behind the empty line. Lines end in CR LF; a bare LF is taken, too (RFC 9112
    /// section 2.2).
    fn find_end(&mut self) -> Option<usize> {
        // Two bytes earlier: an end may have begun in what was searched before.
        let mut at = self.searched.saturating_sub(2);
        while let Some(found) = self.head.get(at..)?.iter().position(|byte| *byte == b'\n') {
            at += found + 1;
            match self.head.get(at..)? {
                [b'\n', ..] => return Some(at + 1),
                [b'\r', b'\n', ..] => return Some(at + 2),
                _ => {}
            }
        }
        self.searched = self.head.len();
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

    proptest! {
        #[test]
        fn any_cutting_finds_the_same_end(
            cuts in prop::collection::vec(1..40_usize, 1..60),
            bare_lf: bool,
            behind in prop::collection::vec(any::<u8>(), 0..50),
        ) {
            let head: Vec<u8> =
                HEAD.iter().copied().filter(|byte| !(bare_lf && *byte == b'\r')).collect();
            let mut input = BytesMut::from(&[&head[..], &behind[..]].concat()[..]);
            let mut reader = HeadReader::new(1_000);
            for cut in cuts.iter().cycle() {
                let piece = input.split_to((*cut).min(input.len()));
                match reader.read(piece) {
                    HeadResult::Partial => continue,
                    HeadResult::Whole { head: found, rest } => {
                        prop_assert_eq!(&found[..], &head[..]);
                        prop_assert_eq!([&rest[..], &input[..]].concat(), behind);
                        break;
                    }
                    HeadResult::TooLarge => panic!("it is smaller than the limit"),
                }
            }
        }
    }

    #[test]
    fn a_head_of_exactly_the_limit_is_taken_and_one_byte_more_is_not() {
        let whole = |limit| HeadReader::new(limit).read(BytesMut::from(HEAD));
        assert!(matches!(whole(HEAD.len()), HeadResult::Whole { .. }));
        assert!(matches!(whole(HEAD.len() - 1), HeadResult::TooLarge));
    }

    #[test]
    fn a_head_that_never_ends_is_not_kept_beyond_the_limit() {
        let mut reader = HeadReader::new(100);
        let mut result = HeadResult::Partial;
        for _ in 0..50 {
            result = reader.read(BytesMut::from(&b"x: y\r\n"[..]));
            assert!(reader.head.len() <= 100);
        }
        assert!(matches!(result, HeadResult::TooLarge));
    }
}
