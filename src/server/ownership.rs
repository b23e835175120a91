//! The deployment of this process, for the ownership of the ledger: Redis remembers its id.

use std::sync::Arc;

use async_trait::async_trait;

use super::connect;
use super::error::Error;
use crate::audit::ownership::{DeploymentStore, LedgerOwnership};
use crate::config::{Address, Config, ForeignLedger};
use crate::ids::Ids;
use crate::ledger::Ledger;
use crate::ledger::deployment::Claim;
use crate::membership::deployment::RedisDeployment;
use crate::redis::Redis;
use crate::shutdown::Shutdown;
use crate::store::ledger_fence::Fence;

struct InRedis(RedisDeployment);

/// An id that no other process shares.
struct InMemory(String);

type StoreError = Box<dyn std::error::Error + Send + Sync>;

#[async_trait]
impl DeploymentStore for InRedis {
    async fn recall(&self, remembered: Option<&str>) -> Result<(Option<String>, String), StoreError> {
        Ok(self.0.recall(remembered).await?)
    }

    async fn replace(&self, old: &str, new: &str) -> Result<(Option<String>, String), StoreError> {
        Ok(self.0.replace(old, new).await?)
    }

    async fn require_restore(&self) -> Result<(), StoreError> {
        Ok(self.0.begin_generations().await?)
    }
}

#[async_trait]
impl DeploymentStore for InMemory {
    async fn recall(&self, remembered: Option<&str>) -> Result<(Option<String>, String), StoreError> {
        Ok((remembered.map(str::to_owned), self.0.clone()))
    }

    /// No other process has its id.
    async fn replace(&self, _: &str, new: &str) -> Result<(Option<String>, String), StoreError> {
        self.recall(Some(new)).await
    }

    /// An embedded store keeps nothing to restore over.
    async fn require_restore(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Claims the ledger for the deployment of these settings.
pub(super) async fn begin(
    config: &Config,
    redis: Option<&Redis>,
    ledger: &Arc<dyn Ledger>,
) -> Result<LedgerOwnership, Error> {
    let store: Arc<dyn DeploymentStore> = match redis {
        Some(redis) => Arc::new(InRedis(RedisDeployment::new(redis.duplicate().await?, connect::keys(config)))),
        None => Arc::new(InMemory(random())),
    };
    let mut ownership = LedgerOwnership::new(Arc::clone(ledger), store, claim(config));
    ownership.begin().await?;
    Ok(ownership)
}

fn claim(config: &Config) -> Claim {
    Claim {
        new_id: random(),
        name: config.redis.as_ref().map(|_| config.redis_name()).unwrap_or_default(),
        address: config.redis.as_ref().map(Address::shown).unwrap_or_default(),
        takes_over: config.foreign_ledger == ForeignLedger::TakeOver,
        ..Claim::default()
    }
}

fn random() -> String {
    format!("{:016x}{:016x}", Ids::Random.nonce(), Ids::Random.nonce())
}

/// Renews the claim until `background` begins to stop. When the ledger is lost for good, `front`
/// is stopped: sessions in memory could not move to the deployment that goes on, and an instance
/// with the wrong ledger is in the way of the others.
pub(super) fn keep(ownership: LedgerOwnership, fence: &Fence, background: &Shutdown, front: &Shutdown) {
    let (fence, front) = (fence.clone(), front.clone());
    fence.set(ownership.owner());
    background.spawn_until_stopped("ownership", async move {
        ownership.run(fence).await;
        front.begin();
    });
}
