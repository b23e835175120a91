//! A ledger that is simulated: one book, which instances reach over links of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use synckairos::domain::chain::Digest;
use synckairos::domain::entry::Entry;
use synckairos::domain::id::{SessionId, SessionKey, TenantId};
use synckairos::domain::idempotency::IdempotencyRecord;
use synckairos::domain::position::Position;
use synckairos::domain::revocation::Revocation;
use synckairos::domain::session::restore::{OUTAGE_MS, Outage};
use synckairos::domain::session::{Session, Status};
use synckairos::domain::time::Timestamp;
use synckairos::ledger::control::{
    ControlChanges, ControlLedger, RevocationOutcome, RevocationRequest, SecurityFilter, SecurityRow, SettingRow,
    SettingsChange, SettingsOutcome,
};
use synckairos::ledger::deployment::{Claim, ClaimOutcome};
use synckairos::ledger::run::RunHistory;
use synckairos::ledger::{
    AuditSink, DeadLetter, DeadLetterSummary, Due, Error, Filter, Heartbeats, HistoryRow, Ledger, LedgerHealth, Page,
    Recorded, Row,
};

use super::link::Link;
use super::record::{Event, Record};

/// Who begins to beat when a store has begun to live may be so much earlier or later.
const AROUND_MS: i64 = OUTAGE_MS;

/// What all instances write to.
#[derive(Clone)]
pub struct Book(Arc<Mutex<Pages>>);

struct Pages {
    record: Record,
    /// In the order they came.
    entries: BTreeMap<SessionKey, Vec<Arc<Entry>>>,
    newest: BTreeMap<SessionKey, Newest>,
    last_beat: Option<Timestamp>,
    /// When nobody was there, and when somebody was again.
    absences: BTreeMap<Timestamp, Timestamp>,
    is_away: bool,
}

#[derive(Clone)]
struct Newest {
    entry: Arc<Entry>,
    due_at: Option<Timestamp>,
    is_deleted: bool,
}

impl Book {
    pub fn new(record: Record) -> Self {
        Self(Arc::new(Mutex::new(Pages {
            record,
            entries: BTreeMap::new(),
            newest: BTreeMap::new(),
            last_beat: None,
            absences: BTreeMap::new(),
            is_away: false,
        })))
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set_away(&self, is_away: bool) {
        self.pages().is_away = is_away;
    }

    /// The newest position that is recorded.
    pub fn position(&self, key: &SessionKey) -> Option<Position> {
        self.pages().newest.get(key).map(|newest| newest.entry.link.position)
    }

    /// Whose newest versions say that something happens by then.
    pub fn due_by(&self, until: Timestamp) -> Vec<SessionKey> {
        self.pages().due(None, until, u32::MAX).into_iter().map(|(_, key)| key).collect()
    }

    /// When nobody was there.
    pub fn absences(&self) -> Vec<Outage> {
        self.pages().absences.iter().map(|(from, until)| Outage { from: *from, until: *until }).collect()
    }

    /// Every entry of every session, in the order they came.
    pub fn entries(&self) -> BTreeMap<SessionKey, Vec<Arc<Entry>>> {
        self.pages().entries.clone()
    }

    /// The newest version, if it is the session's deletion.
    pub fn deleted(&self, key: &SessionKey) -> Option<Arc<Entry>> {
        self.pages().newest.get(key).filter(|newest| newest.is_deleted).map(|newest| Arc::clone(&newest.entry))
    }
}

impl Pages {
    fn write(&mut self, entries: &[Arc<Entry>]) -> Recorded {
        let mut recorded = Recorded::default();
        for entry in entries {
            let rows = self.entries.entry(entry.key.clone()).or_default();
            let (position, digest) = (entry.link.position, entry.link.digest());
            let twins = rows.iter().filter(|row| row.link.position == position);
            let twins: Vec<_> = twins.map(|row| row.link.digest()).collect();
            if twins.contains(&digest) {
                continue;
            }
            if !twins.is_empty() {
                recorded.forks.push(entry.key.clone());
            }
            rows.push(Arc::clone(entry));
            recorded.new += 1;
            self.record.add(Event::Recorded(Arc::clone(entry)));
            self.keep_newer(entry);
        }
        recorded
    }

    fn keep_newer(&mut self, entry: &Arc<Entry>) {
        let before = self.newest.get(&entry.key).map(|newest| newest.entry.link.position);
        if before.is_none_or(|before| entry.link.position > before) {
            let session = Session::from_stored(entry.body.as_ref().unwrap()).unwrap();
            // A deleted session waits for nothing, whatever its last state said.
            let is_deleted = session.status == Status::Deleted;
            let due_at = session.due_at.filter(|_| !is_deleted);
            let newest = Newest { entry: Arc::clone(entry), due_at, is_deleted };
            self.newest.insert(entry.key.clone(), newest);
        }
    }

    fn line(&self, key: &SessionKey) -> BTreeSet<Digest> {
        let rows = self.entries.get(key).map_or(&[][..], Vec::as_slice);
        let by_digest: BTreeMap<_, _> = rows.iter().map(|row| (row.link.digest(), row)).collect();
        let mut line = BTreeSet::new();
        let mut next = self.newest.get(key).map(|newest| newest.entry.link.digest());
        while let Some((digest, row)) = next.and_then(|digest| by_digest.get_key_value(&digest)) {
            line.insert(*digest);
            next = Some(row.link.previous);
        }
        line
    }

    fn rows(&self, key: &SessionKey) -> Vec<Row> {
        let line = self.line(key);
        let rows = self.entries.get(key).map_or(&[][..], Vec::as_slice).iter();
        let mut rows: Vec<_> = rows.map(|entry| row(entry, !line.contains(&entry.link.digest()))).collect();
        rows.sort_by_key(|row| row.link.position);
        rows
    }

    fn answered(&self, key: &SessionKey, since: Timestamp) -> Vec<IdempotencyRecord> {
        let line = self.line(key);
        let rows = self.entries.get(key).map_or(&[][..], Vec::as_slice).iter();
        let lasting = rows.filter(|entry| entry.link.at >= since && line.contains(&entry.link.digest()));
        let answer = |entry: &Arc<Entry>| {
            let (position, at, change) = (entry.link.position, entry.link.at, entry.change.clone());
            Some(IdempotencyRecord { key: entry.idempotency?, position, at, change })
        };
        lasting.filter_map(answer).collect()
    }

    fn due(&self, after: Option<&Due>, until: Timestamp, limit: u32) -> Vec<Due> {
        let due = self.newest.iter().filter_map(|(key, newest)| Some((newest.due_at?, key.clone())));
        let mut due: Vec<_> = due.filter(|due| due.0 <= until && after.is_none_or(|after| due > after)).collect();
        due.sort_unstable();
        due.truncate(limit as usize);
        due
    }

    fn beat(&mut self, since: Timestamp, at: Timestamp) {
        if let Some(last) = self.last_beat.filter(|last| since.as_ms() - last.as_ms() >= OUTAGE_MS) {
            self.absences.entry(last).or_insert(since);
        }
        self.absences.retain(|gone_at, _| *gone_at < since);
        self.last_beat = self.last_beat.max(Some(at));
    }

    fn presence(&self, began: Timestamp) -> Heartbeats {
        let around = |(from, until): (&Timestamp, &Timestamp)| Outage { from: *from, until: *until };
        let fits = |absence: &Outage| absence.from <= began + AROUND_MS && absence.until >= began - AROUND_MS;
        let absences = self.absences.iter().map(around).filter(fits);
        Heartbeats { last_heartbeat: self.last_beat, outage: absences.max_by_key(|absence| absence.until) }
    }
}

fn row(entry: &Entry, superseded: bool) -> Row {
    let (key, body, change) = (entry.key.clone(), entry.body.clone(), entry.change.clone());
    Row { key, link: entry.link, body, change, superseded }
}

/// The book, over an instance's link.
pub struct SimulatedLedger {
    book: Book,
    link: Link,
}

impl SimulatedLedger {
    pub const fn new(book: Book, link: Link) -> Self {
        Self { book, link }
    }

    async fn ask<T: Send + 'static>(&self, act: impl FnOnce(&mut Pages) -> T + Send + 'static) -> Result<T, Error> {
        let book = self.book.clone();
        let asked = self.link.ask(move || {
            let mut pages = book.pages();
            (!pages.is_away).then(|| act(&mut pages))
        });
        asked.await.map_err(|failure| Error::Unavailable(format!("{failure:?}").into()))
    }
}

#[async_trait]
impl AuditSink for SimulatedLedger {
    async fn record(&self, entries: &[Arc<Entry>]) -> Result<Recorded, Error> {
        let entries = entries.to_vec();
        self.ask(move |pages| pages.write(&entries)).await
    }

    /// Nothing is refused here.
    async fn add_dead_letter(&self, entry: &Entry, reason: &str, _: Timestamp) -> Result<(), Error> {
        panic!("{} of {} is put aside: {reason}", entry.link.position, entry.key)
    }

    async fn heartbeat(&self, since: Timestamp, at: Timestamp) -> Result<(), Error> {
        self.ask(move |pages| pages.beat(since, at)).await
    }
}

#[async_trait]
impl LedgerHealth for SimulatedLedger {
    async fn ping(&self) -> Result<(), Error> {
        self.ask(|_| ()).await
    }
}

/// Nobody administers here.
#[async_trait]
impl ControlLedger for SimulatedLedger {
    async fn control_revision(&self) -> Result<u64, Error> {
        Ok(0)
    }

    async fn control_changes(&self, _: u64, _: Timestamp) -> Result<ControlChanges, Error> {
        Ok(ControlChanges { is_whole: true, ..ControlChanges::default() })
    }

    async fn tenant_settings(&self, _: &TenantId) -> Result<Vec<SettingRow>, Error> {
        Ok(Vec::new())
    }

    async fn change_settings(&self, _: &SettingsChange) -> Result<SettingsOutcome, Error> {
        Ok(SettingsOutcome::Stale(0))
    }

    async fn add_revocation(&self, _: &RevocationRequest) -> Result<RevocationOutcome, Error> {
        Ok(RevocationOutcome::TooMany)
    }

    async fn remove_revocation(&self, _: &TenantId, _: &str, _: Timestamp) -> Result<Option<u64>, Error> {
        Ok(None)
    }

    async fn revocations(
        &self,
        _: &TenantId,
        _: Option<&str>,
        _: Timestamp,
        _: u32,
    ) -> Result<Page<Revocation>, Error> {
        Ok(Page::of(Vec::new(), 0))
    }

    async fn add_security_events(&self, _: &[SecurityRow]) -> Result<(), Error> {
        Ok(())
    }

    async fn security_events(&self, _: &TenantId, _: &SecurityFilter, _: u32) -> Result<Page<SecurityRow>, Error> {
        Ok(Page::of(Vec::new(), 0))
    }

    async fn forget_security_events(&self, _: Timestamp) -> Result<u64, Error> {
        Ok(0)
    }
}

#[async_trait]
impl Ledger for SimulatedLedger {
    async fn newest(&self, key: &SessionKey) -> Result<Option<Row>, Error> {
        let key = key.clone();
        self.ask(move |pages| pages.newest.get(&key).map(|newest| row(&newest.entry, false))).await
    }

    async fn version(&self, key: &SessionKey, version: u64) -> Result<Option<Row>, Error> {
        let key = key.clone();
        let found = move |row: &Row| row.link.position.version == version && !row.superseded;
        self.ask(move |pages| pages.rows(&key).into_iter().find(found)).await
    }

    async fn at(&self, key: &SessionKey, at: Timestamp) -> Result<Option<Row>, Error> {
        let key = key.clone();
        let stood = move |row: &Row| row.link.at <= at && !row.superseded;
        self.ask(move |pages| pages.rows(&key).into_iter().rfind(stood)).await
    }

    async fn history(&self, key: &SessionKey, after: Option<Position>, limit: u32) -> Result<Page<HistoryRow>, Error> {
        let key = key.clone();
        let is_after = move |row: &Row| Some(row.link.position) > after;
        let change = |Row { link, change, superseded, .. }| HistoryRow { link, change, superseded };
        self.ask(move |pages| {
            let rows = pages.rows(&key).into_iter().filter(is_after).map(change);
            Page::of(rows.take(limit as usize + 1).collect(), limit)
        })
        .await
    }

    /// Nobody lists here.
    async fn sessions(&self, _: &TenantId, _: &Filter, _: Option<&SessionId>, _: u32) -> Result<Page<Row>, Error> {
        Ok(Page::of(Vec::new(), 0))
    }

    async fn due(&self, after: Option<&Due>, until: Timestamp, limit: u32) -> Result<Vec<Due>, Error> {
        let after = after.cloned();
        self.ask(move |pages| pages.due(after.as_ref(), until, limit)).await
    }

    async fn idempotency_records(&self, key: &SessionKey, since: Timestamp) -> Result<Vec<IdempotencyRecord>, Error> {
        let key = key.clone();
        self.ask(move |pages| pages.answered(&key, since)).await
    }

    async fn dead_letters(&self, _: Option<&DeadLetter>, _: u32) -> Result<Vec<DeadLetter>, Error> {
        Ok(Vec::new())
    }

    async fn dead_letters_of(&self, _: &SessionKey) -> Result<Vec<DeadLetter>, Error> {
        Ok(Vec::new())
    }

    async fn first_dead_letter(&self, _: &SessionKey, _: Option<Position>) -> Result<Option<Position>, Error> {
        Ok(None)
    }

    async fn dead_letter_summary(&self, _: u32) -> Result<DeadLetterSummary, Error> {
        Ok(DeadLetterSummary::default())
    }

    async fn remove_dead_letter(&self, _: &Entry) -> Result<bool, Error> {
        Ok(false)
    }

    async fn heartbeats(&self, began: Timestamp) -> Result<Heartbeats, Error> {
        self.ask(move |pages| pages.presence(began)).await
    }

    async fn open_run(&self, _: Timestamp) -> Result<(), Error> {
        Ok(())
    }

    async fn close_run(&self, _: Timestamp, _: Timestamp) -> Result<(), Error> {
        Ok(())
    }

    async fn runs(&self, _: Timestamp) -> Result<RunHistory, Error> {
        Ok(RunHistory::default())
    }

    /// No more than one deployment is played.
    async fn claim(&self, claim: &Claim) -> Result<ClaimOutcome, Error> {
        Ok(ClaimOutcome::Held(claim.new_id.clone()))
    }

    async fn close(&self) {}
}
