//! Every setting: its name, its default and its value.
//!
//! One table feeds the flags, the environment, the keys of the file, the reference in
//! `docs/CONFIGURATION.md` and `serve --check`. Only `main` reads the environment, once, and passes
//! pairs in.

mod address;
mod layers;
mod rate_limit;
mod read;
mod table;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use address::Address;
pub use layers::{Pairs, Resolved, Source, resolve};
pub use crate::domain::network::Network;
pub use rate_limit::{RateLimit, RateLimits};
pub use table::{SETTINGS, Setting, reference};

/// Long enough for a balancer, which asks every few seconds whether an instance is ready.
const DEFAULT_DRAIN_GRACE: Duration = Duration::from_secs(5);

/// The settings of an instance.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where REST and the streams are served.
    pub listen_addr: SocketAddr,
    /// Where `/metrics` is served.
    pub metrics_addr: SocketAddr,
    /// The folder for what this instance keeps on disk.
    pub data_dir: PathBuf,
    /// Where the ledger is.
    pub database: Database,
    /// Whether to migrate the ledger in PostgreSQL before serving.
    pub migrate: bool,
    /// Where live sessions are shared; `None` keeps them in this process.
    pub redis: Option<Address>,
    /// The name of the deployment there; its database number comes behind it.
    pub redis_prefix: String,
    /// Certificate authorities for Redis over TLS; `None` are those of the host.
    pub redis_ca_file: Option<PathBuf>,
    /// Whether this is the only instance on that Redis, so that its ledger may be a file.
    pub single_instance: bool,
    /// What to do if another deployment writes to the ledger.
    pub foreign_ledger: ForeignLedger,
    /// Whether to serve from a Redis that may evict keys.
    pub allow_eviction: bool,
    /// Which processes drain the outbox to the ledger.
    pub audit: Audit,
    /// When an acknowledged command is on disk.
    pub durable: Durable,
    /// The key of tokens; `None` is open mode.
    pub jwt_secret: Option<Secret>,
    /// Networks that are let in; where it or the next is set, nothing else is.
    pub allow_addresses: Vec<Network>,
    /// Countries that are let in.
    pub allow_countries: Vec<String>,
    /// Networks that are not let in.
    pub deny_addresses: Vec<Network>,
    /// Countries that are not let in.
    pub deny_countries: Vec<String>,
    /// The file with the countries of addresses.
    pub geoip_file: Option<PathBuf>,
    /// The most streams of one caller at once, over all instances; `None` is without limit.
    pub max_streams_per_subject: Option<u32>,
    /// Other origins whose pages may call, each as browsers send it.
    pub cors_origins: Vec<String>,
    /// Connections to serve at once; `None` derives it from the limit of file descriptors.
    pub max_connections: Option<usize>,
    /// How many of them may be without a valid token; `None` is a quarter.
    pub max_unauthenticated: Option<usize>,
    /// How many of those one address may have; `None` is a quarter of them.
    pub max_unauthenticated_per_address: Option<usize>,
    /// The addresses of reverse proxies: round trips of their connections are not the client's.
    pub trusted_proxies: Vec<Network>,
    /// How much one caller may ask of this instance, by class.
    pub rate_limits: RateLimits,
    /// Host names under which `/metrics` answers, beside those that no public name server knows.
    pub metrics_hosts: Vec<String>,
    /// How long an idle session stays in the store.
    pub session_idle_ttl: Duration,
    /// The shortest turn that advances by itself.
    pub least_advance: Duration,
    /// Past this the outbox sheds the bodies of intermediate versions; `None` is as much as the store can bear.
    pub outbox_max_bytes: Option<u64>,
    /// Above this uncertainty of cluster time the instance is not ready.
    pub max_uncertainty: Duration,
    /// The name of the instance; `None` is a random one.
    pub instance_id: Option<String>,
    /// How long a soft stop may take before it becomes a hard one.
    pub drain_timeout: Duration,
    /// How long a stopping instance serves though not ready; `None` depends on whether there are others.
    pub drain_grace: Option<Duration>,
    /// Which log lines are written.
    pub rust_log: String,
    /// What log lines look like; `None` is text on a terminal and JSON elsewhere.
    pub log_format: Option<LogFormat>,
    /// Our own few timers.
    pub timers: Timers,
}

/// The intervals and timeouts of our timers. Tests make them short instead of pausing the runtime.
#[derive(Debug, Clone)]
pub struct Timers {
    /// Between two `HEARTBEAT`s, where the caller asks for nothing else.
    pub heartbeat: Duration,
    /// Between two pings at protocol level.
    pub ping: Duration,
    /// How long a pong may take before the connection is closed.
    pub pong_wait: Duration,
    /// Between two reads of the due set.
    pub deadline_poll: Duration,
    /// Between two reads of the dead letters.
    pub dead_letter_poll: Duration,
    /// Between two checks of watched sessions against the store.
    pub position_check: Duration,
    /// How long a lease lasts without renewal.
    pub lease: Duration,
    /// Between two renewals of the lease.
    pub renew: Duration,
    /// How long the head of a request may take, and HTTP/2's preface with the first request.
    pub request_head: Duration,
    /// How long the whole body of a request may take.
    pub request_body: Duration,
    /// How long a connection may be idle between two requests.
    pub idle: Duration,
    /// How long a write to a client may make no progress.
    pub write_wait: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(15),
            ping: Duration::from_secs(25),
            pong_wait: Duration::from_secs(10),
            deadline_poll: Duration::from_millis(250),
            dead_letter_poll: Duration::from_secs(10),
            position_check: Duration::from_secs(5),
            lease: Duration::from_secs(3),
            renew: Duration::from_secs(1),
            request_head: Duration::from_secs(10),
            request_body: Duration::from_secs(30),
            idle: Duration::from_mins(1),
            write_wait: Duration::from_secs(10),
        }
    }
}

/// Where the ledger is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Database {
    /// `SQLite`, in this file; in the data folder where none is named.
    Sqlite(Option<PathBuf>),
    /// `PostgreSQL`, at this address.
    Postgres(Address),
}

/// What to do with a ledger that another deployment writes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForeignLedger {
    /// No instance starts on it.
    Refuse,
    /// It is taken over, and the other deployment stops writing.
    TakeOver,
}

impl ForeignLedger {
    /// The choice that the flag `--takes-over` makes.
    pub const fn of(takes_over: bool) -> Self {
        if takes_over { Self::TakeOver } else { Self::Refuse }
    }
}

/// Which processes drain the outbox to the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audit {
    /// The instances that serve, each its share.
    InProcess,
    /// Processes that do nothing else.
    ByWorkers,
}

/// When an acknowledged command is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durable {
    /// Within 20 ms of the answer.
    Flush,
    /// Before the answer.
    Always,
}

/// What log lines look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines, one object a line.
    Json,
}

/// A key that tokens are signed with. It never appears in an output.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// Shorter keys can be guessed offline from one token.
    pub const MIN_BYTES: usize = 32;

    /// A secret of `text`, if that is long enough.
    pub fn new(text: &str) -> Option<Self> {
        (text.len() >= Self::MIN_BYTES).then(|| Self(text.into()))
    }

    /// The key itself.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a secret of {} bytes", self.0.len())
    }
}

/// Why the settings cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A value that the setting does not accept.
    #[error("{name} must be {accepted}, not {value:?}")]
    Value {
        /// The setting.
        name: &'static str,
        /// The values it accepts.
        accepted: &'static str,
        /// The value.
        value: String,
    },
    /// The same, for a value that must not be shown.
    #[error("{name} must be {accepted}")]
    Secret {
        /// The setting.
        name: &'static str,
        /// The values it accepts.
        accepted: &'static str,
    },
    /// A setting of a later version.
    #[error("{0} is not built into this version yet")]
    NotBuilt(String),
    /// The file is not TOML. The parser's message would quote the file, and with it a secret.
    #[error("failed to read the settings file: line {line} is not TOML")]
    NotToml {
        /// The line of the error.
        line: usize,
    },
    /// A key without a setting.
    #[error("failed to read the settings file: {0:?} is no setting")]
    UnknownKey(String),
    /// A key with a value that is neither text nor a number.
    #[error("failed to read the settings file: {0} must be a text or a whole number")]
    Shape(&'static str),
    /// Open mode on an address that others can reach.
    #[error("LISTEN_ADDR {0} is not a loopback address: set JWT_SECRET, or listen on 127.0.0.1")]
    OpenModeExposed(SocketAddr),
    /// Instances share sessions, but the ledger is a file of one of them.
    #[error(
        "REDIS_URL shares sessions among instances, and a ledger in SQLite is one instance's: set DATABASE_URL to a \
             postgres:// address, or say --single-instance if nobody else uses that Redis"
    )]
    UnsharedLedger,
    /// Sessions in this process, and no process that drains its outbox.
    #[error("--no-audit leaves the audit to workers, and without REDIS_URL there are none")]
    NoAuditor,
    /// Countries are named, and no file tells them.
    #[error("ALLOW_COUNTRIES and DENY_COUNTRIES need GEOIP_FILE, a file with the countries of addresses")]
    NoCountries,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen_addr: SocketAddr::from(([127, 0, 0, 1], 8080)),
            metrics_addr: SocketAddr::from(([127, 0, 0, 1], 9464)),
            data_dir: PathBuf::from("./synckairos-data"),
            database: Database::Sqlite(None),
            migrate: false,
            redis: None,
            redis_prefix: "sk".to_owned(),
            redis_ca_file: None,
            single_instance: false,
            foreign_ledger: ForeignLedger::Refuse,
            allow_eviction: false,
            audit: Audit::InProcess,
            durable: Durable::Flush,
            jwt_secret: None,
            allow_addresses: Vec::new(),
            allow_countries: Vec::new(),
            deny_addresses: Vec::new(),
            deny_countries: Vec::new(),
            geoip_file: None,
            max_streams_per_subject: None,
            cors_origins: Vec::new(),
            max_connections: None,
            max_unauthenticated: None,
            max_unauthenticated_per_address: None,
            trusted_proxies: Vec::new(),
            rate_limits: RateLimits::default(),
            metrics_hosts: Vec::new(),
            session_idle_ttl: Duration::from_hours(1),
            least_advance: Duration::from_secs(1),
            outbox_max_bytes: None,
            max_uncertainty: Duration::from_millis(50),
            instance_id: None,
            drain_timeout: Duration::from_secs(10),
            drain_grace: None,
            rust_log: "info".to_owned(),
            log_format: None,
            timers: Timers::default(),
        }
    }
}

impl Config {
    /// Where the ledger's `SQLite` file is, if it is one.
    pub fn ledger_file(&self) -> PathBuf {
        match &self.database {
            Database::Sqlite(Some(file)) => file.clone(),
            _ => self.data_dir.join("synckairos.db"),
        }
    }

    /// Where the ledger is, as it may be shown.
    pub fn ledger(&self) -> String {
        match &self.database {
            Database::Sqlite(_) => format!("sqlite://{}", self.ledger_file().display()),
            Database::Postgres(address) => address.shown(),
        }
    }

    /// The prefix of every name of this deployment in Redis. A channel reaches all databases of
    /// a Redis, so the prefix has the database number, except for the first.
    pub fn redis_name(&self) -> String {
        match self.redis.as_ref().and_then(Address::database) {
            None | Some(0) => self.redis_prefix.clone(),
            Some(number) => format!("{}@{number}", self.redis_prefix),
        }
    }

    /// Whether every caller is `operator` of tenant `local`.
    pub const fn is_open(&self) -> bool {
        self.jwt_secret.is_none()
    }

    /// The name of this instance, for others.
    pub fn name(&self) -> &str {
        self.instance_id.as_deref().unwrap_or("unnamed")
    }

    /// Whether no other instance serves these sessions.
    pub const fn is_sole_instance(&self) -> bool {
        self.redis.is_none() || self.single_instance
    }

    /// How long a stopping instance serves though not ready. A sole instance has no other to send
    /// clients to, so it does not wait.
    pub fn drain_grace(&self) -> Duration {
        self.drain_grace.unwrap_or(if self.is_sole_instance() { Duration::ZERO } else { DEFAULT_DRAIN_GRACE })
    }

    /// Checks that the settings fit together: open mode needs a loopback address, and shared
    /// sessions need a shared ledger.
    pub fn check(&self) -> Result<(), Error> {
        if self.is_open() && !self.listen_addr.ip().to_canonical().is_loopback() {
            return Err(Error::OpenModeExposed(self.listen_addr));
        }
        if !self.is_sole_instance() && matches!(self.database, Database::Sqlite(_)) {
            return Err(Error::UnsharedLedger);
        }
        if self.redis.is_none() && self.audit == Audit::ByWorkers {
            return Err(Error::NoAuditor);
        }
        let names_countries = !self.allow_countries.is_empty() || !self.deny_countries.is_empty();
        if names_countries && self.geoip_file.is_none() {
            return Err(Error::NoCountries);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listening(addr: &str) -> Config {
        Config { listen_addr: addr.parse().unwrap(), ..Config::default() }
    }

    #[test]
    fn open_mode_is_for_loopback_only() {
        for addr in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert_eq!(listening(addr).check(), Ok(()), "{addr}");
        }
        for addr in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "[::ffff:10.0.0.1]:1"] {
            assert!(matches!(listening(addr).check(), Err(Error::OpenModeExposed(_))), "{addr}");
            let closed = Config { jwt_secret: Secret::new(&"k".repeat(32)), ..listening(addr) };
            assert_eq!(closed.check(), Ok(()), "{addr}");
        }
    }

    #[test]
    fn a_secret_is_long_and_never_shown() {
        assert_eq!(Secret::new(&"k".repeat(31)), None);
        let config = Config { jwt_secret: Secret::new(&"k".repeat(32)), ..Config::default() };
        let shown = format!("{config:?}");
        assert!(shown.contains("a secret of 32 bytes") && !shown.contains("kkk"), "{shown}");
    }

    #[test]
    fn shared_sessions_need_a_shared_ledger() {
        let shared = Config { redis: Some(Address::new("redis://h")), ..Config::default() };
        assert_eq!(shared.check(), Err(Error::UnsharedLedger));
        let with_server = Config { database: Database::Postgres(Address::new("postgres://h/d")), ..shared.clone() };
        assert_eq!(with_server.check(), Ok(()));
        assert_eq!(Config { single_instance: true, ..shared }.check(), Ok(()));
        assert_eq!(Config { audit: Audit::ByWorkers, ..Config::default() }.check(), Err(Error::NoAuditor));
    }

    #[test]
    fn a_stop_has_a_grace_where_there_are_other_instances() {
        let shared = Config { redis: Some(Address::new("redis://h")), ..Config::default() };
        assert_eq!(shared.drain_grace(), DEFAULT_DRAIN_GRACE);
        assert_eq!(Config { single_instance: true, ..shared.clone() }.drain_grace(), Duration::ZERO);
        assert_eq!(Config::default().drain_grace(), Duration::ZERO);
        assert_eq!(Config { drain_grace: Some(Duration::ZERO), ..shared }.drain_grace(), Duration::ZERO);
    }

    #[test]
    fn the_ledger_is_in_the_data_folder_by_default() {
        let config = Config { data_dir: "/var/lib/sk".into(), ..Config::default() };
        assert_eq!(config.ledger_file(), PathBuf::from("/var/lib/sk/synckairos.db"));
        let config = Config { database: Database::Sqlite(Some("/db/a.db".into())), ..config };
        assert_eq!(config.ledger_file(), PathBuf::from("/db/a.db"));
    }
}
