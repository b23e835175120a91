//! Connections, and why there is none. A pool retries until its time-out and reports only
//! that, so one plain connection attempt finds the cause.

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

/// The longest wait for a connection; a refused one is retried for as long.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The caller has already waited for the pool.
const CAUSE_TIMEOUT: Duration = Duration::from_secs(1);

/// In an outage many callers need the cause: they share a recent one.
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

/// Opens one connection within [`CONNECT_TIMEOUT`].
pub(super) async fn connect(options: &PgConnectOptions) -> Result<PgConnection, Error> {
    connect_within(CONNECT_TIMEOUT, options).await.map_err(failed)
}

async fn connect_within(limit: Duration, options: &PgConnectOptions) -> sqlx::Result<PgConnection> {
    timeout(limit, options.connect()).await.unwrap_or_else(|_| Err(timed_out(limit)))
}

fn timed_out(limit: Duration) -> sqlx::Error {
    sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {limit:?}")))
}

/// Finds out why the pools have no connection.
#[derive(Debug)]
pub(super) struct PoolErrorCause {
    options: PgConnectOptions,
    /// When it was found, and what it is; `None` if a connection succeeded.
    last: Mutex<Option<(Instant, Option<String>)>>,
}

impl PoolErrorCause {
    pub(super) fn new(options: PgConnectOptions) -> Self {
        Self { options, last: Mutex::new(None) }
    }

    /// The error of a pool that had no connection in time, with its cause.
    pub(super) async fn explain(&self) -> Error {
        match self.find().await {
            Some(cause) => unavailable(cause),
            None => unavailable("all connections to it are in use"),
        }
    }

    /// Why a connection attempt fails, if it does.
    async fn find(&self) -> Option<String> {
        let mut last = self.last.lock().await;
        if let Some((_, cause)) = last.as_ref().filter(|(at, _)| at.elapsed() < MAX_CAUSE_AGE) {
            return cause.clone();
        }
        let cause = match connect_within(CAUSE_TIMEOUT, &self.options).await {
            Ok(connection) => {
                // It was only a test.
                let _ = connection.close().await;
                None
            }
            Err(error) => Some(chain(&error)),
        };
        *last = Some((Instant::now(), cause.clone()));
        cause
    }
}
