//! Which HTTP proxy a carrier goes through: `--proxy`, or the environment variables that other
//! programs obey, and the exceptions in `NO_PROXY`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use super::host::split_port;
use super::networks::network;
use super::{Host, HostPort, Invalid, Secret, ServerUrl, digits, port};

const EXPECTED: &str =
    "expected an HTTP proxy as http://HOST:PORT or http://USER:PASSWORD@HOST:PORT";

/// An HTTP proxy that is asked to CONNECT (RFC 9110 section 9.3.6).
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Where the proxy listens.
    pub address: HostPort,
    /// User name and password for basic authentication (RFC 7617), percent-decoded.
    pub credentials: Option<(String, Secret)>,
}

impl FromStr for Proxy {
    type Err = Invalid;

    /// The scheme may be left out; the port defaults to 80.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let text = text.trim();
        let rest = match text.split_once("://") {
            None => text,
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
            Some(_) => return Err(Invalid::new(format!("{EXPECTED}; other kinds do not work"))),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        // The last @, because passwords hold them too, though they should not.
        let (login, authority) = match rest.rsplit_once('@') {
            Some((login, authority)) => (Some(login), authority),
            None => (None, rest),
        };
        let (host, port_text) = split_port(authority);
        let wrong = |why: Invalid| Invalid::new(format!("{EXPECTED}: {why}"));
        let host = host.parse().map_err(wrong)?;
        let port = port_text.map_or(Ok(80), port).map_err(wrong)?;
        let credentials = login.map(read_login).transpose()?;
        Ok(Self {
            address: HostPort { host, port },
            credentials,
        })
    }
}

impl fmt::Display for Proxy {
    /// The address only: what a log may show.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.address)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let login = if self.credentials.is_some() {
            " with [secret]"
        } else {
            ""
        };
        write!(f, "{self}{login}")
    }
}

fn read_login(login: &str) -> Result<(String, Secret), Invalid> {
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let decoded = |text: &str| {
        percent_decoded(text)
            .filter(|text| !text.chars().any(char::is_control))
            .ok_or_else(|| {
                Invalid::new(
                    "a % in a proxy's user name or password starts two hex digits, as in %40",
                )
            })
    };
    let user = decoded(user)?;
    // Basic authentication ends the name at the first colon (RFC 7617 section 2).
    if user.contains(':') {
        return Err(Invalid::new("a proxy's user name can't hold a colon"));
    }
    Ok((user, Secret::new(&decoded(password)?)))
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut nibble = || rest.next().and_then(|b| char::from(b).to_digit(16));
            let (high, low) = (nibble()?, nibble()?);
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// What `--proxy` says: a proxy, or `off` to go without one whatever the environment says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ProxyChoice {
    Off,
    Through(Proxy),
}

impl FromStr for ProxyChoice {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.trim() == "off" {
            Ok(Self::Off)
        } else {
            text.parse().map(Self::Through)
        }
    }
}

/// Decides for each server address whether a carrier goes through a proxy, and which.
///
/// An explicit choice always holds. Otherwise the environment decides as it does for curl:
/// `HTTPS_PROXY` for `wss://`, `http_proxy` for `ws://` (the upper-case form is ignored, because a
/// CGI request could set it), else `ALL_PROXY`; never for this machine itself, nor for what
/// `NO_PROXY` lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyRules {
    explicit: Option<ProxyChoice>,
    for_wss: Option<FromVariable>,
    for_ws: Option<FromVariable>,
    except: Vec<Exception>,
}

/// A proxy that an environment variable names. One that does not read is kept, because it only
/// matters when it would be used.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FromVariable {
    name: &'static str,
    proxy: Result<Proxy, Invalid>,
}

impl ProxyRules {
    /// `explicit` is what the user chose; `variable` looks up an environment variable.
    pub(crate) fn new<'e>(
        explicit: Option<ProxyChoice>,
        variable: impl Fn(&str) -> Option<&'e str>,
    ) -> Self {
        let first = |names: &[&'static str]| {
            names.iter().find_map(|&name| {
                let text = variable(name).filter(|text| !text.trim().is_empty())?;
                Some(FromVariable {
                    name,
                    proxy: text.parse(),
                })
            })
        };
        let except = ["NO_PROXY", "no_proxy"]
            .into_iter()
            .find_map(&variable)
            .unwrap_or_default();
        Self {
            explicit,
            for_wss: first(&["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]),
            for_ws: first(&["http_proxy", "ALL_PROXY", "all_proxy"]),
            except: exceptions(except),
        }
    }

    /// The proxy for a carrier to `url`, or `None` to dial it directly.
    ///
    /// # Errors
    /// When an environment variable asks for a proxy that is not one we can use: going round
    /// it in silence would be worse.
    pub fn decide(&self, url: &ServerUrl) -> Result<Option<&Proxy>, Invalid> {
        match &self.explicit {
            Some(ProxyChoice::Off) => return Ok(None),
            Some(ProxyChoice::Through(proxy)) => return Ok(Some(proxy)),
            None => {}
        }
        let from = if url.tls() {
            &self.for_wss
        } else {
            &self.for_ws
        };
        let excepted = url.host().is_loopback()
            || self
                .except
                .iter()
                .any(|rule| rule.matches(url.host(), url.port()));
        match from {
            Some(from) if !excepted => match &from.proxy {
                Ok(proxy) => Ok(Some(proxy)),
                Err(why) => Err(Invalid::new(format!(
                    "the environment variable {}: {why}; correct it, or give --proxy (--proxy off \
                     goes without)",
                    from.name
                ))),
            },
            _ => Ok(None),
        }
    }
}

/// One entry of `NO_PROXY`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Exception {
    hosts: Hosts,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Hosts {
    All,
    /// The domain and all names below it, lower case, without a dot at either end.
    Domain(String),
    Network(IpNet),
}

impl Exception {
    fn matches(&self, host: &Host, port: u16) -> bool {
        let host_matches = match (&self.hosts, host) {
            (Hosts::All, _) => true,
            (Hosts::Network(network), Host::Ip(ip)) => network.contains(&ip.to_canonical()),
            (Hosts::Domain(domain), Host::Name(name)) => {
                let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
                name.strip_suffix(domain.as_str())
                    .is_some_and(|before| before.is_empty() || before.ends_with('.'))
            }
            _ => false,
        };
        host_matches && self.port.is_none_or(|only| only == port)
    }
}

/// Reads a `NO_PROXY` list. Entries that mean nothing here are passed over, as everywhere.
fn exceptions(list: &str) -> Vec<Exception> {
    list.split([',', ' '])
        .filter_map(|entry| exception(entry.trim()))
        .collect()
}

fn exception(entry: &str) -> Option<Exception> {
    let bare = entry.trim_start_matches('[').trim_end_matches(']');
    if let Ok(network) = network(bare) {
        return Some(Exception {
            hosts: Hosts::Network(network),
            port: None,
        });
    }
    let (host, port) = match split_port(entry) {
        (host, Some(port)) => (host, Some(digits::<u16>(port)?)),
        (host, None) => (host, None),
    };
    let domain = host
        .trim_start_matches('*')
        .trim_matches('.')
        .to_ascii_lowercase();
    let hosts = match domain.parse::<Host>() {
        _ if host == "*" => Hosts::All,
        Ok(Host::Ip(ip)) => Hosts::Network(IpNet::from(IpAddr::to_canonical(&ip))),
        Ok(Host::Name(_)) => Hosts::Domain(domain),
        Err(_) => return None,
    };
    Some(Exception { hosts, port })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rules(explicit: Option<&str>, variables: &[(&str, &'static str)]) -> ProxyRules {
        let variable = |name: &str| {
            variables
                .iter()
                .find(|(known, _)| *known == name)
                .map(|&(_, text)| text)
        };
        ProxyRules::new(explicit.map(|text| text.parse().unwrap()), variable)
    }

    /// The proxy's host for a URL, or `-`.
    fn decided(rules: &ProxyRules, url: &str) -> String {
        let proxy = rules.decide(&url.parse().unwrap()).unwrap();
        proxy.map_or_else(|| "-".to_owned(), |proxy| proxy.address.host.to_string())
    }

    #[test]
    fn a_proxy_may_carry_a_login() {
        let proxy: Proxy = "http://me:p%40ss@w:rd@squid.example.com:3128/"
            .parse()
            .unwrap();
        assert_eq!(proxy.address.to_string(), "squid.example.com:3128");
        let (user, password) = proxy.credentials.clone().unwrap();
        assert_eq!((user.as_str(), password.expose()), ("me", "p@ss@w:rd"));
        assert_eq!(
            format!("{proxy:?}"),
            "http://squid.example.com:3128 with [secret]"
        );
        assert_eq!(
            "squid".parse::<Proxy>().unwrap().address.to_string(),
            "squid:80"
        );
    }

    #[test]
    fn what_is_no_http_proxy_is_refused_without_repeating_it() {
        for bad in [
            "",
            "socks5://me:hush@p:1080",
            "https://me:hush@p:3128",
            "http://me:hush%4@p:3128",
            "http://me:hush%0a@p:3128",
            "http://me%3a:hush@p:3128",
            "http://me:hush@p:0",
            "http://me:hush@",
            "http://me:hush@p:1/path",
        ] {
            let why = bad.parse::<Proxy>().unwrap_err().to_string();
            assert!(!why.contains("hush"), "{bad}: {why}");
        }
    }

    #[test]
    fn the_environment_chooses_by_scheme() {
        let all = rules(
            None,
            &[
                ("https_proxy", "http://s:1"),
                ("http_proxy", "p:1"),
                ("ALL_PROXY", "http://a:1"),
            ],
        );
        assert_eq!(decided(&all, "wss://t.example.com"), "s");
        assert_eq!(decided(&all, "ws://t.example.com"), "p");
        let fallback = rules(None, &[("HTTPS_PROXY", ""), ("all_proxy", "http://a:1")]);
        assert_eq!(decided(&fallback, "wss://t.example.com"), "a");
        let upper_case = rules(None, &[("HTTP_PROXY", "http://p:1")]);
        assert_eq!(decided(&upper_case, "ws://t.example.com"), "-");
    }

    #[test]
    fn no_proxy_lists_names_domains_networks_and_ports() {
        let cases: &[(&'static str, &[&str], &[&str])] = &[
            (
                "t.example.com",
                &["t.example.com", "T.EXAMPLE.COM", "t.example.com."],
                &["x.com"],
            ),
            (
                "example.com",
                &["t.example.com", "example.com"],
                &["notexample.com"],
            ),
            (
                ".example.com",
                &["t.example.com", "example.com"],
                &["notexample.com"],
            ),
            ("*.example.com", &["a.t.example.com"], &["example.org"]),
            ("*", &["t.example.com", "10.0.0.1"], &[]),
            (
                "10.0.0.0/8,fd00::/8",
                &["10.1.1.1:8123", "[fd00::1]"],
                &["11.0.0.1", "[fe80::1]"],
            ),
            ("10.0.0.1", &["10.0.0.1"], &["10.0.0.2"]),
            ("[fd00::1]", &["[fd00::1]"], &["[fd00::2]"]),
            ("10.0.0.1:8123", &["10.0.0.1:8123"], &["10.0.0.1"]),
            (
                "example.com:8123",
                &["t.example.com:8123"],
                &["t.example.com"],
            ),
            ("a b, %%, t.example.com", &["t.example.com", "b"], &["c"]),
            ("", &[], &["t.example.com"]),
        ];
        for (list, direct, proxied) in cases {
            let rules = rules(None, &[("HTTPS_PROXY", "http://p:1"), ("NO_PROXY", list)]);
            for url in *direct {
                assert_eq!(decided(&rules, url), "-", "{url} with {list}");
            }
            for url in *proxied {
                assert_eq!(decided(&rules, url), "p", "{url} with {list}");
            }
        }
    }

    #[test]
    fn an_explicit_choice_beats_the_environment() {
        let environment = &[("HTTPS_PROXY", "http://p:1"), ("NO_PROXY", "*")];
        let through = rules(Some("http://mine:3128"), environment);
        assert_eq!(decided(&through, "wss://t.example.com"), "mine");
        assert_eq!(decided(&through, "wss://localhost"), "mine");
        assert_eq!(
            decided(&rules(Some("off"), environment), "wss://t.example.com"),
            "-"
        );
    }

    #[test]
    fn this_machine_is_never_reached_through_the_environments_proxy() {
        let rules = rules(None, &[("ALL_PROXY", "http://p:1")]);
        for url in ["wss://localhost", "wss://127.0.0.1:8123", "ws://[::1]:8123"] {
            assert_eq!(decided(&rules, url), "-", "{url}");
        }
    }

    #[test]
    fn an_unusable_proxy_is_an_error_only_where_it_would_be_used() {
        let rules = rules(None, &[("ALL_PROXY", "socks5://p:1"), ("NO_PROXY", "near")]);
        assert_eq!(decided(&rules, "wss://near"), "-");
        let why = rules
            .decide(&"wss://far".parse().unwrap())
            .unwrap_err()
            .to_string();
        assert!(
            why.contains("ALL_PROXY") && why.contains("--proxy off"),
            "{why}"
        );
    }

    proptest! {
        #[test]
        fn any_text_is_a_proxy_or_an_error(text in "\\PC*|(http://)?[a-z0-9@:%./\\[\\]]{0,20}") {
            let _ = text.parse::<Proxy>();
            let _ = exceptions(&text);
        }
    }
}
