//! Extra HTTP headers for the upgrade request, as in `X-Auth-Team: data`.

use std::fmt;
use std::str::FromStr;

use super::{Invalid, Secret};

/// An HTTP header that the client adds to its upgrade request. Debug and the log show the name
/// only, because the value is often a credential.
#[derive(Clone, PartialEq, Eq)]
pub struct Header {
    name: String,
    value: Secret,
}

impl Header {
    /// The name as given: an RFC 9110 token.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value: visible ASCII, spaces and tabs, none of the latter at its ends.
    pub fn value(&self) -> &Secret {
        &self.value
    }
}

/// What the upgrade sets itself (RFC 6455 section 4.1, RFC 9112 section 6).
const RESERVED: [&str; 6] = [
    "connection",
    "content-length",
    "host",
    "proxy-authorization",
    "transfer-encoding",
    "upgrade",
];

impl FromStr for Header {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (name, value) = text
            .split_once(':')
            .ok_or_else(|| Invalid::new("expected NAME: VALUE, as in 'X-Auth-Team: data'"))?;
        let name = name.trim();
        let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(Invalid::new(
                "the name before the colon must be letters, digits and dashes",
            ));
        }
        let lower = name.to_ascii_lowercase();
        if RESERVED.contains(&lower.as_str()) || lower.starts_with("sec-websocket-") {
            return Err(Invalid::new(format!("{name} is set by the client itself")));
        }
        let value = value.trim();
        if !value
            .bytes()
            .all(|b| b == b' ' || b == b'\t' || b.is_ascii_graphic())
        {
            return Err(Invalid::new(
                "the value must be printable ASCII on one line",
            ));
        }
        Ok(Self {
            name: name.to_owned(),
            value: Secret::new(value),
        })
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}", self.name, self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_header_is_a_name_and_a_value() {
        let header: Header = "Authorization:  Bearer a:b ".parse().unwrap();
        assert_eq!(header.name(), "Authorization");
        assert_eq!(header.value().expose(), "Bearer a:b");
        assert_eq!(format!("{header:?}"), "Authorization: [secret]");
    }

    #[test]
    fn headers_that_could_break_the_request_are_refused() {
        for bad in [
            "",
            "novalue",
            ": v",
            "a b: v",
            "A: \u{e9}",
            "A: b\r\nC: d",
            "HOST: x",
        ] {
            assert!(bad.parse::<Header>().is_err(), "{bad:?}");
        }
        assert!("Sec-WebSocket-Key: x".parse::<Header>().is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_a_header_or_an_error(text in "\\PC*|[a-z\r\n]{0,5}:[ -~\r\n]{0,9}") {
            if let Ok(header) = text.parse::<Header>() {
                prop_assert!(!header.value().expose().contains(['\r', '\n']));
            }
        }
    }
}
