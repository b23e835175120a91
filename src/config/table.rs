//! The one table of settings: a new setting is a row here and a field of `Config`.

use std::path::PathBuf;

use super::read::{
    ValueError, address, count, count_or_none, country, database, durable, host_name, list, log_filter, log_format, millis, name, non_empty,
    origin, prefix, put, rate, redis, show_list, show_or, within,
};
use super::{Address, Config, RateLimit, Secret};

/// One setting.
pub struct Setting {
    /// Its name in the environment; the flag and the key of the file come from it.
    pub name: &'static str,
    /// Its default, as the reference shows it.
    pub default: &'static str,
    /// Its effect.
    pub doc: &'static str,
    pub(super) form: Form,
}

/// Whether this version has the setting, and how it is read and shown.
pub(super) enum Form {
    /// A setting of a later version; to name it is an error.
    NotBuilt,
    Built {
        accepts: &'static str,
        read: fn(&mut Config, &str) -> Result<(), ValueError>,
        show: fn(&Config) -> String,
    },
}

impl Setting {
    /// The name of its flag, without the dashes before it.
    pub fn flag(&self) -> String {
        self.name.to_ascii_lowercase().replace('_', "-")
    }

    /// Its key in the settings file.
    pub fn key(&self) -> String {
        self.name.to_ascii_lowercase()
    }

    /// Whether this version has it.
    pub const fn is_built(&self) -> bool {
        matches!(self.form, Form::Built { .. })
    }
}

/// The table as Markdown, for `docs/CONFIGURATION.md`.
pub fn reference() -> String {
    let head = "| setting | default | what it does |\n| --- | --- | --- |\n".to_owned();
    let row = |setting: &Setting| format!("| `{}` | {} | {} |\n", setting.name, setting.default, setting.doc);
    SETTINGS.iter().filter(|setting| setting.is_built()).map(row).fold(head, |table, row| table + &row)
}

/// The table as [`SETTINGS`]: first those of this version, then those of a later one.
macro_rules! settings {
    (
        $($name:ident $default:literal $doc:literal accepts: $accepts:expr, read: $read:expr, show: $show:expr;)*
        @later $($later:ident $later_doc:literal;)*
    ) => {
        /// Every setting, in the order of the reference.
        pub const SETTINGS: &[Setting] = &[
            $(Setting {
                name: stringify!($name),
                default: $default,
                doc: $doc,
                form: Form::Built { accepts: $accepts, read: $read, show: $show },
            },)*
            $(Setting { name: stringify!($later), default: "", doc: $later_doc, form: Form::NotBuilt },)*
        ];
    };
}

settings! {
    LISTEN_ADDR "`127.0.0.1:8080`"
        "Address and port of REST, the streams and the page. Other than loopback only with `JWT_SECRET`."
        accepts: "an address and a port, such as 127.0.0.1:8080 or [::1]:8080",
        read: |config, text| put(&mut config.listen_addr, address(text)),
        show: |config| config.listen_addr.to_string();
    METRICS_ADDR "`127.0.0.1:9464`"
        "Address and port of `/metrics`."
        accepts: "an address and a port, such as 127.0.0.1:9464 or [::1]:9464",
        read: |config, text| put(&mut config.metrics_addr, address(text)),
        show: |config| config.metrics_addr.to_string();
    DATA_DIR "`./synckairos-data`"
        "Folder of what this instance keeps on disk; one process at a time holds it."
        accepts: "a folder",
        read: |config, text| put(&mut config.data_dir, non_empty(text).map(PathBuf::from)),
        show: |config| config.data_dir.display().to_string();
    DATABASE_URL "`sqlite://<DATA_DIR>/synckairos.db`"
        "The ledger: `sqlite://` and a file, or `postgres://user:password@host/database` (15 or later; `sslmode` and the like as parameters)."
        accepts: "sqlite:// and a file, or postgres://",
        read: |config, text| put(&mut config.database, database(text)),
        show: Config::ledger;
    REDIS_URL "none: sessions in memory"
        "Where instances share live sessions: `redis://[user:password@]host[:port][/db]`, `redis-cluster://`, `redis-sentinel://host:port?sentinelServiceName=name`; with `rediss` over TLS."
        accepts: "redis://, rediss://, redis-cluster:// or redis-sentinel:// and a host",
        read: |config, text| put(&mut config.redis, redis(text).map(Some)),
        show: |config| config.redis.as_ref().map_or("none: sessions in memory".into(), Address::shown);
    REDIS_PREFIX "`sk`"
        "What this deployment is called in Redis: every key and channel begins with it. Deployments that share a Redis need one each, or a database each: for one other than 0, `@` and its number come behind it."
        accepts: "1 to 64 characters of A-Z a-z 0-9 _ . -",
        read: |config, text| put(&mut config.redis_prefix, prefix(text)),
        show: Config::redis_name;
    REDIS_CA_FILE "none: whom the host trusts"
        "Certificates, in PEM, of who may sign for Redis."
        accepts: "a file",
        read: |config, text| put(&mut config.redis_ca_file, non_empty(text).map(|file| Some(PathBuf::from(file)))),
        show: |config| {
            config
                .redis_ca_file
                .as_ref()
                .map_or("none: whom the host trusts".into(), |file| file.display().to_string())
        };
    DURABLE "`flush`"
        "Without Redis, `flush`: an acknowledged command is on disk within 20 ms. `always`: the ledger holds it before the answer, with Redis too."
        accepts: "flush or always",
        read: |config, text| put(&mut config.durable, durable(text)),
        show: |config| format!("{:?}", config.durable).to_lowercase();
    JWT_SECRET "none: open mode, loopback only"
        "Key of the tokens (HS256), 32 bytes or more. Without it every caller is `operator` of tenant `local`."
        accepts: "at least 32 bytes long",
        read: |config, text| put(&mut config.jwt_secret, Secret::new(text).map(Some).ok_or(ValueError::Secret)),
        show: |config| config.jwt_secret.as_ref().map_or("none: open mode".into(), |secret| format!("{secret:?}"));
    CORS_ORIGINS "none: pages of this service only"
        "Other origins whose pages may call, in open mode too, such as `http://localhost:5173,https://app.example.com`. Each as browsers send it, and compared exactly. Once set, a WebSocket from any further origin is refused."
        accepts: "origins as browsers send them, such as http://localhost:5173 or https://app.example.com, separated by commas: scheme, host and any port, in lower case, without a path, a slash at the end, the scheme's own port, * or null",
        read: |config, text| put(&mut config.cors_origins, list(text, origin)),
        show: |config| show_list(&config.cors_origins, "none: pages of this service only");
    MAX_CONNECTIONS "the limit of file descriptors, less a quarter of it, at least 64 and at most 128"
        "Connections served at once. A sixteenth of them, at most 64, stays free for callers without a token, such as `/health`."
        accepts: "a number from 16 to 10000000",
        read: |config, text| put(&mut config.max_connections, count(text, 16).map(Some)),
        show: |config| show_or(config.max_connections, "by the limit of file descriptors");
    MAX_UNAUTHENTICATED_CONNECTIONS "a quarter of `MAX_CONNECTIONS`"
        "Connections that have shown no valid token yet. One more takes the place of the oldest."
        accepts: "a number from 1 to 10000000",
        read: |config, text| put(&mut config.max_unauthenticated, count(text, 1).map(Some)),
        show: |config| show_or(config.max_unauthenticated, "a quarter of MAX_CONNECTIONS");
    MAX_UNAUTHENTICATED_PER_ADDRESS "a quarter of `MAX_UNAUTHENTICATED_CONNECTIONS`"
        "The same for one IPv4 address or IPv6 /64. Loopback and `TRUSTED_PROXIES` are exempt: many clients share them."
        accepts: "a number from 1 to 10000000",
        read: |config, text| put(&mut config.max_unauthenticated_per_address, count(text, 1).map(Some)),
        show: |config| {
            show_or(config.max_unauthenticated_per_address, "a quarter of MAX_UNAUTHENTICATED_CONNECTIONS")
        };
    TRUSTED_PROXIES "none: clients connect directly"
        "Addresses of reverse proxies, such as `10.0.0.7,fd00::/8`. From them a connection's lag is what its pings say; from others never more than the kernel's own round trip. Rate limits of an address then count the nearest address of `X-Forwarded-For` or `Forwarded` that is no proxy of these. No header changes this for others."
        accepts: "addresses or networks such as 10.0.0.0/8, separated by commas",
        read: |config, text| put(&mut config.trusted_proxies, list(text, |each| each.parse().ok())),
        show: |config| show_list(&config.trusted_proxies, "none: clients connect directly");
    RATE_LIMIT_READ "`none`"
        "Reads of one caller: snapshots, polls, the time, and the frames `PING`, `SUBSCRIBE` and `RECONNECT`. Such as `600/min` or `10/s,burst=50`; without `burst` as many at once as in a window. A caller is tenant and subject of a token; without a token it is an address. On each instance."
        accepts: "none, or a number from 1 to 1000000 a window of s, min or h and perhaps a burst, such as 600/min or 10/s,burst=50",
        read: |config, text| put(&mut config.rate_limits.read, rate(text)),
        show: |config| RateLimit::shown(config.rate_limits.read);
    RATE_LIMIT_COMMAND "`none`"
        "The same of commands, creates and tokens; each command of a batch counts."
        accepts: "none, or a number from 1 to 1000000 a window of s, min or h and perhaps a burst, such as 600/min or 10/s,burst=50",
        read: |config, text| put(&mut config.rate_limits.command, rate(text)),
        show: |config| RateLimit::shown(config.rate_limits.command);
    RATE_LIMIT_CONNECT "`none`"
        "The same of new streams: WebSockets and event streams. Each session that `/v1/events` names counts as a read as well."
        accepts: "none, or a number from 1 to 1000000 a window of s, min or h and perhaps a burst, such as 600/min or 10/s,burst=50",
        read: |config, text| put(&mut config.rate_limits.connect, rate(text)),
        show: |config| RateLimit::shown(config.rate_limits.connect);
    RATE_LIMIT_BULK "`none`"
        "The same of lists, histories and batches. A page counts once for each 100 rows that it may hold."
        accepts: "none, or a number from 1 to 1000000 a window of s, min or h and perhaps a burst, such as 600/min or 10/s,burst=50",
        read: |config, text| put(&mut config.rate_limits.bulk, rate(text)),
        show: |config| RateLimit::shown(config.rate_limits.bulk);
    RATE_LIMIT_REFUSED_TOKEN "`60/min`"
        "Tokens of one IPv4 address or IPv6 /64 that are refused with 401; past it they are refused with 429. A good token from there still counts, and one that has only expired is not held against it."
        accepts: "none, or a number from 1 to 1000000 a window of s, min or h and perhaps a burst, such as 600/min or 10/s,burst=50",
        read: |config, text| put(&mut config.rate_limits.refused_token, rate(text)),
        show: |config| RateLimit::shown(config.rate_limits.refused_token);
    ALLOW_ADDRESSES "none"
        "Networks that are let in, such as `10.0.0.0/8,2001:db8::/32`; once it or `ALLOW_COUNTRIES` is set, nothing else is, but for `/health`. The address is that of `TRUSTED_PROXIES`. All others get 403 `address_denied` before a token is looked at. A tenant has such lists in its settings too."
        accepts: "addresses or networks such as 10.0.0.0/8, separated by commas",
        read: |config, text| put(&mut config.allow_addresses, list(text, |each| each.parse().ok())),
        show: |config| show_list(&config.allow_addresses, "none");
    DENY_ADDRESSES "none"
        "Networks that are not let in, whatever else says so. Connections from there are dropped as they come, unless they are of this host or of `TRUSTED_PROXIES`."
        accepts: "addresses or networks such as 10.0.0.0/8, separated by commas",
        read: |config, text| put(&mut config.deny_addresses, list(text, |each| each.parse().ok())),
        show: |config| show_list(&config.deny_addresses, "none");
    ALLOW_COUNTRIES "none"
        "Countries that are let in, such as `DE,FR`. Addresses of no known country, private ones among them, are in none; name them in `ALLOW_ADDRESSES`. Needs `GEOIP_FILE`."
        accepts: "countries as two capital letters (ISO 3166-1), such as DE,FR",
        read: |config, text| put(&mut config.allow_countries, list(text, country)),
        show: |config| show_list(&config.allow_countries, "none");
    DENY_COUNTRIES "none"
        "Countries that are not let in, but for `ALLOW_ADDRESSES`. Needs `GEOIP_FILE`."
        accepts: "countries as two capital letters (ISO 3166-1), such as DE,FR",
        read: |config, text| put(&mut config.deny_countries, list(text, country)),
        show: |config| show_list(&config.deny_countries, "none");
    GEOIP_FILE "none"
        "The countries of addresses: a file in MaxMind's format (`.mmdb`) with `country.iso_code`. It is read again within 10 s of a change; one that cannot be used leaves the one before in force."
        accepts: "a file",
        read: |config, text| put(&mut config.geoip_file, non_empty(text).map(|file| Some(PathBuf::from(file)))),
        show: |config| config.geoip_file.as_ref().map_or("none".into(), |file| file.display().to_string());
    MAX_STREAMS_PER_SUBJECT "`none`"
        "Streams of one caller at once, over all instances: WebSockets, event streams and polls that wait. A caller is tenant and subject of a token; in open mode it is an address. While nobody can count, no stream is opened."
        accepts: "none, or a number from 1 to 1000000",
        read: |config, text| put(&mut config.max_streams_per_subject, count_or_none(text)),
        show: |config| config.max_streams_per_subject.map_or("none".into(), |limit| limit.to_string());
    METRICS_HOSTS "none: names that only this network knows"
        "More host names under which `/metrics` answers, separated by commas. IP addresses, `localhost`, names without a dot and those below `.internal`, `.local`, `.localhost`, `.lan`, `.home.arpa` or `.test` always do; a page in a browser cannot make another one point here."
        accepts: "host names without a port, separated by commas",
        read: |config, text| put(&mut config.metrics_hosts, list(text, host_name)),
        show: |config| show_list(&config.metrics_hosts, "none: names that only this network knows");
    SESSION_IDLE_TTL_MS "`3600000`"
        "How long an idle session that nobody watches stays in the store, once the ledger holds it; it comes back when asked for."
        accepts: "milliseconds from 1000 to 31622400000",
        read: |config, text| put(&mut config.session_idle_ttl, millis(text, 1_000, 31_622_400_000)),
        show: |config| config.session_idle_ttl.as_millis().to_string();
    LEAST_ADVANCE_MS "`1000`"
        "Turns that advance by themselves take at least so long each. Without anybody who acts or watches for `SESSION_IDLE_TTL_MS` they pause, with reason `idle`."
        accepts: "milliseconds from 100 to 3600000",
        read: |config, text| put(&mut config.least_advance, millis(text, 100, 3_600_000)),
        show: |config| config.least_advance.as_millis().to_string();
    OUTBOX_MAX_BYTES "a quarter of Redis's `maxmemory`, else 1 GiB"
        "While the ledger is away: past this, bodies of intermediate versions are shed, never a link."
        accepts: "bytes from 1048576 up",
        read: |config, text| put(&mut config.outbox_max_bytes, within(text, 1 << 20, u64::MAX).map(Some)),
        show: |config| {
            config.outbox_max_bytes.map_or("by what the store can hold".into(), |bytes| bytes.to_string())
        };
    MAX_UNCERTAINTY_MS "`50`"
        "Above this uncertainty of cluster time the instance is not ready."
        accepts: "milliseconds from 1 to 60000",
        read: |config, text| put(&mut config.max_uncertainty, millis(text, 1, 60_000)),
        show: |config| config.max_uncertainty.as_millis().to_string();
    INSTANCE_ID "random"
        "What this instance calls itself in logs and to the others."
        accepts: "1 to 128 characters of A-Z a-z 0-9 _ . : -",
        read: |config, text| put(&mut config.instance_id, name(text).map(Some)),
        show: |config| config.instance_id.clone().unwrap_or_else(|| "random".into());
    DRAIN_TIMEOUT_MS "`10000`"
        "How long a stop waits for what is under way, and a start for the instance before it."
        accepts: "milliseconds from 0 to 3600000",
        read: |config, text| put(&mut config.drain_timeout, millis(text, 0, 3_600_000)),
        show: |config| config.drain_timeout.as_millis().to_string();
    DRAIN_GRACE_MS "5 s with other instances, else none"
        "How long a stop is not ready (`/ready` is 503, `draining`) but served as before, so that balancers notice."
        accepts: "milliseconds from 0 to 3600000",
        read: |config, text| put(&mut config.drain_grace, millis(text, 0, 3_600_000).map(Some)),
        show: |config| config.drain_grace().as_millis().to_string();
    RUST_LOG "`info`"
        "Which log lines are written, such as `info,synckairos=debug`."
        accepts: "levels and targets, such as info,synckairos=debug",
        read: |config, text| put(&mut config.rust_log, log_filter(text)),
        show: |config| config.rust_log.clone();
    LOG_FORMAT "`text` on a terminal, else `json`"
        "What log lines look like."
        accepts: "text or json",
        read: |config, text| put(&mut config.log_format, log_format(text).map(Some)),
        show: |config| {
            config.log_format.map_or("by terminal".into(), |format| format!("{format:?}").to_lowercase())
        };

    @later
    NTP_SERVERS "What UTC is compared with.";
    JWT_PUBLIC_KEY_FILE "Key of tokens that others sign.";
    JWT_JWKS_URL "Where the keys of tokens that others sign are published.";
}

#[cfg(test)]
mod tests {
    use super::super::Database;
    use super::*;

    type Read = fn(&mut Config, &str) -> Result<(), ValueError>;

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
    fn an_origin_is_written_as_browsers_send_it() {
        for text in [
            "http://localhost:5173",
            "https://app.example.com",
            "https://app.example.com:8443",
            "http://127.0.0.1:3000",
            "http://[::1]:3000",
            "https://xn--mnchen-3ya.example",
            "capacitor://localhost",
            "chrome-extension://abcdefghijklmnop",
        ] {
            assert_eq!(origin(text).as_deref(), Some(text));
        }
        for bad in [
            "",
            "*",
            "null",
            "localhost:5173",
            "app.example.com",
            "//app.example.com",
            "http://",
            "http://localhost:5173/",
            "https://app.example.com/app",
            "https://app.example.com?a",
            "https://app.example.com#a",
            "https://*.example.com",
            "HTTPS://app.example.com",
            "https://App.example.com",
            "https://münchen.example",
            "https://app.example.com:443",
            "http://localhost:80",
            "http://localhost:",
            "http://localhost:05173",
            "http://me@localhost:5173",
            "http://:pw@localhost:5173",
            "http://127.1:3000",
            "http://[0:0::1]:3000",
            "ws://localhost:5173",
            "wss://app.example.com",
            "file:///a.html",
            "http://a b",
        ] {
            assert_eq!(origin(bad), None, "{bad}");
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
            assert!(matches!(redis(bad), Err(ValueError::Secret)), "{bad}");
        }
    }

    #[test]
    fn the_ledger_is_a_file_or_a_server() {
        for (text, file) in [("sqlite:///a/b.db", "/a/b.db"), ("sqlite://b.db", "b.db")] {
            assert_eq!(database(text).ok(), Some(Database::Sqlite(Some(PathBuf::from(file)))));
        }
        for bad in ["sqlite://", "sqlite://:memory:", "sqlite://a?mode=ro", "mysql://u:p@h/d", "a.db", "postgres://"] {
            assert!(matches!(database(bad), Err(ValueError::Secret)), "{bad}");
        }
        for url in ["postgres://u:p@h/d", "postgresql://h/d?sslmode=require"] {
            assert_eq!(database(url).ok(), Some(Database::Postgres(Address::new(url))));
        }
    }
}
