//! The limiter of one class: a token bucket for each caller (GCRA), by a clock that is handed in.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::{Quota, RateLimiter};

use super::buckets::Buckets;
use super::class::Class;
use super::key::Key;
use super::penalty::Penalties;

/// The time since some instant, which never goes back.
pub type TimeSource = Arc<dyn Fn() -> Duration + Send + Sync>;

/// How much a caller may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// So much in each window, evenly.
    pub count: NonZeroU32,
    /// The window.
    pub window: Duration,
    /// So much at once, after a pause.
    pub burst: NonZeroU32,
}

/// Where a caller stands, as the headers `RateLimit` and `RateLimit-Policy` tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// In which class.
    pub class: Class,
    /// What a caller may.
    pub rate: Rate,
    /// So much is left at once.
    pub remaining: u32,
    /// When that is so much again as it can be; of a refusal, when it is worth trying again.
    pub reset: Duration,
}

/// A caller asks too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimited(pub Standing);

/// The limiter of one class.
pub(super) struct ClassLimiter {
    class: Class,
    rate: Rate,
    now: TimeSource,
    began: Duration,
    limiter: RateLimiter<Key, Buckets, HandedIn, StateInformationMiddleware>,
    buckets: Buckets,
    penalties: Penalties,
}

/// The clock that is handed in, as the limiter reads it.
struct HandedIn(TimeSource);

impl Clock for HandedIn {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        (self.0)().into()
    }
}

impl Rate {
    /// Between two that come evenly.
    fn interval(&self) -> Duration {
        (self.window / self.count.get()).max(Duration::from_nanos(1))
    }
}

impl ClassLimiter {
    pub(super) fn new(class: Class, rate: Rate, now: TimeSource, max_keys: usize) -> Self {
        let quota = Quota::with_period(rate.interval()).unwrap_or(Quota::per_second(rate.count));
        let buckets = Buckets::new(max_keys);
        let limiter = RateLimiter::new(quota.allow_burst(rate.burst), buckets.clone(), HandedIn(Arc::clone(&now)));
        let began = now();
        Self { class, rate, now, began, limiter, buckets, penalties: Penalties::default() }
    }

    /// Takes `weight` out of a bucket. What is heavier than a whole bucket passes a full one, and is
    /// paid for afterwards.
    pub(super) fn check(&self, key: Key, weight: u32) -> Result<Standing, RateLimited> {
        let now = (self.now)();
        let level = self.penalties.level(key, now);
        let wanted = weight.max(1).saturating_mul(1 << level);
        let taken = NonZeroU32::new(wanted.min(self.rate.burst.get())).unwrap_or(NonZeroU32::MIN);
        let interval = self.rate.interval();
        match self.limiter.check_key_n(&key, taken) {
            Ok(Ok(left)) => {
                if wanted > taken.get() {
                    self.buckets.overdraw(key, interval * (wanted - taken.get()));
                }
                let remaining = left.remaining_burst_capacity();
                let reset = interval * self.rate.burst.get().saturating_sub(remaining);
                Ok(self.standing(remaining >> level, reset))
            }
            Ok(Err(until)) => {
                self.penalties.refused(key, now);
                Err(RateLimited(self.standing(0, until.wait_time_from(now.into()))))
            }
            // No more is asked for than a bucket holds.
            Err(_) => Err(RateLimited(self.standing(0, self.rate.window))),
        }
    }

    fn standing(&self, remaining: u32, reset: Duration) -> Standing {
        Standing { class: self.class, rate: self.rate, remaining, reset }
    }

    /// Forgets whoever is idle, and penalties that are over.
    pub(super) fn forget_idle(&self) {
        let now = (self.now)();
        self.buckets.forget_idle(now.saturating_sub(self.began));
        self.penalties.forget_over(now);
    }

    /// How many callers have a bucket of their own, and how many have been refused of late.
    pub(super) fn sizes(&self) -> (usize, usize) {
        (self.buckets.len(), self.penalties.len())
    }
}
