//! Every setting: what it is called, what it defaults to, what it resolves to.
//!
//! One table feeds the flags, the environment, the keys of the file, the README's
//! reference and `serve --check`. Nothing here reads the environment: `main` does,
//! once, and hands pairs in.

mod address;
mod layers;
mod network;
mod read;
mod table;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use address::Address;
pub use layers::{Pairs, Resolved, Source, resolve};
pub use network::Network;
pub use table::{SETTINGS, Setting, reference};

/// A balancer asks every few seconds whether an instance is ready.
const DRAIN_GRACE: Duration = Duration::from_secs(5);

/// Everything an instance is told.
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
    /// Whether to bring the ledger's schema up before serving, where that is a step of its own.
    pub migrate: bool,
    /// Where live sessions are shared; `None` keeps them in this process.
    pub redis: Option<Address>,
    /// What the deployment is called there; its database number comes behind it.
    pub redis_prefix: String,
    /// Who may sign for Redis, over TLS; `None` is whom the host trusts.
    pub redis_ca_file: Option<PathBuf>,
    /// Whether nobody else uses that Redis, so that a ledger of its own will do.
    pub single_instance: bool,
    /// What is done where another deployment writes to the ledger.
    pub foreign_ledger: ForeignLedger,
    /// Whether to serve from a Redis that may throw away what it was given.
    pub allow_eviction: bool,
    /// Who brings what was committed to the ledger.
    pub audit: Audit,
    /// When an acknowledged command is on disk.
    pub durable: Durable,
    /// What tokens are signed and verified with; `None` is open mode.
    pub jwt_secret: Option<Secret>,
    /// Connections to serve at once; `None` derives it from the limit of file descriptors.
    pub max_connections: Option<usize>,
    /// How many of them may have shown no valid token yet; `None` is a quarter.
    pub max_unauthenticated: Option<usize>,
    /// How many of those one address may have; `None` is a quarter of them.
    pub max_unauthenticated_per_address: Option<usize>,
    /// The addresses of reverse proxies: what is known of such a connection is true of the proxy.
    pub trusted_proxies: Vec<Network>,
    /// Host names under which `/metrics` may be asked for, beside those that no public name server knows.
    pub metrics_hosts: Vec<String>,
    /// How long an idle session stays in the store.
    pub session_idle_ttl: Duration,
    /// Turns advance by themselves no faster.
    pub least_advance: Duration,
    /// Past this the outbox sheds the bodies of intermediate versions; `None` is as much as the store can bear.
    pub outbox_max_bytes: Option<u64>,
    /// Above this uncertainty of cluster time the instance is not ready.
    pub max_uncertainty: Duration,
    /// What the instance calls itself; `None` is a random name.
    pub instance_id: Option<String>,
    /// How long a soft stop may take before it becomes a hard one.
    pub drain_timeout: Duration,
    /// How long a stop is not ready and still reachable; `None` depends on whether there are others.
    pub drain_grace: Option<Duration>,
    /// Which log lines are written.
    pub rust_log: String,
    /// What log lines look like; `None` is text on a terminal and JSON elsewhere.
    pub log_format: Option<LogFormat>,
    /// Our own few timers.
    pub timers: Timers,
}

/// The Tokio timers, here so that tests make them short instead of pausing the runtime.
#[derive(Debug, Clone)]
pub struct Timers {
    /// Between two `HEARTBEAT`s, where the caller asks for nothing else.
    pub heartbeat: Duration,
    /// Between two pings at protocol level.
    pub ping: Duration,
    /// How long a pong may take before the connection is closed.
    pub pong_wait: Duration,
    /// Between two looks at the due set.
    pub deadline_poll: Duration,
    /// Between two looks at what the ledger refused.
    pub dead_letter_poll: Duration,
    /// Between two checks of what is remembered against what is stored.
    pub position_check: Duration,
    /// How long an instance is taken to be alive without a word.
    pub lease: Duration,
    /// Between two words.
    pub renew: Duration,
    /// How long the head of a request may take, and HTTP/2's preface with the first request.
    pub request_head: Duration,
    /// How long the whole body of a request may take.
    pub request_body: Duration,
    /// How long a connection may be idle between two requests.
    pub idle: Duration,
    /// How long a reader may take nothing of what stands in line for it.
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

/// What is done with a ledger that another deployment writes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForeignLedger {
    /// No instance starts on it.
    Refuse,
    /// It is taken over, and the other deployment stops writing.
    TakeOver,
}

impl ForeignLedger {
    /// As the command line says.
    #[must_use]
    pub const fn of(takes_over: bool) -> Self {
        if takes_over { Self::TakeOver } else { Self::Refuse }
    }
}

/// Who brings what was committed to the ledger.
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

    /// Keeps `text`, if it is long enough.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        (text.len() >= Self::MIN_BYTES).then(|| Self(text.into()))
    }

    /// The key itself.
    #[must_use]
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
    /// A value that the setting does not take.
    #[error("{name} must be {accepted}, not {value:?}")]
    Value {
        /// The setting.
        name: &'static str,
        /// What it takes.
        accepted: &'static str,
        /// What it was given.
        value: String,
    },
    /// The same, where the value must not be shown.
    #[error("{name} must be {accepted}")]
    Secret {
        /// The setting.
        name: &'static str,
        /// What it takes.
        accepted: &'static str,
    },
    /// A setting, or a value of one, of a later version.
    #[error("{0} is not built into this version yet")]
    NotBuilt(String),
    /// The file is no TOML. The parser's own words would quote the file, and with it a secret.
    #[error("failed to read the settings file: line {line} is not TOML")]
    NotToml {
        /// Where it stops making sense.
        line: usize,
    },
    /// A key that is no setting's.
    #[error("failed to read the settings file: {0:?} is no setting")]
    UnknownKey(String),
    /// A key with a value that is neither text nor a number.
    #[error("failed to read the settings file: {0} must be a text or a whole number")]
    Shape(&'static str),
    /// Open mode where others can reach it.
    #[error("LISTEN_ADDR {0} is not a loopback address: set JWT_SECRET, or listen on 127.0.0.1")]
    OpenModeExposed(SocketAddr),
    /// Sessions that many share, and a ledger that one has.
    #[error(
        "REDIS_URL shares sessions among instances, and a ledger in SQLite is one instance's: set DATABASE_URL to a \
             postgres:// address, or say --single-instance if nobody else uses that Redis"
    )]
    UnsharedLedger,
    /// What was committed in this process, and nobody to bring it to the ledger.
    #[error("--no-audit leaves the audit to workers, and without REDIS_URL there are none")]
    NoAuditor,
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
            max_connections: None,
            max_unauthenticated: None,
            max_unauthenticated_per_address: None,
            trusted_proxies: Vec::new(),
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
    #[must_use]
    pub fn ledger_file(&self) -> PathBuf {
        match &self.database {
            Database::Sqlite(Some(file)) => file.clone(),
            _ => self.data_dir.join("synckairos.db"),
        }
    }

    /// Where the ledger is, as it may be shown.
    #[must_use]
    pub fn ledger(&self) -> String {
        match &self.database {
            Database::Sqlite(_) => format!("sqlite://{}", self.ledger_file().display()),
            Database::Postgres(address) => address.shown(),
        }
    }

    /// What every name of this deployment in Redis begins with. A channel of Redis is heard in
    /// all its databases, so the number of one stands in the name; the first has none.
    #[must_use]
    pub fn redis_name(&self) -> String {
        match self.redis.as_ref().and_then(Address::database) {
            None | Some(0) => self.redis_prefix.clone(),
            Some(number) => format!("{}@{number}", self.redis_prefix),
        }
    }

    /// Whether every caller is `operator` of tenant `local`.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.jwt_secret.is_none()
    }

    /// What this instance calls itself to others.
    #[must_use]
    pub fn name(&self) -> &str {
        self.instance_id.as_deref().unwrap_or("unnamed")
    }

    /// Whether this process alone serves what it keeps.
    #[must_use]
    pub const fn is_sole_instance(&self) -> bool {
        self.redis.is_none() || self.single_instance
    }

    /// How long a stop is not ready and still reachable. Who is alone has nobody to be sent to
    /// meanwhile, so it does not wait.
    #[must_use]
    pub fn drain_grace(&self) -> Duration {
        self.drain_grace.unwrap_or(if self.is_sole_instance() { Duration::ZERO } else { DRAIN_GRACE })
    }

    /// Whether these settings may be served with: without a key only what runs on this machine may call,
    /// and what many share is recorded where all of them can.
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
    fn sessions_that_are_shared_need_a_ledger_that_is() {
        let shared = Config { redis: Some(Address::new("redis://h")), ..Config::default() };
        assert_eq!(shared.check(), Err(Error::UnsharedLedger));
        let on_a_server = Config { database: Database::Postgres(Address::new("postgres://h/d")), ..shared.clone() };
        assert_eq!(on_a_server.check(), Ok(()));
        assert_eq!(Config { single_instance: true, ..shared }.check(), Ok(()));
        assert_eq!(Config { audit: Audit::ByWorkers, ..Config::default() }.check(), Err(Error::NoAuditor));
    }

    #[test]
    fn a_stop_is_announced_for_a_while_where_there_are_others() {
        let shared = Config { redis: Some(Address::new("redis://h")), ..Config::default() };
        assert_eq!(shared.drain_grace(), DRAIN_GRACE);
        assert_eq!(Config { single_instance: true, ..shared.clone() }.drain_grace(), Duration::ZERO);
        assert_eq!(Config::default().drain_grace(), Duration::ZERO);
        assert_eq!(Config { drain_grace: Some(Duration::ZERO), ..shared }.drain_grace(), Duration::ZERO);
    }

    #[test]
    fn the_ledger_lies_in_the_data_folder_unless_told() {
        let config = Config { data_dir: "/var/lib/sk".into(), ..Config::default() };
        assert_eq!(config.ledger_file(), PathBuf::from("/var/lib/sk/synckairos.db"));
        let config = Config { database: Database::Sqlite(Some("/db/a.db".into())), ..config };
        assert_eq!(config.ledger_file(), PathBuf::from("/db/a.db"));
    }
}
