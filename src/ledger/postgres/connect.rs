//! Why a connection does not come about. A pool tries again for as long as anyone may wait,
//! and then says only that: so one plain connection is tried, to learn the cause.

use std::io;
use std::str::FromStr as _;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::error::failed;
use crate::ledger::error::{Error, unavailable};
use crate::telemetry::outage::chain;

/// Nobody waits longer for a connection. Where nothing listens, that long is tried.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Who waited for the pool has waited long enough already.
const CAUSE_TIMEOUT: Duration = Duration::from_secs(1);

/// What was learned so lately is still so: in an outage many ask.
const MAX_CAUSE_AGE: Duration = Duration::from_secs(1);

/// How to connect as `instance`, whose statements may take up to `limit`.
pub(super) fn options(url: &str, instance: &str, limit: &str) -> Result<PgConnectOptions, Error> {
    let options = PgConnectOptions::from_str(url).map_err(unavailable)?;
    let options = options.application_name(&format!("synckairos {instance}")).options([
        ("statement_timeout", limit),
        ("lock_timeout", limit),
        ("idle_in_transaction_session_timeout", "30s"),
        // Statements here are short: compiling one would take longer than to run it.
        ("jit", "off"),
    ]);
    Ok(options.disable_statement_logging())
}

/// One connection, no longer waited for than anyone may.
pub(super) async fn connect(connecting: &PgConnectOptions) -> Result<PgConnection, Error> {
    within(CONNECT_TIMEOUT, connecting).await.map_err(failed)
}

async fn within(patience: Duration, connecting: &PgConnectOptions) -> sqlx::Result<PgConnection> {
    timeout(patience, connecting.connect()).await.unwrap_or_else(|_| Err(silent(patience)))
}

fn silent(patience: Duration) -> sqlx::Error {
    sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {patience:?}")))
}

/// The cause of the pools' errors.
#[derive(Debug)]
pub(super) struct PoolErrorCause {
    connecting: PgConnectOptions,
    last: Mutex<Option<(Instant, Option<String>)>>,
}

impl PoolErrorCause {
    pub(super) fn new(connecting: PgConnectOptions) -> Self {
        Self { connecting, last: Mutex::new(None) }
    }

    /// The error of a pool that had no connection in time, with its cause.
    pub(super) async fn explain(&self) -> Error {
        match self.learn().await {
            Some(cause) => unavailable(cause),
            None => unavailable("all connections to it are in use"),
        }
    }

    /// What stands in the way of a connection, if anything does.
    async fn learn(&self) -> Option<String> {
        let mut last = self.last.lock().await;
        if let Some((_, why)) = last.as_ref().filter(|(at, _)| at.elapsed() < MAX_CAUSE_AGE) {
            return why.clone();
        }
        let why = match within(CAUSE_TIMEOUT, &self.connecting).await {
            Ok(connection) => {
                // It was only to see.
                let _ = connection.close().await;
                None
            }
            Err(error) => Some(chain(&error)),
        };
        *last = Some((Instant::now(), why.clone()));
        why
    }
}
