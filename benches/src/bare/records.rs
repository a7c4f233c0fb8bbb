//! Records of TLS 1.3 with AES-128-GCM, sealed and opened where they lie, so that the yardstick
//! copies nothing between its two sockets.

use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use rustls::ConnectionTrafficSecrets;
use std::io::{self, ErrorKind};
use std::ops::Range;

/// Bytes of a record in front of its content.
pub const HEAD: usize = 5;
/// Most bytes of application data in a record.
pub const DATA: usize = 16_384;
/// Bytes behind the data: the type of content and the tag.
pub const TAIL: usize = 17;
/// Bytes of a full record.
pub const RECORD: usize = HEAD + DATA + TAIL;

const APPLICATION_DATA: u8 = 23;
/// AES-GCM seals 2^24.5 full records under one key; the yardstick ends a connection before that.
const RECORDS_MAX: u64 = 1 << 24;

/// The keys of one direction.
#[derive(Debug)]
pub struct Keys {
    key: LessSafeKey,
    iv: [u8; 12],
    sequence: u64,
}

impl Keys {
    /// Takes over what rustls agreed on, with the number of the next record.
    ///
    /// # Errors
    ///
    /// When that is another suite than AES-128-GCM.
    pub fn new((sequence, secrets): (u64, ConnectionTrafficSecrets)) -> io::Result<Self> {
        let ConnectionTrafficSecrets::Aes128Gcm { key, iv } = secrets else {
            return Err(invalid("the yardstick speaks AES-128-GCM only"));
        };
        let key = UnboundKey::new(&AES_128_GCM, key.as_ref())
            .map_err(|_| invalid("a key of the wrong length"))?;
        let iv = iv
            .as_ref()
            .try_into()
            .map_err(|_| invalid("an IV of the wrong length"))?;
        Ok(Self {
            key: LessSafeKey::new(key),
            iv,
            sequence,
        })
    }

    fn nonce(&mut self) -> io::Result<Nonce> {
        if self.sequence >= RECORDS_MAX {
            return Err(invalid("the key is used up"));
        }
        let mut nonce = self.iv;
        for (byte, number) in nonce[4..].iter_mut().zip(self.sequence.to_be_bytes()) {
            *byte ^= number;
        }
        self.sequence += 1;
        Ok(Nonce::assume_unique_for_key(nonce))
    }

    /// Seals the `len` bytes that lie behind the head of `record`, and says how long the record is.
    ///
    /// # Errors
    ///
    /// When the key is used up, or `record` has no room for head, data and tail.
    pub fn seal(&mut self, record: &mut [u8], len: usize) -> io::Result<usize> {
        let nonce = self.nonce()?;
        let whole = HEAD + len + TAIL;
        let short = || invalid("no room for the record");
        let record = record.get_mut(..whole).ok_or_else(short)?;
        let (head, rest) = record.split_first_chunk_mut::<HEAD>().ok_or_else(short)?;
        let (content, tag) = rest.split_at_mut(len + 1);
        let sealed = u16::try_from(len + TAIL).map_err(|_| short())?;
        let [high, low] = sealed.to_be_bytes();
        *head = [APPLICATION_DATA, 3, 3, high, low];
        content[len] = APPLICATION_DATA;
        let made = self
            .key
            .seal_in_place_separate_tag(nonce, Aad::from(*head), content)
            .map_err(|_| invalid("sealing failed"))?;
        tag.copy_from_slice(made.as_ref());
        Ok(whole)
    }

    /// Opens a whole record and says where in it the application data lies. `None` is the peer's
    /// good-bye, the only alert that the yardstick sends.
    ///
    /// # Errors
    ///
    /// When the record is not one of the peer's.
    pub fn open(&mut self, record: &mut [u8]) -> io::Result<Option<Range<usize>>> {
        let nonce = self.nonce()?;
        let (head, content) = record
            .split_first_chunk_mut::<HEAD>()
            .ok_or_else(|| invalid("a record without a head"))?;
        let content = self
            .key
            .open_in_place(nonce, Aad::from(*head), content)
            .map_err(|_| invalid("a record that was not sealed by the peer"))?;
        match content.split_last() {
            Some((&APPLICATION_DATA, [])) => Ok(None),
            Some((&APPLICATION_DATA, data)) => Ok(Some(HEAD..HEAD + data.len())),
            _ => Err(invalid("a record of a kind that the yardstick never sends")),
        }
    }
}

/// How long the record at the front of `bytes` is, as soon as that can be known.
pub fn length(bytes: &[u8]) -> Option<usize> {
    let &[_, _, _, high, low] = bytes.first_chunk::<HEAD>()?;
    Some(HEAD + usize::from(u16::from_be_bytes([high, low])))
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        let key = UnboundKey::new(&AES_128_GCM, &[7; 16]).expect("16 bytes are a key");
        Keys {
            key: LessSafeKey::new(key),
            iv: [9; 12],
            sequence: 0,
        }
    }

    #[test]
    fn what_was_sealed_is_opened_in_order() {
        let (mut sender, mut receiver) = (keys(), keys());
        for len in [1, 1000, DATA, 0] {
            let mut record = vec![0; RECORD];
            record[HEAD..HEAD + len].fill(5);
            let whole = sender.seal(&mut record, len).expect("there is room");
            assert_eq!(length(&record), Some(whole));
            assert!(record[HEAD..HEAD + len].iter().any(|byte| *byte != 5) || len == 0);
            let opened = receiver
                .open(&mut record[..whole])
                .expect("it is the peer's");
            assert_eq!(opened, (len > 0).then_some(HEAD..HEAD + len));
            assert!(record[HEAD..HEAD + len].iter().all(|byte| *byte == 5));
        }
    }

    #[test]
    fn a_record_out_of_order_is_refused() {
        let (mut sender, mut receiver) = (keys(), keys());
        let mut record = [0; 100];
        sender.seal(&mut record, 10).expect("there is room");
        let whole = sender.seal(&mut record, 10).expect("there is room");
        assert!(receiver.open(&mut record[..whole]).is_err());
    }
}
