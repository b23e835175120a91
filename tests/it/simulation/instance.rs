//! One instance: the real parts of the service over simulated seams.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use synckairos::app::deadlines::{Deadlines, HINT_CAPACITY};
use synckairos::app::sessions::{self, DueHint, Sessions};
use synckairos::audit::heartbeat::Heartbeat;
use synckairos::audit::worker::Worker;
use synckairos::breaker;
use synckairos::bus::memory::MemoryHub;
use synckairos::clock::Clock;
use synckairos::domain::time::Timestamp;
use synckairos::fanout::{self, Hub};
use synckairos::ids::Ids;
use synckairos::ledger::Ledger;
use synckairos::ledger::instrumented::Instrumented as GuardedLedger;
use synckairos::membership::{Formats, InstanceId, LeaseTimers, Member, Membership, Ownership, Work};
use synckairos::seal::Sealing;
use synckairos::server::SessionSource;
use synckairos::shutdown::Shutdown;
use synckairos::store::instrumented::InstrumentedStore;
use synckairos::store::{Now, Store};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::clock::{HostClock, Truth};
use super::ledger::{Book, SimulatedLedger};
use super::link::{Link, Weather};
use super::plan::{Plan, Way};
use super::redis::{Server, SimulatedBus, SimulatedLeases, SimulatedOutbox, SimulatedStore};

/// The same as a real one has.
const MAX_UNCERTAINTY: Duration = Duration::from_millis(50);
const POLL: Duration = Duration::from_millis(250);

/// More often than a real one, so that a schedule is short.
const POSITION_CHECK: Duration = Duration::from_secs(2);

/// No clock is off by more, and each says that it may be off by so much.
const UNCERTAINTY_MS: u32 = 20;

/// What the instances of a world share.
#[derive(Clone)]
pub struct Around {
    pub plan: Arc<Plan>,
    pub truth: Truth,
    pub server: Server,
    pub book: Book,
}

/// A running instance.
pub struct Instance {
    pub number: u64,
    pub clock: Arc<HostClock>,
    pub sessions: Arc<Sessions>,
    pub hub: Arc<Hub>,
    /// Everything that runs in it.
    pub running: Shutdown,
    membership: Arc<Membership>,
    links: BTreeMap<&'static str, Link>,
}

impl Instance {
    /// The `number`th of all there have been.
    pub fn start(around: &Around, number: u64) -> Arc<Self> {
        Parts::new(around, number).start()
    }

    pub fn link(&self, way: Way) -> &Link {
        &self.links[name(way)]
    }

    pub fn set_weather(&self, weather: Weather) {
        self.links.values().for_each(|link| link.set_weather(weather));
    }

    /// It dies where it stands.
    pub fn crash(&self, server: &Server) {
        self.running.abort();
        server.gone(self.number);
    }

    /// It says goodbye first.
    pub async fn leave(&self, server: &Server) {
        let _ = self.membership.leave().await;
        self.crash(server);
    }
}

const fn name(way: Way) -> &'static str {
    match way {
        Way::Store => "store",
        Way::Ear => "ear",
        Way::Leases => "leases",
        Way::Outbox => "outbox",
        Way::Ledger => "ledger",
    }
}

/// What an instance is put together from.
struct Parts {
    around: Around,
    number: u64,
    clock: Arc<HostClock>,
    links: BTreeMap<&'static str, Link>,
    bare: Arc<SimulatedStore>,
    store: Arc<dyn Store>,
    ledger: Arc<dyn Ledger>,
    membership: Arc<Membership>,
    running: Shutdown,
}

impl Parts {
    fn new(around: &Around, number: u64) -> Self {
        let Around { plan, truth, server, book } = around;
        let mut rng = plan.rng("instance", number);
        let off = i64::try_from(rng.below(2 * UNCERTAINTY_MS as usize + 1)).unwrap() - i64::from(UNCERTAINTY_MS);
        let clock = Arc::new(HostClock::new(*truth, off, UNCERTAINTY_MS));
        let links = Way::ALL.map(name).map(|name| (name, Link::new(plan.rng(name, number), plan.weather)));
        let links = BTreeMap::from(links);
        let bare = Arc::new(SimulatedStore::new(server.clone(), links["store"].clone(), now_of(&clock)));
        let store = InstrumentedStore::new(Arc::clone(&bare) as _, "redis").with_breaker(breaker::Settings::default());
        let ledger = SimulatedLedger::new(book.clone(), links["ledger"].clone());
        let spans = LeaseTimers::default();
        let leases = SimulatedLeases::new(server.clone(), links["leases"].clone(), spans.lease);
        let id = InstanceId::new(rng.below(usize::MAX) as u64);
        let membership = Arc::new(Membership::new(Arc::new(leases), member(id, clock.now()), spans));
        Self {
            around: around.clone(),
            number,
            clock,
            links,
            bare,
            store: Arc::new(store),
            ledger: Arc::new(GuardedLedger::new("simulated", Arc::new(ledger))),
            membership,
            running: Shutdown::new(),
        }
    }

    fn start(self) -> Arc<Instance> {
        let (soon, hints) = mpsc::channel(HINT_CAPACITY);
        let sessions = self.sessions(soon);
        let renews = Arc::clone(&self.membership);
        self.running.spawn("membership", async move { renews.run().await });
        let hub = self.start_hub(&sessions);
        self.start_deadlines(&sessions, hints);
        self.start_audit();
        let Self { number, clock, links, membership, running, .. } = self;
        Arc::new(Instance { number, clock, sessions, hub, running, membership, links })
    }

    fn sessions(&self, soon: mpsc::Sender<DueHint>) -> Arc<Sessions> {
        Arc::new(Sessions::new(sessions::SessionsParts {
            store: Arc::clone(&self.store),
            ledger: Arc::clone(&self.ledger) as _,
            clock: Arc::clone(&self.clock) as _,
            ids: Ids::seeded(self.around.plan.rng("ids", self.number).below(usize::MAX) as u64),
            due_hints: soon,
            // Nobody is idle for long enough here.
            audience: Arc::new(MemoryHub::default()),
            is_durable: false,
            least_advance: Duration::from_millis(100),
            idle: Duration::from_hours(1),
        }))
    }

    fn start_hub(&self, sessions: &Arc<Sessions>) -> Arc<Hub> {
        let server = self.around.server.clone();
        let bus = Arc::new(SimulatedBus::new(server, self.links["ear"].clone(), self.number));
        let hears = Arc::clone(&bus);
        self.running.spawn("bus", async move { hears.run().await });
        let (source, clock) = (Arc::new(SessionSource(Arc::clone(sessions))), Arc::clone(&self.clock) as _);
        let settings = fanout::Settings { position_check: POSITION_CHECK, ..fanout::Settings::default() };
        let hub =
            Hub::start(fanout::HubParts { bus, source, clock, sealing: Sealing::default() }, settings, &self.running);
        let (doubting, mut generations) = (Arc::clone(&hub), self.bare.new_generations(1));
        self.running.spawn("generations", async move {
            while generations.changed().await.is_ok() {
                doubting.invalidate_all();
            }
        });
        hub
    }

    fn start_deadlines(&self, sessions: &Arc<Sessions>, hints: mpsc::Receiver<DueHint>) {
        let deadlines = |new_generations: watch::Receiver<u64>| Deadlines {
            sessions: Arc::clone(sessions),
            store: Arc::clone(&self.store) as _,
            ledger: Arc::clone(&self.ledger) as _,
            clock: Arc::clone(&self.clock) as _,
            ownership: Ownership::Shared(Arc::clone(&self.membership)),
            generation_changes: new_generations,
            max_uncertainty: MAX_UNCERTAINTY,
            poll_interval: POLL,
        };
        self.running.spawn("deadlines", deadlines(self.bare.new_generations(0)).run(hints));
        self.running.spawn("sweep", deadlines(self.bare.new_generations(0)).sweep());
    }

    fn start_audit(&self) {
        let (server, link, now) = (self.around.server.clone(), self.links["outbox"].clone(), now_of(&self.clock));
        let owned = self.membership.audited();
        let outbox = Arc::new(SimulatedOutbox::new(server, link, self.number, owned, Arc::clone(&now)));
        let worker = Worker::new(outbox, Arc::clone(&self.ledger) as _, Arc::clone(&now));
        self.running.spawn("audit", async move {
            worker.run(CancellationToken::new(), CancellationToken::new()).await;
        });
        let heartbeat = Heartbeat {
            ledger: Arc::clone(&self.ledger) as _,
            store: Arc::clone(&self.store) as _,
            now,
            ledger_accepts_writes: Arc::default(),
        };
        self.running.spawn("heartbeat", heartbeat.run(CancellationToken::new()));
    }
}

fn now_of(clock: &Arc<HostClock>) -> Now {
    let clock = Arc::clone(clock);
    Arc::new(move || clock.now())
}

fn member(instance: InstanceId, started_at: Timestamp) -> Member {
    let formats = Formats { oldest: 1, newest: 1 };
    Member { instance, formats, settings_version: 1, started_at, work: Work::All }
}
