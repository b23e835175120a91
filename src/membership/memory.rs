//! Leases in memory, for the instances of one process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use super::member::{InstanceId, Member, Subject};
use super::{LeaseError, Leases, Renewed};

/// Leases shared by all instances of one process.
#[derive(Debug, Clone)]
pub struct MemoryLeases {
    lease: Duration,
    leases: Arc<Mutex<BTreeMap<InstanceId, MemoryLease>>>,
}

/// A member's lease, with the counts that end with it.
#[derive(Debug)]
struct MemoryLease {
    member: Member,
    until: Instant,
    streams: BTreeMap<Subject, u32>,
}

impl MemoryLeases {
    /// Leases of that length.
    pub fn new(lease: Duration) -> Self {
        Self { lease, leases: Arc::default() }
    }

    /// Drops leases that have ended.
    fn live(&self) -> MutexGuard<'_, BTreeMap<InstanceId, MemoryLease>> {
        let now = Instant::now();
        let mut leases = self.leases.lock();
        leases.retain(|_, lease| lease.until > now);
        leases
    }
}

#[async_trait]
impl Leases for MemoryLeases {
    async fn renew(&self, member: &Member) -> Result<Renewed, LeaseError> {
        let until = Instant::now() + self.lease;
        let mut leases = self.live();
        let before = leases.remove(&member.instance);
        let is_new = before.is_none();
        let streams = before.map(|lease| lease.streams).unwrap_or_default();
        leases.insert(member.instance, MemoryLease { member: member.clone(), until, streams });
        Ok(Renewed {
            live_members: leases.values().map(|lease| lease.member.clone()).collect(),
            is_new,
            control_revision: None,
        })
    }

    async fn leave(&self, instance: InstanceId) -> Result<Vec<Member>, LeaseError> {
        let mut leases = self.live();
        leases.remove(&instance);
        Ok(leases.values().map(|lease| lease.member.clone()).collect())
    }

    async fn try_acquire(
        &self,
        instance: InstanceId,
        subject: Subject,
        count: u32,
        limit: u32,
    ) -> Result<bool, LeaseError> {
        let mut leases = self.live();
        let others = leases.iter().filter(|(other, _)| **other != instance);
        let elsewhere: u32 = others.filter_map(|(_, lease)| lease.streams.get(&subject)).sum();
        let is_within = elsewhere.saturating_add(count) <= limit;
        if let (true, Some(lease)) = (is_within, leases.get_mut(&instance)) {
            lease.publish(subject, count);
        }
        Ok(is_within)
    }

    async fn publish(&self, instance: InstanceId, counts: &[(Subject, u32)]) -> Result<(), LeaseError> {
        if let Some(lease) = self.live().get_mut(&instance) {
            for (subject, count) in counts {
                lease.publish(*subject, *count);
            }
        }
        Ok(())
    }
}

impl MemoryLease {
    fn publish(&mut self, subject: Subject, count: u32) {
        match count {
            0 => self.streams.remove(&subject),
            _ => self.streams.insert(subject, count),
        };
    }
}
