//! What a link is like, and how that is written on a command line.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;
use std::time::Duration;

/// What a link is like. Both directions are alike and independent of each other.
#[derive(Clone, Debug)]
pub struct Spec {
    /// What each direction carries, or `None` for as much as the machine can.
    pub rate: Option<Rate>,
    /// The least round trip; each direction takes half of it.
    pub rtt: Duration,
    /// Packets that get lost by chance, after they took their time on the line.
    pub loss: Loss,
    /// How much waits in front of the line before packets are dropped.
    pub queue: Queue,
    /// Decides which packets get lost.
    pub seed: u64,
    /// Congestion control of every TCP connection inside the namespaces.
    pub congestion: String,
    /// What a TCP connection may hold in its receive and in its send buffer, in bytes: the third
    /// number of `tcp_rmem` and `tcp_wmem`.
    pub buffers: u32,
}

impl Default for Spec {
    /// A link without limit, delay or loss.
    fn default() -> Self {
        Self {
            rate: None,
            rtt: Duration::ZERO,
            loss: Loss::default(),
            queue: Queue::Bdp(1.0),
            seed: 1,
            congestion: "cubic".to_owned(),
            // Fills 1 Gbit/s at 100 ms, with room for a queue of the same length.
            buffers: 32 << 20,
        }
    }
}

impl Spec {
    /// Bytes that may wait in front of the line; `None` without a rate, where nothing waits.
    pub fn queue_bytes(&self) -> Option<u64> {
        let rate = self.rate?;
        Some(match self.queue {
            Queue::Bytes(bytes) => bytes,
            Queue::Bdp(share) => {
                let nanos = u64::try_from(self.rtt.as_nanos()).unwrap_or(u64::MAX);
                (rate.bytes_in(nanos) as f64 * share) as u64
            }
        })
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rate {
            Some(rate) => write!(f, "{rate}")?,
            None => write!(f, "unlimited")?,
        }
        write!(f, ", round trip {:?}, loss {}", self.rtt, self.loss)?;
        if let Some(bytes) = self.queue_bytes() {
            write!(f, ", queue {bytes} bytes")?;
        }
        write!(
            f,
            ", {}, TCP buffers up to {} bytes, seed {}",
            self.congestion, self.buffers, self.seed
        )
    }
}

/// A rate in bits per second, of IP packets with their heads: `200mbit`, `1gbit`, `1.5mbit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(NonZeroU64);

impl Rate {
    /// A rate of so many bits per second.
    pub const fn bits(bits: NonZeroU64) -> Self {
        Self(bits)
    }

    /// How long the line is busy with so many bytes, in nanoseconds.
    pub fn nanos_for(self, bytes: u64) -> u64 {
        let nanos = u128::from(bytes) * 8 * 1_000_000_000 / u128::from(self.0.get());
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }

    /// Bytes that pass in so many nanoseconds.
    pub fn bytes_in(self, nanos: u64) -> u64 {
        let bytes = u128::from(nanos) * u128::from(self.0.get()) / 8 / 1_000_000_000;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let units = [("gbit", 1e9), ("mbit", 1e6), ("kbit", 1e3), ("bit", 1.0)];
        let bits = scaled(text, &units).filter(|bits| *bits >= 1.0);
        bits.and_then(|bits| NonZeroU64::new(bits as u64))
            .map(Self)
            .ok_or_else(|| format!("{text:?} is no rate; 200mbit or 1.5gbit are"))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} Mbit/s", self.0.get() as f64 / 1e6)
    }
}

/// The share of packets that get lost: `1%`, `0.25%`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Lost packets per million.
    pub per_million: u32,
}

impl FromStr for Loss {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        scaled(text, &[("%", 1e4)])
            .filter(|share| *share <= 1e6)
            .map(|share| Self {
                per_million: share.round() as u32,
            })
            .ok_or_else(|| format!("{text:?} is no share; 1% or 0.25% are"))
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", f64::from(self.per_million) / 1e4)
    }
}

/// How long the queue in front of the line is: `1bdp`, `0.5bdp`, `256k`, `2m`, `64000b`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Queue {
    /// So many times what the link carries in a round trip.
    Bdp(f64),
    /// So many bytes.
    Bytes(u64),
}

impl FromStr for Queue {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(share) = scaled(text, &[("bdp", 1.0)]) {
            return Ok(Self::Bdp(share));
        }
        scaled(text, &[("k", 1024.0), ("m", 1024.0 * 1024.0), ("b", 1.0)])
            .map(|bytes| Self::Bytes(bytes as u64))
            .ok_or_else(|| format!("{text:?} is no length of a queue; 1bdp, 256k or 64000b are"))
    }
}

/// A round trip: `20ms`, `1.5s`, `300us`.
///
/// # Errors
///
/// What would have been one.
pub fn round_trip(text: &str) -> Result<Duration, String> {
    scaled(text, &[("ms", 1e-3), ("us", 1e-6), ("s", 1.0)])
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| format!("{text:?} is no round trip; 20ms, 300us or 1s are"))
}

/// A number that is not negative, times what its unit stands for.
fn scaled(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    units.iter().find_map(|(unit, scale)| {
        let number: f64 = text.strip_suffix(unit)?.parse().ok()?;
        (number.is_finite() && number >= 0.0).then_some(number * scale)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(text: &str) -> Rate {
        text.parse().expect("a rate")
    }

    #[test]
    fn a_rate_is_read_with_its_unit() {
        for (text, bits) in [
            ("200mbit", 200_000_000),
            ("1.5gbit", 1_500_000_000),
            ("64kbit", 64_000),
            ("9bit", 9),
        ] {
            assert_eq!(rate(text).0.get(), bits, "{text}");
        }
        for text in ["", "200", "mbit", "0mbit", "-1mbit", "nanmbit", "1tbit"] {
            assert!(text.parse::<Rate>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_full_packet_at_a_gigabit_takes_twelve_microseconds() {
        assert_eq!(rate("1gbit").nanos_for(1_500), 12_000);
        assert_eq!(rate("1gbit").bytes_in(12_000), 1_500);
    }

    #[test]
    fn a_share_a_queue_and_a_round_trip_are_read_with_their_units() {
        assert_eq!(
            "1%".parse(),
            Ok(Loss {
                per_million: 10_000
            })
        );
        assert_eq!("0.25%".parse(), Ok(Loss { per_million: 2_500 }));
        assert_eq!("1bdp".parse(), Ok(Queue::Bdp(1.0)));
        assert_eq!("256k".parse(), Ok(Queue::Bytes(256 * 1024)));
        assert_eq!("64000b".parse(), Ok(Queue::Bytes(64_000)));
        assert_eq!(round_trip("20ms"), Ok(Duration::from_millis(20)));
        assert_eq!(round_trip("300us"), Ok(Duration::from_micros(300)));
        assert!("101%".parse::<Loss>().is_err());
        assert!("1".parse::<Queue>().is_err());
        assert!(round_trip("20").is_err());
        assert!(round_trip("infs").is_err());
    }

    #[test]
    fn a_queue_of_one_bdp_is_what_the_link_carries_in_a_round_trip() {
        let spec = Spec {
            rate: Some(rate("200mbit")),
            rtt: Duration::from_millis(20),
            ..Spec::default()
        };
        assert_eq!(spec.queue_bytes(), Some(500_000));
        let half = Spec {
            queue: Queue::Bdp(0.5),
            ..spec
        };
        assert_eq!(half.queue_bytes(), Some(250_000));
    }
}
