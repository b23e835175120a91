//! Addresses of services.

use std::fmt;

/// The address of a service, which may hold a password. It never appears in an output.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(Box<str>);

impl Address {
    /// The address `url`.
    pub fn new(url: &str) -> Self {
        Self(url.into())
    }

    /// The address itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The database number in a Redis URL; a cluster has only one database.
    pub fn database(&self) -> Option<u8> {
        let shown = self.shown();
        let (scheme, place) = shown.split_once("://")?;
        let (_, path) = place.split_once('/').filter(|_| !scheme.ends_with("-cluster"))?;
        path.parse().ok()
    }

    /// The address without user, password and parameters.
    pub fn shown(&self) -> String {
        let (scheme, rest) = self.0.split_once("://").unwrap_or_default();
        let place = rest.split(['?', '#']).next().unwrap_or_default();
        let place = place.rsplit_once('@').map_or(place, |(_, place)| place);
        format!("{scheme}://{place}")
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Database};
    use super::*;

    #[test]
    fn a_deployment_is_named_by_its_prefix_and_database() {
        for (url, name) in [
            ("redis://h", "a"),
            ("redis://h:6379/", "a"),
            ("redis://h/0", "a"),
            ("rediss://u:p@h:6379/2", "a@2"),
            ("redis://h/2?", "a@2"),
            ("redis-sentinel://h:1/15?sentinelServiceName=n/3", "a@15"),
            ("redis-cluster://h:1/2?node=h:2", "a"),
        ] {
            let redis = Some(Address::new(url));
            let config = Config { redis, redis_prefix: "a".to_owned(), ..Config::default() };
            assert_eq!(config.redis_name(), name, "{url}");
        }
        assert_eq!(Config::default().redis_name(), "sk");
    }

    #[test]
    fn an_address_is_shown_without_credentials() {
        for (url, shown) in [
            ("postgres://u:p@h:5432/d?sslmode=require&password=p", "postgres://h:5432/d"),
            ("postgres://h/d", "postgres://h/d"),
            ("postgres://u:p@ss@h/d", "postgres://h/d"),
        ] {
            let config = Config { database: Database::Postgres(Address::new(url)), ..Config::default() };
            assert_eq!(config.ledger(), shown);
            assert!(!format!("{config:?}").contains("u:p"));
        }
    }
}
