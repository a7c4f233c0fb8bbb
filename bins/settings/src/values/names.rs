//! Names that go over the wire, held to the limits of the protocol (section 4.4), and the path
//! of the control plane.

use std::fmt;
use std::str::FromStr;

use super::{DEFAULT_PATH, Invalid};

/// The name of a tunnel: 1 to 64 of `a-z A-Z 0-9 . _ -`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TunnelName(String);

/// The longest tunnel name, in bytes.
pub const MAX_TUNNEL_NAME: usize = 64;

/// Who a client is, from run to run: 1 to 128 of `a-z A-Z 0-9 . _ - :`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClientId(String);

/// The longest client id, in bytes.
pub const MAX_CLIENT_ID: usize = 128;

/// The path at which a server takes carriers, such as `/connect`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ControlPath(String);

fn in_tunnel_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

fn in_client_id(c: char) -> bool {
    in_tunnel_name(c) || c == ':'
}

impl ClientId {
    /// Makes an id of a host name, whatever it holds: other characters become `-`, and the end is
    /// cut off where it is too long. An empty name gives `client`.
    pub fn from_host_name(name: &str) -> Self {
        let id: String = name
            .chars()
            .map(|c| if in_client_id(c) { c } else { '-' })
            .take(MAX_CLIENT_ID)
            .collect();
        Self(if id.is_empty() {
            "client".to_owned()
        } else {
            id
        })
    }
}

impl FromStr for TunnelName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if !(1..=MAX_TUNNEL_NAME).contains(&text.len()) || !text.chars().all(in_tunnel_name) {
            return Err(Invalid::new(
                "a tunnel's name has 1 to 64 letters, digits, dots, dashes or underscores",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl FromStr for ClientId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if !(1..=MAX_CLIENT_ID).contains(&text.len()) || !text.chars().all(in_client_id) {
            return Err(Invalid::new(
                "a client id has 1 to 128 letters, digits, dots, dashes, underscores or colons",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl FromStr for ControlPath {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text == "/" {
            return Err(Invalid::new(format!(
                "clients take / for {DEFAULT_PATH}, so the path needs a name, as in {DEFAULT_PATH}"
            )));
        }
        let printable = text
            .chars()
            .all(|c| c.is_ascii_graphic() && c != '?' && c != '#');
        if !text.starts_with('/') || !printable {
            return Err(Invalid::new(format!(
                "a path starts with / and holds printable ASCII without ? and #, as in \
                 {DEFAULT_PATH}"
            )));
        }
        Ok(Self(text.to_owned()))
    }
}

macro_rules! as_text {
    ($($name:ident),+) => { $(
        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )+ };
}

as_text!(TunnelName, ClientId, ControlPath);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_keep_to_the_limits_of_the_protocol() {
        assert!("orion-aws_1.eu".parse::<TunnelName>().is_ok());
        assert!("a".repeat(64).parse::<TunnelName>().is_ok());
        assert!("a".repeat(128).parse::<ClientId>().is_ok());
        assert!("a:1".parse::<ClientId>().is_ok());
        for bad in ["", "a b", "a:1", "\u{e9}", &"a".repeat(65)] {
            assert!(bad.parse::<TunnelName>().is_err(), "{bad}");
        }
        for bad in ["", "a b", "a/1", &"a".repeat(129)] {
            assert!(bad.parse::<ClientId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_control_path_is_one_that_clients_can_ask_for() {
        assert!("/connect".parse::<ControlPath>().is_ok());
        for bad in ["", "/", "connect", "/a?b", "/a b", "/\u{e9}"] {
            assert!(bad.parse::<ControlPath>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_host_name_makes_a_client_id(name in "\\PC{0,200}") {
            let id = ClientId::from_host_name(&name);
            prop_assert_eq!(id.as_str().parse::<ClientId>(), Ok(id.clone()));
        }
    }
}
