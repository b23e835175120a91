//! Leases of the instances of one process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::member::{InstanceId, Member, Subject};
use super::{Away, Leases, Renewed};

/// Leases that all instances of one process share.
#[derive(Debug, Clone)]
pub struct MemoryLeases {
    lease: Duration,
    living: Arc<Mutex<BTreeMap<InstanceId, HeldLease>>>,
}

/// What is known of a member; it goes with the lease.
#[derive(Debug)]
struct HeldLease {
    member: Member,
    until: Instant,
    streams: BTreeMap<Subject, u32>,
}

impl MemoryLeases {
    /// Leases that last so long.
    #[must_use]
    pub fn new(lease: Duration) -> Self {
        Self { lease, living: Arc::default() }
    }

    /// A panic elsewhere cannot leave it half changed: nothing in here panics in between.
    fn living(&self) -> MutexGuard<'_, BTreeMap<InstanceId, HeldLease>> {
        let now = Instant::now();
        let mut living = self.living.lock().unwrap_or_else(PoisonError::into_inner);
        living.retain(|_, kept| kept.until > now);
        living
    }
}

#[async_trait]
impl Leases for MemoryLeases {
    async fn renew(&self, member: &Member) -> Result<Renewed, Away> {
        let until = Instant::now() + self.lease;
        let mut living = self.living();
        let before = living.remove(&member.instance);
        let is_new = before.is_none();
        let streams = before.map(|kept| kept.streams).unwrap_or_default();
        living.insert(member.instance, HeldLease { member: member.clone(), until, streams });
        Ok(Renewed { live_members: living.values().map(|kept| kept.member.clone()).collect(), is_new })
    }

    async fn leave(&self, instance: InstanceId) -> Result<Vec<Member>, Away> {
        let mut living = self.living();
        living.remove(&instance);
        Ok(living.values().map(|kept| kept.member.clone()).collect())
    }

    async fn try_acquire(&self, instance: InstanceId, subject: Subject, count: u32, limit: u32) -> Result<bool, Away> {
        let mut living = self.living();
        let others = living.iter().filter(|(other, _)| **other != instance);
        let held: u32 = others.filter_map(|(_, kept)| kept.streams.get(&subject)).sum();
        let is_held = held.saturating_add(count) <= limit;
        if let (true, Some(kept)) = (is_held, living.get_mut(&instance)) {
            kept.tell(subject, count);
        }
        Ok(is_held)
    }

    async fn publish(&self, instance: InstanceId, counts: &[(Subject, u32)]) -> Result<(), Away> {
        if let Some(kept) = self.living().get_mut(&instance) {
            for (subject, count) in counts {
                kept.tell(*subject, *count);
            }
        }
        Ok(())
    }
}

impl HeldLease {
    fn tell(&mut self, subject: Subject, count: u32) {
        match count {
            0 => self.streams.remove(&subject),
            _ => self.streams.insert(subject, count),
        };
    }
}
