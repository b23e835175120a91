//! Restores a session from the ledger that the store has lost or released.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OnceCell};
use tokio::time::{Instant, timeout};

use super::error::Error;
use super::negative_cache::NegativeCache;
use crate::clock::Clock;
use crate::domain::chain::Link;
use crate::domain::id::SessionKey;
use crate::domain::idempotency::{IDEMPOTENCY_TTL_MS, IdempotencyRecord};
use crate::domain::position::Position;
use crate::domain::session::restore::{Gap, Outage};
use crate::domain::session::stored::FORMAT;
use crate::domain::session::{Session, Status};
use crate::domain::time::Timestamp;
use crate::ledger::run::RunHistory;
use crate::ledger::{DeadLetter, Ledger};
use crate::membership::WriteFormat;
use crate::store;
use crate::store::partition::{PARTITIONS, Partition};
use crate::store::{Store, StoredSession};
use crate::telemetry::metrics;

/// How long a restore waits until the ledger has everything committed before.
const OUTBOX_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the store keeps sessions.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// How long it keeps an idle session.
    pub idle_ttl: Duration,
    /// It ends with the process, and its sessions with it.
    pub is_embedded: bool,
}

impl Default for Retention {
    /// A shared store that releases no idle session.
    fn default() -> Self {
        Self { idle_ttl: Duration::MAX, is_embedded: false }
    }
}

/// What happens to a deleted session that only the ledger has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deleted {
    /// The ledger alone shows that it is deleted.
    LeaveOut,
    /// The store gets it back, with its idempotency records.
    PutBack,
}

/// Restores sessions.
pub(super) struct Restorer {
    store: Arc<dyn Store>,
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
    /// In each partition one session is restored at a time. Two callers of one session wait for
    /// each other, and no partition waits for another.
    locks: Vec<Mutex<()>>,
    /// Ids that the ledger did not know a moment ago.
    negative_cache: NegativeCache,
    retention: Retention,
    write_format: WriteFormat,
    /// The runs of the processes before this one, once they are read: they do not change.
    runs: OnceCell<RunHistory>,
}

impl Restorer {
    pub fn new(store: Arc<dyn Store>, ledger: Arc<dyn Ledger>, clock: Arc<dyn Clock>) -> Self {
        let locks = (0..PARTITIONS).map(|_| Mutex::new(())).collect();
        let (negative_cache, retention) = (NegativeCache::default(), Retention::default());
        let write_format = WriteFormat::new(FORMAT);
        Self { store, ledger, clock, locks, negative_cache, retention, write_format, runs: OnceCell::new() }
    }

    /// The same, over a store that keeps sessions for so long.
    pub fn with_retention(self, retention: Retention) -> Self {
        Self { retention, ..self }
    }

    /// The same, where others may not read the newest format.
    pub fn with_write_format(self, write_format: WriteFormat) -> Self {
        Self { write_format, ..self }
    }

    /// The session as the store has it, restored first if need be. A deleted one stays deleted.
    pub async fn load(&self, key: &SessionKey) -> Result<StoredSession, Error> {
        self.load_with(key, Deleted::LeaveOut).await
    }

    /// The same for a create under the same id. A deleted session is back in the store then, with
    /// its idempotency records, so that a late repeat does nothing to the next session.
    pub async fn load_for_creation(&self, key: &SessionKey) -> Result<StoredSession, Error> {
        self.load_with(key, Deleted::PutBack).await
    }

    async fn load_with(&self, key: &SessionKey, ends: Deleted) -> Result<StoredSession, Error> {
        match self.store.read(key).await? {
            Some(stored) if !stored.needs_restore => Ok(stored),
            Some(_) => self.restore(key, ends).await,
            None => {
                self.check_negative_cache(key, self.store.generation_started_at(key).await?)?;
                self.restore(key, ends).await
            }
        }
    }

    /// The same for a subscriber: a watched session is not idle.
    pub async fn load_watched(&self, key: &SessionKey) -> Result<StoredSession, Error> {
        match self.store.read_watched(key).await? {
            Some(stored) if !stored.needs_restore => Ok(stored),
            _ => self.load(key).await,
        }
    }

    /// How many ids are cached as missing.
    pub fn negative_cache_len(&self) -> usize {
        self.negative_cache.len()
    }

    /// Forgets that a session was missing.
    pub fn forget_missing(&self, key: &SessionKey) {
        self.negative_cache.remove(key);
    }

    async fn restore(&self, key: &SessionKey, ends: Deleted) -> Result<StoredSession, Error> {
        let _alone = self.locks[Partition::of(key).index()].lock().await;
        // Of the generation that the read sees, or of an earlier one: an id that is missing then
        // is not cached for a later one.
        let generation = self.store.generation_started_at(key).await?;
        let unverified = match self.store.read(key).await? {
            Some(stored) if !stored.needs_restore => return Ok(stored),
            Some(unverified) => Some(unverified),
            // The last holder of this lock may have looked up the same session.
            None => {
                self.check_negative_cache(key, generation)?;
                None
            }
        };
        self.wait_for_outbox(key).await?;
        let over = unverified.as_ref().map(|stored| stored.session.position);
        let newest = self.newest(key, unverified, generation).await?;
        let is_end = newest.stored.session.status == Status::Deleted;
        // A version of an earlier generation is replaced all the same, or it would never be verified.
        if is_end && over.is_none() && ends == Deleted::LeaveOut {
            return Ok(newest.stored);
        }
        let was_lost = over.is_some() || newest.is_refused();
        let stored = if is_end {
            // A deleted session needs no new epoch.
            StoredSession { entry_id: None, needs_restore: false, ..newest.stored.clone() }
        } else {
            self.rebuild(key, &newest.stored, generation, was_lost).await?
        };
        let since = self.clock.now() - IDEMPOTENCY_TTL_MS;
        let mut records = self.ledger.idempotency_records(key, since).await?;
        records.extend(newest.refused_records(since));
        let stored = self.put_back(key, over, stored, records, newest.is_refused()).await?;
        metrics::count_restore("restored");
        Ok(stored)
    }

    /// Puts the session into the store, which retains a version that the ledger refuses.
    async fn put_back(
        &self,
        key: &SessionKey,
        over: Option<Position>,
        mut stored: StoredSession,
        records: Vec<IdempotencyRecord>,
        is_refused: bool,
    ) -> Result<StoredSession, Error> {
        Arc::make_mut(&mut stored.session).format = self.write_format.get();
        let stored = self.store.restore(key, over, stored, records).await?;
        // Another writer may have been faster: its version is on its way to the ledger.
        if is_refused && stored.entry_id.is_none() {
            self.store.retain(key, stored.session.position).await?;
        }
        Ok(stored)
    }

    fn check_negative_cache(&self, key: &SessionKey, generation: Timestamp) -> Result<(), Error> {
        if !self.negative_cache.contains(key, Instant::now(), generation) {
            return Ok(());
        }
        metrics::count_restore("cached");
        Err(Error::SessionNotFound)
    }

    /// Waits until the ledger has everything that was committed before, or an older version would
    /// be taken for the newest.
    async fn wait_for_outbox(&self, key: &SessionKey) -> Result<(), Error> {
        let Some(newest) = self.store.outbox_tail(key).await? else { return Ok(()) };
        // Waiting for a ledger that is unavailable would be in vain.
        self.ledger.ping().await?;
        match timeout(OUTBOX_TIMEOUT, self.store.wait_recorded(newest)).await {
            // Not yet, or the store has lost data once more. Nothing was written for the caller so far.
            Err(_) | Ok(Err(store::Error::Unknown(_))) => Err(Error::Restoring),
            Ok(recorded) => Ok(recorded?),
        }
    }

    /// The newest version among the ledger's row, its dead letters, and the one in the store of an
    /// earlier generation.
    async fn newest(
        &self,
        key: &SessionKey,
        unverified: Option<StoredSession>,
        generation: Timestamp,
    ) -> Result<NewestVersion, Error> {
        let asked_at = Instant::now();
        // Letters first: one that is recorded in between is found as a row.
        let letters = self.ledger.dead_letters_of(key).await?;
        let row = self.ledger.newest(key).await?;
        let in_ledger = row.as_ref().map(|row| row.link);
        let recorded = in_ledger.map(|link| link.position);
        let letter = letters.first().filter(|letter| Some(position_of(letter)) > recorded);
        let known = recorded.max(letter.map(position_of));
        let stored = match (row, letter, unverified) {
            (_, _, Some(stored)) if known <= Some(stored.session.position) => stored,
            (_, Some(letter), _) => decode(&letter.entry.link, letter.entry.body.as_deref())?,
            (Some(row), None, _) => decode(&row.link, row.body.as_deref())?,
            (None, None, _) => {
                self.negative_cache.insert(key, asked_at, generation);
                metrics::count_restore("unknown");
                return Err(Error::SessionNotFound);
            }
        };
        Ok(NewestVersion { stored, in_ledger, letters })
    }

    /// The session in a new epoch. It is marked as recovered, unless it was idle or its process
    /// stopped in order.
    async fn rebuild(
        &self,
        key: &SessionKey,
        newest: &StoredSession,
        generation: Timestamp,
        was_lost: bool,
    ) -> Result<StoredSession, Error> {
        let session = &newest.session;
        let may_happen = session.due_at.is_some() || session.status == Status::Running;
        let (gap, is_lost) = if !was_lost && !may_happen && self.was_idle(session, generation) {
            (None, false)
        } else if self.retention.is_embedded {
            let ended = self.runs(generation).await?.since(Timestamp::from_ms(session.position.epoch), generation);
            (ended.gap.filter(|_| may_happen), !ended.is_orderly)
        } else if may_happen {
            (self.outage_before(key).await?.map(Gap::Outage), true)
        } else {
            (None, true)
        };
        let restored = session.restored_after(gap, is_lost, self.clock.now());
        Ok(StoredSession { session: Arc::new(restored), head: newest.head, entry_id: None, needs_restore: false })
    }

    /// Whether the store has released it as idle: it was there in the present generation, or had
    /// been idle for long enough before.
    fn was_idle(&self, session: &Session, generation: Timestamp) -> bool {
        let idle_ms = i64::try_from(self.retention.idle_ttl.as_millis()).unwrap_or(i64::MAX);
        session.position.epoch >= generation.as_ms()
            || session.updated_at.as_ms().saturating_add(idle_ms) <= generation.as_ms()
    }

    /// How the processes before this one ended. The first heartbeat of this one ends the gap.
    async fn runs(&self, began: Timestamp) -> Result<&RunHistory, Error> {
        let read = async || {
            self.ledger.heartbeat(began, self.clock.now().max(began)).await?;
            self.ledger.runs(began).await
        };
        Ok(self.runs.get_or_try_init(read).await?)
    }

    /// The outage before the present generation of the store. The first caller may come before
    /// any heartbeat of that generation, and leaves one.
    async fn outage_before(&self, key: &SessionKey) -> Result<Option<Outage>, Error> {
        let began = self.store.generation_started_at(key).await?;
        let mut heartbeats = self.ledger.heartbeats(began).await?;
        if heartbeats.last_heartbeat.is_none_or(|last| last < began) {
            self.ledger.heartbeat(began, self.clock.now().max(began)).await?;
            heartbeats = self.ledger.heartbeats(began).await?;
        }
        // Some instance was there when that generation began, even if others were cut off for longer.
        Ok(heartbeats.outage.map(|outage| Outage { until: outage.until.min(began), ..outage }))
    }
}

/// The version that a session is restored from.
struct NewestVersion {
    stored: StoredSession,
    /// The newest link in the ledger, if there is one.
    in_ledger: Option<Link>,
    /// The dead letters of the session, newest first.
    letters: Vec<DeadLetter>,
}

impl NewestVersion {
    /// Whether the ledger lacks that version. A session that was restored before is in a later
    /// epoch than the link it rests on.
    fn is_refused(&self) -> bool {
        let is_newer = |link: Link| link.position < self.stored.session.position && link.digest() != self.stored.head;
        self.in_ledger.is_none_or(is_newer)
    }

    /// The idempotency records of versions that the ledger refused.
    fn refused_records(&self, since: Timestamp) -> impl Iterator<Item = IdempotencyRecord> {
        let (newest, recorded) = (self.stored.session.position, self.in_ledger.map(|link| link.position));
        let is_unrecorded = move |letter: &&DeadLetter| {
            let Link { position, at, .. } = letter.entry.link;
            Some(position) > recorded && position <= newest && at >= since
        };
        self.letters.iter().rev().filter(is_unrecorded).filter_map(|letter| {
            let (link, change) = (letter.entry.link, letter.entry.change.clone());
            Some(IdempotencyRecord { key: letter.entry.idempotency?, position: link.position, at: link.at, change })
        })
    }
}

const fn position_of(letter: &DeadLetter) -> Position {
    letter.entry.link.position
}

/// A version whose body was shed, or cannot be read, is never replaced by an older one.
fn decode(link: &Link, body: Option<&[u8]>) -> Result<StoredSession, Error> {
    let session = Session::from_stored(body.unwrap_or_default())?;
    Ok(StoredSession { session: Arc::new(session), head: link.digest(), entry_id: None, needs_restore: false })
}
