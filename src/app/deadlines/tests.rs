//! Deadlines in virtual time: nothing moves but by the test, so what does not happen is seen too.

use std::ops::RangeInclusive;
use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::*;
use crate::app::sessions::SessionsParts;
use crate::bus::memory::MemoryHub;
use crate::domain::chain::Digest;
use crate::domain::idempotency::IdempotencyRecord;
use crate::domain::position::Position;
use crate::ids::Ids;
use crate::ledger::sqlite::{Durability, SqliteLedger};
use crate::membership::memory::MemoryLeases;
use crate::membership::{Formats, InstanceId, LeaseTimers, Member, Membership, Work};
use crate::store::contract::fixtures::{self, NOW, START};
use crate::store::memory::MemoryStore;
use crate::store::outbox::{EntryId, MemoryOutbox};
use crate::store::partition::Partition;
use crate::store::{Commit, Committed, LedgerProgress, StoredSession};

/// How long a session made here runs.
const MINUTE_MS: i64 = 60_000;

/// How long the store takes to write.
const WRITE_TAKES: Duration = Duration::from_millis(50);

const POLL_MS: i64 = 10;
const MAX_UNCERTAINTY: Duration = Duration::from_millis(50);

/// A clock that follows the virtual time, and is as uncertain as the test says.
struct VirtualClock {
    began: Instant,
    uncertainty_ms: Mutex<f64>,
}

impl VirtualClock {
    fn set_uncertainty_ms(&self, ms: f64) {
        *self.uncertainty_ms.lock().unwrap() = ms;
    }

    fn instant(&self, at: Timestamp) -> Instant {
        self.began + Duration::from_millis(u64::try_from(at.since(NOW)).unwrap())
    }
}

#[async_trait]
impl Clock for VirtualClock {
    fn now_us(&self) -> i64 {
        NOW.as_ms() * 1_000 + i64::try_from(self.began.elapsed().as_micros()).unwrap()
    }

    fn uncertainty_ms(&self) -> f64 {
        *self.uncertainty_ms.lock().unwrap()
    }

    fn source(&self) -> &'static str {
        "virtual"
    }

    async fn sleep_until(&self, at: Timestamp) {
        // The end of time is further than a timer reaches.
        if at.since(NOW) > 1 << 40 {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep_until(self.instant(at)).await;
    }
}

/// The store as one instance reaches it: it keeps what the instance read and wrote, and when.
struct RecordingStore {
    store: Arc<MemoryStore>,
    clock: Arc<VirtualClock>,
    reads: Mutex<Vec<DueHint>>,
    writes: Mutex<Vec<DueHint>>,
}

impl RecordingStore {
    fn reads(&self) -> MutexGuard<'_, Vec<DueHint>> {
        self.reads.lock().unwrap()
    }

    fn writes(&self) -> MutexGuard<'_, Vec<DueHint>> {
        self.writes.lock().unwrap()
    }

    /// The sessions that the instance has read or written, each as often as it did.
    fn touched(&self) -> Vec<SessionKey> {
        self.reads().iter().chain(self.writes().iter()).map(|(_, key)| key.clone()).collect()
    }
}

#[async_trait]
impl SessionStore for RecordingStore {
    async fn read(&self, key: &SessionKey) -> Result<Option<StoredSession>, store::Error> {
        self.reads().push((self.clock.now(), key.clone()));
        self.store.read(key).await
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, store::Error> {
        self.writes().push((self.clock.now(), commit.key.clone()));
        sleep(WRITE_TAKES).await;
        self.store.commit(commit).await
    }

    async fn restore(
        &self,
        key: &SessionKey,
        over: Option<Position>,
        held: StoredSession,
        answered: Vec<IdempotencyRecord>,
    ) -> Result<StoredSession, store::Error> {
        self.store.restore(key, over, held, answered).await
    }

    async fn due(&self, partitions: Partitions, until: Timestamp, limit: usize) -> Result<Vec<DueHint>, store::Error> {
        self.store.due(partitions, until, limit).await
    }

    async fn idempotency_record(
        &self,
        key: &SessionKey,
        repeat: &Digest,
    ) -> Result<Option<IdempotencyRecord>, store::Error> {
        self.store.idempotency_record(key, repeat).await
    }

    async fn remember_answer(
        &self,
        key: &SessionKey,
        record: IdempotencyRecord,
    ) -> Result<IdempotencyRecord, store::Error> {
        self.store.remember_answer(key, record).await
    }

    async fn generation_started_at(&self, key: &SessionKey) -> Result<Timestamp, store::Error> {
        self.store.generation_started_at(key).await
    }

    async fn ping(&self) -> Result<(), store::Error> {
        self.store.ping().await
    }
}

#[async_trait]
impl LedgerProgress for RecordingStore {
    async fn retain(&self, key: &SessionKey, at: Position) -> Result<(), store::Error> {
        self.store.retain(key, at).await
    }

    async fn release(&self, key: &SessionKey, at: Position) -> Result<(), store::Error> {
        self.store.release(key, at).await
    }

    async fn outbox_tail(&self, key: &SessionKey) -> Result<Option<EntryId>, store::Error> {
        self.store.outbox_tail(key).await
    }

    async fn wait_recorded(&self, entry_id: EntryId) -> Result<(), store::Error> {
        self.store.wait_recorded(entry_id).await
    }

    async fn wait_for_ledger(&self) {
        self.store.wait_for_ledger().await;
    }
}

/// What the instances of a test share.
struct World {
    clock: Arc<VirtualClock>,
    store: Arc<MemoryStore>,
    ledger: Arc<dyn Ledger>,
    leases: MemoryLeases,
    _folder: TempDir,
}

/// An instance that tells deadlines, and does nothing else.
struct Teller {
    watched: Arc<RecordingStore>,
    membership: Option<Arc<Membership>>,
    telling: JoinHandle<()>,
}

impl World {
    /// From here on time is virtual.
    async fn begin() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Its threads take real time, so it is opened before time is virtual. Nobody asks it afterwards.
        let ledger = SqliteLedger::open(&folder.path().join("l.db"), Durability::Flush).await.unwrap();
        tokio::time::pause();
        let outbox = Arc::new(MemoryOutbox::new(usize::MAX));
        Self {
            clock: Arc::new(VirtualClock { began: Instant::now(), uncertainty_ms: Mutex::new(0.0) }),
            store: Arc::new(MemoryStore::new(Box::new(|_, _, _| ()), outbox, NOW)),
            ledger: Arc::new(ledger),
            leases: MemoryLeases::new(LeaseTimers::default().lease),
            _folder: folder,
        }
    }

    /// A session that runs since `started_at` for a minute; gives when its time is over.
    async fn start(&self, name: &str, started_at: Timestamp) -> DueHint {
        let key = fixtures::key(name);
        let first = fixtures::commit(&key, None, fixtures::created(&key), None);
        let Committed::Stored(stored) = self.store.commit(first).await.unwrap() else { panic!("{key} exists") };
        let started = fixtures::after(&stored, &START, started_at);
        self.store.commit(fixtures::commit(&key, Some(&stored), started, None)).await.unwrap();
        (started_at + MINUTE_MS, key)
    }

    /// An instance that looks after everything.
    fn teller(&self) -> Teller {
        self.telling(Ownership::All, None)
    }

    /// Instances that share what there is to look after. Each holds a lease, and knows of the others.
    async fn members<const N: usize>(&self) -> [Teller; N] {
        let memberships: Vec<_> = (0..N).map(|number| self.membership(number)).collect();
        // Each has renewed once, and the first ones once more since the last one came.
        sleep(LeaseTimers::default().renew * 2).await;
        assert!(memberships.iter().all(|each| each.live_members().len() == N));
        let tellers =
            memberships.into_iter().map(|each| self.telling(Ownership::Shared(Arc::clone(&each)), Some(each)));
        tellers.collect::<Vec<_>>().try_into().unwrap_or_else(|_| panic!("there are {N}"))
    }

    fn membership(&self, number: usize) -> Arc<Membership> {
        let member = Member {
            instance: InstanceId::new(number as u64),
            formats: Formats { oldest: 1, newest: 1 },
            settings_version: 1,
            started_at: NOW,
            work: Work::All,
        };
        let membership = Arc::new(Membership::new(Arc::new(self.leases.clone()), member, LeaseTimers::default()));
        let renewing = Arc::clone(&membership);
        tokio::spawn(async move { renewing.run().await });
        membership
    }

    fn telling(&self, ownership: Ownership, membership: Option<Arc<Membership>>) -> Teller {
        let watched = Arc::new(RecordingStore {
            store: Arc::clone(&self.store),
            clock: Arc::clone(&self.clock),
            reads: Mutex::default(),
            writes: Mutex::default(),
        });
        let (due_hints, hints) = mpsc::channel(HINT_CAPACITY);
        let sessions = Arc::new(Sessions::new(SessionsParts {
            store: Arc::clone(&watched) as _,
            ledger: Arc::clone(&self.ledger),
            clock: Arc::clone(&self.clock) as _,
            ids: Ids::Random,
            due_hints,
            audience: Arc::new(MemoryHub::default()),
            is_durable: false,
            least_advance: Duration::from_secs(1),
            idle: Duration::from_hours(1),
        }));
        let deadlines = Deadlines {
            sessions,
            store: Arc::clone(&watched) as _,
            ledger: Arc::clone(&self.ledger),
            clock: Arc::clone(&self.clock) as _,
            ownership,
            generation_changes: watch::channel(0).1,
            max_uncertainty: MAX_UNCERTAINTY,
            poll_interval: Duration::from_millis(POLL_MS.unsigned_abs()),
        };
        Teller { watched, membership, telling: tokio::spawn(deadlines.run(hints)) }
    }

    async fn until(&self, at: Timestamp) {
        tokio::time::sleep_until(self.clock.instant(at)).await;
    }
}

impl Teller {
    fn owns(&self, key: &SessionKey) -> bool {
        let roles = self.membership.as_ref().expect("it is one of several").roles();
        roles.owner.contains(Partition::of(key))
    }

    /// Its process goes on and renews the lease, but it tells nothing any more.
    fn hang(&self) {
        self.telling.abort();
    }
}

/// How long after `at` each of that session's was: tokio's timers end up to a millisecond late.
fn late(kept: &[DueHint], at: Timestamp, key: &SessionKey) -> Vec<i64> {
    kept.iter().filter(|(_, of)| of == key).map(|(when, _)| when.as_ms() - at.as_ms()).collect()
}

fn is_once(late: &[i64], within: RangeInclusive<i64>) -> bool {
    matches!(late, [ms] if within.contains(ms))
}

#[tokio::test]
async fn a_deadline_is_written_once_it_is_past_for_certain() {
    let world = World::begin().await;
    world.clock.set_uncertainty_ms(29.2);
    let (due, key) = world.start("one", NOW).await;
    let teller = world.teller();
    world.until(due + 1_000).await;
    // It is read a little before, so that only the write is left to do.
    let (read, written) = (late(&teller.watched.reads(), due, &key), late(&teller.watched.writes(), due, &key));
    assert!(is_once(&read, 30 - READ_AHEAD_MS..=31 - READ_AHEAD_MS), "{read:?}");
    assert!(is_once(&written, 30..=31), "{written:?}");
}

#[tokio::test]
async fn a_deadline_waits_when_the_uncertainty_grows() {
    let world = World::begin().await;
    world.clock.set_uncertainty_ms(10.0);
    let (due, key) = world.start("one", NOW).await;
    let teller = world.teller();
    world.until(due + 5).await;
    world.clock.set_uncertainty_ms(40.0);
    world.until(due + 1_000).await;
    let written = late(&teller.watched.writes(), due, &key);
    assert!(is_once(&written, 40..=41), "{written:?}");
}

#[tokio::test]
async fn a_clock_past_the_limit_writes_nothing_until_it_is_within() {
    let world = World::begin().await;
    let (due, key) = world.start("one", NOW).await;
    let teller = world.teller();
    // It was found already, and is forgotten.
    world.until(due - 500).await;
    world.clock.set_uncertainty_ms(50.5);
    world.until(due + 1_000).await;
    assert_eq!(teller.watched.touched(), []);
    world.clock.set_uncertainty_ms(50.0);
    world.until(due + 2_000).await;
    let written = late(&teller.watched.writes(), due + 1_000, &key);
    assert!(is_once(&written, 0..=POLL_MS + 1), "{written:?}");
}

/// Sessions that run out one after another, so that some are being written at every poll; the first does before long.
async fn one_after_another(world: &World) -> Vec<DueHint> {
    let starts = (0..40).map(|number| (format!("t-{number}"), NOW + number * 25));
    let due = futures::future::join_all(starts.map(async |(name, at)| world.start(&name, at).await)).await;
    world.until(NOW + MINUTE_MS - 5_000).await;
    due
}

#[tokio::test]
async fn a_slow_write_is_not_begun_again_by_the_next_poll() {
    let world = World::begin().await;
    let due = one_after_another(&world).await;
    let teller = world.teller();
    world.until(NOW + MINUTE_MS + 3_000).await;
    for (at, key) in &due {
        let written = late(&teller.watched.writes(), *at, key);
        assert!(is_once(&written, 0..=1), "{key}: {written:?}");
    }
    assert_eq!(teller.watched.touched().len(), 2 * due.len(), "each is read once, and written once");
}

#[tokio::test]
async fn a_second_does_nothing_while_the_owner_writes_in_time() {
    let world = World::begin().await;
    let due = one_after_another(&world).await;
    let members: [_; 2] = world.members().await;
    world.until(NOW + MINUTE_MS + 3_000).await;
    for member in &members {
        let touched = member.watched.touched();
        assert!(!touched.is_empty(), "each member owns some");
        let others: Vec<_> = touched.iter().filter(|key| !member.owns(key)).collect();
        assert!(others.is_empty(), "the second has done the owner's work: {others:?}");
    }
    for (at, key) in &due {
        let owner = members.iter().find(|member| member.owns(key)).unwrap();
        let written = late(&owner.watched.writes(), *at, key);
        assert!(is_once(&written, 0..=1), "{key}: {written:?}");
    }
}

#[tokio::test]
async fn a_second_writes_300_ms_late_where_the_owner_hangs() {
    let world = World::begin().await;
    let due = one_after_another(&world).await;
    let [hung, second] = world.members().await;
    hung.hang();
    world.until(NOW + MINUTE_MS + 3_000).await;
    assert_eq!(hung.watched.touched(), []);
    for (at, key) in &due {
        let written = late(&second.watched.writes(), *at, key);
        let within = if hung.owns(key) { 300..=300 + POLL_MS + 1 } else { 0..=1 };
        assert!(is_once(&written, within), "{key}: {written:?}");
    }
}
