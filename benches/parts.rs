//! The cost of now, of a write to Redis and of a frame to many: `cargo bench --bench parts`.
//!
//! It starts a `redis-server` of its own, on loopback, and ends it.

#![expect(clippy::unwrap_used, reason = "a bench is a test: it may fail loudly")]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use futures::future::join_all;
use synckairos::app::CommandRequest;
use synckairos::app::create::IdSource;
use synckairos::app::sessions::{Sessions, SessionsParts};
use synckairos::bus::Message;
use synckairos::bus::memory::MemoryHub;
use synckairos::clock::cluster::{self, Follower, Reading, Reference, ReferenceUnavailable, StoredOffset};
use synckairos::clock::{Clock, HostCounter, ManualClock, SystemClock};
use synckairos::domain::id::{SessionId, SessionKey, TenantId};
use synckairos::domain::position::Position;
use synckairos::domain::principal::{Principal, Provenance, Role};
use synckairos::domain::session::command::{Command, Switch};
use synckairos::domain::time::Timestamp;
use synckairos::fanout::{self, Delivery, Hub, NewestState, Settings, Source, Subscription, Transport, Unavailable};
use synckairos::ids::Ids;
use synckairos::ledger::sqlite::{Durability, SqliteLedger};
use synckairos::redis::{Redis, RedisUrl};
use synckairos::seal::Sealing;
use synckairos::shutdown::Shutdown;
use synckairos::store::keys::Keys;
use synckairos::store::redis::RedisStore;
use synckairos::wire::command::{CommandInput, parsed};
use synckairos::wire::create::CreateBody;
use testkit::redis::{Keeps, Server};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

const SESSIONS: usize = 32;
const SUBSCRIBERS: usize = 1_000;
const START: Timestamp = Timestamp::from_ms(1_767_225_600_000);

struct Service {
    sessions: Sessions,
    by: Principal,
    ids: Vec<SessionId>,
    /// Nobody looks at it; but somebody must hold it.
    #[expect(dead_code, reason = "it is held, so that deadlines can be announced")]
    soon: mpsc::Receiver<synckairos::app::sessions::DueHint>,
}

impl Service {
    async fn over(url: &str, folder: &std::path::Path) -> Self {
        let address = RedisUrl::new(url, None).unwrap();
        let redis = Redis::connect(&address).await.unwrap();
        let clock = Arc::new(ManualClock::at(START));
        let store = Arc::new(RedisStore::new(redis, Keys::default(), Duration::from_hours(1), Arc::new(|| START)));
        let ledger = Arc::new(SqliteLedger::open(&folder.join("ledger.db"), Durability::Flush).await.unwrap());
        let (tells, soon) = mpsc::channel(1);
        let sessions = Sessions::new(SessionsParts {
            store,
            ledger,
            clock,
            ids: Ids::Random,
            due_hints: tells,
            audience: Arc::new(MemoryHub::default()),
            is_durable: false,
            least_advance: Duration::from_secs(1),
            idle: Duration::from_hours(1),
        });
        let by = Principal {
            tenant: TenantId::new("acme").unwrap(),
            subject: "bench".to_owned(),
            role: Role::Operator,
            participant_id: None,
            sessions: None,
            expires_at: None,
            provenance: Provenance::default(),
        };
        let mut service = Self { sessions, by, ids: Vec::new(), soon };
        for number in 0..SESSIONS {
            service.begin(number).await;
        }
        service
    }

    async fn begin(&mut self, number: usize) {
        let body = serde_json::json!({
            "sync_mode": "per_participant", "total_time_ms": 3_600_000,
            "participants": [{"participant_id": "white"}, {"participant_id": "black"}],
        });
        let id = SessionId::new(format!("bench-{number}")).unwrap();
        let wanted: CreateBody = parsed(body.as_object().unwrap().clone()).unwrap();
        let new = wanted.into_new(id.clone()).unwrap();
        self.sessions.create(&self.by, new, IdSource::Server, None, START).await.unwrap();
        self.command(&id, Command::Start { at: None, participant: None }).await;
        self.ids.push(id);
    }

    async fn command(&self, id: &SessionId, command: Command) {
        let asked = CommandRequest::of(CommandInput::Command(command));
        self.sessions.command(&self.by, id, asked, START).await.unwrap();
    }

    async fn switch(&self, id: &SessionId) {
        self.command(id, Command::Switch(Switch::default())).await;
    }
}

/// A reference clock that stands still: it answers at once.
struct StillReference;

#[async_trait]
impl Reference for StillReference {
    async fn exchange(&self) -> Result<Reading, ReferenceUnavailable> {
        let stored = StoredOffset { run_id: "bench".to_owned(), offset_us: 0 };
        Ok(Reading { run_id: "bench".to_owned(), server_us: START.as_ms() * 1_000, stored: Some(stored) })
    }

    async fn claim(&self, _: Option<&StoredOffset>, _: &StoredOffset) -> Result<(), ReferenceUnavailable> {
        Ok(())
    }
}

fn now(criterion: &mut Criterion) {
    let clock = SystemClock::start();
    criterion.bench_function("now", |bench| bench.iter(|| clock.now_us()));
    let started = Follower::start(HostCounter::start(), Arc::new(StillReference), cluster::Settings::default());
    let (clock, _follower) = Runtime::new().unwrap().block_on(started);
    criterion.bench_function("now in cluster time, in whole milliseconds", |bench| bench.iter(|| clock.now()));
}

fn commits(criterion: &mut Criterion) {
    let (runtime, server, folder) =
        (Runtime::new().unwrap(), Server::start(Keeps::Nothing), tempfile::tempdir().unwrap());
    let service = runtime.block_on(Service::over(&server.url(), folder.path()));
    criterion.bench_function("switch over Redis, one at a time", |bench| {
        bench.iter(|| runtime.block_on(service.switch(&service.ids[0])));
    });
    criterion.bench_function(&format!("switch over Redis, {SESSIONS} at once"), |bench| {
        bench.iter(|| runtime.block_on(join_all(service.ids.iter().map(|id| service.switch(id)))));
    });
}

/// A session that stands where it stood first.
struct StillSession;

#[async_trait]
impl Source for StillSession {
    async fn newest(&self, _: &SessionKey) -> Result<Option<NewestState>, Unavailable> {
        let position = Position { epoch: 1, version: 1 };
        Ok(Some(NewestState { position, snapshot: Bytes::from_static(b"{}"), is_deleted: false }))
    }
}

async fn heard(subscriptions: &mut [Subscription], position: Position) {
    for subscription in subscriptions {
        while subscription.position() < Some(position) {
            assert!(matches!(subscription.next().await, Delivery::Update(_)), "it ended");
        }
    }
}

/// To one subscriber: the cost of a topic, which takes the frame and wakes. To many: that of all of them.
fn fan_out(criterion: &mut Criterion) {
    for subscribers in [1, SUBSCRIBERS] {
        fan_out_to(subscribers, criterion);
    }
}

fn fan_out_to(subscribers: usize, criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let _inside = runtime.enter();
    let (memory, shutdown) = (MemoryHub::default(), Shutdown::new());
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(START));
    let parts = fanout::HubParts {
        bus: Arc::new(memory.attach()),
        source: Arc::new(StillSession),
        clock,
        sealing: Sealing::default(),
    };
    let hub = Hub::start(parts, Settings::default(), &shutdown);
    let key = SessionKey { tenant: TenantId::new("acme").unwrap(), session: SessionId::new("a").unwrap() };
    let mut subscriptions: Vec<_> = (0..subscribers).map(|_| hub.subscribe(&key, None, Transport::WebSocket)).collect();
    let mut position = Position { epoch: 1, version: 1 };
    runtime.block_on(heard(&mut subscriptions, position));
    criterion.bench_function(&format!("a frame through ring and hub to {subscribers}"), |bench| {
        bench.iter(|| {
            position.version += 1;
            let frames = Bytes::from(format!("{{\"position\":\"{position}\"}}"));
            memory.announce(&Message { key: key.clone(), position, frames });
            runtime.block_on(heard(&mut subscriptions, position));
        });
    });
    drop(subscriptions);
    shutdown.begin();
    runtime.block_on(shutdown.finish(Duration::from_secs(5)));
}

criterion_group!(benches, now, commits, fan_out);
criterion_main!(benches);
