use super::*;

/// Somebody always has something to send.
struct Bulk {
    inflight: Inflight,
    /// When each part arrives, in microseconds, and up to which position.
    under_way: VecDeque<(u64, u64)>,
    path_free_at: u64,
    now: u64,
}

impl Bulk {
    fn new() -> Self {
        Self {
            inflight: Inflight::new(Instant::ORIGIN, 0),
            under_way: VecDeque::new(),
            path_free_at: 0,
            now: 0,
        }
    }

    /// For so many milliseconds, on a path of `rate` bytes per millisecond and `trip` milliseconds.
    fn run(&mut self, millis: u64, rate: u64, trip: u64) {
        for _ in 0..millis {
            self.now += 1_000;
            let at = Instant::from_micros(self.now);
            while let Some((due, position)) = self.under_way.front()
                && *due <= self.now
            {
                self.inflight.acknowledged(at, *position);
                self.under_way.pop_front();
            }
            while self.inflight.has_room(0) {
                self.inflight.sent(at, 1_024);
                self.path_free_at = self.path_free_at.max(self.now) + 1_024_000 / rate;
                let due = self.path_free_at + trip * 1_000;
                self.under_way.push_back((due, self.inflight.carried));
            }
        }
    }
}

#[test]
fn what_is_under_way_comes_near_to_what_the_path_holds() {
    for (rate, trip) in [(1_250, 20), (25_000, 20), (25_000, 100), (62_500, 100)] {
        let mut bulk = Bulk::new();
        bulk.run(4_000, rate, trip);
        let (limit, holds) = (bulk.inflight.limit, rate * trip);
        assert!(limit * 10 >= holds * 9, "{limit} for {holds}");
        assert!(limit <= holds * 3 / 2 + LEAST, "{limit} for {holds}");
    }
}

#[test]
fn a_path_that_becomes_faster_or_slower_is_followed() {
    let mut bulk = Bulk::new();
    bulk.run(2_000, 2_500, 20);
    let slow = bulk.inflight.limit;
    bulk.run(6_000, 25_000, 20);
    let fast = bulk.inflight.limit;
    assert!(fast > 6 * slow, "{slow} {fast}");
    bulk.run(6_000, 2_500, 20);
    let again = bulk.inflight.limit;
    assert!(again < 2 * slow, "{slow} {again}");
}

#[test]
fn who_sends_little_for_long_makes_the_limit_no_smaller() {
    let mut bulk = Bulk::new();
    bulk.run(2_000, 25_000, 20);
    let Bulk {
        mut inflight, now, ..
    } = bulk;
    let limit = inflight.limit;
    for second in 1..60 {
        let at = Instant::from_micros(now + second * 1_000_000);
        inflight.acknowledged(at, inflight.carried);
        inflight.sent(at, 20_000);
        inflight.idle();
        inflight.acknowledged(at + Duration::from_millis(20), inflight.carried);
    }
    // It may have been a turn that asks for more, and now be one that asks for less.
    assert!(inflight.limit * 3 > limit * 2, "{limit} {inflight:?}");
}

#[test]
fn exchanges_of_little_do_not_slow_down_the_bulk_behind_them() {
    let mut bulk = Bulk::new();
    for _ in 0..100 {
        bulk.now += 300_000;
        let at = Instant::from_micros(bulk.now);
        bulk.inflight.sent(at, 2_000);
        bulk.inflight.idle();
        let heard = at + Duration::from_millis(125);
        bulk.inflight.acknowledged(heard, bulk.inflight.carried);
    }
    bulk.now += 300_000;
    assert!(bulk.inflight.limit >= FIRST);
    bulk.run(2_000, 62_500, 100);
    let (limit, holds) = (bulk.inflight.limit, 62_500 * 100);
    assert!(limit * 10 >= holds * 9, "{limit} for {holds}");
}

#[test]
fn acknowledgements_of_any_kind_keep_it_within_its_bounds() {
    let mut inflight = Inflight::new(Instant::ORIGIN, 0);
    for at in 0..10_000_u64 {
        let now = Instant::from_micros(at * at % 7_919 * 13);
        inflight.sent(now, at % 5 * (1 << 40));
        inflight.acknowledged(now, inflight.carried);
        assert!(inflight.limit >= LEAST);
        assert!(inflight.marks.len() <= MARKS && inflight.rates.len() <= MEMORY);
    }
}

#[test]
fn a_path_that_becomes_a_hundred_times_faster_is_filled() {
    for trip in [20, 100] {
        let mut bulk = Bulk::new();
        bulk.run(4_000, 125, trip);
        bulk.run(10_000, 12_500, trip);
        let (limit, holds) = (bulk.inflight.limit, 12_500 * trip);
        assert!(limit * 10 >= holds * 9, "{limit} for {holds}");
    }
}

#[test]
fn a_path_that_becomes_longer_is_filled() {
    for (rate, before, after) in [(12_500, 10, 200), (12_500, 20, 300), (1_250, 20, 300)] {
        let mut bulk = Bulk::new();
        bulk.run(4_000, rate, before);
        bulk.run(10_000, rate, after);
        let (limit, holds) = (bulk.inflight.limit, rate * after);
        assert!(limit * 10 >= holds * 9, "{limit} for {holds}");
    }
}

#[test]
fn a_path_that_becomes_a_hundred_times_slower_is_given_less_as_soon_as_that_is_seen() {
    for (trip, seconds) in [(10, 4), (100, 24)] {
        let mut bulk = Bulk::new();
        bulk.run(4_000, 12_500, trip);
        // What is under way by then needs half of the time.
        assert!(bulk.inflight.limit <= seconds * 125_000 / 2);
        bulk.run(seconds * 1_000, 125, trip);
        let limit = bulk.inflight.limit;
        assert!(limit <= 2 * LEAST, "{limit} after {seconds} s");
    }
}

#[test]
fn a_path_on_which_nothing_moves_for_a_moment_is_not_taken_for_a_slower_one() {
    let mut bulk = Bulk::new();
    bulk.run(4_000, 12_500, 20);
    for _ in 0..10 {
        let limit = bulk.inflight.limit;
        bulk.path_free_at += 1_000_000;
        for part in &mut bulk.under_way {
            part.0 += 1_000_000;
        }
        for _ in 0..130 {
            bulk.run(10, 12_500, 20);
            let now = bulk.inflight.limit;
            assert!(now * 3 > limit * 2, "{limit} {now}");
        }
    }
}

#[test]
fn no_way_to_acknowledge_and_no_clock_make_it_stop_or_grow() {
    // Positions and times up to the last that there are.
    for (position, clock) in [(0, 0), (u64::MAX - (1 << 40), u64::MAX - (1 << 34))] {
        let mut inflight = Inflight::new(Instant::from_micros(clock), position);
        let mut dice = 1_u64;
        let mut roll = |sides: u64| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (dice >> 33) % sides
        };
        for step in 0..200_000_u64 {
            // Forward by nothing, a little, or hours; and at times back.
            let jump = [0, 1, 1_000, 3_600_000_000][roll(4) as usize];
            let now = Instant::from_micros((clock + step).saturating_add(jump));
            while inflight.has_room(0) && roll(8) > 0 {
                inflight.sent(now, 1 + roll(16_384));
            }
            match roll(8) {
                0 => inflight.idle(),
                1 => inflight.pressed(),
                _ => {}
            }
            // Unit by unit, a part, all at once, nothing.
            let new = match roll(4) {
                0 => inflight.under_way().min(1),
                1 => roll(inflight.under_way() + 1),
                2 => inflight.under_way(),
                _ => 0,
            };
            if new > 0 {
                inflight.acknowledged(now, inflight.acked + new);
            }
            assert!(inflight.limit >= LEAST);
            assert!(inflight.marks.len() <= MARKS && inflight.rates.len() <= MEMORY);
        }
        inflight.acknowledged(Instant::from_micros(u64::MAX), inflight.carried);
        assert!(inflight.has_room(0));
    }
}
