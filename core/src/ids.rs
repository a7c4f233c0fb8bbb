//! Names and numbers that identify things: tunnels, clients, sessions, streams, services.

use alloc::boxed::Box;
use core::fmt;

use thiserror::Error;

/// Which side of a session this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Dials out; its stream ids are even.
    Client,
    /// Is dialled; its stream ids are odd.
    Server,
}

impl Side {
    /// The other side.
    #[must_use]
    pub const fn peer(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }

    /// The first id of a stream that this side opens.
    pub(crate) const fn first_stream(self) -> u64 {
        match self {
            Self::Client => 0,
            Self::Server => 1,
        }
    }
}

/// One stream of a session. The parity tells who opened it (spec/05-streams.md, section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub(crate) u64);

impl StreamId {
    /// The number that stands on the wire.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The side that opened the stream.
    #[must_use]
    pub const fn opener(self) -> Side {
        if self.0 & 1 == 0 {
            Side::Client
        } else {
            Side::Server
        }
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One service of a session; the client chose the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceId(pub u64);

/// One session on one server; the server chose it at random.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub [u8; 16]);

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// One run of a client: random, chosen when it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instance(pub [u8; 16]);

/// Why a name is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NameError {
    /// Nothing, or more characters than allowed.
    #[error("a name here has 1 to {0} characters")]
    Length(usize),
    /// A character that names can't have.
    #[error("a name here is made of letters, digits, and the characters {0}")]
    Character(&'static str),
}

fn check(name: &str, max: usize, extra: &'static str) -> Result<Box<str>, NameError> {
    if name.is_empty() || name.len() > max {
        return Err(NameError::Length(max));
    }
    if !name
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || extra.contains(c))
    {
        return Err(NameError::Character(extra));
    }
    Ok(name.into())
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident $max:literal $extra:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// Checks a name (spec/04-handshake.md, section 4.4).
            ///
            /// # Errors
            ///
            /// [`NameError`] if it is empty, too long, or has a character that names can't have.
            pub fn new(name: &str) -> Result<Self, NameError> {
                check(name, $max, $extra).map(Self)
            }

            /// The name.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// The name of a tunnel: 1 to 64 letters, digits and `.`, `_`, `-`.
    TunnelName 64 "._-"
}

name! {
    /// Who a client is, from run to run: 1 to 128 letters, digits and `.`, `_`, `-`, `:`.
    ClientId 128 "._-:"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_a_length_and_an_alphabet() {
        assert!(TunnelName::new("orion-aws_2.eu").is_ok());
        assert_eq!(TunnelName::new(""), Err(NameError::Length(64)));
        assert_eq!(TunnelName::new(&"a".repeat(65)), Err(NameError::Length(64)));
        assert_eq!(TunnelName::new("a b"), Err(NameError::Character("._-")));
        assert!(TunnelName::new("a:b").is_err());
        assert!(ClientId::new("host:1").is_ok());
        assert!(ClientId::new("hôte").is_err());
    }

    #[test]
    fn a_session_id_prints_as_hex() {
        let id = SessionId([0xab; 16]);
        assert_eq!(alloc::format!("{id}"), "ab".repeat(16));
    }
}
