//! From settings to limits: of callers of this instance, and of tenants over all of them.

use std::sync::Arc;

use super::backend::time_source;
use super::services::Services;
use crate::clock::Clock;
use crate::config::{Config, RateLimit};
use crate::limits::{CallerLimits, Class, Instances, IsTrusted, Rate, TenantQuotas};

/// The limits of callers.
pub(super) fn of_callers(config: &Config, clock: &Arc<dyn Clock>) -> Arc<CallerLimits> {
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
    Arc::new(CallerLimits::new(rate, is_trusted, &time_source(clock)))
}

/// The quotas of tenants, which this instance shares with the others.
pub(super) fn of_tenants(services: &Services) -> Arc<TenantQuotas> {
    let membership = services.backend.membership().cloned();
    let instances: Instances =
        Arc::new(move || membership.as_ref().map_or(1, |membership| membership.live_members().len()));
    let (limits, pool) = (Arc::clone(&services.tenant_limits), Arc::clone(&services.backend.quota_pool));
    Arc::new(TenantQuotas::new(limits, pool, instances, time_source(&services.clock)))
}
