//! A session that the store does not hold is taken back from the ledger.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use tokio::sync::Mutex;

use super::error::Error;
use crate::clock::Clock;
use crate::domain::entry::ANSWERED_MS;
use crate::domain::id::SessionKey;
use crate::domain::session::restore::Absence;
use crate::domain::session::{Session, Status};
use crate::ledger::{Ledger, Row};
use crate::store::{Held, Store};

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
        Self { store, ledger, clock, absence, lanes, hasher: RandomState::new() }
    }

    /// The session as the store holds it, taken back first if need be. A deleted
    /// one stays deleted.
    pub async fn present(&self, key: &SessionKey) -> Result<Held, Error> {
        match self.store.read(key).await? {
            Some(held) => Ok(held),
            None => self.restore(key).await,
        }
    }

    async fn restore(&self, key: &SessionKey) -> Result<Held, Error> {
        let lane = usize::try_from(self.hasher.hash_one(key) % LANES as u64).unwrap_or(0);
        let _alone = self.lanes[lane].lock().await;
        if let Some(held) = self.store.read(key).await? {
            return Ok(held);
        }
        let row = self.ledger.newest(key).await?.ok_or(Error::NoSession)?;
        let held = self.made_again(&row)?;
        if held.session.status == Status::Deleted {
            return Ok(held);
        }
        let answered = self.ledger.answered(key, self.clock.now() - ANSWERED_MS).await?;
        Ok(self.store.restore(key, held, answered).await?)
    }

    fn made_again(&self, row: &Row) -> Result<Held, Error> {
        let stored = row.body.as_deref().unwrap_or_default();
        let session = Session::from_stored(stored)?;
        let restored = session.restored(self.absence, self.clock.now());
        Ok(Held { session: Arc::new(restored), head: row.link.digest(), ticket: None })
    }
}
