//! A session that the store does not hold is taken back from the ledger.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OnceCell};
use tokio::time::{Instant, timeout};

use super::error::Error;
use super::negative_cache::NegativeCache;
use crate::clock::Clock;
use crate::domain::chain::Link;
use crate::domain::entry::{IDEMPOTENCY_TTL_MS, IdempotencyRecord};
use crate::domain::id::SessionKey;
use crate::domain::position::Position;
use crate::domain::session::restore::{Gap, Outage};
use crate::domain::session::{Session, Status};
use crate::domain::time::Timestamp;
use crate::ledger::run::RunHistory;
use crate::ledger::{DeadLetter, Ledger};
use crate::store;
use crate::store::partition::{PARTITIONS, Partition};
use crate::store::{Store, StoredSession};
use crate::telemetry::metrics;

/// How long a restoring waits for the ledger to hold what was committed before.
const OUTBOX_TIMEOUT: Duration = Duration::from_secs(2);

/// What the store does with sessions by itself.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// How long it keeps one that nothing happens to.
    pub idle_ttl: Duration,
    /// It ends with the process, and what it held with it.
    pub is_embedded: bool,
}

impl Default for Retention {
    /// Shared, and nothing is let go for having been idle.
    fn default() -> Self {
        Self { idle_ttl: Duration::MAX, is_embedded: false }
    }
}

/// What becomes of a deleted session that only the ledger knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deleted {
    /// The store need not hold it to say that it is deleted.
    LeaveOut,
    /// The store holds it, with what its keys were answered.
    PutBack,
}

/// Takes sessions back.
pub(super) struct Restorer {
    store: Arc<dyn Store>,
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
    /// Of each partition one session is restored at a time: two askers of one wait for each
    /// other, and a partition whose turn is not yet holds up no other.
    locks: Vec<Mutex<()>>,
    /// What the ledger did not know a moment ago.
    unknown: NegativeCache,
    retention: Retention,
    /// The processes before this one, once somebody has asked: they do not change.
    runs: OnceCell<RunHistory>,
}

impl Restorer {
    pub fn new(store: Arc<dyn Store>, ledger: Arc<dyn Ledger>, clock: Arc<dyn Clock>) -> Self {
        let lanes = (0..PARTITIONS).map(|_| Mutex::new(())).collect();
        let (unknown, retention) = (NegativeCache::default(), Retention::default());
        Self { store, ledger, clock, locks: lanes, unknown, retention, runs: OnceCell::new() }
    }

    /// The same, of a store that does so with sessions.
    pub fn with_retention(self, retention: Retention) -> Self {
        Self { retention, ..self }
    }

    /// The session as the store holds it, taken back first if need be. A deleted
    /// one stays deleted.
    pub async fn load(&self, key: &SessionKey) -> Result<StoredSession, Error> {
        self.load_with(key, Deleted::LeaveOut).await
    }

    /// The same for whoever creates it again. A deleted one stands in the store then, with what
    /// its keys were answered: a repeat that comes late does nothing to the next session.
    pub async fn load_for_creation(&self, key: &SessionKey) -> Result<StoredSession, Error> {
        self.load_with(key, Deleted::PutBack).await
    }

    async fn load_with(&self, key: &SessionKey, ends: Deleted) -> Result<StoredSession, Error> {
        match self.store.read(key).await? {
            Some(held) if !held.needs_restore => Ok(held),
            Some(_) => self.restore(key, ends).await,
            None => {
                self.check_negative_cache(key, self.store.generation_started_at(key).await?)?;
                self.restore(key, ends).await
            }
        }
    }

    /// The same for whoever watches it: it is not idle meanwhile.
    pub async fn load_watched(&self, key: &SessionKey) -> Result<StoredSession, Error> {
        match self.store.read_watched(key).await? {
            Some(held) if !held.needs_restore => Ok(held),
            _ => self.load(key).await,
        }
    }

    /// How many ids are known to be unknown.
    pub fn negative_cache_len(&self) -> usize {
        self.unknown.len()
    }

    /// A session is there now: what was said of it does not hold any more.
    pub fn forget_missing(&self, key: &SessionKey) {
        self.unknown.remove(key);
    }

    async fn restore(&self, key: &SessionKey, ends: Deleted) -> Result<StoredSession, Error> {
        let _alone = self.locks[Partition::of(key).index()].lock().await;
        // Of the life it is read in, or of one before: what is not known then is not
        // remembered in a later one.
        let life = self.store.generation_started_at(key).await?;
        let doubtful = match self.store.read(key).await? {
            Some(held) if !held.needs_restore => return Ok(held),
            Some(doubtful) => Some(doubtful),
            // Whoever went before in this lane may have asked the same.
            None => {
                self.check_negative_cache(key, life)?;
                None
            }
        };
        self.wait_for_outbox(key).await?;
        let over = doubtful.as_ref().map(|held| held.session.position);
        let newest = self.newest(key, doubtful, life).await?;
        let is_end = newest.held.session.status == Status::Deleted;
        // What outlived its store life makes room for it all the same, or it would be doubted for good.
        if is_end && over.is_none() && ends == Deleted::LeaveOut {
            return Ok(newest.held);
        }
        let was_lost = over.is_some() || newest.is_refused();
        let held = if is_end {
            // It needs no new epoch.
            StoredSession { entry_id: None, needs_restore: false, ..newest.held.clone() }
        } else {
            self.rebuild(key, &newest.held, life, was_lost).await?
        };
        let since = self.clock.now() - IDEMPOTENCY_TTL_MS;
        let mut answered = self.ledger.idempotency_records(key, since).await?;
        answered.extend(newest.refused_answers(since));
        let held = self.put_back(key, over, held, answered, newest.is_refused()).await?;
        metrics::count_restore("restored");
        Ok(held)
    }

    /// Puts it into the store, which keeps what the ledger refuses to hold.
    async fn put_back(
        &self,
        key: &SessionKey,
        over: Option<Position>,
        held: StoredSession,
        answered: Vec<IdempotencyRecord>,
        is_refused: bool,
    ) -> Result<StoredSession, Error> {
        let held = self.store.restore(key, over, held, answered).await?;
        // Whoever was quicker may have written since: that version is on its way to the ledger.
        if is_refused && held.entry_id.is_none() {
            self.store.retain(key, held.session.position).await?;
        }
        Ok(held)
    }

    fn check_negative_cache(&self, key: &SessionKey, life: Timestamp) -> Result<(), Error> {
        if !self.unknown.contains(key, Instant::now(), life) {
            return Ok(());
        }
        metrics::count_restore("remembered");
        Err(Error::SessionNotFound)
    }

    /// What was committed there before is in the ledger first, or an older version would
    /// be taken for the newest.
    async fn wait_for_outbox(&self, key: &SessionKey) -> Result<(), Error> {
        let Some(newest) = self.store.outbox_tail(key).await? else { return Ok(()) };
        // A ledger that is away takes nothing: to wait for it would be in vain.
        self.ledger.ping().await?;
        match timeout(OUTBOX_TIMEOUT, self.store.wait_recorded(newest)).await {
            // Not yet; or the store went back once more, and the turn is another. Nothing of
            // the caller's was written so far.
            Err(_) | Ok(Err(store::Error::Unknown(_))) => Err(Error::Restoring),
            Ok(recorded) => Ok(recorded?),
        }
    }

    /// The newest of what the ledger holds, what it refused, and what outlived a store that
    /// went back.
    async fn newest(
        &self,
        key: &SessionKey,
        doubtful: Option<StoredSession>,
        life: Timestamp,
    ) -> Result<Newest, Error> {
        let asked_at = Instant::now();
        // Before the row: a letter that is recorded in between is found as that.
        let letters = self.ledger.dead_letters_of(key).await?;
        let row = self.ledger.newest(key).await?;
        let in_ledger = row.as_ref().map(|row| row.link);
        let recorded = in_ledger.map(|link| link.position);
        let letter = letters.first().filter(|letter| Some(position_of(letter)) > recorded);
        let known = recorded.max(letter.map(position_of));
        let held = match (row, letter, doubtful) {
            (_, _, Some(held)) if known <= Some(held.session.position) => held,
            (_, Some(letter), _) => decode(&letter.entry.link, letter.entry.body.as_deref())?,
            (Some(row), None, _) => decode(&row.link, row.body.as_deref())?,
            (None, None, _) => {
                self.unknown.insert(key, asked_at, life);
                metrics::count_restore("unknown");
                return Err(Error::SessionNotFound);
            }
        };
        Ok(Newest { held, in_ledger, letters })
    }

    /// Made again in a new epoch. What was idle is merely read back, and so is what stood in
    /// a process that stopped in order.
    async fn rebuild(
        &self,
        key: &SessionKey,
        newest: &StoredSession,
        life: Timestamp,
        was_lost: bool,
    ) -> Result<StoredSession, Error> {
        let session = &newest.session;
        let may_happen = session.due_at.is_some() || session.status == Status::Running;
        let (gap, is_lost) = if !was_lost && !may_happen && self.was_idle(session, life) {
            (None, false)
        } else if self.retention.is_embedded {
            let ended = self.runs(life).await?.since(Timestamp::from_ms(session.position.epoch), life);
            (ended.gap.filter(|_| may_happen), !ended.is_orderly)
        } else if may_happen {
            (self.absence(key).await?.map(Gap::Outage), true)
        } else {
            (None, true)
        };
        let restored = session.restored_after(gap, is_lost, self.clock.now());
        Ok(StoredSession { session: Arc::new(restored), head: newest.head, entry_id: None, needs_restore: false })
    }

    /// Whether the store has let go of it for having been idle: it was there in the life the
    /// store is in, or had been idle for long enough before.
    fn was_idle(&self, session: &Session, life: Timestamp) -> bool {
        let idle_ms = i64::try_from(self.retention.idle_ttl.as_millis()).unwrap_or(i64::MAX);
        session.position.epoch >= life.as_ms() || session.updated_at.as_ms().saturating_add(idle_ms) <= life.as_ms()
    }

    /// How the processes before this one ended; the first beat of this one says when nobody
    /// was there.
    async fn runs(&self, began: Timestamp) -> Result<&RunHistory, Error> {
        let look = async || {
            self.ledger.heartbeat(began, self.clock.now().max(began)).await?;
            self.ledger.runs(began).await
        };
        Ok(self.runs.get_or_try_init(look).await?)
    }

    /// When nobody was there, before the store began the life it is in. Whoever is the
    /// first to ask may come before any proof of that life, and leaves it.
    async fn absence(&self, key: &SessionKey) -> Result<Option<Outage>, Error> {
        let began = self.store.generation_started_at(key).await?;
        let mut presence = self.ledger.heartbeats(began).await?;
        if presence.last_heartbeat.is_none_or(|last| last < began) {
            self.ledger.heartbeat(began, self.clock.now().max(began)).await?;
            presence = self.ledger.heartbeats(began).await?;
        }
        // Some instance began that life: whoever was cut off from the store for longer was not alone.
        Ok(presence.outage.map(|absence| Outage { until: absence.until.min(began), ..absence }))
    }
}

/// What a session is made again from.
struct Newest {
    held: StoredSession,
    /// The newest link in the ledger, if one is there.
    in_ledger: Option<Link>,
    /// What the ledger refused, the newest first.
    letters: Vec<DeadLetter>,
}

impl Newest {
    /// The ledger does not hold that version. One that was taken back before stands in a
    /// later epoch than the link it rests on.
    fn is_refused(&self) -> bool {
        let is_newer = |link: Link| link.position < self.held.session.position && link.digest() != self.held.head;
        self.in_ledger.is_none_or(is_newer)
    }

    /// Answers that the ledger cannot tell of, for it refused what they came with.
    fn refused_answers(&self, since: Timestamp) -> impl Iterator<Item = IdempotencyRecord> {
        let (newest, recorded) = (self.held.session.position, self.in_ledger.map(|link| link.position));
        let led_here = move |letter: &&DeadLetter| {
            let Link { position, at, .. } = letter.entry.link;
            Some(position) > recorded && position <= newest && at >= since
        };
        self.letters.iter().rev().filter(led_here).filter_map(|letter| {
            let (link, change) = (letter.entry.link, letter.entry.change.clone());
            Some(IdempotencyRecord { repeat: letter.entry.idempotency?, position: link.position, at: link.at, change })
        })
    }
}

const fn position_of(letter: &DeadLetter) -> Position {
    letter.entry.link.position
}

/// A version whose body was shed, or cannot be read, is not replaced by an older one.
fn decode(link: &Link, body: Option<&[u8]>) -> Result<StoredSession, Error> {
    let session = Session::from_stored(body.unwrap_or_default())?;
    Ok(StoredSession { session: Arc::new(session), head: link.digest(), entry_id: None, needs_restore: false })
}
