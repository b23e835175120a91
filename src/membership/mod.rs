//! The running instances, by leases that end unless they are renewed, and what follows from
//! them: the owner of each partition, and the count of a subject's streams everywhere.

pub mod deployment;
mod lease;
mod member;
pub mod memory;
mod ownership;
mod partition_owner;
pub mod redis;
mod write_format;

#[cfg(test)]
pub(crate) mod contract;

use std::time::Duration;

use async_trait::async_trait;

pub use self::lease::{LeaseTimers, Membership};
pub use self::member::{Formats, InstanceId, Member, Subject, Work};
pub use self::ownership::Ownership;
pub use self::partition_owner::{Roles, roles};
pub use self::write_format::WriteFormat;

/// The lifetime of a published count of streams, unless it is published again.
pub const STREAM_COUNT_TTL: Duration = Duration::from_mins(15);

/// The outcome of a renewal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewed {
    /// The members with a valid lease, the caller among them, in the order of their instances.
    pub live_members: Vec<Member>,
    /// Whether the lease is new, or had ended: then the counts that this instance published
    /// may be lost.
    pub is_new: bool,
    /// The revision of the control state that was published last; `None` if there is none.
    pub control_revision: Option<u64>,
}

/// What the newest renewal told of the control state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ControlNews {
    /// Counts leases; 0 while none is valid. After another lease, changes may have been missed.
    pub lease: u64,
    /// The revision that was published last.
    pub revision: Option<u64>,
}

impl ControlNews {
    /// Whether a valid lease told it.
    pub const fn is_valid(&self) -> bool {
        self.lease > 0
    }
}

/// The leases of all instances, and the counts of their streams.
///
/// Every call may be repeated after an error.
#[async_trait]
pub trait Leases: Send + Sync {
    /// Renews a member's lease, from some moment between the call and the answer. A later call
    /// replaces the earlier description of the member.
    async fn renew(&self, member: &Member) -> Result<Renewed, LeaseError>;

    /// Ends a lease at once, and with it the instance's counts of streams. Returns the
    /// members that are left.
    async fn leave(&self, instance: InstanceId) -> Result<Vec<Member>, LeaseError>;

    /// Publishes an instance's count of a subject's streams, if with those of all other
    /// members there are no more than `limit`. Returns whether it did.
    async fn try_acquire(
        &self,
        instance: InstanceId,
        subject: Subject,
        count: u32,
        limit: u32,
    ) -> Result<bool, LeaseError>;

    /// Publishes an instance's counts of streams by subject, whatever the limit.
    async fn publish(&self, instance: InstanceId, counts: &[(Subject, u32)]) -> Result<(), LeaseError>;
}

/// The leases cannot be reached.
#[derive(Debug, thiserror::Error)]
#[error("failed to reach the leases")]
pub struct LeaseError(#[source] pub Box<dyn std::error::Error + Send + Sync>);
