//! A ledger that many tenants share: one tenant uses at most half of its readers.
//!
//! A tenant's reads wait for a permit of that tenant, so that other tenants' reads go on beside
//! them. Operations that belong to no tenant need no permit.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::control::{
    ControlChanges, ControlLedger, RevocationOutcome, RevocationRequest, SecurityFilter, SecurityRow, SettingRow,
    SettingsChange, SettingsOutcome,
};
use super::deployment::{Claim, ClaimOutcome};
use super::error::unavailable;
use super::{
    AuditSink, DeadLetter, DeadLetterSummary, Due, Error, Filter, Heartbeats, HistoryRow, IdempotencyRecord, Ledger,
    LedgerHealth, Page, Recorded, Row, RunHistory,
};
use crate::domain::entry::Entry;
use crate::domain::id::{SessionId, SessionKey, TenantId};
use crate::domain::position::Position;
use crate::domain::revocation::Revocation;
use crate::domain::time::Timestamp;
use crate::telemetry::metrics;

/// How long a read waits for the others of its tenant. By then each of those has ended.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(3);

/// What becomes of a read whose caller is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDrop {
    /// It ends at once, and its reader is free.
    Cancel,
    /// The server finishes it, so its permit stays taken until then.
    Continue,
}

/// A ledger whose reads need a permit of their tenant.
pub struct FairShare {
    inner: Arc<dyn Ledger>,
    shares: Arc<TenantShares>,
    on_drop: OnDrop,
}

impl FairShare {
    /// Shares `inner`, which has so many readers.
    pub fn new(inner: Arc<dyn Ledger>, readers: u32, on_drop: OnDrop) -> Self {
        let permits = (readers as usize / 2).max(1);
        Self { inner, shares: Arc::new(TenantShares { permits, tenants: Mutex::default() }), on_drop }
    }

    /// Reads once the tenant has a permit.
    async fn read<T, F>(&self, tenant: &TenantId, read: impl FnOnce(Arc<dyn Ledger>) -> F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let permit = self.shares.acquire(tenant).await?;
        let read = read(Arc::clone(&self.inner));
        let read = async move {
            let result = read.await;
            drop(permit);
            result
        };
        match self.on_drop {
            OnDrop::Cancel => read.await,
            OnDrop::Continue => tokio::spawn(read).await.unwrap_or_else(|ended| Err(unavailable(ended))),
        }
    }
}

/// The shares of tenants that read now.
struct TenantShares {
    /// Permits of each tenant.
    permits: usize,
    tenants: Mutex<HashMap<TenantId, Share>>,
}

struct Share {
    permits: Arc<Semaphore>,
    /// Reads that have a permit or wait for one: without any, the share is removed.
    users: usize,
}

/// One use of a share, with its permit or waiting for it.
struct SharePermit {
    shares: Arc<TenantShares>,
    tenant: TenantId,
    permit: Option<OwnedSemaphorePermit>,
}

impl TenantShares {
    async fn acquire(self: &Arc<Self>, tenant: &TenantId) -> Result<SharePermit, Error> {
        let (permits, mut user) = self.register(tenant);
        let Ok(permit) = timeout(QUEUE_TIMEOUT, permits.acquire_owned()).await else {
            ::metrics::counter!(metrics::RATE_LIMITED_TOTAL, "class" => "ledger").increment(1);
            return Err(Error::Busy);
        };
        // The semaphore is never closed.
        user.permit = permit.ok();
        Ok(user)
    }

    fn register(self: &Arc<Self>, tenant: &TenantId) -> (Arc<Semaphore>, SharePermit) {
        let mut tenants = self.tenants.lock();
        let new = || Share { permits: Arc::new(Semaphore::new(self.permits)), users: 0 };
        let share = tenants.entry(tenant.clone()).or_insert_with(new);
        share.users += 1;
        (Arc::clone(&share.permits), SharePermit { shares: Arc::clone(self), tenant: tenant.clone(), permit: None })
    }

    fn unregister(&self, tenant: &TenantId) {
        let mut tenants = self.tenants.lock();
        let Some(share) = tenants.get_mut(tenant) else { return };
        share.users -= 1;
        if share.users == 0 {
            tenants.remove(tenant);
        }
    }
}

impl Drop for SharePermit {
    fn drop(&mut self) {
        drop(self.permit.take());
        self.shares.unregister(&self.tenant);
    }
}

#[async_trait]
impl AuditSink for FairShare {
    async fn record(&self, entries: &[Arc<Entry>]) -> Result<Recorded, Error> {
        self.inner.record(entries).await
    }

    async fn add_dead_letter(&self, entry: &Entry, reason: &str, at: Timestamp) -> Result<(), Error> {
        self.inner.add_dead_letter(entry, reason, at).await
    }

    async fn heartbeat(&self, since: Timestamp, at: Timestamp) -> Result<(), Error> {
        self.inner.heartbeat(since, at).await
    }
}

#[async_trait]
impl LedgerHealth for FairShare {
    async fn ping(&self) -> Result<(), Error> {
        self.inner.ping().await
    }
}

#[async_trait]
impl ControlLedger for FairShare {
    async fn control_revision(&self) -> Result<u64, Error> {
        self.inner.control_revision().await
    }

    async fn control_changes(&self, since: u64, now: Timestamp) -> Result<ControlChanges, Error> {
        self.inner.control_changes(since, now).await
    }

    async fn tenant_settings(&self, tenant: &TenantId) -> Result<Vec<SettingRow>, Error> {
        let owned = tenant.clone();
        self.read(tenant, move |ledger| async move { ledger.tenant_settings(&owned).await }).await
    }

    async fn change_settings(&self, change: &SettingsChange) -> Result<SettingsOutcome, Error> {
        self.inner.change_settings(change).await
    }

    async fn add_revocation(&self, request: &RevocationRequest) -> Result<RevocationOutcome, Error> {
        self.inner.add_revocation(request).await
    }

    async fn remove_revocation(&self, tenant: &TenantId, id: &str, at: Timestamp) -> Result<Option<u64>, Error> {
        self.inner.remove_revocation(tenant, id, at).await
    }

    async fn revocations(
        &self,
        tenant: &TenantId,
        after: Option<&str>,
        now: Timestamp,
        limit: u32,
    ) -> Result<Page<Revocation>, Error> {
        let (owned, after) = (tenant.clone(), after.map(str::to_owned));
        let read = move |ledger: Arc<dyn Ledger>| async move {
            ledger.revocations(&owned, after.as_deref(), now, limit).await
        };
        self.read(tenant, read).await
    }

    async fn add_security_events(&self, events: &[SecurityRow]) -> Result<(), Error> {
        self.inner.add_security_events(events).await
    }

    async fn security_events(
        &self,
        tenant: &TenantId,
        filter: &SecurityFilter,
        limit: u32,
    ) -> Result<Page<SecurityRow>, Error> {
        let (owned, filter) = (tenant.clone(), filter.clone());
        let read = move |ledger: Arc<dyn Ledger>| async move { ledger.security_events(&owned, &filter, limit).await };
        self.read(tenant, read).await
    }

    async fn forget_security_events(&self, before: Timestamp) -> Result<u64, Error> {
        self.inner.forget_security_events(before).await
    }
}

#[async_trait]
impl Ledger for FairShare {
    async fn newest(&self, key: &SessionKey) -> Result<Option<Row>, Error> {
        let owned = key.clone();
        self.read(&key.tenant, move |ledger| async move { ledger.newest(&owned).await }).await
    }

    async fn version(&self, key: &SessionKey, version: u64) -> Result<Option<Row>, Error> {
        let owned = key.clone();
        self.read(&key.tenant, move |ledger| async move { ledger.version(&owned, version).await }).await
    }

    async fn at(&self, key: &SessionKey, at: Timestamp) -> Result<Option<Row>, Error> {
        let owned = key.clone();
        self.read(&key.tenant, move |ledger| async move { ledger.at(&owned, at).await }).await
    }

    async fn history(&self, key: &SessionKey, after: Option<Position>, limit: u32) -> Result<Page<HistoryRow>, Error> {
        let owned = key.clone();
        self.read(&key.tenant, move |ledger| async move { ledger.history(&owned, after, limit).await }).await
    }

    async fn sessions(
        &self,
        tenant: &TenantId,
        filter: &Filter,
        after: Option<&SessionId>,
        limit: u32,
    ) -> Result<Page<Row>, Error> {
        let (owned, filter, after) = (tenant.clone(), filter.clone(), after.cloned());
        let read =
            move |ledger: Arc<dyn Ledger>| async move { ledger.sessions(&owned, &filter, after.as_ref(), limit).await };
        self.read(tenant, read).await
    }

    async fn due(&self, after: Option<&Due>, until: Timestamp, limit: u32) -> Result<Vec<Due>, Error> {
        self.inner.due(after, until, limit).await
    }

    async fn idempotency_records(&self, key: &SessionKey, since: Timestamp) -> Result<Vec<IdempotencyRecord>, Error> {
        let owned = key.clone();
        self.read(&key.tenant, move |ledger| async move { ledger.idempotency_records(&owned, since).await }).await
    }

    async fn dead_letters(&self, after: Option<&DeadLetter>, limit: u32) -> Result<Vec<DeadLetter>, Error> {
        self.inner.dead_letters(after, limit).await
    }

    async fn dead_letters_of(&self, key: &SessionKey) -> Result<Vec<DeadLetter>, Error> {
        self.inner.dead_letters_of(key).await
    }

    async fn first_dead_letter(&self, key: &SessionKey, after: Option<Position>) -> Result<Option<Position>, Error> {
        self.inner.first_dead_letter(key, after).await
    }

    async fn dead_letter_summary(&self, limit: u32) -> Result<DeadLetterSummary, Error> {
        self.inner.dead_letter_summary(limit).await
    }

    async fn remove_dead_letter(&self, entry: &Entry) -> Result<bool, Error> {
        self.inner.remove_dead_letter(entry).await
    }

    async fn heartbeats(&self, began: Timestamp) -> Result<Heartbeats, Error> {
        self.inner.heartbeats(began).await
    }

    async fn open_run(&self, began: Timestamp) -> Result<(), Error> {
        self.inner.open_run(began).await
    }

    async fn close_run(&self, began: Timestamp, stopped: Timestamp) -> Result<(), Error> {
        self.inner.close_run(began, stopped).await
    }

    async fn runs(&self, before: Timestamp) -> Result<RunHistory, Error> {
        self.inner.runs(before).await
    }

    async fn claim(&self, claim: &Claim) -> Result<ClaimOutcome, Error> {
        self.inner.claim(claim).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;
    use futures::poll;
    use tokio::task::yield_now;

    use super::*;

    fn tenant(name: &str) -> TenantId {
        TenantId::new(name).unwrap()
    }

    fn shares(permits: usize) -> Arc<TenantShares> {
        Arc::new(TenantShares { permits, tenants: Mutex::default() })
    }

    #[tokio::test(start_paused = true)]
    async fn one_tenant_waits_while_another_reads() {
        let shares = shares(2);
        let (a, b) = (tenant("a"), tenant("b"));
        let taken = join_all([shares.acquire(&a), shares.acquire(&a)]).await;
        assert!(taken.iter().all(Result::is_ok));
        assert!(matches!(shares.acquire(&a).await, Err(Error::Busy)));
        assert!(shares.acquire(&b).await.is_ok());
        drop(taken);
        assert!(shares.acquire(&a).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_wait_leaves_no_share() {
        let shares = shares(1);
        let a = tenant("a");
        let taken = shares.acquire(&a).await;
        {
            let mut waiting = std::pin::pin!(shares.acquire(&a));
            assert!(poll!(&mut waiting).is_pending());
            yield_now().await;
            assert_eq!(shares.tenants.lock()[&a].users, 2);
        }
        assert_eq!(shares.tenants.lock()[&a].users, 1);
        drop(taken);
        assert!(shares.tenants.lock().is_empty());
    }
}
