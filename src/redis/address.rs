//! The address of Redis, by URL.
//!
//! | URL | target |
//! | --- | --- |
//! | `redis://[user:password@]host[:port][/db]` | one server: Redis 6.2 or later, or Valkey |
//! | `redis-cluster://host:port[?node=host:port...]` | a cluster, from version 7 on |
//! | `redis-sentinel://host:port?sentinelServiceName=name[&node=host:port...]` | the server that the sentinels name |
//!
//! `rediss`, `rediss-cluster` and `rediss-sentinel` mean TLS; `valkey` means the same as `redis`. The user
//! needs the keys and channels that begin with the name of the deployment, `sk:*` or `sk@2:*`, and the
//! commands in `docs/RELIABILITY.md`.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use fred::rustls::crypto::ring;
use fred::rustls::pki_types::CertificateDer;
use fred::rustls::pki_types::pem::PemObject as _;
use fred::rustls::{ClientConfig, RootCertStore};
use fred::types::RespVersion;
use fred::types::config::{Config, TlsConfig, TlsConnector};

const SCHEMES: &[&str] = &["redis", "rediss", "valkey", "valkeys"];

/// The address of Redis, with credentials and TLS.
#[derive(Clone)]
pub struct RedisUrl(Config);

/// Why an address is invalid. Never contains the address, which may hold a password.
#[derive(Debug, thiserror::Error)]
pub enum InvalidAddress {
    /// It is no URL of a Redis.
    #[error("it is no URL of a Redis")]
    Url,
    /// The trusted certificates cannot be read.
    #[error("failed to read the trusted certificates for Redis")]
    Certificates(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl fmt::Debug for RedisUrl {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedisUrl").field(&self.0.server.hosts()).finish()
    }
}

impl RedisUrl {
    /// From a URL. Over TLS, the server's certificate must be signed by an authority that the
    /// host trusts, or by one in `trusted`, a PEM file, if it is given.
    pub fn new(url: &str, trusted: Option<&Path>) -> Result<Self, InvalidAddress> {
        let scheme = url.split("://").next().and_then(|scheme| scheme.split('-').next());
        // The library accepts any other scheme as one of Redis.
        if !scheme.is_some_and(|scheme| SCHEMES.contains(&scheme)) {
            return Err(InvalidAddress::Url);
        }
        let mut config = Config::from_url(url).map_err(|_| InvalidAddress::Url)?;
        config.version = RespVersion::RESP3;
        if let (Some(_), Some(file)) = (&config.tls, trusted) {
            config.tls = Some(tls_trusting(file).map_err(InvalidAddress::Certificates)?);
        }
        Ok(Self(config))
    }

    pub(super) fn config(&self) -> Config {
        self.0.clone()
    }
}

fn tls_trusting(file: &Path) -> Result<TlsConfig, Box<dyn std::error::Error + Send + Sync>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file)? {
        roots.add(certificate?)?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(config).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_deployment_has_a_url() {
        for (url, hosts) in [
            ("redis://127.0.0.1:7000/2", 1),
            ("redis://user:secret@127.0.0.1", 1),
            ("rediss://127.0.0.1:7000", 1),
            ("redis-cluster://127.0.0.1:7000?node=127.0.0.1:7001&node=127.0.0.1:7002", 3),
            ("redis-sentinel://127.0.0.1:26379?sentinelServiceName=main&node=127.0.0.1:26380", 2),
        ] {
            let address = RedisUrl::new(url, None).unwrap();
            assert_eq!(address.0.server.hosts().len(), hosts, "{url}");
            assert_eq!(address.0.tls.is_some(), url.starts_with("rediss"), "{url}");
            assert!(!format!("{address:?}").contains("secret"));
        }
    }

    #[test]
    fn an_invalid_address_is_refused_and_not_repeated() {
        for url in ["", "secret", "redis-sentinel://secret:1", "postgres://secret@localhost"] {
            let error = RedisUrl::new(url, None).unwrap_err();
            assert!(!format!("{error:?} {error}").contains("secret"), "{url}");
        }
    }
}
