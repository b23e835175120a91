//! Parses the text of settings, and shows values without their secrets.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use url::{Position, Url};

use crate::domain::network::is_country;

use super::{Address, Database, Durable, LogFormat, RateLimit};

/// Why a value was refused.
pub(super) enum ValueError {
    /// The setting does not accept it.
    Value,
    /// The same, and it must not be shown.
    Secret,
}

pub(super) fn put<T>(field: &mut T, value: Result<T, ValueError>) -> Result<(), ValueError> {
    *field = value?;
    Ok(())
}

pub(super) fn address(text: &str) -> Result<SocketAddr, ValueError> {
    text.parse().map_err(|_| ValueError::Value)
}

pub(super) fn non_empty(text: &str) -> Result<&str, ValueError> {
    if text.is_empty() { Err(ValueError::Value) } else { Ok(text) }
}

pub(super) fn within(text: &str, min: u64, max: u64) -> Result<u64, ValueError> {
    let number = text.parse().map_err(|_| ValueError::Value)?;
    if (min..=max).contains(&number) { Ok(number) } else { Err(ValueError::Value) }
}

pub(super) fn count(text: &str, min: u64) -> Result<usize, ValueError> {
    within(text, min, 10_000_000).and_then(|number| usize::try_from(number).map_err(|_| ValueError::Value))
}

pub(super) fn count_or_none(text: &str) -> Result<Option<u32>, ValueError> {
    if text == "none" {
        return Ok(None);
    }
    let number = within(text, 1, 1_000_000)?;
    u32::try_from(number).map(Some).map_err(|_| ValueError::Value)
}

pub(super) fn country(text: &str) -> Option<String> {
    is_country(text).then(|| text.to_owned())
}

pub(super) fn show_or(number: Option<usize>, default: &str) -> String {
    number.map_or_else(|| default.to_owned(), |number| number.to_string())
}

pub(super) fn rate(text: &str) -> Result<Option<RateLimit>, ValueError> {
    RateLimit::or_none(text).map_err(|_| ValueError::Value)
}

pub(super) fn list<T>(text: &str, read: fn(&str) -> Option<T>) -> Result<Vec<T>, ValueError> {
    text.split(',').map(|each| read(each.trim()).ok_or(ValueError::Value)).collect()
}

pub(super) fn show_list<T: ToString>(items: &[T], default: &str) -> String {
    if items.is_empty() {
        return default.to_owned();
    }
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

pub(super) fn host_name(text: &str) -> Option<String> {
    let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (!text.is_empty() && text.bytes().all(is_valid)).then(|| text.to_ascii_lowercase())
}

/// An origin, if it is written as browsers send it: nothing else would ever equal one.
pub(super) fn origin(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let is_of_pages = url.has_host() && !matches!(url.scheme(), "ws" | "wss" | "file");
    let is_plain = !text.contains(['@', '*']) && &url[..Position::AfterPort] == text;
    (is_of_pages && is_plain).then(|| text.to_owned())
}

pub(super) fn millis(text: &str, min: u64, max: u64) -> Result<Duration, ValueError> {
    within(text, min, max).map(Duration::from_millis)
}

pub(super) fn durable(text: &str) -> Result<Durable, ValueError> {
    match text {
        "flush" => Ok(Durable::Flush),
        "always" => Ok(Durable::Always),
        _ => Err(ValueError::Value),
    }
}

pub(super) fn log_format(text: &str) -> Result<LogFormat, ValueError> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(ValueError::Value),
    }
}

pub(super) fn log_filter(text: &str) -> Result<String, ValueError> {
    EnvFilter::try_new(non_empty(text)?).map_err(|_| ValueError::Value)?;
    Ok(text.to_owned())
}

/// Excludes the patterns of Redis, the braces and colons of key names, and the `@` before a
/// database number.
pub(super) fn prefix(text: &str) -> Result<String, ValueError> {
    let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if (1..=64).contains(&text.len()) && text.bytes().all(is_valid) {
        Ok(text.to_owned())
    } else {
        Err(ValueError::Value)
    }
}

pub(super) fn name(text: &str) -> Result<String, ValueError> {
    let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
    if (1..=128).contains(&text.len()) && text.bytes().all(is_valid) {
        Ok(text.to_owned())
    } else {
        Err(ValueError::Value)
    }
}

/// The file of a `sqlite://` address. Queries and ledgers in memory are refused. An address
/// may hold a password, so no error shows it.
pub(super) fn database(text: &str) -> Result<Database, ValueError> {
    let is_file = |file: &&str| !file.is_empty() && !file.contains(['?', '#']) && *file != ":memory:";
    if ["postgres://", "postgresql://"].iter().any(|scheme| text.len() > scheme.len() && text.starts_with(scheme)) {
        return Ok(Database::Postgres(Address::new(text)));
    }
    let file = text.strip_prefix("sqlite://").filter(is_file).ok_or(ValueError::Secret)?;
    Ok(Database::Sqlite(Some(PathBuf::from(file))))
}

/// The address of a Redis, checked without a connection.
pub(super) fn redis(text: &str) -> Result<Address, ValueError> {
    const SCHEMES: &[&str] = &["redis", "rediss", "valkey", "valkeys"];
    let (scheme, rest) = text.split_once("://").ok_or(ValueError::Secret)?;
    let (scheme, kind) = scheme.split_once('-').map_or((scheme, None), |(scheme, kind)| (scheme, Some(kind)));
    let is_known = SCHEMES.contains(&scheme) && matches!(kind, None | Some("cluster" | "sentinel"));
    if is_known && !rest.is_empty() { Ok(Address::new(text)) } else { Err(ValueError::Secret) }
}
