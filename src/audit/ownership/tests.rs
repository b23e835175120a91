//! Instances that take the ledger at the same moment agree, however their steps interleave.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;

use super::*;
use crate::ledger::sqlite::{Durability, SqliteLedger};

/// A Redis that knows the deployment.
#[derive(Clone)]
struct FakeRedis(Arc<Mutex<String>>);

impl FakeRedis {
    fn replace(&self, old: &str, new: &str) -> (Option<String>, String) {
        let mut id = self.0.lock().unwrap();
        if *id == old {
            new.clone_into(&mut id);
        }
        (Some(id.clone()), "run".to_owned())
    }
}

/// That Redis, as one instance sees it. Another instance starts within its call of number `at`, once Redis has answered.
struct InterleavedStore {
    redis: FakeRedis,
    at: usize,
    calls: AtomicUsize,
    beside: Mutex<Option<LedgerOwnership>>,
    started: Mutex<Option<LedgerOwnership>>,
}

impl InterleavedStore {
    fn new(redis: &FakeRedis, at: usize, beside: Option<LedgerOwnership>) -> Arc<Self> {
        let (redis, beside) = (redis.clone(), Mutex::new(beside));
        Arc::new(Self { redis, at, calls: AtomicUsize::new(0), beside, started: Mutex::default() })
    }

    async fn interleave(&self) {
        if self.calls.fetch_add(1, Ordering::Relaxed) == self.at {
            self.start_beside().await;
        }
    }

    async fn start_beside(&self) {
        let beside = self.beside.lock().unwrap().take();
        if let Some(mut beside) = beside {
            beside.begin().await.unwrap();
            *self.started.lock().unwrap() = Some(beside);
        }
    }
}

#[async_trait]
impl DeploymentStore for InterleavedStore {
    async fn recall(&self, _: Option<&str>) -> Result<(Option<String>, String), StoreError> {
        let reply = self.redis.replace("", "");
        self.interleave().await;
        Ok(reply)
    }

    async fn require_restore(&self) -> Result<(), StoreError> {
        self.interleave().await;
        Ok(())
    }

    async fn replace(&self, old: &str, new: &str) -> Result<(Option<String>, String), StoreError> {
        let reply = self.redis.replace(old, new);
        self.interleave().await;
        Ok(reply)
    }
}

async fn ledger(directory: &TempDir) -> Arc<dyn Ledger> {
    Arc::new(SqliteLedger::open(&directory.path().join("l.db"), Durability::Flush).await.unwrap())
}

fn taking_over(new_id: &str) -> Claim {
    Claim { new_id: new_id.to_owned(), name: "sk".to_owned(), takes_over: true, ..Claim::default() }
}

#[tokio::test]
async fn instances_that_move_to_another_ledger_at_once_agree() {
    const MOST_CALLS: usize = 8;
    for at in 0..MOST_CALLS {
        let directory = tempfile::tempdir().unwrap();
        let ledger = ledger(&directory).await;
        let redis = FakeRedis(Arc::new(Mutex::new("old".to_owned())));
        let undisturbed = InterleavedStore::new(&redis, usize::MAX, None);
        let beside = LedgerOwnership::new(Arc::clone(&ledger), undisturbed, taking_over("b"));
        let store = InterleavedStore::new(&redis, at, Some(beside));
        let mut own = LedgerOwnership::new(ledger, Arc::clone(&store) as _, taking_over("a"));
        own.begin().await.unwrap();
        // It had fewer steps than that.
        store.start_beside().await;
        let mut beside = store.started.lock().unwrap().take().unwrap();
        for round in 0..2 {
            assert_eq!(own.claim_again().await, LedgerOwner::Us, "{at}, {round}");
            assert_eq!(beside.claim_again().await, LedgerOwner::Us, "{at}, {round}");
        }
        assert_eq!(own.claim.id, beside.claim.id, "{at}");
        assert_ne!(own.claim.id.as_deref(), Some("old"), "{at}");
    }
}
