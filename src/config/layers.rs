//! Defaults, then the file, then the environment, then flags: the later one wins.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::read::ValueError;
use super::secret;
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
        let shown = match setting.form {
            Form::Built { show, .. } => show(&self.config),
            Form::FileOf(of) => self.config.files.get(of).map_or("none".into(), |file| file.display().to_string()),
            Form::NotBuilt => return None,
        };
        Some(format!("{:<20} {shown}  ({})\n", setting.name, self.source(setting)))
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

    /// Reads the settings that stand in files. Which of two values counts, nobody would remember.
    fn apply_files(&mut self) -> Result<(), Error> {
        for (name, file) in self.config.files.clone() {
            if self.sources.contains_key(name) {
                return Err(Error::BothGiven(name));
            }
            let setting = SETTINGS.iter().find(|setting| setting.name == name);
            let text = secret::read(&file).map_err(|error| Error::UnreadableFile(name, file.clone(), error.kind()))?;
            setting.map_or(Ok(()), |setting| read(&mut self.config, setting, &text))?;
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
    resolved.apply_files()?;
    Ok(resolved)
}

fn read(config: &mut Config, setting: &Setting, value: &str) -> Result<(), Error> {
    let name = setting.name;
    let (accepted, read) = match setting.form {
        Form::Built { accepts, read, .. } => (accepts, read),
        Form::FileOf(of) if !value.is_empty() => {
            config.files.insert(of, PathBuf::from(value));
            return Ok(());
        }
        Form::FileOf(_) => return Err(Error::Value { name, accepted: "a file", value: value.to_owned() }),
        Form::NotBuilt => return Err(Error::NotBuilt(name.to_owned())),
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
        assert_eq!(
            short,
            "JWT_SECRET must be at least 32 bytes long, 8 of them different ones; openssl rand -base64 32 makes one"
        );
        let typed = from_environment("JWT_SECRET", &"hunter2".repeat(6)).unwrap_err().to_string();
        assert_eq!(typed, short);
        let url = from_environment("DATABASE_URL", "mysql://u:hunter2@h/d").unwrap_err().to_string();
        assert!(!url.contains("hunter2"), "{url}");
        let broken = resolve(Some("data_dir = 'x'\njwt_secret = 'hunter2"), &Pairs::new(), &Pairs::new()).unwrap_err();
        assert_eq!(broken, Error::NotToml { line: 2 });
        let long = "hunter23".repeat(6);
        let report = from_environment("JWT_SECRET", &long).unwrap().report();
        assert!(report.contains("a secret of 48 bytes") && !report.contains("hunter2"), "{report}");
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
    fn a_secret_may_stand_in_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        let given = |more: &[(&str, &str)]| {
            let pairs = pairs(&[&[("REDIS_URL_FILE", path)], more].concat());
            resolve(None, &pairs, &Pairs::new()).map(|resolved| (resolved.config.redis.clone(), resolved.report()))
        };
        std::fs::write(path, "redis://u:hunter2@h/1\n").unwrap();
        let (redis, report) = given(&[]).unwrap();
        assert_eq!(redis, Some(super::super::Address::new("redis://u:hunter2@h/1")));
        assert!(report.contains(&format!("REDIS_URL_FILE       {path}  (environment)")), "{report}");
        assert!(!report.contains("hunter2"), "{report}");
        assert_eq!(given(&[("REDIS_URL", "redis://h")]).err(), Some(Error::BothGiven("REDIS_URL")));
        let mixed = resolve(Some("redis_url = 'redis://h'"), &pairs(&[("REDIS_URL_FILE", path)]), &Pairs::new());
        assert_eq!(mixed.err(), Some(Error::BothGiven("REDIS_URL")));
        std::fs::write(path, "hunter2").unwrap();
        let error = given(&[]).unwrap_err().to_string();
        assert!(error.starts_with("REDIS_URL must be") && !error.contains("hunter2"), "{error}");
        std::fs::write(path, [0xff]).unwrap();
        assert!(matches!(given(&[]), Err(Error::UnreadableFile("REDIS_URL", ..))));
        let missing = from_environment("JWT_SECRET_FILE", "/nowhere").unwrap_err().to_string();
        assert_eq!(missing, "failed to read /nowhere, which JWT_SECRET_FILE names: entity not found");
        assert!(matches!(from_environment("JWT_SECRET_FILE", ""), Err(Error::Value { .. })));
        assert!(from_environment("DATABASE_URL_FILE", "/proc/self/mem").is_err());
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
