//! Why an instance does not serve.

use std::io;
use std::net::SocketAddr;

use crate::audit::ownership::LedgerTaken;
use crate::domain::id::InvalidId;
use crate::ledger;
use crate::redis;

/// Why an instance does not serve.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address is taken, or not this host's.
    #[error("failed to listen on {address}")]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Another process serves from the same folder.
    #[error("failed to lock {0}: another process serves from it")]
    InUse(String),
    /// The folder cannot be used.
    #[error("failed to use the data folder {folder}")]
    Folder {
        /// Which.
        folder: String,
        /// What the system said.
        source: io::Error,
    },
    /// The ledger does not open.
    #[error("failed to open the ledger")]
    Ledger(#[from] ledger::Error),
    /// A newer release has brought the ledger up.
    #[error(
        "the ledger's schema is newer than this release: it has migration {0}. Start the release that made it, or \
         bring back a copy of the ledger from before"
    )]
    NewerSchema(i64),
    /// The address of Redis is of no use.
    #[error("failed to use REDIS_URL")]
    Address(#[from] redis::InvalidAddress),
    /// Redis does not answer.
    #[error("failed to reach Redis")]
    Redis(#[from] redis::RedisError),
    /// Redis does not keep what it is given.
    #[error(
        "Redis has maxmemory-policy {0}, and may throw sessions away when it is full: set it to noeviction, or say --allow-eviction"
    )]
    MayEvict(String),
    /// The ledger is another deployment's.
    #[error(transparent)]
    Taken(#[from] LedgerTaken),
    /// There is nothing a worker could take.
    #[error("a worker drains what instances share: set REDIS_URL. Without it, the process that serves does its own")]
    NoSharedStore,
    /// The open mode's own names are not valid.
    #[error("failed to set up tokens")]
    Tokens(#[from] InvalidId),
}
