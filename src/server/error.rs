//! Why an instance does not serve.

use std::io;
use std::net::SocketAddr;

use crate::addresses::CountriesError;
use crate::audit::ownership::ClaimRefused;
use crate::domain::id::InvalidId;
use crate::ledger;
use crate::redis;

/// Why an instance does not serve.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address is taken, or not of this host.
    #[error("failed to listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// Another process serves from the same folder.
    #[error("failed to lock {0}: another process serves from it")]
    InUse(String),
    /// The folder cannot be used.
    #[error("failed to use the data folder {folder}")]
    Folder {
        /// The folder.
        folder: String,
        /// The system's error.
        source: io::Error,
    },
    /// The ledger does not open.
    #[error("failed to open the ledger")]
    Ledger(#[from] ledger::Error),
    /// A newer release has migrated the ledger.
    #[error(
        "the ledger's schema is newer than this release: it has migration {0}. Start the release that made it, or \
         bring back a copy of the ledger from before"
    )]
    NewerSchema(i64),
    /// The address of Redis is invalid.
    #[error("failed to use REDIS_URL")]
    Address(#[from] redis::InvalidAddress),
    /// Redis does not answer.
    #[error("failed to reach Redis")]
    Redis(#[from] redis::RedisError),
    /// Redis may evict keys.
    #[error(
        "Redis has maxmemory-policy {0}, and may evict sessions when it is full: set it to noeviction, or pass --allow-eviction"
    )]
    MayEvict(String),
    /// The ledger is another deployment's, or the deployment's is another ledger.
    #[error(transparent)]
    ClaimRefused(#[from] ClaimRefused),
    /// A worker has no shared store to drain.
    #[error("a worker drains what instances share: set REDIS_URL. Without it, the process that serves does its own")]
    NoSharedStore,
    /// The file with the countries of addresses cannot be used.
    #[error("failed to use GEOIP_FILE")]
    Countries(#[from] CountriesError),
    /// It was not read, as the process ends.
    #[error("failed to use GEOIP_FILE: it was not read")]
    CountriesTask,
    /// The identifiers of open mode are invalid.
    #[error("failed to set up tokens")]
    Tokens(#[from] InvalidId),
}
