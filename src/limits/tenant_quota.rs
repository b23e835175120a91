//! Quotas of a tenant over all instances, drawn from the pool in leases and spent here.
//!
//! A lease is what a tenant may do in [`LEASE`], shared among the instances: so instances ask a
//! few times a second, never for each command, and little is lost with a lease nobody uses.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::sync::Mutex as AsyncMutex;

use super::pool::{Drawn, LeaseRequest, Pool, PoolError, Resource};
use super::rates::Now;
use crate::control::Current;
use crate::domain::id::TenantId;
use crate::domain::setting::{COMMANDS_PER_S, CREATES_PER_MIN};

/// A lease is a tenant's share of this span.
const LEASE: Duration = Duration::from_millis(100);

/// What is left of a lease is not used any more after this.
const LEASE_TIMEOUT: Duration = Duration::from_secs(1);

/// Tenants whose leases are kept. Past it, those that hold none are dropped.
const MAX_TENANTS: usize = 10_000;

/// A tenant with a small quota may still do so many things at once.
const LEAST_BURST: u32 = 10;

/// What tenants may do, by their settings.
pub trait TenantLimits: Send + Sync {
    /// Commands a second; `None` is without limit.
    fn commands_per_s(&self, tenant: &TenantId) -> Option<u32>;

    /// New sessions a minute; `None` is without limit.
    fn creates_per_min(&self, tenant: &TenantId) -> Option<u32>;
}

/// By the settings of tenants, where 0 is without limit.
impl TenantLimits for Current {
    fn commands_per_s(&self, tenant: &TenantId) -> Option<u32> {
        limit(self.number(tenant, &COMMANDS_PER_S))
    }

    fn creates_per_min(&self, tenant: &TenantId) -> Option<u32> {
        limit(self.number(tenant, &CREATES_PER_MIN))
    }
}

/// What the number of a setting says, where 0 is without limit.
fn limit(number: i64) -> Option<u32> {
    u32::try_from(number).ok().filter(|limit| *limit > 0)
}

/// Why a tenant may not do what it asks.
#[derive(Debug, thiserror::Error)]
pub enum TenantQuotaError {
    /// It has used its quota up.
    #[error("the tenant has used its quota of {} up", resource.as_str())]
    Exhausted {
        /// Of what.
        resource: Resource,
        /// So much is its quota,
        quota: u32,
        /// When it is worth trying again.
        wait: Duration,
    },
    /// Nobody can say what is left. What the last lease holds was used before.
    #[error(transparent)]
    Unavailable(#[from] PoolError),
}

/// How many instances share a quota.
pub type Instances = Arc<dyn Fn() -> usize + Send + Sync>;

/// The quotas of all tenants, on this instance.
pub struct TenantQuotas {
    limits: Arc<dyn TenantLimits>,
    pool: Arc<dyn Pool>,
    instances: Instances,
    now: Now,
    holders: RwLock<HashMap<(TenantId, Resource), Arc<Holder>>>,
}

/// The lease of one tenant, and who draws the next.
#[derive(Default)]
struct Holder {
    lease: Mutex<Lease>,
    drawing: AsyncMutex<()>,
}

#[derive(Default)]
struct Lease {
    left: u32,
    until: Duration,
    /// The pool has nothing before this.
    refused_until: Duration,
}

impl Lease {
    fn take(&mut self, weight: u32, now: Duration) -> bool {
        let is_enough = now < self.until && self.left >= weight;
        if is_enough {
            self.left -= weight;
        }
        is_enough
    }

    /// How long the pool has nothing.
    fn refused_for(&self, now: Duration) -> Option<Duration> {
        let wait = self.refused_until.saturating_sub(now);
        (!wait.is_zero()).then_some(wait)
    }

    const fn granted(&mut self, left: u32, now: Duration) {
        self.left = left;
        self.until = now.saturating_add(LEASE_TIMEOUT);
    }
}

/// A quota, as its lease is drawn.
#[derive(Debug, Clone, Copy)]
struct TenantQuota {
    resource: Resource,
    count: u32,
    window: Duration,
}

impl TenantQuota {
    fn interval(self) -> Duration {
        // A quota of nothing lets nothing through for as long as anybody looks.
        self.window.checked_div(self.count).unwrap_or(Duration::from_hours(24 * 365))
    }

    /// A fifth of its window's, so that a second never holds much more than the quota.
    fn burst(self) -> u32 {
        (self.count / 5).max(self.count.min(LEAST_BURST)).max(1)
    }

    /// One instance's lease.
    fn lease(self, instances: usize) -> u32 {
        let interval = self.interval().as_nanos().max(1);
        let all = LEASE.as_nanos() / interval;
        u32::try_from(all / instances.max(1) as u128).unwrap_or(u32::MAX).max(1)
    }
}

impl TenantQuotas {
    /// Quotas by `limits`, drawn from `pool`.
    pub fn new(limits: Arc<dyn TenantLimits>, pool: Arc<dyn Pool>, instances: Instances, now: Now) -> Self {
        Self { limits, pool, instances, now, holders: RwLock::default() }
    }

    /// Takes so many commands out of the tenant's quota.
    pub async fn take_commands(&self, tenant: &TenantId, weight: u32) -> Result<(), TenantQuotaError> {
        let Some(count) = self.limits.commands_per_s(tenant) else { return Ok(()) };
        let quota = TenantQuota { resource: Resource::Commands, count, window: Duration::from_secs(1) };
        self.take(tenant, quota, weight).await
    }

    /// Takes a new session out of the tenant's quota.
    pub async fn take_create(&self, tenant: &TenantId) -> Result<(), TenantQuotaError> {
        let Some(count) = self.limits.creates_per_min(tenant) else { return Ok(()) };
        let quota = TenantQuota { resource: Resource::Creates, count, window: Duration::from_mins(1) };
        self.take(tenant, quota, 1).await
    }

    async fn take(&self, tenant: &TenantId, quota: TenantQuota, weight: u32) -> Result<(), TenantQuotaError> {
        let exhausted = |wait| TenantQuotaError::Exhausted { resource: quota.resource, quota: quota.count, wait };
        if weight == 0 {
            return Ok(());
        }
        if quota.count == 0 {
            return Err(exhausted(quota.window));
        }
        let holder = self.holder(tenant, quota.resource);
        if let Some(outcome) = holder.take_here(weight, (self.now)()) {
            return outcome.map_err(exhausted);
        }
        // One draws for all who wait; the others find what it left.
        let _drawing = holder.drawing.lock().await;
        if let Some(outcome) = holder.take_here(weight, (self.now)()) {
            return outcome.map_err(exhausted);
        }
        let lease = quota.lease((self.instances)()).max(weight);
        let request = LeaseRequest {
            tenant,
            resource: quota.resource,
            interval: quota.interval(),
            burst: quota.burst().max(quota.lease(1)),
            weight: lease,
        };
        let drawn = self.pool.draw(request).await?;
        holder.drawn(drawn, lease - weight, (self.now)()).map_err(exhausted)
    }

    fn holder(&self, tenant: &TenantId, resource: Resource) -> Arc<Holder> {
        let key = (tenant.clone(), resource);
        if let Some(holder) = self.holders.read().get(&key) {
            return Arc::clone(holder);
        }
        let (now, mut holders) = ((self.now)(), self.holders.write());
        if holders.len() >= MAX_TENANTS {
            holders.retain(|_, holder| Arc::strong_count(holder) > 1 || holder.is_held(now));
        }
        if holders.len() >= MAX_TENANTS {
            // It draws for itself alone.
            return Arc::default();
        }
        Arc::clone(holders.entry(key).or_default())
    }

    /// How many tenants hold a lease here, or held one of late.
    pub fn len(&self) -> usize {
        self.holders.read().len()
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets tenants without a lease.
    pub(super) fn forget_idle(&self) {
        let now = (self.now)();
        self.holders.write().retain(|_, holder| Arc::strong_count(holder) > 1 || holder.is_held(now));
    }
}

impl Holder {
    /// Decides by the lease alone, if that can.
    fn take_here(&self, weight: u32, now: Duration) -> Option<Result<(), Duration>> {
        let mut lease = self.lease.lock();
        if lease.take(weight, now) {
            return Some(Ok(()));
        }
        lease.refused_for(now).map(Err)
    }

    fn drawn(&self, drawn: Drawn, left: u32, now: Duration) -> Result<(), Duration> {
        let mut lease = self.lease.lock();
        match drawn {
            Drawn::Granted => {
                lease.granted(left, now);
                Ok(())
            }
            Drawn::Wait(wait) => {
                lease.refused_until = now + wait;
                Err(wait)
            }
        }
    }

    fn is_held(&self, now: Duration) -> bool {
        let lease = self.lease.lock();
        now < lease.until || now < lease.refused_until
    }
}
