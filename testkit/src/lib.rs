//! What SyncKairos stands on, started for tests, benches and clusters on one machine: Redis, PostgreSQL, nginx, instances
//! as processes, and a proxy that cuts connections. It installs nothing and knows nothing of the service's code.
#![expect(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test that cannot start its servers has failed")]
#![expect(clippy::must_use_candidate, reason = "nobody loses an address by accident")]

pub mod certificates;
pub mod golden;
pub mod nginx;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod redis;
