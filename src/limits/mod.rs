//! Limits: how much a caller may ask of this instance, a tenant of all of them, and the quota of a
//! subject's streams.
//!
//! A layer around the router sees one request where there are several: the frames of a socket,
//! the polls of a connection, the commands of a batch. So each place that begins some work asks
//! [`RateLimits::check`] itself.

mod buckets;
mod class;
mod client_address;
mod key;
mod penalty;
mod pool;
mod problem;
mod rates;
mod stream_limits;
mod stream_quota;
mod tenant_quota;

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use metrics::Counter;
use tokio::time::interval;

use self::buckets::MAX_KEYS;
pub use self::class::Class;
use self::key::KeyHasher;
pub use self::key::Caller;
pub use self::pool::{Drawn, LeaseRequest, MemoryPool, Pool, PoolError, RedisPool, Resource};
use self::rates::ClassLimiter;
pub use self::rates::{Now, Rate, RateLimited, Standing};
pub use self::stream_limits::{Counting, StreamHolder, StreamLimits, StreamPermits, StreamRefused};
pub use self::stream_quota::{QuotaExceeded, StreamPermit, StreamQuota};
pub use self::tenant_quota::{Instances, TenantLimits, TenantQuotaError, TenantQuotas};
use crate::security::{EventKind, NoSecurity, Security, SecurityEvent};
use crate::telemetry::metrics as names;

/// Between two looks for callers that can be forgotten.
const FORGET_INTERVAL: Duration = Duration::from_mins(1);

/// Whether an address is a trusted proxy's.
pub type IsTrusted = Box<dyn Fn(IpAddr) -> bool + Send + Sync>;

/// The limits of this instance: one limiter a class, where that has a limit.
pub struct RateLimits {
    limiters: [Option<Box<ClassLimiter>>; Class::ALL.len()],
    rejected: [Counter; Class::ALL.len()],
    hasher: KeyHasher,
    is_trusted: IsTrusted,
    security: Arc<dyn Security>,
}

impl RateLimits {
    /// Limits by class; `None` is without limit.
    pub fn new(rates: impl Fn(Class) -> Option<Rate>, is_trusted: IsTrusted, now: &Now) -> Self {
        let limiter =
            |class| rates(class).map(|rate| Box::new(ClassLimiter::new(class, rate, Arc::clone(now), MAX_KEYS)));
        let rejected = |class: Class| {
            let counter = metrics::counter!(names::RATE_LIMITED_TOTAL, "class" => class.as_str());
            // An alert on a counter that is not there yet would sleep through its first step.
            counter.increment(0);
            counter
        };
        let (limiters, rejected) = (Class::ALL.map(limiter), Class::ALL.map(rejected));
        Self { limiters, rejected, hasher: KeyHasher::default(), is_trusted, security: Arc::new(NoSecurity) }
    }

    /// The same; refusals are reported.
    pub fn with_security(self, security: Arc<dyn Security>) -> Self {
        Self { security, ..self }
    }

    /// No limits at all.
    pub fn none() -> Self {
        Self::new(|_| None, Box::new(|_| false), &(Arc::new(|| Duration::ZERO) as Now))
    }

    /// Whether callers see where they stand: not where only refused tokens are limited.
    pub fn are_shown(&self) -> bool {
        Class::ALL.iter().zip(&self.limiters).any(|(class, limiter)| *class != Class::RefusedToken && limiter.is_some())
    }

    /// Counts what a caller asks; without a limit nobody is looked up.
    ///
    /// # Errors
    /// The caller has asked too much.
    pub fn check<'a>(
        &self,
        class: Class,
        weight: u32,
        caller: impl FnOnce() -> Caller<'a>,
    ) -> Result<Option<Standing>, RateLimited> {
        let Some(limiter) = &self.limiters[class as usize] else { return Ok(None) };
        let caller = caller();
        let outcome = limiter.check(self.hasher.key(caller), weight);
        if outcome.is_err() {
            self.refused(class, caller);
        }
        outcome.map(Some)
    }

    /// A caller is refused: the one place where that is known of all classes.
    fn refused(&self, class: Class, caller: Caller<'_>) {
        self.rejected[class as usize].increment(1);
        let event = SecurityEvent::of(EventKind::Limited);
        let event = match caller {
            Caller::Principal(principal) => event.by(principal),
            Caller::Address(address) => event.from(Some(address)),
        };
        self.security.record(event.detail(class.as_str()));
    }

    /// Where a client calls from: the nearest address that is not a trusted proxy's.
    pub fn client_address(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        client_address::client_address(peer, headers, &self.is_trusted)
    }

    /// Forgets whoever is idle; runs until it is dropped.
    pub async fn run(self: Arc<Self>, tenants: Arc<TenantQuotas>) {
        let mut turns = interval(FORGET_INTERVAL);
        loop {
            turns.tick().await;
            for limiter in self.limiters.iter().flatten() {
                limiter.forget_idle();
            }
            tenants.forget_idle();
        }
    }

    /// Sets the gauges of what is kept.
    pub fn report(&self) {
        for (class, limiter) in Class::ALL.iter().zip(&self.limiters) {
            let (callers, penalties) = limiter.as_ref().map_or((0, 0), |limiter| limiter.sizes());
            names::set_rate_limit_keys(class.as_str(), callers, penalties);
        }
    }
}

/// Counts a refusal of a tenant's quota.
pub fn count_exhausted(error: &TenantQuotaError) {
    let TenantQuotaError::Exhausted { resource, .. } = error else { return };
    let class = match resource {
        Resource::Commands => "tenant_commands",
        Resource::Creates => "tenant_creates",
    };
    metrics::counter!(names::RATE_LIMITED_TOTAL, "class" => class).increment(1);
}
