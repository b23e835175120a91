//! What callers get when something behind the service fails: a problem that says
//! whether to ask again, and nothing half-done.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use synckairos::app::error::Error as AppError;
use synckairos::app::sessions::{self, Sessions};
use synckairos::app::{CommandRequest, Precondition};
use synckairos::bus::memory::MemoryHub;
use synckairos::domain::chain::Digest;
use synckairos::domain::id::{SessionId, SessionKey, TenantId};
use synckairos::domain::idempotency::IdempotencyRecord;
use synckairos::domain::position::Position;
use synckairos::domain::principal::{Principal, Provenance, Role};
use synckairos::domain::session::command::{Command, Switch};
use synckairos::domain::time::Timestamp;
use synckairos::ids::Ids;
use synckairos::store::outbox::EntryId;
use synckairos::store::partition::Partitions;
use synckairos::store::{Commit, Committed, Error, LedgerProgress, SessionStore, Store, StoredSession};
use synckairos::wire::api_error::ApiError;
use synckairos::wire::command::CommandInput;
use tokio::sync::mpsc;

use crate::harness::cluster::TENANT;
use crate::harness::{Cluster, Session, blitz};

/// What becomes of a commit.
const LOSES_EVERY_RACE: u8 = 1;
const CANNOT_BE_REACHED: u8 = 2;
const DOES_NOT_ANSWER: u8 = 3;

/// The cluster's store, with something the matter.
struct FaultyStore {
    inner: Arc<dyn Store>,
    fault: AtomicU8,
}

#[async_trait]
impl SessionStore for FaultyStore {
    async fn read(&self, key: &SessionKey) -> Result<Option<StoredSession>, Error> {
        self.inner.read(key).await
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, Error> {
        match self.fault.load(Ordering::Relaxed) {
            LOSES_EVERY_RACE => {
                tokio::task::yield_now().await;
                let held = self.inner.read(&commit.key).await?;
                Ok(held.map_or(Committed::Missing, Committed::Stale))
            }
            CANNOT_BE_REACHED => Err(Error::Unavailable("no route to host".into())),
            // It was written, and nobody says so.
            DOES_NOT_ANSWER => self.inner.commit(commit).await.and_then(|_| Err(Error::Unknown("timed out".into()))),
            _ => self.inner.commit(commit).await,
        }
    }

    async fn restore(
        &self,
        key: &SessionKey,
        over: Option<Position>,
        held: StoredSession,
        answered: Vec<IdempotencyRecord>,
    ) -> Result<StoredSession, Error> {
        self.inner.restore(key, over, held, answered).await
    }

    async fn due(
        &self,
        partitions: Partitions,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Timestamp, SessionKey)>, Error> {
        self.inner.due(partitions, until, limit).await
    }

    async fn idempotency_record(&self, key: &SessionKey, repeat: &Digest) -> Result<Option<IdempotencyRecord>, Error> {
        self.inner.idempotency_record(key, repeat).await
    }

    async fn remember_answer(&self, key: &SessionKey, answered: IdempotencyRecord) -> Result<IdempotencyRecord, Error> {
        self.inner.remember_answer(key, answered).await
    }

    async fn generation_started_at(&self, key: &SessionKey) -> Result<Timestamp, Error> {
        self.inner.generation_started_at(key).await
    }

    async fn ping(&self) -> Result<(), Error> {
        self.inner.ping().await
    }
}

#[async_trait]
impl LedgerProgress for FaultyStore {
    async fn retain(&self, key: &SessionKey, at: Position) -> Result<(), Error> {
        self.inner.retain(key, at).await
    }

    async fn release(&self, key: &SessionKey, at: Position) -> Result<(), Error> {
        self.inner.release(key, at).await
    }

    async fn outbox_tail(&self, key: &SessionKey) -> Result<Option<EntryId>, Error> {
        self.inner.outbox_tail(key).await
    }

    async fn wait_recorded(&self, ticket: EntryId) -> Result<(), Error> {
        self.inner.wait_recorded(ticket).await
    }

    async fn wait_for_ledger(&self) {
        self.inner.wait_for_ledger().await;
    }
}

fn operator() -> Principal {
    Principal {
        tenant: TenantId::new(TENANT).unwrap(),
        subject: "a-operator".to_owned(),
        role: Role::Operator,
        participant_id: None,
        sessions: None,
        locations: None,
        expires_at: None,
        provenance: Provenance::default(),
    }
}

/// A switch of `session` through a store with that illness: the problem's code, and
/// whether it says when to ask again.
async fn switched(cluster: &Cluster, session: &Session, illness: u8, asked: CommandRequest) -> (&'static str, bool) {
    let parts = cluster.parts();
    let store = Arc::new(FaultyStore { inner: parts.store(), fault: AtomicU8::new(illness) });
    let ill = Sessions::new(sessions::SessionsParts {
        store,
        ledger: Arc::clone(&parts.ledger),
        clock: Arc::clone(&parts.clock),
        ids: Ids::Random,
        due_hints: mpsc::channel(8).0,
        audience: Arc::new(MemoryHub::default()),
        is_durable: false,
        least_advance: Duration::from_secs(1),
        idle: Duration::from_hours(1),
    });
    let id = SessionId::new(&session.id).unwrap();
    let error: AppError = ill.command(&operator(), &id, asked, parts.clock.now()).await.unwrap_err();
    let problem = ApiError::from(error).0;
    (problem.of.as_str(), problem.retry_after_ms.is_some())
}

fn switch() -> CommandRequest {
    CommandRequest::of(CommandInput::Command(Command::Switch(Switch::default())))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_race_is_retried_for_two_seconds_unless_a_version_is_named() {
    let cluster = Cluster::of(1).start().await;
    let session = cluster.caller(0).running(blitz()).await;
    let began = tokio::time::Instant::now();
    assert_eq!(switched(&cluster, &session, LOSES_EVERY_RACE, switch()).await, ("contended", false));
    let took = began.elapsed().as_millis();
    assert!((2_000..3_000).contains(&took), "took {took} ms");
    let stale = CommandRequest { expected: vec![Precondition::Version(1)], ..switch() };
    assert_eq!(switched(&cluster, &session, LOSES_EVERY_RACE, stale).await, ("stale_version", false));
    assert_eq!(cluster.caller(0).snapshot(&session).await["version"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_be_reached_has_written_nothing() {
    let cluster = Cluster::of(1).start().await;
    let session = cluster.caller(0).running(blitz()).await;
    assert_eq!(switched(&cluster, &session, CANNOT_BE_REACHED, switch()).await, ("store_unavailable", true));
    assert_eq!(cluster.caller(0).snapshot(&session).await["version"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_finds_the_write_of_a_store_that_did_not_answer() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let session = caller.running(blitz()).await;
    let body = synckairos::domain::chain::Digest::of(b"switch\n{}");
    let keyed = CommandRequest { idempotency: Some(("k".to_owned(), body)), ..switch() };
    assert_eq!(switched(&cluster, &session, DOES_NOT_ANSWER, keyed).await, ("outcome_unknown", true));
    let path = format!("{}/switch", session.path());
    let again = caller.asking(http::Method::POST, path).key("k").json(&json!({})).send().await.expect(200);
    assert_eq!((again.header("idempotent-replayed"), again.version()), ("true", 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_outage_fails_history_and_deletes_but_no_command() {
    let cluster = Cluster::of(1).start().await;
    let caller = cluster.caller(0);
    let (session, doomed) = (caller.running(blitz()).await, caller.create(blitz()).await);
    for each in [&session, &doomed] {
        caller.get(format!("{}/history", each.path())).await.expect(200);
    }
    cluster.parts().ledger.close().await;
    let gone = caller.get("/v1/sessions").await.expect(503).refused("ledger_unavailable");
    assert_eq!((gone.header("retry-after"), gone.body["retry_after_ms"].as_u64()), ("1", Some(500)));
    for path in ["history", "at?time=2026-01-01T00:00:00Z"] {
        caller.get(format!("{}/{path}", session.path())).await.expect(503).refused("ledger_unavailable");
    }
    let ready = caller.get("/ready").await.expect(200).body;
    assert_eq!((&ready["status"], &ready["ledger"], &ready["store"]), (&json!("ready"), &json!(false), &json!(true)));
    assert_eq!(caller.command(&session, "switch").await.version(), 3);
    assert_eq!(caller.snapshot(&session).await["version"], 3);
    let delete = caller.asking(http::Method::DELETE, doomed.path()).send().await;
    delete.expect(503).refused("ledger_unavailable");
    caller.get(doomed.path()).await.expect(404);
    cluster.broken_on_purpose();
}
