//! The limiter of one class, by a clock that the test moves.

use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::{TestTime, principal};
use crate::limits::key::KeyHasher;
use crate::limits::rates::ClassLimiter;
use crate::limits::{CallerIdentity, CallerLimits, Class, Rate, RateLimited};

fn rate(count: u32, window: u64, burst: u32) -> Rate {
    let (count, burst) = (NonZeroU32::new(count).unwrap(), NonZeroU32::new(burst).unwrap());
    Rate { count, window: Duration::from_secs(window), burst }
}

fn limiter(rate: Rate, max_keys: usize) -> (ClassLimiter, TestTime, KeyHasher) {
    let time = TestTime::default();
    (ClassLimiter::new(Class::Read, rate, time.now(), max_keys), time, KeyHasher::default())
}

fn address(number: u32) -> CallerIdentity<'static> {
    CallerIdentity::Address(Ipv4Addr::from(number).into())
}

/// How many of `tries` pass.
fn passed(limiter: &ClassLimiter, hasher: &KeyHasher, caller: CallerIdentity<'_>, tries: u32) -> u32 {
    let key = hasher.key(caller);
    (0..tries).map(|_| u32::from(limiter.check(key, 1).is_ok())).sum()
}

#[test]
fn the_burst_passes_at_once_and_then_the_rate() {
    let (limiter, time, hasher) = limiter(rate(60, 60, 5), 10);
    let key = hasher.key(address(1));
    let first = limiter.check(key, 1).unwrap();
    assert_eq!((first.remaining, first.reset), (4, Duration::from_secs(1)));
    assert_eq!(passed(&limiter, &hasher, address(1), 9), 4);
    let RateLimited(refused) = limiter.check(key, 1).unwrap_err();
    assert_eq!((refused.remaining, refused.reset), (0, Duration::from_secs(1)));
    time.advance_ms(999);
    assert!(limiter.check(key, 1).is_err());
    time.advance_ms(1);
    assert_eq!(passed(&limiter, &hasher, address(1), 2), 1);
    time.advance_ms(3_600_000);
    assert_eq!(passed(&limiter, &hasher, address(1), 9), 5, "never more than the burst");
}

#[test]
fn what_is_heavier_than_a_bucket_passes_a_full_one_and_is_paid_for() {
    let (limiter, time, hasher) = limiter(rate(10, 1, 10), 10);
    let key = hasher.key(address(1));
    assert_eq!(limiter.check(key, 500).unwrap().remaining, 0);
    let RateLimited(refused) = limiter.check(key, 1).unwrap_err();
    assert_eq!(refused.reset.as_millis(), 49_100, "490 of them are owed");
    time.advance_ms(49_000);
    assert!(limiter.check(key, 1).is_err());
    time.advance_ms(100);
    assert!(limiter.check(key, 1).is_ok());
    assert!(limiter.check(key, 500).is_err(), "the bucket is not full");
}

#[test]
fn whoever_goes_on_after_refusals_gets_an_eighth_until_a_quiet_minute() {
    // A bucket holds eight, and one comes back each second.
    let (limiter, time, hasher) = limiter(rate(60, 60, 8), 10);
    let greedy = |tries| passed(&limiter, &hasher, address(1), tries);
    assert_eq!(greedy(8 + 9), 8);
    for (refusals, in_8_s) in [(1, 4), (10, 2), (10, 1), (50, 1)] {
        assert_eq!(greedy(refusals), 0);
        time.advance_ms(8_000);
        assert_eq!(greedy(in_8_s), in_8_s, "{refusals}");
    }
    assert_eq!(passed(&limiter, &hasher, address(2), 8), 8, "another caller");
    assert_eq!(greedy(1), 0);
    time.advance_ms(59_999);
    assert_eq!(greedy(1), 1, "the eighth is all there is");
    assert_eq!(greedy(1), 0);
    time.advance_ms(60_000);
    assert_eq!(greedy(9), 8);
}

#[test]
fn past_the_most_keys_new_ones_share_a_bucket_until_others_are_forgotten() {
    let (limiter, time, hasher) = limiter(rate(60, 60, 2), 3);
    for number in 1..=3 {
        assert_eq!(passed(&limiter, &hasher, address(number), 2), 2);
    }
    assert_eq!((limiter.sizes().0, passed(&limiter, &hasher, address(4), 1)), (3, 1));
    assert_eq!(passed(&limiter, &hasher, address(5), 2), 1, "they share one");
    assert_eq!(passed(&limiter, &hasher, address(6), 1), 0);
    time.advance_ms(600_000);
    limiter.forget_idle();
    assert_eq!(limiter.sizes().0, 3, "full for less than ten minutes");
    time.advance_ms(2_000);
    limiter.forget_idle();
    assert_eq!((limiter.sizes().0, passed(&limiter, &hasher, address(4), 3)), (0, 2));
}

#[test]
fn a_bucket_that_is_owed_to_is_not_forgotten() {
    let (limiter, time, hasher) = limiter(rate(1, 3_600, 1), 3);
    assert_eq!(passed(&limiter, &hasher, address(1), 1), 1);
    time.advance_ms(1_800_000);
    limiter.forget_idle();
    assert_eq!(passed(&limiter, &hasher, address(1), 1), 0);
}

#[test]
fn a_class_without_a_limit_looks_nobody_up() {
    let time = TestTime::default();
    let only_commands = |class| (class == Class::Command).then(|| rate(1, 1, 1));
    let limits = CallerLimits::new(only_commands, Box::new(|_| false), &time.now());
    for class in [Class::Read, Class::Connect, Class::Bulk, Class::RefusedToken] {
        assert_eq!(limits.check(class, 1, || panic!("nobody asks")), Ok(None));
    }
    let (ann, bob) = (principal("acme", "ann"), principal("acme", "bob"));
    assert!(limits.check(Class::Command, 1, || CallerIdentity::Principal(&ann)).unwrap().is_some());
    assert!(limits.check(Class::Command, 1, || CallerIdentity::Principal(&ann)).is_err());
    assert!(limits.check(Class::Command, 1, || CallerIdentity::Principal(&bob)).is_ok());
    assert!(limits.are_shown() && !CallerLimits::none().are_shown());
}

#[test]
fn many_at_once_get_no_more_than_the_burst() {
    let (limiter, _, hasher) = limiter(rate(1, 3_600, 1_000), 10);
    let (limiter, hasher) = (Arc::new(limiter), Arc::new(hasher));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (limiter, hasher) = (Arc::clone(&limiter), Arc::clone(&hasher));
            std::thread::spawn(move || passed(&limiter, &hasher, address(7), 1_000))
        })
        .collect();
    assert_eq!(threads.into_iter().map(|thread| thread.join().unwrap()).sum::<u32>(), 1_000);
}
