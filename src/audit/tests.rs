//! Each entry is recorded once, in order, whatever the ledger does.

mod redis;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::json;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::Now;
use super::heartbeat::Heartbeat;
use super::worker::Worker;
use crate::domain::chain::{Digest, Link};
use crate::domain::entry::Entry;
use crate::domain::id::{SessionId, SessionKey, TenantId};
use crate::domain::position::Position;
use crate::domain::time::Timestamp;
use crate::jobs::{Backoff, RetryPolicy};
use crate::ledger::sqlite::{Durability, SqliteLedger};
use crate::ledger::{AuditSink, Error, Ledger as _, Recorded};
use crate::store::memory::MemoryStore;
use crate::store::outbox::{Backlog, EntryId, MemoryOutbox, Outbox};

/// A ledger that fails on demand, and logs its calls.
struct FaultyLedger {
    inner: SqliteLedger,
    /// The number of next calls that get no answer.
    unanswered: AtomicUsize,
    /// Versions of the first session that are refused, and one that panics.
    poisoned: Vec<u64>,
    panics: Option<u64>,
    recorded: Mutex<Vec<Vec<(SessionKey, Position)>>>,
    dead: Mutex<Vec<(Position, String)>>,
    _directory: TempDir,
}

impl FaultyLedger {
    async fn new(unanswered: usize, poisoned: &[u64], panics: Option<u64>) -> Arc<Self> {
        let directory = tempfile::tempdir().unwrap();
        let inner = SqliteLedger::open(&directory.path().join("l.db"), Durability::Flush).await.unwrap();
        Arc::new(Self {
            inner,
            unanswered: unanswered.into(),
            poisoned: poisoned.to_vec(),
            panics,
            recorded: Mutex::default(),
            dead: Mutex::default(),
            _directory: directory,
        })
    }

    fn check_up(&self) -> Result<(), Error> {
        let unanswered = self.unanswered.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if unanswered.is_ok() { Err(Error::Unavailable("down".into())) } else { Ok(()) }
    }

    fn has_any(entries: &[Arc<Entry>], versions: &[u64]) -> bool {
        entries.iter().any(|entry| entry.key == key(0) && versions.contains(&entry.link.position.version))
    }

    fn attempts_of(&self, version: u64) -> usize {
        let recorded = self.recorded.lock().unwrap();
        let one = vec![(key(0), Position { epoch: 1, version })];
        recorded.iter().filter(|batch| **batch == one).count()
    }

    /// The number of a session's rows; checks that they are linked without a gap.
    async fn rows(&self, session: &SessionKey) -> usize {
        let (mut previous, mut count, mut after) = (Digest::NONE, 0, None);
        loop {
            let page = self.inner.history(session, after, 1000).await.unwrap().rows;
            let Some(last) = page.last() else { return count };
            after = Some(last.link.position);
            for row in &page {
                assert_eq!(row.link.previous, previous);
                previous = row.link.digest();
            }
            count += page.len();
        }
    }
}

#[async_trait]
impl AuditSink for FaultyLedger {
    async fn record(&self, entries: &[Arc<Entry>]) -> Result<Recorded, Error> {
        let positions = entries.iter().map(|entry| (entry.key.clone(), entry.link.position)).collect();
        self.recorded.lock().unwrap().push(positions);
        self.check_up()?;
        let panics = self.panics.is_some_and(|version| Self::has_any(entries, &[version]));
        assert!(!panics, "out of its mind");
        if Self::has_any(entries, &self.poisoned) {
            return Err(Error::Refused("poison".into()));
        }
        self.inner.record(entries).await
    }

    async fn add_dead_letter(&self, entry: &Entry, reason: &str, at: Timestamp) -> Result<(), Error> {
        self.check_up()?;
        self.dead.lock().unwrap().push((entry.link.position, reason.to_owned()));
        self.inner.add_dead_letter(entry, reason, at).await
    }

    async fn heartbeat(&self, since: Timestamp, at: Timestamp) -> Result<(), Error> {
        self.check_up()?;
        self.inner.heartbeat(since, at).await
    }
}

/// Sessions that append linked versions in turn.
#[derive(Default)]
struct Writers {
    last: HashMap<SessionKey, (u64, Digest)>,
}

impl Writers {
    fn append_in_turn(&mut self, outbox: &MemoryOutbox, entries: usize, sessions: usize) {
        for number in 0..entries {
            self.append(outbox, number % sessions);
        }
    }

    fn append(&mut self, outbox: &MemoryOutbox, session: usize) -> EntryId {
        outbox.append(self.next(session))
    }

    fn next(&mut self, session: usize) -> Arc<Entry> {
        let key = key(session);
        let (version, previous) = self.last.get(&key).copied().unwrap_or((0, Digest::NONE));
        let version = version + 1;
        let body = json!({
            "format": 1, "status": "running", "sync_mode": "global", "due_at": null, "created_at": 0,
            "updated_at": version, "participants": [], "metadata": {}, "version": version,
        });
        let body = Bytes::from(body.to_string());
        let link = Link {
            position: Position { epoch: 1, version },
            at: Timestamp::from_ms(version.cast_signed()),
            previous,
            body: Digest::of(&body),
        };
        self.last.insert(key.clone(), (version, link.digest()));
        Arc::new(Entry { key, link, body: Some(body), change: "{}".into(), idempotency: None })
    }
}

fn key(session: usize) -> SessionKey {
    SessionKey { tenant: TenantId::new("acme").unwrap(), session: SessionId::new(format!("s{session}")).unwrap() }
}

/// A worker in its task, and the tokens that stop it.
struct Running {
    soft: CancellationToken,
    hard: CancellationToken,
    task: JoinHandle<Backlog>,
}

fn start(outbox: &Arc<MemoryOutbox>, ledger: &Arc<FaultyLedger>) -> Running {
    let backoff = Backoff { first: Duration::from_millis(1), max: Duration::from_millis(4) };
    let policy = RetryPolicy { refused_backoff: backoff, unavailable_backoff: backoff, ..RetryPolicy::default() };
    let worker =
        Worker::new(Arc::clone(outbox) as Arc<dyn Outbox>, Arc::clone(ledger) as Arc<dyn AuditSink>, fixed_clock());
    let (soft, hard) = (CancellationToken::new(), CancellationToken::new());
    let task = tokio::spawn(worker.with_retries(policy).run(soft.clone(), hard.clone()));
    Running { soft, hard, task }
}

fn fixed_clock() -> Now {
    Arc::new(|| Timestamp::from_ms(77))
}

fn outbox() -> Arc<MemoryOutbox> {
    Arc::new(MemoryOutbox::new(usize::MAX))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_entries_are_recorded_once_each_and_in_order() {
    const SESSIONS: usize = 250;
    let (outbox, ledger) = (outbox(), FaultyLedger::new(0, &[], None).await);
    let running = start(&outbox, &ledger);
    let mut writers = Writers::default();
    writers.append_in_turn(&outbox, 250_000, SESSIONS);
    outbox.wait_drained().await;
    running.soft.cancel();
    assert_eq!(running.task.await.unwrap(), Backlog::default());
    let recorded: usize = ledger.recorded.lock().unwrap().iter().map(Vec::len).sum();
    assert_eq!(recorded, 250_000);
    for session in 0..SESSIONS {
        assert_eq!(ledger.rows(&key(session)).await, 1000);
    }
}

#[tokio::test]
async fn an_unavailable_ledger_makes_no_dead_letters() {
    let (outbox, ledger) = (outbox(), FaultyLedger::new(40, &[], None).await);
    let running = start(&outbox, &ledger);
    let mut writers = Writers::default();
    writers.append_in_turn(&outbox, 9, 1);
    let last = writers.append(&outbox, 0);
    outbox.recorded(last).await;
    running.soft.cancel();
    running.task.await.unwrap();
    assert_eq!(ledger.rows(&key(0)).await, 10);
    assert!(ledger.dead.lock().unwrap().is_empty());
    assert!(ledger.recorded.lock().unwrap().len() > 40);
}

#[tokio::test]
async fn the_backlog_is_reported_while_the_ledger_is_down() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let _told_here = ::metrics::set_default_local_recorder(&recorder);
    let (outbox, ledger) = (outbox(), FaultyLedger::new(usize::MAX, &[], None).await);
    let running = start(&outbox, &ledger);
    let mut writers = Writers::default();
    // More than one batch.
    for waiting in [3_000, 6_000] {
        writers.append_in_turn(&outbox, 3_000, 100);
        let line = format!("synckairos_audit_backlog {waiting}\n");
        let is_reported = async {
            while !recorder.handle().render().contains(&line) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        assert!(timeout(Duration::from_secs(10), is_reported).await.is_ok(), "{}", recorder.handle().render());
    }
    running.hard.cancel();
    assert_eq!(running.task.await.unwrap().entries, 6_000);
}

#[tokio::test]
async fn a_refused_entry_is_a_dead_letter_after_five_attempts() {
    let (outbox, ledger) = (outbox(), FaultyLedger::new(0, &[1, 5], None).await);
    let mut writers = Writers::default();
    writers.append_in_turn(&outbox, 1000, 100);
    let running = start(&outbox, &ledger);
    outbox.wait_drained().await;
    running.soft.cancel();
    running.task.await.unwrap();
    let dead: Vec<_> =
        ledger.dead.lock().unwrap().iter().map(|(position, reason)| (position.version, reason.clone())).collect();
    assert_eq!(dead, [(1, "poison".to_owned()), (5, "poison".to_owned())]);
    assert_eq!((ledger.attempts_of(1), ledger.attempts_of(5)), (5, 5));
    for session in 1..100 {
        assert_eq!(ledger.rows(&key(session)).await, 10);
    }
    let left = ledger.inner.history(&key(0), None, 100).await.unwrap().rows;
    let left: Vec<_> = left.iter().map(|row| row.link.position.version).collect();
    assert_eq!(left, [2, 3, 4, 6, 7, 8, 9, 10]);
}

#[tokio::test]
async fn calls_without_an_answer_are_no_attempts() {
    let (outbox, ledger) = (outbox(), FaultyLedger::new(3, &[1], None).await);
    let mut writers = Writers::default();
    let ticket = writers.append(&outbox, 0);
    let running = start(&outbox, &ledger);
    outbox.recorded(ticket).await;
    running.soft.cancel();
    running.task.await.unwrap();
    assert_eq!(ledger.attempts_of(1), 3 + 5);
    assert_eq!(ledger.dead.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn an_entry_that_makes_the_ledger_panic_does_not_end_the_worker() {
    let (outbox, ledger) = (outbox(), FaultyLedger::new(0, &[], Some(7)).await);
    let mut writers = Writers::default();
    writers.append_in_turn(&outbox, 20, 1);
    let running = start(&outbox, &ledger);
    outbox.wait_drained().await;
    running.soft.cancel();
    running.task.await.unwrap();
    assert_eq!(ledger.dead.lock().unwrap()[0], (Position { epoch: 1, version: 7 }, "panicked: out of its mind".into()));
    assert_eq!(ledger.inner.history(&key(0), None, 100).await.unwrap().rows.len(), 19);
}

#[tokio::test]
async fn a_soft_stop_drains_even_during_an_outage() {
    let (outbox, ledger) = (outbox(), FaultyLedger::new(5, &[], None).await);
    let mut writers = Writers::default();
    writers.append_in_turn(&outbox, 5000, 10);
    let running = start(&outbox, &ledger);
    running.soft.cancel();
    assert_eq!(running.task.await.unwrap(), Backlog::default());
    for session in 0..10 {
        assert_eq!(ledger.rows(&key(session)).await, 500);
    }
}

#[tokio::test]
async fn a_hard_stop_leaves_the_rest_for_the_next_worker() {
    let (outbox, ledger) = (outbox(), FaultyLedger::new(usize::MAX, &[], None).await);
    let mut writers = Writers::default();
    writers.append_in_turn(&outbox, 3000, 3);
    let running = start(&outbox, &ledger);
    running.hard.cancel();
    assert_eq!(running.task.await.unwrap().entries, 3000);
    ledger.unanswered.store(0, Ordering::SeqCst);
    let next = start(&outbox, &ledger);
    outbox.wait_drained().await;
    next.soft.cancel();
    next.task.await.unwrap();
    assert_eq!(ledger.rows(&key(0)).await + ledger.rows(&key(1)).await + ledger.rows(&key(2)).await, 3000);
}

#[tokio::test]
async fn a_heartbeat_is_recorded_at_once_and_at_the_end() {
    let ledger = FaultyLedger::new(0, &[], None).await;
    let stop = CancellationToken::new();
    let (beat, mut now) = (tokio::sync::watch::channel(0_i64), 0);
    let clock: Now = Arc::new(move || {
        beat.0.send_modify(|beats| *beats += 1);
        Timestamp::from_ms(*beat.0.borrow())
    });
    let store = Arc::new(MemoryStore::new(Box::new(|_, _, _| {}), outbox(), Timestamp::from_ms(0)));
    let is_taken = Arc::default();
    let heartbeat = Heartbeat { ledger: Arc::clone(&ledger) as _, store, now: clock, ledger_accepts_writes: is_taken };
    let task = tokio::spawn(heartbeat.run(stop.clone()));
    let mut beats = beat.1;
    while now == 0 {
        beats.changed().await.unwrap();
        now = *beats.borrow_and_update();
    }
    stop.cancel();
    task.await.unwrap();
    let heartbeats = ledger.inner.heartbeats(Timestamp::from_ms(0)).await.unwrap();
    assert_eq!(heartbeats.last_heartbeat, Some(Timestamp::from_ms(now + 1)));
}
