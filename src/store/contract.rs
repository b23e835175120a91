//! The promise of the store, sentence by sentence, against every backend.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::join_all;

use super::memory::MemoryStore;
use super::outbox::{MemoryOutbox, Outbox as _};
use super::{Commit, Committed, Held, Store};
use crate::domain::chain::{Digest, Link};
use crate::domain::entry::{ANSWERED_MS, Answered, Entry, Repeat};
use crate::domain::id::{SessionId, SessionKey, TenantId};
use crate::domain::position::Position;
use crate::domain::session::command::Command;
use crate::domain::session::control::{Rules, SyncMode};
use crate::domain::session::create::NewSession;
use crate::domain::session::event::Step;
use crate::domain::session::{Session, Status};
use crate::domain::time::Timestamp;

const NOW: Timestamp = Timestamp::from_ms(1_767_225_600_000);

/// A backend, and what stands around it: what it told the bus, what it left for the ledger.
#[async_trait]
trait Bench: Send + Sync {
    fn store(&self) -> &dyn Store;
    /// Everything that was announced, in order.
    fn announced(&self) -> Vec<(SessionKey, Position, Bytes)>;
    /// Everything that waits for the ledger, in order.
    async fn waiting(&self) -> Vec<Arc<Entry>>;
    /// The ledger holds all of it now.
    async fn record_all(&self);
    /// Lets go of what has been idle since then, as far as it may.
    fn evict(&self, idle_since: Timestamp);
}

type Told = Arc<Mutex<Vec<(SessionKey, Position, Bytes)>>>;

struct Memory {
    store: MemoryStore,
    outbox: Arc<MemoryOutbox>,
    told: Told,
}

impl Memory {
    fn new() -> Self {
        let (outbox, told) = (Arc::new(MemoryOutbox::new(usize::MAX)), Told::default());
        let teller = Arc::clone(&told);
        let announce = move |key, position, frames| teller.lock().unwrap().push((key, position, frames));
        Self { store: MemoryStore::new(Box::new(announce), Arc::clone(&outbox)), outbox, told }
    }
}

#[async_trait]
impl Bench for Memory {
    fn store(&self) -> &dyn Store {
        &self.store
    }

    fn announced(&self) -> Vec<(SessionKey, Position, Bytes)> {
        self.told.lock().unwrap().clone()
    }

    async fn waiting(&self) -> Vec<Arc<Entry>> {
        let waiting = self.outbox.oldest(usize::MAX, Duration::ZERO).await.unwrap();
        waiting.into_iter().map(|waiting| waiting.entry).collect()
    }

    async fn record_all(&self) {
        let waiting = self.outbox.oldest(usize::MAX, Duration::ZERO).await.unwrap();
        if let Some(last) = waiting.last() {
            self.outbox.acknowledge(last.ticket).await.unwrap();
        }
    }

    fn evict(&self, idle_since: Timestamp) {
        let _ = self.store.evict(idle_since);
    }
}

macro_rules! contract {
    ($backend:ident: $bench:ident; $($sentence:ident,)*) => {
        mod $backend {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $sentence() {
                    super::$sentence(&super::$bench::new()).await;
                }
            )*
        }
    };
}

contract! { memory: Memory;
    a_write_is_stored_announced_and_audited_in_one_step,
    a_stale_write_is_told_the_newest_and_leaves_no_trace,
    a_write_to_what_is_not_held_leaves_no_trace,
    of_many_first_writes_one_is_stored,
    of_racing_writes_each_is_stored_on_the_one_before,
    announcements_and_entries_come_in_the_order_of_the_versions,
    a_deadline_moves_with_its_session,
    what_is_due_comes_soonest_first_and_no_more_than_asked_for,
    a_repeated_key_is_answered_as_the_first_time,
    an_answer_is_remembered_for_ten_minutes,
    an_idle_session_is_found_until_the_ledger_holds_it,
    what_something_will_happen_to_is_never_let_go,
    a_deleted_session_stays_as_deleted_until_the_ledger_holds_that,
    a_restored_session_is_taken_once_with_its_deadline_and_answers,
    a_restored_session_is_no_write,
    recorded_returns_when_the_ledger_holds_it_and_not_before,
    answers_keep_in_step_with_the_ledger_unless_it_is_away,
    it_answers,
}

fn key(session: &str) -> SessionKey {
    SessionKey { tenant: TenantId::new("acme").unwrap(), session: SessionId::new(session).unwrap() }
}

/// A minute that counts down.
fn created(key: &SessionKey) -> Session {
    let new = NewSession {
        session_id: key.session.clone(),
        sync_mode: SyncMode::Global,
        participants: Vec::new(),
        groups: Vec::new(),
        rules: Rules { total_time_ms: Some(60_000), ..Rules::default() },
        metadata: serde_json::Map::new(),
    };
    Session::create(new, NOW).unwrap().session
}

fn after(held: &Held, command: &Command, at: Timestamp) -> Session {
    match held.session.next(command, at) {
        Step::Done(change) => change.session,
        other => panic!("{other:?}"),
    }
}

const START: Command = Command::Start { at: None, participant: None };

fn commit(key: &SessionKey, base: Option<&Held>, session: Session, repeat: Option<Repeat>) -> Commit {
    let body = Bytes::from(session.stored());
    let previous = base.map_or(Digest::NONE, |base| base.head);
    let link = Link { position: session.position, at: session.updated_at, previous, body: Digest::of(&body) };
    let change = Bytes::from(format!("{{\"version\":{}}}", session.position.version));
    let frames = Bytes::from(format!("frame {}", session.position));
    let entry = Arc::new(Entry { key: key.clone(), link, body: Some(body), change, repeat });
    Commit { key: key.clone(), base: base.map(|base| base.session.position), session: Arc::new(session), frames, entry }
}

async fn stored(bench: &impl Bench, commit: Commit) -> Held {
    match bench.store().commit(commit).await.unwrap() {
        Committed::Stored(held) => held,
        other => panic!("{other:?}"),
    }
}

async fn first(bench: &impl Bench, key: &SessionKey) -> Held {
    stored(bench, commit(key, None, created(key), None)).await
}

async fn commanded(bench: &impl Bench, key: &SessionKey, held: &Held, command: &Command) -> Held {
    let at = held.session.updated_at;
    stored(bench, commit(key, Some(held), after(held, command, at), None)).await
}

fn repeat(text: &str) -> Repeat {
    Repeat { key: Digest::of(text.as_bytes()), body: Digest::of(b"body") }
}

async fn a_write_is_stored_announced_and_audited_in_one_step(bench: &impl Bench) {
    let key = key("a");
    let held = first(bench, &key).await;
    let running = commanded(bench, &key, &held, &START).await;
    let read = bench.store().read(&key).await.unwrap().unwrap();
    assert_eq!((&read.session, read.head, read.ticket), (&running.session, running.head, running.ticket));
    let told: Vec<_> =
        bench.announced().into_iter().map(|(key, position, frames)| (key, position.version, frames)).collect();
    let frame = |held: &Held| Bytes::from(format!("frame {}", held.session.position));
    assert_eq!(told, [(key.clone(), 1, frame(&held)), (key.clone(), 2, frame(&running))]);
    let waiting = bench.waiting().await;
    assert_eq!(waiting.iter().map(|entry| entry.link.digest()).collect::<Vec<_>>(), [held.head, running.head]);
    assert_eq!(bench.store().due(NOW + 60_000, 10).await.unwrap(), [(NOW + 60_000, key)]);
}

async fn a_stale_write_is_told_the_newest_and_leaves_no_trace(bench: &impl Bench) {
    let key = key("a");
    let old = first(bench, &key).await;
    let newest = commanded(bench, &key, &old, &START).await;
    let before = (bench.announced().len(), bench.waiting().await.len());
    for base in [Some(&old), None] {
        let late = commit(&key, base, after(&old, &Command::Cancel, NOW), Some(repeat("late")));
        let Committed::Stale(held) = bench.store().commit(late).await.unwrap() else { panic!("it is stale") };
        assert_eq!(held.session, newest.session);
    }
    assert_eq!(bench.store().read(&key).await.unwrap().unwrap().session, newest.session);
    assert_eq!((bench.announced().len(), bench.waiting().await.len()), before);
    assert_eq!(bench.store().due(NOW + 60_000, 10).await.unwrap().len(), 1);
    assert_eq!(bench.store().answered(&key, &repeat("late").key).await.unwrap(), None);
}

async fn a_write_to_what_is_not_held_leaves_no_trace(bench: &impl Bench) {
    let (held, elsewhere) = (first(bench, &key("a")).await, key("b"));
    let lost = commit(&elsewhere, Some(&held), after(&held, &START, NOW), None);
    assert!(matches!(bench.store().commit(lost).await.unwrap(), Committed::Missing));
    assert!(bench.store().read(&elsewhere).await.unwrap().is_none());
    assert_eq!((bench.announced().len(), bench.waiting().await.len()), (1, 1));
    assert!(bench.store().due(Timestamp::NEVER, 10).await.unwrap().is_empty());
}

async fn of_many_first_writes_one_is_stored(bench: &impl Bench) {
    let key = key("a");
    let racing = (0..50).map(|_| bench.store().commit(commit(&key, None, created(&key), None)));
    let outcomes = join_all(racing).await;
    let won = outcomes.iter().filter(|outcome| matches!(outcome, Ok(Committed::Stored(_)))).count();
    let stale = outcomes.iter().filter(|outcome| matches!(outcome, Ok(Committed::Stale(_)))).count();
    assert_eq!((won, stale, bench.announced().len(), bench.waiting().await.len()), (1, 49, 1, 1));
}

/// Each writes until it has won `times`.
async fn race(bench: &impl Bench, key: &SessionKey, writers: usize, times: usize) {
    let write = async || {
        let mut held = bench.store().read(key).await.unwrap().unwrap();
        for _ in 0..times {
            loop {
                let next = after(&held, &Command::Switch(crate::domain::session::command::Switch::default()), NOW);
                match bench.store().commit(commit(key, Some(&held), next, None)).await.unwrap() {
                    Committed::Stored(newest) => break held = newest,
                    Committed::Stale(newest) => held = newest,
                    other => panic!("{other:?}"),
                }
                tokio::task::yield_now().await;
            }
            tokio::task::yield_now().await;
        }
    };
    join_all((0..writers).map(|_| write())).await;
}

async fn of_racing_writes_each_is_stored_on_the_one_before(bench: &impl Bench) {
    let key = key("a");
    let held = first(bench, &key).await;
    commanded(bench, &key, &held, &START).await;
    race(bench, &key, 20, 20).await;
    let newest = bench.store().read(&key).await.unwrap().unwrap();
    assert_eq!(newest.session.position.version, 402);
    let mut previous = Digest::NONE;
    for entry in bench.waiting().await {
        assert_eq!(entry.link.previous, previous, "{:?}", entry.link);
        previous = entry.link.digest();
    }
    assert_eq!(previous, newest.head);
}

async fn announcements_and_entries_come_in_the_order_of_the_versions(bench: &impl Bench) {
    let keys = ["a", "b", "c"].map(key);
    for key in &keys {
        let held = first(bench, key).await;
        commanded(bench, key, &held, &START).await;
    }
    join_all(keys.iter().map(|key| race(bench, key, 4, 25))).await;
    let (mut told, mut audited) = (BTreeMap::new(), BTreeMap::new());
    for (key, position, _) in bench.announced() {
        told.entry(key).or_insert_with(Vec::new).push(position.version);
    }
    for entry in bench.waiting().await {
        audited.entry(entry.key.clone()).or_insert_with(Vec::new).push(entry.link.position.version);
    }
    for key in &keys {
        let all: Vec<_> = (1..=102).collect();
        assert_eq!((&told[key], &audited[key]), (&all, &all), "{key}");
    }
}

async fn a_deadline_moves_with_its_session(bench: &impl Bench) {
    let key = key("a");
    let held = first(bench, &key).await;
    let due = async || bench.store().due(Timestamp::NEVER, 10).await.unwrap();
    assert_eq!(due().await, []);
    let held = commanded(bench, &key, &held, &START).await;
    assert_eq!(due().await, [(NOW + 60_000, key.clone())]);
    let target = crate::domain::session::command::Target::Session;
    let change = crate::domain::session::command::Adjustment::Add(5_000);
    let held = commanded(bench, &key, &held, &Command::Adjust { target, change }).await;
    assert_eq!(due().await, [(NOW + 65_000, key.clone())]);
    commanded(bench, &key, &held, &Command::Cancel).await;
    assert_eq!(due().await, []);
}

async fn what_is_due_comes_soonest_first_and_no_more_than_asked_for(bench: &impl Bench) {
    for number in (0..100).rev() {
        let key = key(&format!("s-{number}"));
        let held = first(bench, &key).await;
        let started = after(&held, &START, NOW + number);
        stored(bench, commit(&key, Some(&held), started, None)).await;
    }
    let due = async |until, limit| {
        let due = bench.store().due(NOW + 60_000 + until, limit).await.unwrap();
        due.into_iter().map(|(at, _)| at.since(NOW + 60_000)).collect::<Vec<_>>()
    };
    assert_eq!(due(9, 1_000).await, (0..10).collect::<Vec<_>>());
    assert_eq!(due(1_000, 7).await, (0..7).collect::<Vec<_>>());
    assert_eq!(due(-1, 7).await, Vec::<i64>::new());
}

async fn a_repeated_key_is_answered_as_the_first_time(bench: &impl Bench) {
    let key = key("a");
    let held = first(bench, &key).await;
    let once = stored(bench, commit(&key, Some(&held), after(&held, &START, NOW), Some(repeat("k")))).await;
    let newest = commanded(bench, &key, &once, &Command::Cancel).await;
    let before = (bench.announced().len(), bench.waiting().await.len());
    // On whatever version the repeat believes to write.
    for base in [&held, &once, &newest] {
        let again = commit(&key, Some(base), after(&held, &START, NOW), Some(repeat("k")));
        let Committed::Repeated(answered, present) = bench.store().commit(again).await.unwrap() else {
            panic!("it was answered before")
        };
        let expected = Answered {
            repeat: repeat("k"),
            position: once.session.position,
            at: NOW,
            change: Bytes::from("{\"version\":2}"),
        };
        assert_eq!((answered, &present.session), (expected, &newest.session));
    }
    assert_eq!((bench.announced().len(), bench.waiting().await.len()), before);
    let answered = bench.store().answered(&key, &repeat("k").key).await.unwrap().unwrap();
    assert_eq!(answered.position.version, 2);
    for (other, text) in [(key, "other"), (self::key("b"), "k")] {
        assert_eq!(bench.store().answered(&other, &repeat(text).key).await.unwrap(), None);
    }
}

async fn an_answer_is_remembered_for_ten_minutes(bench: &impl Bench) {
    let key = key("a");
    let held = first(bench, &key).await;
    let held = stored(bench, commit(&key, Some(&held), after(&held, &START, NOW), Some(repeat("k")))).await;
    let pause = Command::Pause { reason: None, target: crate::domain::session::command::Target::Session };
    let held = commanded(bench, &key, &held, &pause).await;
    let again = after(&held, &pause, NOW + ANSWERED_MS);
    stored(bench, commit(&key, Some(&held), again, Some(repeat("ten minutes later")))).await;
    assert!(bench.store().answered(&key, &repeat("k").key).await.unwrap().is_some());
}

async fn an_idle_session_is_found_until_the_ledger_holds_it(bench: &impl Bench) {
    let key = key("a");
    first(bench, &key).await;
    let is_held = async || bench.store().read(&key).await.unwrap().is_some();
    bench.evict(NOW + 1);
    assert!(is_held().await, "the ledger does not hold it");
    bench.record_all().await;
    bench.evict(NOW);
    assert!(is_held().await, "it has not been idle");
    bench.evict(NOW + 1);
    assert!(!is_held().await);
}

async fn what_something_will_happen_to_is_never_let_go(bench: &impl Bench) {
    let (running, scheduled) = (key("running"), key("scheduled"));
    let held = first(bench, &running).await;
    commanded(bench, &running, &held, &START).await;
    let held = first(bench, &scheduled).await;
    commanded(bench, &scheduled, &held, &Command::Start { at: Some(NOW + 60_000), participant: None }).await;
    bench.record_all().await;
    bench.evict(Timestamp::NEVER);
    for key in [running, scheduled] {
        assert!(bench.store().read(&key).await.unwrap().is_some(), "{key}");
    }
}

async fn a_deleted_session_stays_as_deleted_until_the_ledger_holds_that(bench: &impl Bench) {
    let key = key("a");
    let held = first(bench, &key).await;
    bench.record_all().await;
    let deleted = commanded(bench, &key, &held, &Command::Delete).await;
    bench.evict(Timestamp::NEVER);
    let read = bench.store().read(&key).await.unwrap().unwrap();
    assert_eq!((read.session.status, read.ticket), (Status::Deleted, deleted.ticket));
    let again = bench.store().commit(commit(&key, None, created(&key), None)).await.unwrap();
    assert!(matches!(again, Committed::Stale(_)), "{again:?}");
}

/// As the ledger had it, in a new epoch.
fn restored(held: &Held) -> Held {
    let session = held.session.restored(None, NOW + 7_000);
    Held { session: Arc::new(session), head: held.head, ticket: None }
}

async fn a_restored_session_is_taken_once_with_its_deadline_and_answers(bench: &impl Bench) {
    let (origin, key) = (Memory::new(), key("a"));
    let held = first(&origin, &key).await;
    let held = commanded(&origin, &key, &held, &START).await;
    let answered =
        Answered { repeat: repeat("k"), position: held.session.position, at: NOW, change: Bytes::from("{}") };
    let taken = bench.store().restore(&key, restored(&held), vec![answered.clone()]).await.unwrap();
    assert_eq!(taken.session.position, Position { epoch: NOW.as_ms() + 7_000, version: 2 });
    assert_eq!(bench.store().due(Timestamp::NEVER, 9).await.unwrap(), [(NOW + 60_000, key.clone())]);
    assert_eq!(bench.store().answered(&key, &repeat("k").key).await.unwrap(), Some(answered));
    // The second one to restore it finds the first one's, and what was written since.
    let newest = commanded(bench, &key, &taken, &Command::Cancel).await;
    let again = bench.store().restore(&key, restored(&held), Vec::new()).await.unwrap();
    assert_eq!((&again.session, again.head), (&newest.session, newest.head));
}

async fn a_restored_session_is_no_write(bench: &impl Bench) {
    let (origin, key) = (Memory::new(), key("a"));
    let held = first(&origin, &key).await;
    let taken = bench.store().restore(&key, restored(&held), Vec::new()).await.unwrap();
    assert_eq!((bench.announced().len(), bench.waiting().await.len(), taken.ticket), (0, 0, None));
    // What is written next names the version it was restored from.
    let next = commanded(bench, &key, &taken, &START).await;
    assert_eq!(bench.waiting().await[0].link.previous, held.head);
    assert_eq!(next.session.position.version, 2);
}

async fn recorded_returns_when_the_ledger_holds_it_and_not_before(bench: &impl Bench) {
    let one = first(bench, &key("a")).await.ticket.unwrap();
    bench.record_all().await;
    let two = first(bench, &key("b")).await.ticket.unwrap();
    assert!(bench.store().recorded(one).now_or_never().is_some());
    assert!(bench.store().recorded(two).now_or_never().is_none());
    let (recorded, ()) = tokio::join!(bench.store().recorded(two), bench.record_all());
    recorded.unwrap();
}

async fn answers_keep_in_step_with_the_ledger_unless_it_is_away(bench: &impl Bench) {
    let in_time = async |ms| tokio::time::timeout(Duration::from_millis(ms), bench.store().in_step()).await.is_ok();
    assert!(bench.store().in_step().now_or_never().is_some(), "nothing waits");
    first(bench, &key("a")).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!in_time(50).await, "the ledger is behind");
    let ((), ()) = tokio::join!(bench.store().in_step(), bench.record_all());
    first(bench, &key("b")).await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert!(bench.store().in_step().now_or_never().is_some(), "the ledger is away");
}

async fn it_answers(bench: &impl Bench) {
    bench.store().ping().await.unwrap();
}
