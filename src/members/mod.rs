//! Who is running, by leases that end unless they are renewed, and what follows from it:
//! who looks after which partition, and how many streams somebody has everywhere.

pub mod deployment;
mod lease;
mod member;
pub mod memory;
mod ownership;
pub mod redis;
mod rendezvous;
mod stream_quota;
mod write_format;

#[cfg(test)]
mod contract;

use std::time::Duration;

use async_trait::async_trait;

pub use self::lease::{LeaseTimers, Membership};
pub use self::member::{Formats, InstanceId, Member, Subject, Work};
pub use self::ownership::Ownership;
pub use self::rendezvous::{Roles, roles};
pub use self::stream_quota::{QuotaExceeded, StreamPermit, StreamQuota};
pub use self::write_format::WriteFormat;

/// What is told of streams is forgotten after so long, unless it is told again.
pub const STREAM_COUNT_TTL: Duration = Duration::from_mins(15);

/// What a renewal brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewed {
    /// Whose leases last, one's own among them, in the order of their names.
    pub live_members: Vec<Member>,
    /// Whether there was no such lease, or it had ended: then nobody may know any more
    /// what this instance told.
    pub is_new: bool,
}

/// Where leases are held, and streams are counted, for all instances.
///
/// Whatever is asked here may be asked again after an error.
#[async_trait]
pub trait Leases: Send + Sync {
    /// Holds the lease of a member for as long as leases last, from some moment between
    /// the call and the answer; tells whose leases last. A later call replaces what the
    /// earlier one said of the member.
    async fn renew(&self, member: &Member) -> Result<Renewed, Away>;

    /// Ends a lease at once, and with it what the instance told of streams; tells whose
    /// leases last.
    async fn leave(&self, instance: InstanceId) -> Result<Vec<Member>, Away>;

    /// Tells that an instance has so many streams of a subject, if with those of all
    /// other members whose leases last there are no more than `limit`; otherwise tells
    /// nothing. Gives whether it was told.
    async fn try_acquire(&self, instance: InstanceId, subject: Subject, count: u32, limit: u32) -> Result<bool, Away>;

    /// Tells how many streams of each subject an instance has, whatever the limit.
    async fn publish(&self, instance: InstanceId, counts: &[(Subject, u32)]) -> Result<(), Away>;
}

/// Leases cannot be reached.
#[derive(Debug, thiserror::Error)]
#[error("failed to reach the leases")]
pub struct Away(#[source] pub Box<dyn std::error::Error + Send + Sync>);
