//! One direction of a link as a machine without IO: packets go in with the time, and come out when
//! they arrive. A packet waits in a queue that drops at its tail, occupies the line for as long
//! as its bytes take, may get lost, and arrives a fixed delay after it has left the line.

use super::spec::{Loss, Rate, Spec};
use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use std::collections::VecDeque;

/// What a path without a rate may have under way, in bytes: without a queue to overflow it would
/// otherwise grow for as long as it is fed.
const UNDER_WAY: usize = 64 << 20;

/// Buffers that are kept for later packets.
const SPARE: usize = 1_024;

/// What befell a packet that was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is under way.
    Taken,
    /// The queue was full.
    Dropped,
    /// It gets lost on the way, by chance.
    Lost,
}

/// One direction. Times are nanoseconds since any fixed moment, and never go back.
#[derive(Debug)]
pub struct Path {
    rate: Option<Rate>,
    delay: u64,
    queue: u64,
    loss: Loss,
    chance: ChaCha8Rng,
    /// When the line has sent all that it took.
    free_at: u64,
    under_way: VecDeque<(u64, Vec<u8>)>,
    bytes: usize,
    spare: Vec<Vec<u8>>,
}

impl Path {
    /// A path as `spec` has it, empty. Paths of different `number` lose different packets.
    pub fn new(spec: &Spec, number: u64) -> Self {
        let mut chance = ChaCha8Rng::seed_from_u64(spec.seed);
        chance.set_stream(number);
        Self {
            rate: spec.rate,
            delay: u64::try_from(spec.rtt.as_nanos() / 2).unwrap_or(u64::MAX),
            queue: spec.queue_bytes().unwrap_or(u64::MAX),
            loss: spec.loss,
            chance,
            free_at: 0,
            under_way: VecDeque::new(),
            bytes: 0,
            spare: Vec::new(),
        }
    }

    /// Whether it has a rate, so that most of its time is waiting.
    pub const fn has_rate(&self) -> bool {
        self.rate.is_some()
    }

    /// A packet reaches the queue.
    pub fn offer(&mut self, now: u64, packet: &[u8]) -> Fate {
        if self.bytes + packet.len() > UNDER_WAY {
            return Fate::Dropped;
        }
        let mut sent = now;
        if let Some(rate) = self.rate {
            let length = packet.len() as u64;
            let waiting = rate.bytes_in(self.free_at.saturating_sub(now));
            // A line that is free takes a packet of any size.
            if waiting > 0 && waiting.saturating_add(length) > self.queue {
                return Fate::Dropped;
            }
            sent = self.free_at.max(now).saturating_add(rate.nanos_for(length));
            self.free_at = sent;
        }
        if self.is_lost() {
            return Fate::Lost;
        }
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.clear();
        buffer.extend_from_slice(packet);
        self.bytes += buffer.len();
        self.under_way
            .push_back((sent.saturating_add(self.delay), buffer));
        Fate::Taken
    }

    /// When the next packet arrives, if one is under way.
    pub fn next(&self) -> Option<u64> {
        self.under_way.front().map(|(at, _)| *at)
    }

    /// The next packet that has arrived by `now`, and when it did. Give its buffer back.
    pub fn arrived(&mut self, now: u64) -> Option<(u64, Vec<u8>)> {
        if self.next()? > now {
            return None;
        }
        let (at, packet) = self.under_way.pop_front()?;
        self.bytes -= packet.len();
        Some((at, packet))
    }

    /// Takes back the buffer of a packet that was handed on.
    pub fn give_back(&mut self, buffer: Vec<u8>) {
        if self.spare.len() < SPARE {
            self.spare.push(buffer);
        }
    }

    fn is_lost(&mut self) -> bool {
        if self.loss.per_million == 0 {
            return false;
        }
        let drawn = (u64::from(self.chance.next_u32()) * 1_000_000) >> 32;
        drawn < u64::from(self.loss.per_million)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::spec::Queue;
    use std::time::Duration;

    const PACKET: [u8; 1_500] = [7; 1_500];
    /// What it takes at 1 Gbit/s.
    const ON_THE_LINE: u64 = 12_000;
    const MS: u64 = 1_000_000;

    fn gigabit(rtt: u64, queue: u64) -> Spec {
        Spec {
            rate: Some("1gbit".parse().expect("a rate")),
            rtt: Duration::from_nanos(rtt),
            queue: Queue::Bytes(queue),
            ..Spec::default()
        }
    }

    fn arrivals(path: &mut Path) -> Vec<u64> {
        std::iter::from_fn(|| path.arrived(u64::MAX))
            .map(|(at, _)| at)
            .collect()
    }

    #[test]
    fn a_lone_packet_takes_half_the_round_trip_and_its_time_on_the_line() {
        let mut path = Path::new(&gigabit(20 * MS, 0), 0);
        assert_eq!(path.offer(5, &PACKET), Fate::Taken);
        let at = 5 + 10 * MS + ON_THE_LINE;
        assert_eq!(path.next(), Some(at));
        assert_eq!(path.arrived(at - 1), None);
        assert_eq!(path.arrived(at), Some((at, PACKET.to_vec())));
        assert_eq!(path.next(), None);
    }

    #[test]
    fn packets_offered_at_once_arrive_at_the_rate() {
        let mut path = Path::new(&gigabit(0, u64::MAX), 0);
        for _ in 0..1_000 {
            assert_eq!(path.offer(0, &PACKET), Fate::Taken);
        }
        let expected: Vec<u64> = (1..=1_000).map(|n| n * ON_THE_LINE).collect();
        assert_eq!(arrivals(&mut path), expected);
    }

    #[test]
    fn a_pause_earns_no_credit() {
        let mut path = Path::new(&gigabit(0, u64::MAX), 0);
        path.offer(0, &PACKET);
        path.offer(MS, &PACKET);
        path.offer(MS, &PACKET);
        assert_eq!(
            arrivals(&mut path),
            [ON_THE_LINE, MS + ON_THE_LINE, MS + 2 * ON_THE_LINE]
        );
    }

    #[test]
    fn what_does_not_fit_into_the_queue_is_dropped_until_the_line_has_made_room() {
        let mut path = Path::new(&gigabit(0, 15_000), 0);
        let taken = (0..20)
            .filter(|_| path.offer(0, &PACKET) == Fate::Taken)
            .count();
        assert_eq!(taken, 10);
        assert_eq!(path.offer(ON_THE_LINE - 8, &PACKET), Fate::Dropped);
        assert_eq!(path.offer(ON_THE_LINE, &PACKET), Fate::Taken);
        assert_eq!(path.offer(ON_THE_LINE, &PACKET), Fate::Dropped);
        // One of 100 bytes does not fit either, although it is small.
        assert_eq!(path.offer(ON_THE_LINE, &[0; 100]), Fate::Dropped);
    }

    #[test]
    fn a_free_line_takes_a_packet_that_is_longer_than_the_queue() {
        let mut path = Path::new(&gigabit(0, 100), 0);
        assert_eq!(path.offer(0, &PACKET), Fate::Taken);
        assert_eq!(path.offer(0, &PACKET), Fate::Dropped);
        assert_eq!(path.offer(ON_THE_LINE, &PACKET), Fate::Taken);
    }

    fn lost(seed: u64, number: u64, share: &str) -> Vec<bool> {
        let spec = Spec {
            loss: share.parse().expect("a share"),
            seed,
            ..Spec::default()
        };
        let mut path = Path::new(&spec, number);
        (0..100_000)
            .map(|_| {
                let fate = path.offer(0, &[0; 40]);
                path.arrived(0);
                fate == Fate::Lost
            })
            .collect()
    }

    #[test]
    fn chance_takes_its_share_and_follows_the_seed_and_the_direction() {
        let first = lost(1, 0, "1%");
        let count = first.iter().filter(|lost| **lost).count();
        assert!((900..1_100).contains(&count), "{count} of 100,000");
        assert_eq!(first, lost(1, 0, "1%"));
        assert_ne!(first, lost(2, 0, "1%"));
        assert_ne!(first, lost(1, 1, "1%"));
        assert!(!lost(1, 0, "0%").contains(&true));
        assert!(!lost(1, 0, "100%").contains(&false));
    }

    #[test]
    fn a_lost_packet_still_takes_its_time_on_the_line() {
        let spec = Spec {
            loss: "50%".parse().expect("a share"),
            ..gigabit(0, u64::MAX)
        };
        let mut path = Path::new(&spec, 0);
        let fates: Vec<Fate> = (0..64).map(|_| path.offer(0, &PACKET)).collect();
        let expected: Vec<u64> = (1..)
            .zip(&fates)
            .filter(|(_, fate)| **fate == Fate::Taken)
            .map(|(n, _)| n * ON_THE_LINE)
            .collect();
        assert_eq!(arrivals(&mut path), expected);
        assert!(fates.contains(&Fate::Lost) && fates.contains(&Fate::Taken));
    }

    #[test]
    fn without_a_rate_only_the_delay_remains_and_memory_has_a_bound() {
        let spec = Spec {
            rtt: Duration::from_millis(20),
            ..Spec::default()
        };
        let mut path = Path::new(&spec, 0);
        path.offer(3, &PACKET);
        path.offer(3, &PACKET);
        assert_eq!(arrivals(&mut path), [3 + 10 * MS; 2]);
        let large = vec![0; UNDER_WAY / 4];
        let taken = (0..5)
            .filter(|_| path.offer(4, &large) == Fate::Taken)
            .count();
        assert_eq!(taken, 4);
        assert!(path.arrived(4 + 10 * MS).is_some());
        assert_eq!(path.offer(5 + 10 * MS, &large), Fate::Taken);
    }
}
