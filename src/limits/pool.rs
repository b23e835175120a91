//! Where leases of a tenant's quota come from: this process, or the Redis that all instances share.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;

use super::rates::TimeSource;
use crate::domain::id::TenantId;
use crate::redis::{Argument, Redis, RedisError, Script};
use crate::store::keys::Keys;

static DRAW: LazyLock<Script> = LazyLock::new(|| Script::new(&[include_str!("lua/draw.lua")]));

/// Tenants whose quotas are kept in memory. Buckets that are full are dropped first.
const MAX_TENANTS: usize = 10_000;

/// What a tenant has a quota of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Resource {
    /// Commands.
    Commands,
    /// New sessions.
    Creates,
}

/// A lease that is asked for.
#[derive(Debug, Clone, Copy)]
pub struct LeaseRequest<'a> {
    /// Whose.
    pub tenant: &'a TenantId,
    /// Of what.
    pub resource: Resource,
    /// Between two that come evenly.
    pub interval: Duration,
    /// So many at once, after a pause.
    pub burst: u32,
    /// So many are asked for.
    pub weight: u32,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drawn {
    /// All of it is the asker's.
    Granted,
    /// None of it is, before so long.
    Wait(Duration),
}

/// The pool cannot be reached, so nobody knows what is left.
#[derive(Debug, thiserror::Error)]
#[error("failed to draw from the tenant's quota")]
pub struct PoolError(#[from] RedisError);

/// Hands out leases: over a span no more than the quota's share of it, and the burst once. A
/// lease that was drawn is used up, whether its holder uses it or not. A draw that fails may
/// have been granted.
#[async_trait]
pub trait Pool: Send + Sync {
    /// Draws a lease, or says how long to wait.
    async fn draw(&self, request: LeaseRequest<'_>) -> Result<Drawn, PoolError>;
}

impl Resource {
    /// Its name in keys, metrics and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Commands => "commands",
            Self::Creates => "creates",
        }
    }
}

/// The pool of an instance that is alone.
pub struct MemoryPool {
    now: TimeSource,
    /// When each bucket is full again.
    full_at: Mutex<HashMap<(TenantId, Resource), Duration>>,
}

impl MemoryPool {
    /// Full buckets.
    pub fn new(now: TimeSource) -> Self {
        Self { now, full_at: Mutex::default() }
    }
}

#[async_trait]
impl Pool for MemoryPool {
    async fn draw(&self, request: LeaseRequest<'_>) -> Result<Drawn, PoolError> {
        let LeaseRequest { tenant, resource, interval, burst, weight } = request;
        let (now, mut buckets) = ((self.now)(), self.full_at.lock());
        if buckets.len() >= MAX_TENANTS {
            buckets.retain(|_, full_at| *full_at > now);
        }
        let key = (tenant.clone(), resource);
        let full_at = buckets.get(&key).copied().unwrap_or_default().max(now);
        let wait = (full_at + interval * weight.min(burst)).saturating_sub(interval * burst + now);
        if !wait.is_zero() {
            return Ok(Drawn::Wait(wait));
        }
        buckets.insert(key, full_at + interval * weight);
        Ok(Drawn::Granted)
    }
}

/// The pool of all instances over one Redis.
pub struct RedisPool {
    redis: Redis,
    keys: Keys,
}

impl RedisPool {
    /// The pool of that deployment.
    pub const fn new(redis: Redis, keys: Keys) -> Self {
        Self { redis, keys }
    }
}

#[async_trait]
impl Pool for RedisPool {
    async fn draw(&self, request: LeaseRequest<'_>) -> Result<Drawn, PoolError> {
        let LeaseRequest { tenant, resource, interval, burst, weight } = request;
        let keys = [self.keys.quota(resource.as_str(), tenant.as_str())];
        let apart = interval.as_micros().max(1).to_string();
        let arguments = [apart, burst.to_string(), weight.to_string()].map(Argument::from);
        let reply = self.redis.run(&DRAW, &keys, arguments.into()).await?;
        let wait = reply.convert::<u64>().map_err(|_| RedisError::protocol())?;
        Ok(if wait == 0 { Drawn::Granted } else { Drawn::Wait(Duration::from_micros(wait)) })
    }
}
