//! A ledger that many tenants share: none of them takes more than half of its readers.
//!
//! A tenant's questions wait for a place of the tenant's own, so that another tenant's are
//! answered beside them. What belongs to no tenant waits for nobody.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::deployment::{Claim, Claimed};
use super::error::unavailable;
use super::{
    DeadLetter, DeadSessions, Due, Error, Filter, Heartbeats, HistoryRow, IdempotencyRecord, Ledger, Page, Recorded,
    Row, RunHistory,
};
use crate::domain::entry::Entry;
use crate::domain::id::{SessionId, SessionKey, TenantId};
use crate::domain::position::Position;
use crate::domain::time::Timestamp;
use crate::telemetry::metrics;

/// A question waits so long for its tenant's others. By then each of those has ended.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(3);

/// What becomes of a question whose asker has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDrop {
    /// It ends at once, and its reader is free.
    Ends,
    /// The server works on it for as long as a question may take, and its place stays taken.
    GoesOn,
}

/// A ledger behind places, a few for each tenant.
pub struct FairShare {
    inner: Arc<dyn Ledger>,
    places: Arc<TenantShares>,
    abandoned: OnDrop,
}

impl FairShare {
    /// Puts places before `inner`, which has so many readers.
    #[must_use]
    pub fn new(inner: Arc<dyn Ledger>, readers: u32, abandoned: OnDrop) -> Self {
        let each = (readers as usize / 2).max(1);
        Self { inner, places: Arc::new(TenantShares { each, tenants: Mutex::default() }), abandoned }
    }

    /// Asks once the tenant has a place.
    async fn ask<T, F>(&self, tenant: &TenantId, ask: impl FnOnce(Arc<dyn Ledger>) -> F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let place = self.places.enter(tenant).await?;
        let asking = ask(Arc::clone(&self.inner));
        let asking = async move {
            let answer = asking.await;
            drop(place);
            answer
        };
        match self.abandoned {
            OnDrop::Ends => asking.await,
            OnDrop::GoesOn => tokio::spawn(asking).await.unwrap_or_else(|ended| Err(unavailable(ended))),
        }
    }
}

/// Of each tenant that asks now, its places.
struct TenantShares {
    each: usize,
    tenants: Mutex<HashMap<TenantId, Share>>,
}

struct Share {
    places: Arc<Semaphore>,
    /// Who has a place or waits for one: without any, the share is forgotten.
    askers: usize,
}

/// One who asks, with a place or on its way to one.
struct Turn {
    all: Arc<TenantShares>,
    tenant: TenantId,
    place: Option<OwnedSemaphorePermit>,
}

impl TenantShares {
    async fn enter(self: &Arc<Self>, tenant: &TenantId) -> Result<Turn, Error> {
        let (places, mut asker) = self.join(tenant);
        let Ok(place) = timeout(QUEUE_TIMEOUT, places.acquire_owned()).await else {
            ::metrics::counter!(metrics::RATE_LIMITED_TOTAL, "bucket" => "ledger").increment(1);
            return Err(Error::Busy);
        };
        // Nobody closes it.
        asker.place = place.ok();
        Ok(asker)
    }

    fn join(self: &Arc<Self>, tenant: &TenantId) -> (Arc<Semaphore>, Turn) {
        let mut tenants = self.tenants();
        let new = || Share { places: Arc::new(Semaphore::new(self.each)), askers: 0 };
        let share = tenants.entry(tenant.clone()).or_insert_with(new);
        share.askers += 1;
        (Arc::clone(&share.places), Turn { all: Arc::clone(self), tenant: tenant.clone(), place: None })
    }

    fn leave(&self, tenant: &TenantId) {
        let mut tenants = self.tenants();
        let Some(share) = tenants.get_mut(tenant) else { return };
        share.askers -= 1;
        if share.askers == 0 {
            tenants.remove(tenant);
        }
    }

    fn tenants(&self) -> MutexGuard<'_, HashMap<TenantId, Share>> {
        // Nothing in there can panic half-way.
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        drop(self.place.take());
        self.all.leave(&self.tenant);
    }
}

#[async_trait]
impl Ledger for FairShare {
    async fn record(&self, entries: &[Arc<Entry>]) -> Result<Recorded, Error> {
        self.inner.record(entries).await
    }

    async fn newest(&self, key: &SessionKey) -> Result<Option<Row>, Error> {
        let asked = key.clone();
        self.ask(&key.tenant, move |ledger| async move { ledger.newest(&asked).await }).await
    }

    async fn version(&self, key: &SessionKey, version: u64) -> Result<Option<Row>, Error> {
        let asked = key.clone();
        self.ask(&key.tenant, move |ledger| async move { ledger.version(&asked, version).await }).await
    }

    async fn at(&self, key: &SessionKey, at: Timestamp) -> Result<Option<Row>, Error> {
        let asked = key.clone();
        self.ask(&key.tenant, move |ledger| async move { ledger.at(&asked, at).await }).await
    }

    async fn history(&self, key: &SessionKey, after: Option<Position>, limit: u32) -> Result<Page<HistoryRow>, Error> {
        let asked = key.clone();
        self.ask(&key.tenant, move |ledger| async move { ledger.history(&asked, after, limit).await }).await
    }

    async fn sessions(
        &self,
        tenant: &TenantId,
        filter: &Filter,
        after: Option<&SessionId>,
        limit: u32,
    ) -> Result<Page<Row>, Error> {
        let (asked, filter, after) = (tenant.clone(), filter.clone(), after.cloned());
        let ask =
            move |ledger: Arc<dyn Ledger>| async move { ledger.sessions(&asked, &filter, after.as_ref(), limit).await };
        self.ask(tenant, ask).await
    }

    async fn due(&self, after: Option<&Due>, until: Timestamp, limit: u32) -> Result<Vec<Due>, Error> {
        self.inner.due(after, until, limit).await
    }

    async fn idempotency_records(&self, key: &SessionKey, since: Timestamp) -> Result<Vec<IdempotencyRecord>, Error> {
        let asked = key.clone();
        self.ask(&key.tenant, move |ledger| async move { ledger.idempotency_records(&asked, since).await }).await
    }

    async fn add_dead_letter(&self, entry: &Entry, reason: &str, at: Timestamp) -> Result<(), Error> {
        self.inner.add_dead_letter(entry, reason, at).await
    }

    async fn dead_letters(&self, after: Option<&DeadLetter>, limit: u32) -> Result<Vec<DeadLetter>, Error> {
        self.inner.dead_letters(after, limit).await
    }

    async fn dead_letters_of(&self, key: &SessionKey) -> Result<Vec<DeadLetter>, Error> {
        self.inner.dead_letters_of(key).await
    }

    async fn first_dead(&self, key: &SessionKey, after: Option<Position>) -> Result<Option<Position>, Error> {
        self.inner.first_dead(key, after).await
    }

    async fn dead_sessions(&self, limit: u32) -> Result<DeadSessions, Error> {
        self.inner.dead_sessions(limit).await
    }

    async fn remove_dead_letter(&self, entry: &Entry) -> Result<bool, Error> {
        self.inner.remove_dead_letter(entry).await
    }

    async fn heartbeat(&self, since: Timestamp, at: Timestamp) -> Result<(), Error> {
        self.inner.heartbeat(since, at).await
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

    async fn claim(&self, claim: &Claim) -> Result<Claimed, Error> {
        self.inner.claim(claim).await
    }

    async fn ping(&self) -> Result<(), Error> {
        self.inner.ping().await
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

    fn places(each: usize) -> Arc<TenantShares> {
        Arc::new(TenantShares { each, tenants: Mutex::default() })
    }

    #[tokio::test(start_paused = true)]
    async fn one_tenant_waits_and_another_does_not() {
        let places = places(2);
        let (a, b) = (tenant("a"), tenant("b"));
        let taken = join_all([places.enter(&a), places.enter(&a)]).await;
        assert!(taken.iter().all(Result::is_ok));
        assert!(matches!(places.enter(&a).await, Err(Error::Busy)));
        assert!(places.enter(&b).await.is_ok());
        drop(taken);
        assert!(places.enter(&a).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_waiting_leaves_no_trace() {
        let places = places(1);
        let a = tenant("a");
        let taken = places.enter(&a).await;
        {
            let mut waiting = std::pin::pin!(places.enter(&a));
            assert!(poll!(&mut waiting).is_pending());
            yield_now().await;
            assert_eq!(places.tenants()[&a].askers, 2);
        }
        assert_eq!(places.tenants()[&a].askers, 1);
        drop(taken);
        assert!(places.tenants().is_empty());
    }
}
