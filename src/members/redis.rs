//! Leases in Redis, where the deployment is called `sk`: `sk:{members}:leases` holds when each ends, by the master's clock,
//! `sk:{members}:members` what each member says of itself, and
//! `sk:{members}:streams:<subject>` how many streams each has of a subject.

use std::sync::LazyLock;
use std::time::Duration;

use async_trait::async_trait;

use super::member::{InstanceId, Member, Subject};
use super::{Away, Leases, Renewed, STREAM_COUNT_TTL};
use crate::redis::{Argument, Redis, RedisError, Reply, Script};
use crate::store::keys::Keys;

static SCRIPTS: LazyLock<Scripts> = LazyLock::new(Scripts::new);

/// Each says in its file what it takes and gives.
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

/// Leases that all instances over one Redis share.
pub struct RedisLeases {
    redis: Redis,
    keys: Keys,
    lease: Duration,
}

impl RedisLeases {
    /// Leases that last so long.
    #[must_use]
    pub const fn new(redis: Redis, keys: Keys, lease: Duration) -> Self {
        Self { redis, keys, lease }
    }
}

#[async_trait]
impl Leases for RedisLeases {
    async fn renew(&self, member: &Member) -> Result<Renewed, Away> {
        let arguments = [member.instance.to_string(), member.to_string(), self.lease.as_millis().to_string()];
        let keys = [self.keys.leases(), self.keys.members()];
        let answer = self.redis.ask(&SCRIPTS.renew, &keys, words(arguments)).await?;
        Ok(Renewed { is_new: answer.tag == "new", live_members: members(answer) })
    }

    async fn leave(&self, instance: InstanceId) -> Result<Vec<Member>, Away> {
        let keys = [self.keys.leases(), self.keys.members()];
        Ok(members(self.redis.ask(&SCRIPTS.leave, &keys, words([instance.to_string()])).await?))
    }

    async fn try_acquire(&self, instance: InstanceId, subject: Subject, count: u32, limit: u32) -> Result<bool, Away> {
        let keys = [self.keys.leases(), self.keys.streams(&subject.to_string())];
        let arguments = [instance.to_string(), count.to_string(), limit.to_string(), told_for()];
        let answer = self.redis.run(&SCRIPTS.acquire, &keys, words(arguments)).await?;
        Ok(answer.convert::<i64>().map_err(|_| RedisError::protocol())? == 1)
    }

    async fn publish(&self, instance: InstanceId, counts: &[(Subject, u32)]) -> Result<(), Away> {
        let keys: Vec<_> = counts.iter().map(|(subject, _)| self.keys.streams(&subject.to_string())).collect();
        let counts = counts.iter().map(|(_, count)| count.to_string());
        let arguments = [instance.to_string(), told_for()].into_iter().chain(counts);
        self.redis.run(&SCRIPTS.publish, &keys, words(arguments)).await?;
        Ok(())
    }
}

impl From<RedisError> for Away {
    fn from(failure: RedisError) -> Self {
        Self(failure.into())
    }
}

/// One that makes no sense must not end the leases of all others.
fn members(answer: Reply) -> Vec<Member> {
    let told = answer.fields.into_iter().filter_map(|part| part.convert::<String>().ok());
    told.filter_map(|told| told.parse().ok()).collect()
}

fn told_for() -> String {
    STREAM_COUNT_TTL.as_millis().to_string()
}

fn words(each: impl IntoIterator<Item = String>) -> Vec<Argument> {
    each.into_iter().map(Argument::from).collect()
}
