//! One process alone serves this ledger: an advisory lock on a connection of its own.
//!
//! A process may keep its sessions in memory. A second process on the same ledger would not
//! know of its writes, and each would record versions that the other never saw.

use std::time::Duration;

use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::time::{Instant, sleep};

use super::connect;
use super::error::failed;
use crate::ledger::Error;

/// The lock's number, which no other program uses here: the first letters of the service's name.
const LOCK_KEY: i64 = i64::from_be_bytes(*b"synckair");

const TRY_LOCK: &str = "select pg_try_advisory_lock($1)";

const STATEMENT_TIMEOUT: &str = "3s";

const RETRY_INTERVAL: Duration = Duration::from_millis(50);

const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The lock, held while its connection lasts.
#[derive(Debug)]
pub struct AdvisoryLock {
    connection: PgConnection,
    options: PgConnectOptions,
}

impl AdvisoryLock {
    /// Takes the lock of the database at `url`. `None` if another process still holds it after
    /// `limit`.
    pub async fn acquire(url: &str, instance: &str, limit: Duration) -> Result<Option<Self>, Error> {
        let options = connect::options(url, instance, STATEMENT_TIMEOUT)?;
        let mut connection = connect::connect(&options).await?;
        let until = Instant::now() + limit;
        while !try_lock(&mut connection).await? {
            if Instant::now() >= until {
                return Ok(None);
            }
            sleep(RETRY_INTERVAL).await;
        }
        Ok(Some(Self { connection, options }))
    }

    /// Keeps the lock, and takes it again after an outage of the database. Returns once
    /// another process has it.
    pub async fn keep(mut self) {
        loop {
            sleep(CHECK_INTERVAL).await;
            if self.connection.ping().await.is_ok() {
                continue;
            }
            // While the database is down no process can take the lock.
            match self.reacquire().await {
                Ok(true) => tracing::info!("the ledger's lock was taken again"),
                Ok(false) => return,
                Err(error) => tracing::debug!(%error, "the ledger's lock cannot be taken yet"),
            }
        }
    }

    /// Tries to take the lock on a new connection.
    async fn reacquire(&mut self) -> Result<bool, Error> {
        self.connection = connect::connect(&self.options).await?;
        try_lock(&mut self.connection).await
    }
}

async fn try_lock(connection: &mut PgConnection) -> Result<bool, Error> {
    sqlx::query_scalar(TRY_LOCK).bind(LOCK_KEY).fetch_one(connection).await.map_err(failed)
}
