//! Who goes on after many refusals gets less: half, a quarter, then an eighth.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::RwLock;

use super::key::{BuildAsIs, Key};

/// So many refusals within [`WINDOW`] halve what a caller gets.
const REFUSALS: u8 = 10;

/// The span that refusals are counted in, and that a caller must be quiet for.
const WINDOW: Duration = Duration::from_mins(1);

/// Halved so often at most.
const MAX_LEVEL: u8 = 3;

/// Callers that are counted. Past it, those who are new are refused without being counted.
const MAX_PENALTIES: usize = 10_000;

/// The penalties of one class.
#[derive(Default)]
pub(super) struct Penalties {
    by_key: RwLock<HashMap<Key, Penalty, BuildAsIs>>,
    /// As many as there are in the map: nobody locks it while it is empty.
    count: AtomicUsize,
}

#[derive(Clone, Copy)]
struct Penalty {
    level: u8,
    refusals: u8,
    counted_since: Duration,
    last: Duration,
}

impl Penalty {
    const fn at(now: Duration) -> Self {
        Self { level: 0, refusals: 0, counted_since: now, last: now }
    }

    fn is_over(&self, now: Duration) -> bool {
        now.saturating_sub(self.last) >= WINDOW
    }

    fn refused(&mut self, now: Duration) {
        if self.is_over(now) {
            *self = Self::at(now);
        }
        if now.saturating_sub(self.counted_since) >= WINDOW {
            (self.counted_since, self.refusals) = (now, 0);
        }
        (self.last, self.refusals) = (now, self.refusals + 1);
        if self.refusals == REFUSALS {
            (self.level, self.refusals, self.counted_since) = ((self.level + 1).min(MAX_LEVEL), 0, now);
        }
    }
}

impl Penalties {
    /// How often the caller's share is halved at `now`.
    pub(super) fn level(&self, key: Key, now: Duration) -> u8 {
        if self.count.load(Ordering::Relaxed) == 0 {
            return 0;
        }
        self.by_key.read().get(&key).filter(|penalty| !penalty.is_over(now)).map_or(0, |penalty| penalty.level)
    }

    /// Counts a refusal.
    pub(super) fn refused(&self, key: Key, now: Duration) {
        let mut by_key = self.by_key.write();
        if by_key.len() >= MAX_PENALTIES && !by_key.contains_key(&key) {
            return;
        }
        by_key.entry(key).or_insert(Penalty::at(now)).refused(now);
        self.count.store(by_key.len(), Ordering::Relaxed);
    }

    /// Forgets those that are over at `now`.
    pub(super) fn forget_over(&self, now: Duration) {
        let mut by_key = self.by_key.write();
        by_key.retain(|_, penalty| !penalty.is_over(now));
        by_key.shrink_to_fit();
        self.count.store(by_key.len(), Ordering::Relaxed);
    }

    /// How many callers are counted.
    pub(super) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::CallerIdentity;
    use crate::limits::key::KeyHasher;

    fn keys(count: u32) -> Vec<Key> {
        let hasher = KeyHasher::default();
        (0..count).map(|number| hasher.key(CallerIdentity::Address(std::net::Ipv4Addr::from(number).into()))).collect()
    }

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn ten_refusals_in_a_minute_halve_and_a_quiet_minute_forgives() {
        let (penalties, keys) = (Penalties::default(), keys(2));
        for (times, level) in [(9, 0), (1, 1), (9, 1), (1, 2), (10, 3), (30, 3)] {
            (0..times).for_each(|_| penalties.refused(keys[0], at(5)));
            assert_eq!(penalties.level(keys[0], at(5)), level, "{times}");
        }
        assert_eq!(penalties.level(keys[1], at(5)), 0, "another caller");
        assert_eq!(penalties.level(keys[0], at(64)), 3);
        assert_eq!(penalties.level(keys[0], at(65)), 0);
        penalties.refused(keys[0], at(65));
        assert_eq!(penalties.level(keys[0], at(65)), 0, "it begins anew");
    }

    #[test]
    fn refusals_that_are_far_apart_halve_nothing() {
        let (penalties, keys) = (Penalties::default(), keys(1));
        for turn in 0..100 {
            penalties.refused(keys[0], at(turn * 7));
            assert_eq!(penalties.level(keys[0], at(turn * 7)), 0, "{turn}");
        }
    }

    #[test]
    fn the_penalties_are_bounded_and_end() {
        let penalties = Penalties::default();
        for key in keys(u32::try_from(MAX_PENALTIES).unwrap() + 10) {
            penalties.refused(key, at(0));
        }
        assert_eq!(penalties.len(), MAX_PENALTIES);
        penalties.forget_over(at(59));
        assert_eq!(penalties.len(), MAX_PENALTIES);
        penalties.forget_over(at(60));
        assert_eq!(penalties.len(), 0);
    }
}
