//! Instances over shared memory parts.
//!
//! Dropping a cluster stops it and fails if that takes longer than a second, if a task
//! still runs or panicked, if an audit entry is not in the ledger, or if one was put
//! aside as dead.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use synckairos::clock::{Clock, ManualClock, SystemClock};
use synckairos::config::{Config, Secret, Spans};
use synckairos::domain::id::{SessionId, SessionKey, TenantId};
use synckairos::domain::time::Timestamp;
use synckairos::ledger::Ledger;
use synckairos::ledger::sqlite::{Durability, SqliteLedger};
use synckairos::server::{Instance, Leftovers, Parts};
use synckairos::shutdown::{Finished, Shutdown};
use tempfile::TempDir;
use tokio::time::Instant;

use super::Session;
use super::caller::{Authority, Caller, Client, client};
use super::heard::Heard;
use super::token::SECRET;
use super::watch::Watching;

/// When a still clock is started: 2026-01-01T00:00:00Z.
pub const BEGIN_MS: i64 = 1_767_225_600_000;

/// The tenant of whoever is not foreign.
pub const TENANT: &str = "acme";

/// A stop takes no longer.
const STOP: Duration = Duration::from_secs(1);

/// A cluster to be.
pub struct Plan {
    instances: usize,
    is_real: bool,
    ledger: Option<Arc<dyn Ledger>>,
    config: Config,
}

/// Instances that run, and what they share.
pub struct Cluster {
    instances: Vec<Instance>,
    parts: Option<Parts>,
    manual: Option<Arc<ManualClock>>,
    /// Holds the ledger, and goes with the cluster.
    _folder: TempDir,
    ledger_file: PathBuf,
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

    pub async fn start(self) -> Cluster {
        let folder = tempfile::tempdir().unwrap();
        let config = Config { data_dir: folder.path().to_path_buf(), ..self.config };
        let manual = (!self.is_real).then(|| Arc::new(ManualClock::at(Timestamp::from_ms(BEGIN_MS))));
        let clock: Arc<dyn Clock> = match &manual {
            Some(manual) => Arc::clone(manual) as _,
            None => Arc::new(SystemClock::start()),
        };
        let ledger_file = config.ledger_file();
        let own = SqliteLedger::open(&ledger_file, Durability::Flush).await.unwrap();
        let ledger = self.ledger.unwrap_or_else(|| Arc::new(own));
        let parts = Parts::start(&config, clock, ledger, Shutdown::new()).await.unwrap();
        let mut instances = Vec::new();
        for _ in 0..self.instances {
            instances.push(Instance::start(&config, &parts, Shutdown::new()).await.unwrap());
        }
        let is_broken = AtomicBool::new(false);
        let has_key = config.jwt_secret.is_some();
        Cluster {
            instances,
            parts: Some(parts),
            manual,
            _folder: folder,
            ledger_file,
            client: client(),
            has_key,
            is_broken,
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
            spans: short(),
            ..Config::default()
        };
        Plan { instances, is_real: false, ledger: None, config }
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

    pub fn parts(&self) -> &Parts {
        self.parts.as_ref().unwrap()
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

    /// Lets go of what is idle, as the service does every few seconds; gives what is left.
    pub fn evict(&self) -> usize {
        self.parts().evict()
    }

    /// Everything that is announced of a session from now on, whoever caused it.
    pub async fn hear(&self, session: &Session) -> Heard {
        Heard::of(self.parts(), &key(TENANT, session)).await
    }

    /// The ledger, asked directly.
    pub async fn sql(&self, question: &str) -> Vec<Value> {
        let mut connection = open(&self.ledger_file).await;
        let rows: Vec<(String,)> =
            sqlx::query_as(sqlx::AssertSqlSafe(question)).fetch_all(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        rows.into_iter().map(|(row,)| serde_json::from_str(&row).unwrap()).collect()
    }

    async fn stop(&mut self) -> Vec<String> {
        let mut faults = Vec::new();
        let began = Instant::now();
        for instance in &self.instances {
            instance.front.begin();
        }
        for instance in &self.instances {
            if let Finished::Cut(tasks) = instance.front.finish(STOP).await {
                faults.push(format!("did not stop by themselves: {}", tasks.join(", ")));
            }
            if instance.front.panics() > 0 {
                faults.push(format!("tasks of an instance panicked: {}", instance.front.panics()));
            }
        }
        if let Some(parts) = self.parts.take() {
            parts.finish(STOP).await;
            let left = parts.leftovers().await;
            if left != Leftovers::default() {
                faults.push(format!("left over: {left:?}"));
            }
        }
        if began.elapsed() > STOP {
            faults.push(format!("took {:?} to stop", began.elapsed()));
        }
        faults.extend(dead_letters(&self.ledger_file).await);
        faults
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let is_failing = std::thread::panicking() || self.is_broken.load(Ordering::Relaxed);
        let faults = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(self.stop()));
        assert!(is_failing || faults.is_empty(), "the cluster did not end well: {faults:#?}");
    }
}

pub fn key(tenant: &str, session: &Session) -> SessionKey {
    SessionKey { tenant: TenantId::new(tenant).unwrap(), session: SessionId::new(&session.id).unwrap() }
}

/// Spans that no test waits for.
fn short() -> Spans {
    Spans {
        heartbeat: Duration::from_millis(200),
        ping: Duration::from_millis(500),
        pong_wait: Duration::from_millis(500),
        deadline_poll: Duration::from_millis(10),
        position_check: Duration::from_millis(100),
    }
}

async fn open(file: &PathBuf) -> SqliteConnection {
    SqliteConnectOptions::new().filename(file).connect().await.unwrap()
}

async fn dead_letters(file: &PathBuf) -> Option<String> {
    let mut connection = open(file).await;
    let dead: Vec<(String,)> =
        sqlx::query_as("select reason from dead_letter").fetch_all(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    (!dead.is_empty()).then(|| format!("put aside as dead: {dead:?}"))
}
