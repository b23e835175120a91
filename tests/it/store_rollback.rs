//! A store that was started again from what it had: the newer of that and the ledger is
//! taken, and a new epoch begins.

use std::sync::Arc;
use std::time::Duration;

use synckairos::app::CommandRequest;
use synckairos::app::create::IdSource;
use synckairos::app::error::Error;
use synckairos::app::sessions::{self, Sessions};
use synckairos::audit::worker::Worker;
use synckairos::bus::memory::MemoryHub;
use synckairos::domain::id::SessionId;
use synckairos::domain::principal::{Principal, Provenance, Role};
use synckairos::domain::session::command::{Command, Switch};
use synckairos::ids::Ids;
use synckairos::redis::{Redis, RedisUrl};
use synckairos::store::keys::Keys;
use synckairos::store::outbox::RedisOutbox;
use synckairos::store::partition::Partitions;
use synckairos::store::redis::RedisStore;
use synckairos::store::{Now, Store, StoredSession};
use synckairos::wire::command::CommandInput;
use synckairos::wire::create::CreateBody;
use testkit::redis::{Keeps, Server};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::harness::cluster::TENANT;
use crate::harness::{Cluster, blitz, eventually};

const IDLE: Duration = Duration::from_hours(1);

/// Sessions over a Redis, and the ledger of a cluster whose own store is not asked.
struct House {
    cluster: Cluster,
    server: Server,
    store: Arc<dyn Store>,
    sessions: Sessions,
    outbox: Arc<RedisOutbox>,
    by: Principal,
    id: SessionId,
}

impl House {
    async fn new() -> Self {
        let (cluster, server) = (Cluster::of(1).start().await, Server::start(Keeps::All));
        let redis = Redis::connect(&RedisUrl::new(&server.url(), None).unwrap()).await.unwrap();
        let parts = cluster.parts();
        let clock = Arc::clone(&parts.clock);
        let now: Now = Arc::new(move || clock.now());
        let owned = watch::channel(Partitions::ALL).1;
        let outbox = Arc::new(RedisOutbox::new(&redis, Keys::default(), owned, IDLE, Arc::clone(&now)).await.unwrap());
        let store: Arc<dyn Store> = Arc::new(RedisStore::new(redis, Keys::default(), IDLE, now));
        let sessions = Sessions::new(sessions::SessionsParts {
            store: Arc::clone(&store),
            ledger: Arc::clone(&parts.ledger),
            clock: Arc::clone(&parts.clock),
            ids: Ids::Random,
            due_hints: mpsc::channel(8).0,
            audience: Arc::new(MemoryHub::default()),
            is_durable: false,
            least_advance: Duration::from_secs(1),
            idle: Duration::from_hours(1),
        });
        let by = Principal {
            tenant: TENANT.parse().unwrap(),
            subject: "a-operator".to_owned(),
            role: Role::Operator,
            participant_id: None,
            sessions: None,
            locations: None,
            expires_at: None,
            provenance: Provenance::default(),
        };
        Self { cluster, server, store, sessions, outbox, by, id: "going-back".parse().unwrap() }
    }

    async fn switch(&self) -> StoredSession {
        let asked = CommandRequest::of(CommandInput::Command(Command::Switch(Switch::default())));
        let now = self.cluster.parts().clock.now();
        self.sessions.command(&self.by, &self.id, asked, now).await.unwrap().stored
    }

    /// A session that runs, at version 3.
    async fn running(&self) -> StoredSession {
        let body: CreateBody = serde_json::from_value(blitz()).unwrap();
        let new = body.into_new(self.id.clone()).unwrap();
        let now = self.cluster.parts().clock.now();
        self.sessions.create(&self.by, new, IdSource::Caller, None, now).await.unwrap();
        let start = CommandRequest::of(CommandInput::Command(Command::Start { at: None, participant: None }));
        self.sessions.command(&self.by, &self.id, start, now).await.unwrap();
        self.switch().await
    }

    /// Brings what waits into the ledger.
    async fn record(&self) {
        let (parts, stop) = (self.cluster.parts(), CancellationToken::new());
        let clock = Arc::clone(&parts.clock);
        let worker =
            Worker::new(Arc::clone(&self.outbox) as _, Arc::clone(&parts.ledger) as _, Arc::new(move || clock.now()));
        stop.cancel();
        assert_eq!(worker.run(stop, CancellationToken::new()).await.entries, 0);
    }

    /// Killed, started again, and reached.
    async fn restart(&mut self) {
        self.server.kill();
        self.server.start_again();
        eventually("the store answers", async || self.store.ping().await.ok()).await;
    }

    async fn look(&self) -> StoredSession {
        self.sessions.read(&self.by, &self.id).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_kept_by_the_store_goes_on_in_a_new_epoch() {
    let mut house = House::new().await;
    let held = house.running().await;
    house.restart().await;
    // What it left for the ledger comes first.
    let early = house.sessions.read(&house.by, &house.id).await;
    assert!(matches!(early, Err(Error::Restoring)), "{early:?}");
    house.record().await;
    let found = house.look().await;
    assert_eq!((found.needs_restore, found.head), (false, held.head));
    let (before, after) = (held.session.position, found.session.position);
    assert!(after.epoch > before.epoch && after.version == before.version && found.session.recovered.is_some());
    // Once is enough.
    assert_eq!(house.look().await.session.position, after);
    let next = house.switch().await;
    assert_eq!((next.session.position.epoch, next.session.position.version), (after.epoch, before.version + 1));
    house.record().await;
    let rows = house.cluster.parts().ledger.history(&key(&house), None, 10).await.unwrap().rows;
    assert_eq!(rows.iter().map(|row| row.superseded).collect::<Vec<_>>(), [false; 4]);
    assert_eq!(rows[3].link.previous, held.head);
}

fn key(house: &House) -> synckairos::domain::id::SessionKey {
    house.sessions.key(&house.by, &house.id).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_only_in_the_ledger_is_restored() {
    let mut house = House::new().await;
    house.running().await;
    let name = Keys::default().state(&key(&house));
    let earlier = house.server.say(&["HMGET", &name, "h", "b"]);
    let newest = house.switch().await;
    house.record().await;
    // The store forgot its last write, as one that lost the end of its log.
    house.server.say(&["HSET", &name, "h", &earlier[0], "b", &earlier[1]]);
    house.restart().await;
    let found = house.look().await;
    assert_eq!((found.head, found.session.position.version), (newest.head, newest.session.position.version));
    assert!(found.session.position.epoch > newest.session.position.epoch);
    // And with nothing left at all.
    house.server.say(&["FLUSHALL"]);
    let again = house.look().await;
    assert_eq!(again.session.position.version, newest.session.position.version);
    assert!(again.session.position.epoch >= found.session.position.epoch);
    house.switch().await;
}
