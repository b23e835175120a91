//! Instances, and what they stand on.
//!
//! Dropping a cluster stops it and fails if that takes longer than a second, if a task
//! still runs or panicked, if an audit entry is not in the ledger, or if one was put
//! aside as dead.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use synckairos::clock::{Clock, ManualClock};
use synckairos::config::{Config, Secret, Timers};
use synckairos::domain::id::{SessionId, SessionKey, TenantId};
use synckairos::domain::time::Timestamp;
use synckairos::ledger::Ledger;
use synckairos::membership::Work;
use synckairos::server::{Backend, Instance, Leftovers, Services, connect};
use synckairos::shutdown::{Finished, Shutdown};
use testkit::redis::Keeps;
use tokio::time::Instant;

use super::backends::{Backends, is_shared};
use super::bus_tap::BusTap;
use super::caller::{Authority, Caller, Client, client};
use super::token::SECRET;
use super::watch::Watching;
use super::{Session, eventually};

/// When a still clock is started: 2026-01-01T00:00:00Z.
pub const BEGIN_MS: i64 = 1_767_225_600_000;

/// The tenant of all callers but foreign ones.
pub const TENANT: &str = "acme";

/// A stop takes no longer.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// A cluster to be.
pub struct Plan {
    instances: usize,
    is_real: bool,
    is_shared: bool,
    keeps: Keeps,
    ledger: Option<Arc<dyn Ledger>>,
    config: Config,
}

/// Instances that run, and what they share.
pub struct Cluster {
    instances: Vec<Instance>,
    /// Each instance's own where they are shared, else one for all.
    parts: Vec<Services>,
    manual: Option<Arc<ManualClock>>,
    backends: Backends,
    client: Client,
    has_key: bool,
    is_broken: AtomicBool,
}

impl Plan {
    /// On the host's clock instead of a still one.
    pub fn in_real_time(self) -> Self {
        Self { is_real: true, ..self }
    }

    /// On that ledger instead of a file. What it put aside as dead, the test looks after.
    pub fn on(self, ledger: Arc<dyn Ledger>) -> Self {
        Self { ledger: Some(ledger), ..self }
    }

    /// Without a key: everyone is operator of tenant `local`.
    pub fn open(mut self) -> Self {
        self.config.jwt_secret = None;
        self
    }

    /// With other settings.
    pub fn with(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// On a Redis and a PostgreSQL, whatever the others stand on.
    pub fn shared(self) -> Self {
        Self { is_shared: true, ..self }
    }

    /// The same, on a Redis that keeps everything when it is killed.
    pub fn kept(self) -> Self {
        Self { is_shared: true, keeps: Keeps::All, ..self }
    }

    /// Within one process, whatever the others stand on: for what only that has.
    pub fn embedded(self) -> Self {
        Self { is_shared: false, ..self }
    }

    pub async fn start(self) -> Cluster {
        let backends = if self.is_shared { Backends::shared(self.keeps).await } else { Backends::embedded() };
        let config = backends.settled(self.config);
        let manual = (!self.is_real).then(|| Arc::new(ManualClock::at(Timestamp::from_ms(BEGIN_MS))));
        let mut cluster = Cluster {
            instances: Vec::new(),
            parts: Vec::new(),
            manual,
            backends,
            client: client(),
            has_key: config.jwt_secret.is_some(),
            is_broken: AtomicBool::new(false),
        };
        let processes = if self.is_shared { self.instances } else { 1 };
        for _ in 0..processes {
            let ledger = match &self.ledger {
                Some(ledger) => Arc::clone(ledger),
                None => cluster.backends.ledger().await,
            };
            let parts = cluster.started(&config, ledger).await;
            cluster.parts.push(parts);
        }
        cluster.until_members(processes).await;
        for number in 0..self.instances {
            let parts = &cluster.parts[number % processes];
            cluster.instances.push(Instance::start(&config, parts, Shutdown::new()).await.unwrap());
        }
        cluster
    }
}

impl Cluster {
    async fn started(&self, config: &Config, ledger: Arc<dyn Ledger>) -> Services {
        let (redis, back) = (connect::redis(config).await.unwrap(), Shutdown::new());
        let clock: Arc<dyn Clock> = match &self.manual {
            Some(manual) => Arc::clone(manual) as _,
            None => connect::clock(config, redis.as_ref(), &back).await.unwrap(),
        };
        let live = Backend::start(config, redis, &clock, Work::All).await.unwrap();
        let parts = Services::start(config, clock, ledger, live, back);
        // A test may have broken the ledger on purpose.
        let _ = parts.open_run().await;
        parts
    }

    /// An instance knows its share of the partitions only once it knows all members.
    async fn until_members(&self, processes: usize) {
        for parts in &self.parts {
            let Some(membership) = parts.backend.membership() else { continue };
            eventually("all members are seen", async || (membership.live_members().len() == processes).then_some(()))
                .await;
        }
    }
}

impl Cluster {
    pub fn of(instances: usize) -> Plan {
        let config = Config {
            listen_addr: "127.0.0.1:0".parse().unwrap(),
            metrics_addr: "127.0.0.1:0".parse().unwrap(),
            jwt_secret: Secret::new(SECRET),
            drain_timeout: Duration::from_millis(400),
            timers: short(),
            ..Config::default()
        };
        Plan { instances, is_real: false, is_shared: is_shared(), keeps: Keeps::Nothing, ledger: None, config }
    }

    /// An operator of tenant `acme`, who asks that instance.
    pub fn caller(&self, instance: usize) -> Caller {
        let address = self.instances[instance].address;
        let authority = if self.has_key { Authority::Operator } else { Authority::Anonymous };
        Caller::new(self.client.clone(), address, authority)
    }

    /// An operator who follows that session on that instance.
    pub fn watch(&self, instance: usize, session: &Session) -> Watching {
        Watching::of(self.caller(instance), session)
    }

    pub fn instance(&self, instance: usize) -> &Instance {
        &self.instances[instance]
    }

    /// Those of the first instance.
    pub fn parts(&self) -> &Services {
        &self.parts[0]
    }

    /// Those of an instance, where each has its own.
    pub fn part(&self, instance: usize) -> &Services {
        &self.parts[instance]
    }

    /// Those of every instance.
    pub fn all_parts(&self) -> &[Services] {
        &self.parts
    }

    pub fn backends(&self) -> &Backends {
        &self.backends
    }

    pub fn backends_mut(&mut self) -> &mut Backends {
        &mut self.backends
    }

    /// The still clock.
    pub fn clock(&self) -> &ManualClock {
        self.manual.as_deref().expect("the cluster runs in real time")
    }

    /// What it is now.
    pub fn now_ms(&self) -> i64 {
        self.parts().clock.now().as_ms()
    }

    /// What is left over will be the test's own doing.
    pub fn broken_on_purpose(&self) {
        self.is_broken.store(true, Ordering::Relaxed);
    }

    /// The store lets go of a session that has been idle for long: it must be allowed to.
    pub fn let_go_of(&self, session: &Session) {
        let state = synckairos::store::keys::Keys::default().state(&key(TENANT, session));
        match self.backends.redis() {
            None => assert_eq!(self.parts().evict(), Some(0), "the ledger holds it"),
            Some(redis) => {
                let left: i64 = redis.say(&["PTTL", &state])[0].parse().unwrap();
                assert!(left > 0, "the ledger holds it, and still it stays: {left}");
                redis.say(&["DEL", &state]);
            }
        }
    }

    /// Every frame that is published for a session from now on, whatever caused it.
    pub async fn tap(&self, session: &Session) -> BusTap {
        BusTap::of(self.parts(), &key(TENANT, session)).await
    }

    /// The ledger, asked directly.
    pub async fn sql(&self, question: &str) -> Vec<Value> {
        self.backends.sql(question).await
    }

    async fn stop(&mut self) -> Vec<String> {
        let mut faults = Vec::new();
        let began = Instant::now();
        for instance in &self.instances {
            instance.front.begin();
        }
        for instance in &self.instances {
            if let Finished::Aborted(tasks) = instance.front.finish(STOP_TIMEOUT).await {
                faults.push(format!("did not stop by themselves: {}", tasks.join(", ")));
            }
            if instance.front.panics() > 0 {
                faults.push(format!("tasks of an instance panicked: {}", instance.front.panics()));
            }
        }
        for parts in &self.parts {
            parts.finish(STOP_TIMEOUT).await;
            let left = parts.leftovers().await;
            if left != Leftovers::default() {
                faults.push(format!("left over: {left:?}"));
            }
        }
        if began.elapsed() > STOP_TIMEOUT {
            faults.push(format!("took {:?} to stop", began.elapsed()));
        }
        faults
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let is_failing = std::thread::panicking() || self.is_broken.load(Ordering::Relaxed);
        let stopping = async {
            let mut faults = self.stop().await;
            // A test that failed may have left its backends frozen.
            if !is_failing {
                faults.extend(self.backends.left_over().await);
            }
            faults
        };
        let faults = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(stopping));
        assert!(is_failing || faults.is_empty(), "the cluster did not end well: {faults:#?}");
    }
}

pub fn key(tenant: &str, session: &Session) -> SessionKey {
    SessionKey { tenant: TenantId::new(tenant).unwrap(), session: SessionId::new(&session.id).unwrap() }
}

/// Spans that no test waits for.
fn short() -> Timers {
    Timers {
        heartbeat: Duration::from_millis(200),
        ping: Duration::from_millis(500),
        pong_wait: Duration::from_millis(500),
        deadline_poll: Duration::from_millis(10),
        dead_letter_poll: Duration::from_millis(50),
        position_check: Duration::from_millis(100),
        // A machine that is busy with other tests must not end leases.
        lease: Duration::from_secs(5),
        renew: Duration::from_millis(50),
        ..Timers::default()
    }
}
