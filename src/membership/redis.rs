//! Leases in Redis. Where `sk` is the name of the deployment, `sk:{members}:leases` holds the end of each
//! lease by the master's clock, `sk:{members}:members` each member's description, and
//! `sk:{members}:streams:<subject>` each instance's count of a subject's streams.

use std::sync::LazyLock;
use std::time::Duration;

use async_trait::async_trait;

use super::member::{InstanceId, Member, Subject};
use super::{LeaseError, Leases, Renewed, STREAM_COUNT_TTL};
use crate::redis::{Argument, Redis, RedisError, Reply, Script};
use crate::store::keys::Keys;

static SCRIPTS: LazyLock<Scripts> = LazyLock::new(Scripts::new);

/// Each file says what its script takes and returns.
struct Scripts {
    renew: Script,
    leave: Script,
    acquire: Script,
    publish: Script,
}

impl Scripts {
    fn new() -> Self {
        Self {
            renew: Script::new(&[include_str!("lua/live_members.lua"), include_str!("lua/renew.lua")]),
            leave: Script::new(&[include_str!("lua/live_members.lua"), include_str!("lua/leave.lua")]),
            acquire: Script::new(&[include_str!("lua/acquire.lua")]),
            publish: Script::new(&[include_str!("lua/publish.lua")]),
        }
    }
}

/// Leases shared by all instances over one Redis.
pub struct RedisLeases {
    redis: Redis,
    keys: Keys,
    lease: Duration,
}

impl RedisLeases {
    /// Leases of that length.
    pub const fn new(redis: Redis, keys: Keys, lease: Duration) -> Self {
        Self { redis, keys, lease }
    }
}

#[async_trait]
impl Leases for RedisLeases {
    async fn renew(&self, member: &Member) -> Result<Renewed, LeaseError> {
        let arguments = [member.instance.to_string(), member.to_string(), self.lease.as_millis().to_string()];
        let keys = [self.keys.leases(), self.keys.members(), self.keys.control()];
        let mut reply = self.redis.ask(&SCRIPTS.renew, &keys, words(arguments)).await?;
        let revision = if reply.fields.is_empty() { None } else { reply.fields.remove(0).convert::<String>().ok() };
        let control_revision = revision.and_then(|text| text.parse().ok());
        Ok(Renewed { is_new: reply.tag == "new", live_members: members(reply), control_revision })
    }

    async fn leave(&self, instance: InstanceId) -> Result<Vec<Member>, LeaseError> {
        let keys = [self.keys.leases(), self.keys.members()];
        Ok(members(self.redis.ask(&SCRIPTS.leave, &keys, words([instance.to_string()])).await?))
    }

    async fn try_acquire(
        &self,
        instance: InstanceId,
        subject: Subject,
        count: u32,
        limit: u32,
    ) -> Result<bool, LeaseError> {
        let keys = [self.keys.leases(), self.keys.streams(&subject.to_string())];
        let arguments = [instance.to_string(), count.to_string(), limit.to_string(), ttl_ms()];
        let reply = self.redis.run(&SCRIPTS.acquire, &keys, words(arguments)).await?;
        Ok(reply.convert::<i64>().map_err(|_| RedisError::protocol())? == 1)
    }

    async fn publish(&self, instance: InstanceId, counts: &[(Subject, u32)]) -> Result<(), LeaseError> {
        let keys: Vec<_> = counts.iter().map(|(subject, _)| self.keys.streams(&subject.to_string())).collect();
        let counts = counts.iter().map(|(_, count)| count.to_string());
        let arguments = [instance.to_string(), ttl_ms()].into_iter().chain(counts);
        self.redis.run(&SCRIPTS.publish, &keys, words(arguments)).await?;
        Ok(())
    }
}

impl From<RedisError> for LeaseError {
    fn from(error: RedisError) -> Self {
        Self(error.into())
    }
}

/// Skips an invalid description, which must not end the leases of all others.
fn members(reply: Reply) -> Vec<Member> {
    let texts = reply.fields.into_iter().filter_map(|field| field.convert::<String>().ok());
    texts.filter_map(|text| text.parse().ok()).collect()
}

fn ttl_ms() -> String {
    STREAM_COUNT_TTL.as_millis().to_string()
}

fn words(each: impl IntoIterator<Item = String>) -> Vec<Argument> {
    each.into_iter().map(Argument::from).collect()
}
