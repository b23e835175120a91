//! A session that the store does not hold is taken back from the ledger.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::error::Error;
use super::unknown::Unknown;
use crate::clock::Clock;
use crate::domain::entry::ANSWERED_MS;
use crate::domain::id::SessionKey;
use crate::domain::position::Position;
use crate::domain::session::restore::Absence;
use crate::domain::session::{Session, Status};
use crate::domain::time::Timestamp;
use crate::ledger::{Ledger, Row};
use crate::store;
use crate::store::partition::{PARTITIONS, Partition};
use crate::store::{Held, Store};
use crate::telemetry::metrics;

/// How long a restoring waits for the ledger to hold what was committed before.
const TURN_WAIT: Duration = Duration::from_secs(2);

/// Takes sessions back.
pub(super) struct Restoring {
    store: Arc<dyn Store>,
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
    /// Of each partition one session is restored at a time: two askers of one wait for each
    /// other, and a partition whose turn is not yet holds up no other.
    lanes: Vec<Mutex<()>>,
    /// What the ledger did not know a moment ago.
    unknown: Unknown,
}

impl Restoring {
    pub fn new(store: Arc<dyn Store>, ledger: Arc<dyn Ledger>, clock: Arc<dyn Clock>) -> Self {
        let lanes = (0..PARTITIONS).map(|_| Mutex::new(())).collect();
        Self { store, ledger, clock, lanes, unknown: Unknown::default() }
    }

    /// The session as the store holds it, taken back first if need be. A deleted
    /// one stays deleted.
    pub async fn present(&self, key: &SessionKey) -> Result<Held, Error> {
        match self.store.read(key).await? {
            Some(held) if !held.is_doubtful => Ok(held),
            Some(_) => self.restore(key).await,
            None => {
                self.still_unknown(key, self.store.began(key).await?)?;
                self.restore(key).await
            }
        }
    }

    /// A session is there now: what was said of it does not hold any more.
    pub fn created(&self, key: &SessionKey) {
        self.unknown.forget(key);
    }

    async fn restore(&self, key: &SessionKey) -> Result<Held, Error> {
        let _alone = self.lanes[Partition::of(key).index()].lock().await;
        // Of the life it is read in, or of one before: what is not known then is not
        // remembered in a later one.
        let life = self.store.began(key).await?;
        let doubtful = match self.store.read(key).await? {
            Some(held) if !held.is_doubtful => return Ok(held),
            Some(doubtful) => Some(doubtful),
            // Whoever went before in this lane may have asked the same.
            None => {
                self.still_unknown(key, life)?;
                None
            }
        };
        self.wait_for_turn(key).await?;
        let over = doubtful.as_ref().map(|held| held.session.position);
        let newest = self.newest(key, doubtful, life).await?;
        if newest.session.status == Status::Deleted {
            return self.ended(key, over, newest).await;
        }
        let held = self.made_again(key, &newest).await?;
        let answered = self.ledger.answered(key, self.clock.now() - ANSWERED_MS).await?;
        let held = self.store.restore(key, over, held, answered).await?;
        metrics::restoring("restored");
        Ok(held)
    }

    /// An end needs no new epoch, and nothing is made of it where nothing stands. What
    /// outlived its store life makes room for it, or it would be doubted for good.
    async fn ended(&self, key: &SessionKey, over: Option<Position>, newest: Held) -> Result<Held, Error> {
        let held = Held { ticket: None, is_doubtful: false, ..newest };
        match over {
            None => Ok(held),
            Some(_) => Ok(self.store.restore(key, over, held, Vec::new()).await?),
        }
    }

    fn still_unknown(&self, key: &SessionKey, life: Timestamp) -> Result<(), Error> {
        if !self.unknown.remembers(key, Instant::now(), life) {
            return Ok(());
        }
        metrics::restoring("remembered");
        Err(Error::NoSession)
    }

    /// What was committed there before is in the ledger first, or an older version would
    /// be taken for the newest.
    async fn wait_for_turn(&self, key: &SessionKey) -> Result<(), Error> {
        let Some(newest) = self.store.newest_waiting(key).await? else { return Ok(()) };
        match timeout(TURN_WAIT, self.store.recorded(newest)).await {
            // Not yet; or the store went back once more, and the turn is another. Nothing of
            // the caller's was written so far.
            Err(_) | Ok(Err(store::Error::Unknown(_))) => Err(Error::Restoring),
            Ok(recorded) => Ok(recorded?),
        }
    }

    /// The newer of what the ledger holds and what outlived a store that went back.
    async fn newest(&self, key: &SessionKey, doubtful: Option<Held>, life: Timestamp) -> Result<Held, Error> {
        let asked_at = Instant::now();
        let row = self.ledger.newest(key).await?;
        let in_ledger = row.as_ref().map(|row| row.link.position);
        match (row, doubtful) {
            (_, Some(held)) if in_ledger <= Some(held.session.position) => Ok(held),
            (Some(row), _) => recorded(&row),
            (None, _) => {
                self.unknown.remember(key, asked_at, life);
                metrics::restoring("unknown");
                Err(Error::NoSession)
            }
        }
    }

    async fn made_again(&self, key: &SessionKey, newest: &Held) -> Result<Held, Error> {
        let absence = match newest.session.due_at {
            None if newest.session.status != Status::Running => None,
            _ => self.absence(key).await?,
        };
        let restored = newest.session.restored(absence, self.clock.now());
        Ok(Held { session: Arc::new(restored), head: newest.head, ticket: None, is_doubtful: false })
    }

    /// When nobody was there, before the store began the life it is in. Whoever is the
    /// first to ask may come before any proof of that life, and leaves it.
    async fn absence(&self, key: &SessionKey) -> Result<Option<Absence>, Error> {
        let began = self.store.began(key).await?;
        let presence = self.ledger.presence(began).await?;
        if presence.last_beat.is_some_and(|last| last >= began) {
            return Ok(presence.absence);
        }
        self.ledger.beat(began, self.clock.now().max(began)).await?;
        Ok(self.ledger.presence(began).await?.absence)
    }
}

fn recorded(row: &Row) -> Result<Held, Error> {
    let session = Session::from_stored(row.body.as_deref().unwrap_or_default())?;
    Ok(Held { session: Arc::new(session), head: row.link.digest(), ticket: None, is_doubtful: false })
}
