//! A session that the store does not hold is taken back from the ledger.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::error::Error;
use super::unknown::Unknown;
use crate::clock::Clock;
use crate::domain::entry::ANSWERED_MS;
use crate::domain::id::SessionKey;
use crate::domain::session::restore::Absence;
use crate::domain::session::{Session, Status};
use crate::ledger::{Ledger, Row};
use crate::store::{Held, Store};
use crate::telemetry::metrics;

/// So many sessions are restored at a time; two askers of one wait for each other.
const LANES: usize = 64;

/// Takes sessions back.
pub(super) struct Restoring {
    store: Arc<dyn Store>,
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
    /// When nobody was there, before this process came.
    absence: Option<Absence>,
    lanes: Vec<Mutex<()>>,
    /// What the ledger did not know a moment ago.
    unknown: Unknown,
    hasher: RandomState,
}

impl Restoring {
    pub fn new(
        store: Arc<dyn Store>,
        ledger: Arc<dyn Ledger>,
        clock: Arc<dyn Clock>,
        absence: Option<Absence>,
    ) -> Self {
        let lanes = (0..LANES).map(|_| Mutex::new(())).collect();
        Self { store, ledger, clock, absence, lanes, unknown: Unknown::default(), hasher: RandomState::new() }
    }

    /// The session as the store holds it, taken back first if need be. A deleted
    /// one stays deleted.
    pub async fn present(&self, key: &SessionKey) -> Result<Held, Error> {
        match self.store.read(key).await? {
            Some(held) => Ok(held),
            None => self.restore(key).await,
        }
    }

    /// A session is there now: what was said of it does not hold any more.
    pub fn created(&self, key: &SessionKey) {
        self.unknown.forget(key);
    }

    async fn restore(&self, key: &SessionKey) -> Result<Held, Error> {
        self.still_unknown(key)?;
        let lane = usize::try_from(self.hasher.hash_one(key) % LANES as u64).unwrap_or(0);
        let _alone = self.lanes[lane].lock().await;
        // Whoever went before in this lane may have asked the same.
        self.still_unknown(key)?;
        if let Some(held) = self.store.read(key).await? {
            return Ok(held);
        }
        let asked_at = Instant::now();
        let Some(row) = self.ledger.newest(key).await? else {
            self.unknown.remember(key, asked_at);
            metrics::restoring("unknown");
            return Err(Error::NoSession);
        };
        let held = self.made_again(&row)?;
        if held.session.status == Status::Deleted {
            return Ok(held);
        }
        let answered = self.ledger.answered(key, self.clock.now() - ANSWERED_MS).await?;
        let held = self.store.restore(key, held, answered).await?;
        metrics::restoring("restored");
        Ok(held)
    }

    fn still_unknown(&self, key: &SessionKey) -> Result<(), Error> {
        if !self.unknown.remembers(key, Instant::now()) {
            return Ok(());
        }
        metrics::restoring("remembered");
        Err(Error::NoSession)
    }

    fn made_again(&self, row: &Row) -> Result<Held, Error> {
        let stored = row.body.as_deref().unwrap_or_default();
        let session = Session::from_stored(stored)?;
        let restored = session.restored(self.absence, self.clock.now());
        Ok(Held { session: Arc::new(restored), head: row.link.digest(), ticket: None })
    }
}
