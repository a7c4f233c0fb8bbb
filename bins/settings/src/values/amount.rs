//! Amounts with a unit: byte sizes (`64MiB`, `1GB`, `4096`) and durations (`5s`, `250ms`,
//! `1m30s`).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::{Invalid, digits};

/// A number of bytes.
///
/// Reads a plain number of bytes, decimal units (`kB`, `MB`, `GB`, `TB`) and binary ones
/// (`KiB`, `MiB`, `GiB`, `TiB`); the `B` may be left out and case does not matter. Prints the
/// largest unit that divides it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// Largest first; where two could print a size, the earlier one does.
const SIZE_UNITS: [(&str, u64); 8] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1_000),
];

impl FromStr for ByteSize {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wrong = || Invalid::new("expected a size in bytes, such as 64MiB, 1GB or 4096");
        let (number, unit) = split_number(text).ok_or_else(wrong)?;
        let number: u64 = digits(number).ok_or_else(wrong)?;
        let unit = unit.trim();
        let factor = SIZE_UNITS
            .iter()
            .find(|(name, _)| {
                let short = name.strip_suffix('B').unwrap_or(name);
                unit.eq_ignore_ascii_case(name) || unit.eq_ignore_ascii_case(short)
            })
            .map(|&(_, factor)| factor)
            .or_else(|| (unit.is_empty() || unit.eq_ignore_ascii_case("B")).then_some(1))
            .ok_or_else(wrong)?;
        let bytes = number
            .checked_mul(factor)
            .ok_or_else(|| Invalid::new("the size is too large"))?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = SIZE_UNITS
            .iter()
            .find(|(_, unit)| self.0 > 0 && self.0.is_multiple_of(*unit));
        match whole {
            Some((name, unit)) => write!(f, "{}{name}", self.0 / unit),
            None => write!(f, "{}B", self.0),
        }
    }
}

const TIME_UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// The longest duration any setting takes: a year. More is a slip of the keyboard, and sums of
/// such durations stay far from overflow.
const MAX_DURATION_MS: u64 = 365 * 86_400_000;

/// Reads a duration in whole milliseconds: numbers with a unit (`d`, `h`, `m`, `s`, `ms`), one
/// after the other, as in `1m30s`.
///
/// # Errors
/// When a unit is missing or unknown, or the sum is over 365 days.
pub fn parse_duration(text: &str) -> Result<Duration, Invalid> {
    let wrong = || Invalid::new("expected a duration with its unit, such as 5s, 250ms or 1m");
    let mut rest = text.trim();
    let mut total: u64 = 0;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let (number, after) = split_number(rest).ok_or_else(wrong)?;
        let unit_end = after
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, next) = after.split_at(unit_end);
        let number: u64 = digits(number).ok_or_else(wrong)?;
        let &(_, factor) = TIME_UNITS
            .iter()
            .find(|(name, _)| *name == unit.trim())
            .ok_or_else(wrong)?;
        total = number
            .checked_mul(factor)
            .and_then(|part| part.checked_add(total))
            .filter(|&sum| sum <= MAX_DURATION_MS)
            .ok_or_else(|| Invalid::new("a duration can be at most 365d"))?;
        rest = next;
    }
    Ok(Duration::from_millis(total))
}

/// Prints a duration as [`parse_duration`] reads it; parts of a millisecond are left out.
pub fn format_duration(duration: Duration) -> String {
    let mut left = duration.as_millis();
    if left == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (name, unit) in TIME_UNITS {
        let count = left / u128::from(unit);
        if count > 0 {
            text.push_str(&format!("{count}{name}"));
            left %= u128::from(unit);
        }
    }
    text
}

/// Splits the digits at the start from what follows; `None` without a digit.
fn split_number(text: &str) -> Option<(&str, &str)> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_read_in_the_ways_people_write_them() {
        for (text, bytes) in [
            ("4096", 4096),
            ("12B", 12),
            ("64MiB", 64 << 20),
            ("64 MiB", 64 << 20),
            ("64Mi", 64 << 20),
            ("1GB", 1_000_000_000),
            ("5k", 5_000),
            ("5KiB", 5 << 10),
            ("2tib", 2 << 40),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
        for text in [
            "",
            "MiB",
            "-1",
            "1.5GiB",
            "1XB",
            "1 2",
            "18446744073709551616",
            "99999999TiB",
        ] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }

    #[test]
    fn durations_need_their_unit() {
        for (text, ms) in [
            ("5s", 5_000),
            ("250ms", 250),
            ("1m", 60_000),
            ("1m30s", 90_000),
            ("0s", 0),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_millis(ms)),
                "{text}"
            );
        }
        for text in [
            "",
            "5",
            "s",
            "5 parsecs",
            "-1s",
            "1.5s",
            "366d",
            "99999999999999999999s",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn sizes_read_back_as_printed(bytes: u64) {
            prop_assert_eq!(ByteSize(bytes).to_string().parse(), Ok(ByteSize(bytes)));
        }

        #[test]
        fn whole_units_read_back_too(count in 0u64..1000, unit in 0usize..SIZE_UNITS.len()) {
            let size = ByteSize(count * SIZE_UNITS[unit].1);
            prop_assert_eq!(size.to_string().parse(), Ok(size));
        }

        #[test]
        fn durations_read_back_as_printed(ms in 0..=MAX_DURATION_MS) {
            let duration = Duration::from_millis(ms);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }

        #[test]
        fn any_text_is_a_value_or_an_error(text in "\\PC*|[0-9]{0,22}[a-zA-Z ]{0,4}[0-9]{0,3}") {
            let _ = text.parse::<ByteSize>();
            let _ = parse_duration(&text);
        }
    }
}
