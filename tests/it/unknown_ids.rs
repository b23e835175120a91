//! Ids that nobody knows: asked for again and again, they hardly reach the ledger.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures::future::join_all;
use serde_json::json;
use synckairos::domain::entry::Entry;
use synckairos::domain::id::{SessionId, SessionKey, TenantId};
use synckairos::domain::idempotency::IdempotencyRecord;
use synckairos::domain::position::Position;
use synckairos::domain::revocation::Revocation;
use synckairos::domain::time::Timestamp;
use synckairos::ledger::control::{
    ControlChanges, ControlLedger, RevocationOutcome, RevocationRequest, SecurityFilter, SecurityRow, SettingRow,
    SettingsChange, SettingsOutcome,
};
use synckairos::ledger::deployment::{Claim, ClaimOutcome};
use synckairos::ledger::run::RunHistory;
use synckairos::ledger::sqlite::{Durability, SqliteLedger};
use synckairos::ledger::{
    AuditSink, DeadLetter, DeadLetterSummary, Due, Error, Filter, Heartbeats, HistoryRow, Ledger, LedgerHealth, Page,
    Recorded, Row,
};

use crate::harness::{Cluster, Session, blitz, with};

/// A ledger that counts how often it is asked for a session.
struct Counted {
    inner: SqliteLedger,
    asked: AtomicUsize,
    _folder: tempfile::TempDir,
}

impl Counted {
    async fn new() -> Arc<Self> {
        let folder = tempfile::tempdir().unwrap();
        let inner = SqliteLedger::open(&folder.path().join("ledger.db"), Durability::Flush).await.unwrap();
        Arc::new(Self { inner, asked: AtomicUsize::new(0), _folder: folder })
    }

    fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::SeqCst)
    }
}

#[async_trait]
impl AuditSink for Counted {
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
impl LedgerHealth for Counted {
    async fn ping(&self) -> Result<(), Error> {
        self.inner.ping().await
    }
}

#[async_trait]
impl ControlLedger for Counted {
    async fn control_revision(&self) -> Result<u64, Error> {
        self.inner.control_revision().await
    }

    async fn control_changes(&self, since: u64, now: Timestamp) -> Result<ControlChanges, Error> {
        self.inner.control_changes(since, now).await
    }

    async fn tenant_settings(&self, tenant: &TenantId) -> Result<Vec<SettingRow>, Error> {
        self.inner.tenant_settings(tenant).await
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
        self.inner.revocations(tenant, after, now, limit).await
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
        self.inner.security_events(tenant, filter, limit).await
    }

    async fn forget_security_events(&self, before: Timestamp) -> Result<u64, Error> {
        self.inner.forget_security_events(before).await
    }
}

#[async_trait]
impl Ledger for Counted {
    async fn newest(&self, key: &SessionKey) -> Result<Option<Row>, Error> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.inner.newest(key).await
    }

    async fn version(&self, key: &SessionKey, version: u64) -> Result<Option<Row>, Error> {
        self.inner.version(key, version).await
    }
    async fn at(&self, key: &SessionKey, at: Timestamp) -> Result<Option<Row>, Error> {
        self.inner.at(key, at).await
    }
    async fn history(&self, key: &SessionKey, after: Option<Position>, limit: u32) -> Result<Page<HistoryRow>, Error> {
        self.inner.history(key, after, limit).await
    }
    async fn sessions(
        &self,
        tenant: &TenantId,
        filter: &Filter,
        after: Option<&SessionId>,
        limit: u32,
    ) -> Result<Page<Row>, Error> {
        self.inner.sessions(tenant, filter, after, limit).await
    }
    async fn due(&self, after: Option<&Due>, until: Timestamp, limit: u32) -> Result<Vec<Due>, Error> {
        self.inner.due(after, until, limit).await
    }
    async fn idempotency_records(&self, key: &SessionKey, since: Timestamp) -> Result<Vec<IdempotencyRecord>, Error> {
        self.inner.idempotency_records(key, since).await
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
    /// Instances share it: who goes first must not take it from who still brings something.
    async fn close(&self) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_unknown_ids_asks_the_ledger_once_each() {
    let ledger = Counted::new().await;
    let cluster = Cluster::of(1).on(Arc::clone(&ledger) as _).start().await;
    let caller = cluster.caller(0);
    let began = tokio::time::Instant::now();
    for _ in 0..10 {
        let asking = (0..40).map(|number| caller.get(format!("/v1/sessions/stranger-{}", number % 8)));
        for answer in join_all(asking).await {
            answer.expect(404).refused("session_not_found");
        }
    }
    // Eight ids, each asked once for every half second that this took.
    let most = 8 * (1 + usize::try_from(began.elapsed().as_millis()).unwrap() / 500);
    let asked = ledger.asked();
    assert!((8..=most).contains(&asked), "asked {asked} times, at most {most}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_id_is_found_once_created_on_any_instance() {
    let ledger = Counted::new().await;
    let cluster = Cluster::of(2).on(Arc::clone(&ledger) as _).start().await;
    for (number, maker) in (0..20).zip([0, 1].into_iter().cycle()) {
        let id = format!("late-{number}");
        let session = Session { id: id.clone() };
        for instance in [0, 1] {
            cluster.caller(instance).get(session.path()).await.expect(404);
        }
        cluster.caller(maker).create(with(blitz(), json!({"session_id": id}))).await;
        for instance in [0, 1] {
            cluster.caller(instance).get(session.path()).await.expect(200);
        }
    }
}
