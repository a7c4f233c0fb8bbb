//! From text to typed values: what a flag's Rust type says about how it is given.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::source::{Origin, Source};
use super::{Flag, Shape};
use crate::SettingsError;
use crate::values::{
    ByteSize, ClientId, ControlPath, Header, Host, Invalid, PortRange, ProxyChoice, Secret,
    ServerUrl, TunnelName, Upstream, network, parse_duration, port,
};

/// A type that one value of a flag can have.
pub(crate) trait Value: Sized {
    /// How a flag of this type is given where it takes one value.
    const SHAPE: Shape = Shape::One;
    /// What divides several values in one text.
    const SEPARATOR: char = ',';

    fn parse(text: &str) -> Result<Self, Invalid>;

    /// Whether an error may repeat the text.
    fn may_show(_text: &str) -> bool {
        true
    }
}

/// A setting that always has a value, because it has a default.
pub(crate) type One<T> = T;
/// A setting that may be missing; it remembers who gave it.
pub(crate) type Maybe<T> = Option<Given<T>>;
/// A setting with any number of values.
pub(crate) type Many<T> = Vec<T>;

/// A value and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Given<T> {
    pub(crate) value: T,
    pub(crate) origin: Origin,
}

/// A whole setting: a value, perhaps a value, or a list.
pub(crate) trait Field: Sized {
    const SHAPE: Shape;

    fn read(flag: &Flag, source: &Source<'_>) -> Result<Self, SettingsError>;
}

impl<T: Value> Field for T {
    const SHAPE: Shape = T::SHAPE;

    fn read(flag: &Flag, source: &Source<'_>) -> Result<Self, SettingsError> {
        match Option::<Given<T>>::read(flag, source)? {
            Some(given) => Ok(given.value),
            None => Err(SettingsError::Combination(format!(
                "--{} is missing",
                flag.key()
            ))),
        }
    }
}

impl<T: Value> Field for Option<Given<T>> {
    const SHAPE: Shape = T::SHAPE;

    fn read(flag: &Flag, source: &Source<'_>) -> Result<Self, SettingsError> {
        let Some(found) = source.find(flag)? else {
            return Ok(None);
        };
        match found.value.as_slice() {
            [text] => Ok(Some(Given {
                value: parse(text, &found.origin)?,
                origin: found.origin,
            })),
            _ => Err(SettingsError::value(
                found.origin,
                None,
                Invalid::new("expected one value"),
            )),
        }
    }
}

impl<T: Value> Field for Vec<T> {
    const SHAPE: Shape = Shape::Many;

    fn read(flag: &Flag, source: &Source<'_>) -> Result<Self, SettingsError> {
        let Some(found) = source.find(flag)? else {
            return Ok(Self::new());
        };
        found
            .value
            .iter()
            .flat_map(|text| text.trim().split(T::SEPARATOR))
            .map(|text| parse(text.trim(), &found.origin))
            .collect()
    }
}

fn parse<T: Value>(text: &str, origin: &Origin) -> Result<T, SettingsError> {
    T::parse(text).map_err(|why| {
        let shown = T::may_show(text).then_some(text);
        SettingsError::value(origin.clone(), shown, why)
    })
}

/// A flag that is given without a value to switch something on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Switch(pub(crate) bool);

/// An address to listen on, or `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ListenOrOff(pub(crate) Option<SocketAddr>);

/// A port from 1 to 65535.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Port(pub(crate) u16);

impl Value for bool {
    fn parse(text: &str) -> Result<Self, Invalid> {
        match text.to_ascii_lowercase().as_str() {
            "on" | "true" | "yes" | "1" => Ok(true),
            "off" | "false" | "no" | "0" => Ok(false),
            _ => Err(Invalid::new("expected on or off")),
        }
    }
}

impl Value for Switch {
    const SHAPE: Shape = Shape::Switch;

    fn parse(text: &str) -> Result<Self, Invalid> {
        bool::parse(text)
            .map(Self)
            .map_err(|_| Invalid::new("expected true or false"))
    }
}

impl Value for SocketAddr {
    fn parse(text: &str) -> Result<Self, Invalid> {
        listen_address(text, "0.0.0.0")
    }
}

/// Nobody who leaves the address out should open the operators' listener to the network.
impl Value for ListenOrOff {
    fn parse(text: &str) -> Result<Self, Invalid> {
        if text == "off" {
            return Ok(Self(None));
        }
        listen_address(text, "127.0.0.1")
            .map(|address| Self(Some(address)))
            .map_err(|why| Invalid::new(format!("{why} (off is possible too)")))
    }
}

/// `suggested` is the IP address to propose to somebody who gave a port only.
fn listen_address(text: &str, suggested: &str) -> Result<SocketAddr, Invalid> {
    text.parse().map_err(|_| {
        let (ip, port_text) = match text.split_once(':') {
            Some(("localhost", port)) => ("127.0.0.1", port),
            Some(("", port)) => (suggested, port),
            _ => (suggested, text),
        };
        let hint = port(port_text).map(|port| format!("; did you mean {ip}:{port}?"));
        Invalid::new(format!(
            "expected IP:PORT to listen on, such as 127.0.0.1:8123 or [::]:8123{}",
            hint.unwrap_or_default()
        ))
    })
}

impl Value for IpAddr {
    fn parse(text: &str) -> Result<Self, Invalid> {
        let bare = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'))
            .unwrap_or(text);
        bare.parse().map_err(|_| {
            Invalid::new("expected an IP address without a port, such as 127.0.0.1 or 0.0.0.0")
        })
    }
}

/// As names in a certificate are given: IPv6 addresses need no brackets.
impl Value for Host {
    fn parse(text: &str) -> Result<Self, Invalid> {
        text.parse::<IpAddr>()
            .map(Self::Ip)
            .or_else(|_| text.parse())
    }
}

impl Value for IpNet {
    fn parse(text: &str) -> Result<Self, Invalid> {
        network(text)
    }
}

impl Value for Port {
    fn parse(text: &str) -> Result<Self, Invalid> {
        port(text).map(Self)
    }
}

impl Value for NonZeroU32 {
    fn parse(text: &str) -> Result<Self, Invalid> {
        crate::values::digits(text)
            .and_then(Self::new)
            .ok_or_else(|| Invalid::new("expected a whole number, at least 1"))
    }
}

impl Value for Duration {
    fn parse(text: &str) -> Result<Self, Invalid> {
        parse_duration(text)
    }
}

impl Value for PathBuf {
    fn parse(text: &str) -> Result<Self, Invalid> {
        if text.is_empty() {
            return Err(Invalid::new("expected a path"));
        }
        Ok(Self::from(text))
    }
}

impl Value for String {
    fn parse(text: &str) -> Result<Self, Invalid> {
        if text.trim().is_empty() {
            return Err(Invalid::new("expected a text that is not empty"));
        }
        Ok(text.trim().to_owned())
    }
}

impl Value for Secret {
    fn parse(text: &str) -> Result<Self, Invalid> {
        Self::token(text).map_err(|why| Invalid::new(why.to_string()))
    }

    fn may_show(_text: &str) -> bool {
        false
    }
}

/// Values often hold commas, so several headers in one text stand on lines of their own.
impl Value for Header {
    const SEPARATOR: char = '\n';

    fn parse(text: &str) -> Result<Self, Invalid> {
        text.parse()
    }

    fn may_show(_text: &str) -> bool {
        false
    }
}

impl Value for ProxyChoice {
    fn parse(text: &str) -> Result<Self, Invalid> {
        text.parse()
    }

    fn may_show(_text: &str) -> bool {
        false
    }
}

impl Value for ServerUrl {
    fn parse(text: &str) -> Result<Self, Invalid> {
        text.parse()
    }

    fn may_show(text: &str) -> bool {
        !text.contains('@')
    }
}

macro_rules! value_by_from_str {
    ($($type:ty),+) => { $(
        impl Value for $type {
            fn parse(text: &str) -> Result<Self, Invalid> {
                text.parse()
            }
        }
    )+ };
}

value_by_from_str!(
    ByteSize,
    ClientId,
    ControlPath,
    PortRange,
    TunnelName,
    Upstream
);
