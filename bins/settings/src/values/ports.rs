//! Sets of TCP ports, written as `1024-65535,80`.

use std::fmt;
use std::str::FromStr;

use super::{Invalid, digits};

/// One port or an unbroken run of them, as in `80` or `1024-65535`. Never holds port 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl FromStr for PortRange {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (digits(first.trim()), digits(last.trim())) {
            (Some(first), Some(last)) if 0 < first && first <= last => Ok(Self { first, last }),
            _ => Err(Invalid::new(
                "expected a port or a range of ports from 1 to 65535, such as 9090 or 1024-65535",
            )),
        }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

/// A set of TCP ports, kept as sorted ranges that neither overlap nor touch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortRanges(Vec<PortRange>);

impl PortRanges {
    /// Joins ranges into one set.
    pub fn new(ranges: impl IntoIterator<Item = PortRange>) -> Self {
        let mut sorted: Vec<PortRange> = ranges.into_iter().collect();
        sorted.sort_unstable();
        let mut joined: Vec<PortRange> = Vec::with_capacity(sorted.len());
        for range in sorted {
            match joined.last_mut() {
                Some(last) if range.first <= last.last.saturating_add(1) => {
                    last.last = last.last.max(range.last);
                }
                _ => joined.push(range),
            }
        }
        Self(joined)
    }

    /// Whether `port` is in the set.
    pub fn contains(&self, port: u16) -> bool {
        self.0
            .iter()
            .any(|range| (range.first..=range.last).contains(&port))
    }

    /// The ranges, each as its first and last port, lowest first.
    pub fn iter(&self) -> impl Iterator<Item = (u16, u16)> + '_ {
        self.0.iter().map(|range| (range.first, range.last))
    }
}

impl FromStr for PortRanges {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let ranges: Result<Vec<_>, _> = text.split(',').map(|part| part.trim().parse()).collect();
        Ok(Self::new(ranges?))
    }
}

impl fmt::Display for PortRanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.0.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{range}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges_that_touch_become_one() {
        let ports: PortRanges = "443, 80-90,91,85-100".parse().unwrap();
        assert_eq!(ports.to_string(), "80-100,443");
    }

    #[test]
    fn ranges_outside_the_ports_are_refused() {
        for bad in [
            "", "0", "0-80", "65536", "90-80", "80-", "-80", "80,,90", "a", "+80",
        ] {
            assert!(bad.parse::<PortRanges>().is_err(), "{bad}");
        }
    }

    fn any_range() -> impl Strategy<Value = PortRange> {
        (1u16.., 1u16..).prop_map(|(a, b)| PortRange {
            first: a.min(b),
            last: a.max(b),
        })
    }

    proptest! {
        #[test]
        fn a_set_holds_exactly_the_ports_of_its_ranges(
            ranges in proptest::collection::vec(any_range(), 1..6), port: u16,
        ) {
            let held = ranges.iter().any(|r| r.first <= port && port <= r.last);
            let set = PortRanges::new(ranges);
            prop_assert_eq!(set.contains(port), held);
            prop_assert_eq!(set.to_string().parse(), Ok(set));
        }

        #[test]
        fn any_text_is_a_set_or_an_error(text in "\\PC*|[0-9,-]{0,20}") {
            let _ = text.parse::<PortRanges>();
        }
    }
}
