//! How many connections fit: the limit of file descriptors, less a reserve.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;
use crate::net::admission::Limits;

/// The limit where the host names none.
const MAX_DESCRIPTORS: u64 = 1 << 20;

/// Kept for the ledger, the store, files and the metrics listener: a quarter, within these bounds.
const RESERVED_DESCRIPTORS: std::ops::RangeInclusive<usize> = 64..=128;

/// Accepted even where descriptors are fewer.
const MIN_CONNECTIONS: usize = 16;

/// With fewer descriptors the log warns: they limit the service to few connections.
const WARN_BELOW_DESCRIPTORS: usize = 1_024;

/// Raises the limit of descriptors as far as the host allows. A shell grants about a thousand,
/// for programs that use `select`; this one does not.
pub(super) fn raise_descriptors() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.unwrap_or(MAX_DESCRIPTORS);
    if current.is_some_and(|current| current < wanted) {
        // If that fails the limit stays, and the log warns below if it is low.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum });
    }
}

/// The limits of both listeners.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Capacity {
    /// For requests and streams.
    pub requests: Limits,
    /// For scrapes, out of the reserve.
    pub metrics: Limits,
}

impl Capacity {
    /// The limits of the settings, or by default what the limit of descriptors leaves.
    pub(super) fn of(config: &Config) -> Self {
        let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(MAX_DESCRIPTORS).min(MAX_DESCRIPTORS);
        Self::within(config, usize::try_from(descriptors).unwrap_or(usize::MAX))
    }

    fn within(config: &Config, descriptors: usize) -> Self {
        let reserve = (descriptors / 4).clamp(*RESERVED_DESCRIPTORS.start(), *RESERVED_DESCRIPTORS.end());
        let fitting = descriptors.saturating_sub(reserve).max(MIN_CONNECTIONS);
        let connections = config.max_connections.unwrap_or(fitting);
        if connections > fitting {
            tracing::warn!(
                connections,
                fitting,
                descriptors,
                "the limit of file descriptors is too low for MAX_CONNECTIONS"
            );
        } else if config.max_connections.is_none() && descriptors < WARN_BELOW_DESCRIPTORS {
            tracing::warn!(connections, descriptors, "the limit of file descriptors leaves room for few connections");
        }
        let connections = connections.min(fitting);
        let unauthenticated = config.max_unauthenticated.unwrap_or(connections / 4).clamp(1, connections);
        let per_address = config.max_unauthenticated_per_address.unwrap_or(unauthenticated / 4).max(1);
        let scrapes = reserve / 2;
        Self {
            requests: Limits { connections, unauthenticated, per_address },
            metrics: Limits { connections: scrapes, unauthenticated: scrapes, per_address: scrapes },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserve_of_descriptors_is_kept() {
        let capacity = |descriptors| Capacity::within(&Config::default(), descriptors);
        let limits = |connections, unauthenticated, per_address| Limits { connections, unauthenticated, per_address };
        assert_eq!(capacity(256).requests, limits(192, 48, 12));
        assert_eq!(capacity(256).metrics, limits(32, 32, 32));
        assert_eq!(capacity(20_000).requests, limits(19_872, 4_968, 1_242));
        assert_eq!(capacity(20_000).metrics, limits(64, 64, 64));
        assert_eq!(capacity(100).requests, limits(36, 9, 2));
        assert_eq!(capacity(4).requests, limits(16, 4, 1));
    }

    #[test]
    fn the_limit_of_descriptors_caps_the_settings() {
        let config = Config { max_connections: Some(100), max_unauthenticated: Some(200), ..Config::default() };
        let limits = |connections, unauthenticated, per_address| Limits { connections, unauthenticated, per_address };
        assert_eq!(Capacity::within(&config, 1_024).requests, limits(100, 100, 25));
        assert_eq!(Capacity::within(&config, 128).requests, limits(64, 64, 16));
    }
}
