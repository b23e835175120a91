//! Whether Redis may evict data, and how much it can hold.

use fred::clients::{Client, WithOptions};
use fred::interfaces::{ClientLike as _, ClusterInterface as _};
use fred::types::InfoKind;
use fred::types::config::Server;

use super::connection::Redis;
use super::error::RedisError;

/// The memory limit of a Redis, and what it does when it reaches the limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capacity {
    /// Its `maxmemory-policy`; of several masters, one other than `noeviction`, if any.
    pub policy: String,
    /// Its `maxmemory` in bytes, summed over all masters; `None` where one has no limit.
    pub max_bytes: Option<u64>,
}

impl Capacity {
    /// Whether nothing is evicted. Any policy other than `noeviction` may lose sessions and
    /// outbox entries.
    pub fn keeps_all(&self) -> bool {
        self.policy == "noeviction"
    }

    /// The outbox's share, unless a setting says otherwise: a quarter.
    pub fn outbox_bytes(&self) -> Option<u64> {
        self.max_bytes.map(|bytes| bytes / 4)
    }

    fn of(memory: &str) -> Option<Self> {
        let field = |name: &str| memory.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let max_bytes: u64 = field("maxmemory")?.trim().parse().ok()?;
        let policy = field("maxmemory_policy")?.trim().to_owned();
        Some(Self { policy, max_bytes: (max_bytes > 0).then_some(max_bytes) })
    }

    fn and(self, other: Self) -> Self {
        let policy = if self.keeps_all() { other.policy } else { self.policy };
        Self { policy, max_bytes: self.max_bytes.zip(other.max_bytes).map(|(one, more)| one + more) }
    }
}

impl Redis {
    /// Asks every master.
    pub async fn capacity(&self) -> Result<Capacity, RedisError> {
        let mut all: Option<Capacity> = None;
        for master in self.masters() {
            let one = capacity_of(self.commands().await?, master).await?;
            all = Some(match all {
                Some(before) => before.and(one),
                None => one,
            });
        }
        all.ok_or_else(RedisError::protocol)
    }

    /// All masters of a cluster; otherwise the one server.
    fn masters(&self) -> Vec<Option<Server>> {
        let routing = self.client.cached_cluster_state();
        routing.map_or_else(|| vec![None], |routing| routing.unique_primary_nodes().into_iter().map(Some).collect())
    }
}

async fn capacity_of(commands: WithOptions<Client>, master: Option<Server>) -> Result<Capacity, RedisError> {
    let mut options = commands.options().clone();
    options.cluster_node = master;
    let master = commands.with_options(&options);
    let memory: String = master.info(Some(InfoKind::Memory)).await.map_err(RedisError::of)?;
    Capacity::of(&memory).ok_or_else(RedisError::protocol)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_info_of_a_server_is_read() {
        let one = Capacity::of("# Memory\r\nmaxmemory:4096\r\nmaxmemory_human:4K\r\nmaxmemory_policy:noeviction\r\n");
        let expected = Capacity { policy: "noeviction".to_owned(), max_bytes: Some(4096) };
        assert_eq!(one, Some(expected.clone()));
        assert_eq!(expected.outbox_bytes(), Some(1024));
        let other = Capacity::of("maxmemory:0\nmaxmemory_policy:allkeys-lru").unwrap();
        assert_eq!((other.max_bytes, other.keeps_all()), (None, false));
        assert_eq!(expected.clone().and(other.clone()), other.and(expected));
        assert_eq!(Capacity::of("used_memory:1"), None);
    }
}
