//! From settings to limits: of callers of this instance, and of tenants over all of them.

use std::sync::Arc;
use std::time::Duration;

use super::services::Services;
use crate::clock::Clock;
use crate::config::{Config, RateLimit};
use crate::limits::{Class, Instances, IsTrusted, Now, Rate, RateLimits, StreamLimits, TenantQuotas};

/// The time that limits count in: cluster time never goes back, and is never stepped.
pub(super) fn now_from(clock: &Arc<dyn Clock>) -> Now {
    let clock = Arc::clone(clock);
    Arc::new(move || Duration::from_micros(u64::try_from(clock.now_us()).unwrap_or(0)))
}

/// The limits of callers.
pub(super) fn of_callers(config: &Config, services: &Services) -> Arc<RateLimits> {
    let limits = config.rate_limits;
    let rate = move |class| {
        let limit = match class {
            Class::Read => limits.read,
            Class::Command => limits.command,
            Class::Connect => limits.connect,
            Class::Bulk => limits.bulk,
            Class::RefusedToken => limits.refused_token,
        };
        limit.map(|RateLimit { count, window, burst }| Rate { count, window, burst })
    };
    let proxies = config.trusted_proxies.clone();
    let is_trusted: IsTrusted = Box::new(move |address| proxies.iter().any(|proxy| proxy.contains(address)));
    let limits = RateLimits::new(rate, is_trusted, &now_from(&services.clock));
    Arc::new(limits.with_security(Arc::clone(&services.security)))
}

/// The limits of streams, which this instance counts with the others.
pub(super) fn of_streams(config: &Config, services: &Services) -> Arc<StreamLimits> {
    let (settings, quota) = (services.control.current().clone(), Arc::clone(&services.backend.stream_quota));
    Arc::new(StreamLimits::new(config.max_streams_per_subject, settings, quota))
}

/// The quotas of tenants, which this instance shares with the others.
pub(super) fn of_tenants(services: &Services) -> Arc<TenantQuotas> {
    let membership = services.backend.membership().cloned();
    let instances: Instances =
        Arc::new(move || membership.as_ref().map_or(1, |membership| membership.live_members().len()));
    let (limits, pool) = (Arc::clone(&services.tenant_limits), Arc::clone(&services.backend.quota_pool));
    Arc::new(TenantQuotas::new(limits, pool, instances, now_from(&services.clock)))
}
