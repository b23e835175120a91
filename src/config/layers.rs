//! Defaults, then the file, then the environment, then flags: the later one wins.

use std::collections::BTreeMap;
use std::fmt;

use super::read::ValueError;
use super::table::Form;
use super::{Config, Error, SETTINGS, Setting};

/// Names and values as the environment or the command line gave them.
pub type Pairs = Vec<(String, String)>;

/// Where a setting got its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Its default.
    Default,
    /// The settings file.
    File,
    /// The environment.
    Environment,
    /// A flag.
    Flag,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Default => "default",
            Self::File => "file",
            Self::Environment => "environment",
            Self::Flag => "flag",
        })
    }
}

/// The settings, and where each came from.
#[derive(Debug)]
pub struct Resolved {
    /// Their values.
    pub config: Config,
    sources: BTreeMap<&'static str, Source>,
}

impl Resolved {
    /// A line for each setting: name, value, source. It shows no secret.
    pub fn report(&self) -> String {
        SETTINGS.iter().filter_map(|setting| self.line(setting)).collect()
    }

    fn line(&self, setting: &Setting) -> Option<String> {
        let Form::Built { show, .. } = setting.form else { return None };
        Some(format!("{:<20} {}  ({})\n", setting.name, show(&self.config), self.source(setting)))
    }

    fn source(&self, setting: &Setting) -> Source {
        self.sources.get(setting.name).copied().unwrap_or(Source::Default)
    }

    fn apply(&mut self, source: Source, pairs: &Pairs) -> Result<(), Error> {
        for (name, value) in pairs {
            // The environment has many names that are not settings.
            if let Some(setting) = SETTINGS.iter().find(|setting| setting.name == name) {
                read(&mut self.config, setting, value)?;
                self.sources.insert(setting.name, source);
            }
        }
        Ok(())
    }
}

/// Resolves the file's text, the environment and the flags.
pub fn resolve(file: Option<&str>, environment: &Pairs, flags: &Pairs) -> Result<Resolved, Error> {
    let mut resolved = Resolved { config: Config::default(), sources: BTreeMap::new() };
    resolved.apply(Source::File, &file.map_or(Ok(Pairs::new()), read_file)?)?;
    resolved.apply(Source::Environment, environment)?;
    resolved.apply(Source::Flag, flags)?;
    Ok(resolved)
}

fn read(config: &mut Config, setting: &Setting, value: &str) -> Result<(), Error> {
    let name = setting.name;
    let Form::Built { accepts: accepted, read, .. } = setting.form else {
        return Err(Error::NotBuilt(name.to_owned()));
    };
    read(config, value).map_err(|error| match error {
        ValueError::Value => Error::Value { name, accepted, value: value.to_owned() },
        ValueError::Secret => Error::Secret { name, accepted },
    })
}

fn read_file(text: &str) -> Result<Pairs, Error> {
    let table: toml::Table = text.parse().map_err(|error| not_toml(text, &error))?;
    table.into_iter().map(|(key, value)| file_pair(&key, value)).collect()
}

fn not_toml(text: &str, error: &toml::de::Error) -> Error {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or("");
    Error::NotToml { line: before.matches('\n').count() + 1 }
}

/// Refuses an unknown key: a misspelt one would leave its setting at the default in silence.
fn file_pair(key: &str, value: toml::Value) -> Result<(String, String), Error> {
    let setting = SETTINGS.iter().find(|setting| setting.key() == key);
    let setting = setting.ok_or_else(|| Error::UnknownKey(key.to_owned()))?;
    let value = match value {
        toml::Value::String(text) => text,
        toml::Value::Integer(number) => number.to_string(),
        _ => return Err(Error::Shape(setting.name)),
    };
    Ok((setting.name.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(list: &[(&str, &str)]) -> Pairs {
        list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn from_environment(name: &str, value: &str) -> Result<Resolved, Error> {
        resolve(None, &pairs(&[(name, value)]), &Pairs::new())
    }

    #[test]
    fn the_later_layer_wins_and_says_so() {
        let file = "drain_timeout_ms = 1\nmax_uncertainty_ms = \"2\"\nsession_idle_ttl_ms = 3000";
        let environment = pairs(&[("DRAIN_TIMEOUT_MS", "10"), ("MAX_UNCERTAINTY_MS", "20"), ("PATH", "/bin")]);
        let resolved = resolve(Some(file), &environment, &pairs(&[("DRAIN_TIMEOUT_MS", "100")])).unwrap();
        let config = &resolved.config;
        assert_eq!(config.drain_timeout.as_millis(), 100);
        assert_eq!(config.max_uncertainty.as_millis(), 20);
        assert_eq!(config.session_idle_ttl.as_millis(), 3_000);
        let report = resolved.report();
        for line in [
            "DRAIN_TIMEOUT_MS     100  (flag)",
            "MAX_UNCERTAINTY_MS   20  (environment)",
            "SESSION_IDLE_TTL_MS  3000  (file)",
            "LISTEN_ADDR          127.0.0.1:8080  (default)",
        ] {
            assert!(report.lines().any(|shown| shown == line), "{line} in {report}");
        }
    }

    #[test]
    fn a_bad_value_is_refused_with_the_name_and_what_is_accepted() {
        for (name, value, says) in [
            ("LISTEN_ADDR", "localhost", "LISTEN_ADDR must be an address and a port"),
            ("DURABLE", "maybe", "DURABLE must be flush or always, not \"maybe\""),
            ("DRAIN_TIMEOUT_MS", "-1", "milliseconds from 0 to 3600000"),
            ("DRAIN_TIMEOUT_MS", "1e3", "milliseconds from 0 to 3600000"),
            ("SESSION_IDLE_TTL_MS", "99999999999999999999", "milliseconds from 1000"),
            ("RUST_LOG", "a=b=c", "levels and targets"),
            ("LOG_FORMAT", "xml", "text or json"),
            ("INSTANCE_ID", "a b", "1 to 128 characters"),
            ("NTP_SERVERS", "h", "NTP_SERVERS is not built into this version yet"),
            ("REDIS_URL", "h:6379", "REDIS_URL must be redis://, rediss://"),
            ("DATABASE_URL", "mysql://h/d", "DATABASE_URL must be sqlite:// and a file, or postgres://"),
        ] {
            let error = from_environment(name, value).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn no_error_and_no_report_repeats_a_secret() {
        let short = from_environment("JWT_SECRET", "hunter2").unwrap_err().to_string();
        assert_eq!(short, "JWT_SECRET must be at least 32 bytes long");
        let url = from_environment("DATABASE_URL", "mysql://u:hunter2@h/d").unwrap_err().to_string();
        assert!(!url.contains("hunter2"), "{url}");
        let broken = resolve(Some("data_dir = 'x'\njwt_secret = 'hunter2"), &Pairs::new(), &Pairs::new()).unwrap_err();
        assert_eq!(broken, Error::NotToml { line: 2 });
        let long = "hunter2".repeat(6);
        let report = from_environment("JWT_SECRET", &long).unwrap().report();
        assert!(report.contains("a secret of 42 bytes") && !report.contains("hunter2"), "{report}");
        for name in ["REDIS_URL", "DATABASE_URL"] {
            let url = from_environment(name, "http://u:hunter2@h/d").unwrap_err().to_string();
            assert!(!url.contains("hunter2"), "{url}");
        }
        let report = from_environment("REDIS_URL", "redis://u:hunter2@h/0").unwrap().report();
        assert!(report.contains("redis://h/0") && !report.contains("hunter2"), "{report}");
        let report = from_environment("DATABASE_URL", "postgres://u:hunter2@h/d").unwrap().report();
        assert!(report.contains("postgres://h/d") && !report.contains("hunter2"), "{report}");
    }

    #[test]
    fn the_file_takes_settings_only() {
        let read = |text| resolve(Some(text), &Pairs::new(), &Pairs::new()).map(|_| ());
        assert_eq!(read("# nothing"), Ok(()));
        assert_eq!(read("listen_adr = 'x'"), Err(Error::UnknownKey("listen_adr".into())));
        assert_eq!(read("LISTEN_ADDR = '127.0.0.1:1'"), Err(Error::UnknownKey("LISTEN_ADDR".into())));
        assert_eq!(read("durable = true"), Err(Error::Shape("DURABLE")));
        assert_eq!(read("[durable]\na = 1"), Err(Error::Shape("DURABLE")));
        assert_eq!(read("ntp_servers = 'h'"), Err(Error::NotBuilt("NTP_SERVERS".into())));
    }
}
