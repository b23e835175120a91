//! Whether two listeners would be the same.

use std::net::SocketAddr;

/// Whether what is served at one address is also served at the other.
pub(super) fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let (one_ip, other_ip) = (one.ip().to_canonical(), other.ip().to_canonical());
    let meet = one_ip == other_ip || one_ip.is_unspecified() || other_ip.is_unspecified();
    // At port 0 the host gives each another one.
    one.port() == other.port() && one.port() != 0 && meet
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Error, Secret};

    #[test]
    fn metrics_have_a_listener_of_their_own() {
        for (all, metrics, is_fine) in [
            ("127.0.0.1:1", "127.0.0.1:1", false),
            ("0.0.0.0:1", "127.0.0.1:1", false),
            ("127.0.0.1:1", "0.0.0.0:1", false),
            ("127.0.0.1:1", "[::]:1", false),
            ("127.0.0.1:1", "[::ffff:127.0.0.1]:1", false),
            ("127.0.0.1:1", "127.0.0.2:1", true),
            ("127.0.0.1:1", "127.0.0.1:2", true),
            ("127.0.0.1:0", "127.0.0.1:0", true),
        ] {
            let (listen_addr, metrics_addr) = (all.parse().unwrap(), metrics.parse().unwrap());
            let config =
                Config { listen_addr, metrics_addr, jwt_secret: Secret::new(&"k".repeat(32)), ..Config::default() };
            let expected = if is_fine { Ok(()) } else { Err(Error::MetricsExposed(metrics_addr)) };
            assert_eq!(config.check(), expected, "{all} {metrics}");
        }
    }
}
