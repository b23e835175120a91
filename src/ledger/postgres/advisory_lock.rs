//! That one process alone serves what is recorded here: an advisory lock, held by a
//! connection of its own.
//!
//! Sessions in memory are one process's. A second one over the same ledger would not
//! know of its writes, and each would record versions the other never saw.

use std::time::Duration;

use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::time::{Instant, sleep};

use super::connect;
use super::error::failed;
use crate::ledger::Error;

/// The lock's number: any that no other program takes here. It spells the service's name.
const LOCK_KEY: i64 = i64::from_be_bytes(*b"synckair");

const TRY_LOCK: &str = "select pg_try_advisory_lock($1)";

/// How long a statement about the lock may take.
const STATEMENT_TIMEOUT: &str = "3s";

const RETRY_INTERVAL: Duration = Duration::from_millis(50);

/// How often the connection is looked at.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The lock, while its connection lasts.
#[derive(Debug)]
pub struct AdvisoryLock {
    connection: PgConnection,
    connecting: PgConnectOptions,
}

impl AdvisoryLock {
    /// Takes the lock of the database at `url`; waits for whoever holds it, but no
    /// longer than `patience`. `None` if it is still held then.
    pub async fn acquire(url: &str, instance: &str, patience: Duration) -> Result<Option<Self>, Error> {
        let connecting = connect::options(url, instance, STATEMENT_TIMEOUT)?;
        let mut connection = connect::connect(&connecting).await?;
        let until = Instant::now() + patience;
        while !try_lock(&mut connection).await? {
            if Instant::now() >= until {
                return Ok(None);
            }
            sleep(RETRY_INTERVAL).await;
        }
        Ok(Some(Self { connection, connecting }))
    }

    /// Holds on to it, and takes it again after the database was away. Returns once
    /// somebody else has it.
    pub async fn keep(mut self) {
        loop {
            sleep(CHECK_INTERVAL).await;
            if self.connection.ping().await.is_ok() {
                continue;
            }
            // While the database is away nobody can take the lock.
            match self.reacquire().await {
                Ok(true) => tracing::info!("the ledger's lock was taken again"),
                Ok(false) => return,
                Err(error) => tracing::debug!(%error, "the ledger's lock cannot be taken yet"),
            }
        }
    }

    /// Whether the lock is ours, on a new connection.
    async fn reacquire(&mut self) -> Result<bool, Error> {
        self.connection = connect::connect(&self.connecting).await?;
        try_lock(&mut self.connection).await
    }
}

async fn try_lock(connection: &mut PgConnection) -> Result<bool, Error> {
    sqlx::query_scalar(TRY_LOCK).bind(LOCK_KEY).fetch_one(connection).await.map_err(failed)
}
