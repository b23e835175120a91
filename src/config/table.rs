//! The one table of settings: a new setting is a row here and a field of `Config`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::{Address, Config, Database, Durable, LogFormat, Secret};

/// One setting.
pub struct Setting {
    /// Its name in the environment; the flag and the key of the file come from it.
    pub name: &'static str,
    /// What it is without being told, as the reference says it.
    pub default: &'static str,
    /// What it does.
    pub doc: &'static str,
    pub(super) form: Form,
}

/// Whether this version has the setting, and how it is read and shown.
pub(super) enum Form {
    /// A later version's; naming it now is refused rather than ignored.
    NotBuilt,
    Built {
        accepts: &'static str,
        read: fn(&mut Config, &str) -> Result<(), Wrong>,
        show: fn(&Config) -> String,
    },
}

/// Why a value was not taken.
pub(super) enum Wrong {
    /// It is none of what the setting accepts.
    Value,
    /// The same, and it must not be repeated.
    Secret,
}

impl Setting {
    /// The name of its flag, without the dashes before it.
    #[must_use]
    pub fn flag(&self) -> String {
        self.name.to_ascii_lowercase().replace('_', "-")
    }

    /// Its key in the settings file.
    #[must_use]
    pub fn key(&self) -> String {
        self.name.to_ascii_lowercase()
    }

    /// Whether this version has it.
    #[must_use]
    pub const fn is_built(&self) -> bool {
        matches!(self.form, Form::Built { .. })
    }
}

/// The table as Markdown, for the README.
#[must_use]
pub fn reference() -> String {
    let head = "| setting | default | what it does |\n| --- | --- | --- |\n".to_owned();
    let row = |setting: &Setting| format!("| `{}` | {} | {} |\n", setting.name, setting.default, setting.doc);
    SETTINGS.iter().filter(|setting| setting.is_built()).map(row).fold(head, |table, row| table + &row)
}

const fn not_built(name: &'static str, doc: &'static str) -> Setting {
    Setting { name, default: "", doc, form: Form::NotBuilt }
}

/// Every setting, in the order of the reference.
pub const SETTINGS: &[Setting] = &[
    Setting {
        name: "LISTEN_ADDR",
        default: "`127.0.0.1:8080`",
        doc: "Address and port of REST, the streams and the page. Other than loopback only with `JWT_SECRET`.",
        form: Form::Built {
            accepts: "an address and a port, such as 127.0.0.1:8080 or [::1]:8080",
            read: |config, text| put(&mut config.listen_addr, address(text)),
            show: |config| config.listen_addr.to_string(),
        },
    },
    Setting {
        name: "METRICS_ADDR",
        default: "`127.0.0.1:9464`",
        doc: "Address and port of `/metrics`.",
        form: Form::Built {
            accepts: "an address and a port, such as 127.0.0.1:9464 or [::1]:9464",
            read: |config, text| put(&mut config.metrics_addr, address(text)),
            show: |config| config.metrics_addr.to_string(),
        },
    },
    Setting {
        name: "DATA_DIR",
        default: "`./synckairos-data`",
        doc: "Folder of what this instance keeps on disk; one process at a time holds it.",
        form: Form::Built {
            accepts: "a folder",
            read: |config, text| put(&mut config.data_dir, filled(text).map(PathBuf::from)),
            show: |config| config.data_dir.display().to_string(),
        },
    },
    Setting {
        name: "DATABASE_URL",
        default: "`sqlite://<DATA_DIR>/synckairos.db`",
        doc: "The ledger: `sqlite://` and a file, or `postgres://user:password@host/database` (15 or later; `sslmode` and the like as parameters).",
        form: Form::Built {
            accepts: "sqlite:// and a file, or postgres://",
            read: |config, text| put(&mut config.database, database(text)),
            show: Config::ledger,
        },
    },
    Setting {
        name: "REDIS_URL",
        default: "none: sessions in memory",
        doc: "Where instances share live sessions: `redis://[user:password@]host[:port][/db]`, `redis-cluster://`, `redis-sentinel://host:port?sentinelServiceName=name`; with `rediss` over TLS.",
        form: Form::Built {
            accepts: "redis://, rediss://, redis-cluster:// or redis-sentinel:// and a host",
            read: |config, text| put(&mut config.redis, redis(text).map(Some)),
            show: |config| config.redis.as_ref().map_or("none: sessions in memory".into(), Address::shown),
        },
    },
    Setting {
        name: "REDIS_CA_FILE",
        default: "none: whom the host trusts",
        doc: "Certificates, in PEM, of who may sign for Redis.",
        form: Form::Built {
            accepts: "a file",
            read: |config, text| put(&mut config.redis_ca_file, filled(text).map(|file| Some(PathBuf::from(file)))),
            show: |config| {
                config
                    .redis_ca_file
                    .as_ref()
                    .map_or("none: whom the host trusts".into(), |file| file.display().to_string())
            },
        },
    },
    Setting {
        name: "DURABLE",
        default: "`flush`",
        doc: "Without Redis, `flush`: an acknowledged command is on disk within 20 ms. `always`: the ledger holds it before the answer, with Redis too.",
        form: Form::Built {
            accepts: "flush or always",
            read: |config, text| put(&mut config.durable, durable(text)),
            show: |config| format!("{:?}", config.durable).to_lowercase(),
        },
    },
    Setting {
        name: "JWT_SECRET",
        default: "none: open mode, loopback only",
        doc: "Key of the tokens (HS256), 32 bytes or more. Without it every caller is `operator` of tenant `local`.",
        form: Form::Built {
            accepts: "at least 32 bytes long",
            read: |config, text| put(&mut config.jwt_secret, Secret::new(text).map(Some).ok_or(Wrong::Secret)),
            show: |config| config.jwt_secret.as_ref().map_or("none: open mode".into(), |secret| format!("{secret:?}")),
        },
    },
    Setting {
        name: "SESSION_IDLE_TTL_MS",
        default: "`3600000`",
        doc: "How long an idle session stays in the store; it comes back from the ledger when asked for.",
        form: Form::Built {
            accepts: "milliseconds from 1000 to 31622400000",
            read: |config, text| put(&mut config.session_idle_ttl, millis(text, 1_000, 31_622_400_000)),
            show: |config| config.session_idle_ttl.as_millis().to_string(),
        },
    },
    Setting {
        name: "OUTBOX_MAX_BYTES",
        default: "a quarter of Redis's `maxmemory`, else 1 GiB",
        doc: "While the ledger is away: past this, bodies of intermediate versions are shed, never a link.",
        form: Form::Built {
            accepts: "bytes from 1048576 up",
            read: |config, text| put(&mut config.outbox_max_bytes, within(text, 1 << 20, u64::MAX).map(Some)),
            show: |config| {
                config.outbox_max_bytes.map_or("by what the store can hold".into(), |bytes| bytes.to_string())
            },
        },
    },
    Setting {
        name: "MAX_UNCERTAINTY_MS",
        default: "`50`",
        doc: "Above this uncertainty of cluster time the instance is not ready.",
        form: Form::Built {
            accepts: "milliseconds from 1 to 60000",
            read: |config, text| put(&mut config.max_uncertainty, millis(text, 1, 60_000)),
            show: |config| config.max_uncertainty.as_millis().to_string(),
        },
    },
    Setting {
        name: "INSTANCE_ID",
        default: "random",
        doc: "What this instance calls itself in logs and to the others.",
        form: Form::Built {
            accepts: "1 to 128 characters of A-Z a-z 0-9 _ . : -",
            read: |config, text| put(&mut config.instance_id, name(text).map(Some)),
            show: |config| config.instance_id.clone().unwrap_or_else(|| "random".into()),
        },
    },
    Setting {
        name: "DRAIN_TIMEOUT_MS",
        default: "`10000`",
        doc: "How long a stop waits for what is under way, and a start for the instance before it.",
        form: Form::Built {
            accepts: "milliseconds from 0 to 3600000",
            read: |config, text| put(&mut config.drain_timeout, millis(text, 0, 3_600_000)),
            show: |config| config.drain_timeout.as_millis().to_string(),
        },
    },
    Setting {
        name: "RUST_LOG",
        default: "`info`",
        doc: "Which log lines are written, such as `info,synckairos=debug`.",
        form: Form::Built {
            accepts: "levels and targets, such as info,synckairos=debug",
            read: |config, text| put(&mut config.rust_log, log_filter(text)),
            show: |config| config.rust_log.clone(),
        },
    },
    Setting {
        name: "LOG_FORMAT",
        default: "`text` on a terminal, else `json`",
        doc: "What log lines look like.",
        form: Form::Built {
            accepts: "text or json",
            read: |config, text| put(&mut config.log_format, log_format(text).map(Some)),
            show: |config| {
                config.log_format.map_or("by terminal".into(), |format| format!("{format:?}").to_lowercase())
            },
        },
    },
    not_built("NTP_SERVERS", "What UTC is compared with."),
    not_built("JWT_PUBLIC_KEY_FILE", "Key of tokens that others sign."),
    not_built("JWT_JWKS_URL", "Where the keys of tokens that others sign are published."),
    not_built("MAX_STREAMS_PER_SUBJECT", "Streams one caller may hold."),
    not_built("RATE_LIMIT_SESSIONS", "Sessions one caller may create a minute."),
    not_built("RATE_LIMIT_READS", "Reads one caller may ask for a minute."),
    not_built("RATE_LIMIT_COMMANDS", "Commands one caller may send a minute."),
    not_built("RATE_LIMIT_REFUSED_TOKENS", "Refused tokens one address may send a minute."),
];

fn put<T>(place: &mut T, value: Result<T, Wrong>) -> Result<(), Wrong> {
    *place = value?;
    Ok(())
}

fn address(text: &str) -> Result<SocketAddr, Wrong> {
    text.parse().map_err(|_| Wrong::Value)
}

fn filled(text: &str) -> Result<&str, Wrong> {
    if text.is_empty() { Err(Wrong::Value) } else { Ok(text) }
}

fn within(text: &str, least: u64, most: u64) -> Result<u64, Wrong> {
    let number = text.parse().map_err(|_| Wrong::Value)?;
    if (least..=most).contains(&number) { Ok(number) } else { Err(Wrong::Value) }
}

fn millis(text: &str, least: u64, most: u64) -> Result<Duration, Wrong> {
    within(text, least, most).map(Duration::from_millis)
}

fn durable(text: &str) -> Result<Durable, Wrong> {
    match text {
        "flush" => Ok(Durable::Flush),
        "always" => Ok(Durable::Always),
        _ => Err(Wrong::Value),
    }
}

fn log_format(text: &str) -> Result<LogFormat, Wrong> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(Wrong::Value),
    }
}

fn log_filter(text: &str) -> Result<String, Wrong> {
    EnvFilter::try_new(filled(text)?).map_err(|_| Wrong::Value)?;
    Ok(text.to_owned())
}

fn name(text: &str) -> Result<String, Wrong> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
    if (1..=128).contains(&text.len()) && text.bytes().all(plain) { Ok(text.to_owned()) } else { Err(Wrong::Value) }
}

/// The file of a `sqlite://` address. What else one may hold (a query, a ledger in
/// memory that outlives nothing) is no ledger here. An address may hold a password,
/// so what is wrong is never repeated.
fn database(text: &str) -> Result<Database, Wrong> {
    let is_file = |file: &&str| !file.is_empty() && !file.contains(['?', '#']) && *file != ":memory:";
    if ["postgres://", "postgresql://"].iter().any(|scheme| text.len() > scheme.len() && text.starts_with(scheme)) {
        return Ok(Database::Postgres(Address::new(text)));
    }
    let file = text.strip_prefix("sqlite://").filter(is_file).ok_or(Wrong::Secret)?;
    Ok(Database::Sqlite(Some(PathBuf::from(file))))
}

/// What a Redis is reached by, as far as can be told without reaching it.
fn redis(text: &str) -> Result<Address, Wrong> {
    const SCHEMES: &[&str] = &["redis", "rediss", "valkey", "valkeys"];
    let (scheme, rest) = text.split_once("://").ok_or(Wrong::Secret)?;
    let (scheme, kind) = scheme.split_once('-').map_or((scheme, None), |(scheme, kind)| (scheme, Some(kind)));
    let is_known = SCHEMES.contains(&scheme) && matches!(kind, None | Some("cluster" | "sentinel"));
    if is_known && !rest.is_empty() { Ok(Address::new(text)) } else { Err(Wrong::Secret) }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Read = fn(&mut Config, &str) -> Result<(), Wrong>;

    fn built() -> impl Iterator<Item = (&'static Setting, Read, String)> {
        SETTINGS.iter().filter_map(|setting| match setting.form {
            Form::Built { read, show, .. } => Some((setting, read, show(&Config::default()))),
            Form::NotBuilt => None,
        })
    }

    #[test]
    fn a_plain_default_is_what_the_config_has() {
        for (setting, _, shown) in built() {
            let plain = setting.default.strip_prefix('`').and_then(|text| text.strip_suffix('`'));
            match plain.filter(|text| !text.contains('`')) {
                Some(text) => assert_eq!(shown, text.replace("<DATA_DIR>", "./synckairos-data"), "{}", setting.name),
                None => assert!(!shown.is_empty(), "{}", setting.name),
            }
        }
    }

    #[test]
    fn nothing_takes_an_empty_value() {
        for (setting, read, _) in built() {
            assert!(read(&mut Config::default(), "").is_err(), "{}", setting.name);
        }
    }

    #[test]
    fn names_are_unique_and_the_reference_has_each_built_one_once() {
        let reference = reference();
        for setting in SETTINGS {
            let rows = reference.matches(&format!("| `{}` |", setting.name)).count();
            assert_eq!(rows, usize::from(setting.is_built()), "{}", setting.name);
            assert_eq!(SETTINGS.iter().filter(|other| other.name == setting.name).count(), 1, "{}", setting.name);
        }
    }

    #[test]
    fn sessions_are_shared_by_any_kind_of_redis() {
        for url in
            ["redis://h", "rediss://u:p@h:1/2", "redis-cluster://h:1", "valkeys-sentinel://h?sentinelServiceName=m"]
        {
            assert_eq!(redis(url).ok(), Some(Address::new(url)));
        }
        for bad in ["h:6379", "redis://", "http://h", "redis-ring://h"] {
            assert!(matches!(redis(bad), Err(Wrong::Secret)), "{bad}");
        }
    }

    #[test]
    fn the_ledger_is_a_file_or_a_server() {
        for (text, file) in [("sqlite:///a/b.db", "/a/b.db"), ("sqlite://b.db", "b.db")] {
            assert_eq!(database(text).ok(), Some(Database::Sqlite(Some(PathBuf::from(file)))));
        }
        for bad in ["sqlite://", "sqlite://:memory:", "sqlite://a?mode=ro", "mysql://u:p@h/d", "a.db", "postgres://"] {
            assert!(matches!(database(bad), Err(Wrong::Secret)), "{bad}");
        }
        for url in ["postgres://u:p@h/d", "postgresql://h/d?sslmode=require"] {
            assert_eq!(database(url).ok(), Some(Database::Postgres(Address::new(url))));
        }
    }
}
