//! Sessions as the use cases share them: reading, settling, idempotency, waiting for the ledger.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::commit::{Author, commit};
use super::error::Error;
use super::history::History;
use super::idle::IdleCheck;
use super::request::CommandResult;
use super::restore::{Restorer, Retention};
use super::session_cache::SessionCache;
use crate::bus::Audience;
use crate::clock::Clock;
use crate::control::Current;
use crate::domain::access::Access;
use crate::domain::chain::Digest;
use crate::domain::id::{SessionId, SessionKey, TenantId};
use crate::domain::idempotency::{IdempotencyKey, IdempotencyRecord};
use crate::domain::position::Position;
use crate::domain::principal::Principal;
use crate::domain::session::Status;
use crate::domain::session::event::{Kind, Outcome};
use crate::domain::session::growth::MAX_STORED_BYTES;
use crate::domain::session::stored::FORMAT;
use crate::domain::setting::MAX_SESSION_BYTES;
use crate::domain::time::Timestamp;
use crate::ids::Ids;
use crate::ledger::Ledger;
use crate::membership::WriteFormat;
use crate::security::{NoSecurity, Security};
use crate::store;
use crate::store::outbox::EntryId;
use crate::store::{Committed, Store, StoredSession};
use crate::wire::history;

/// How long a command that lost a race is tried again.
pub(super) const COMMAND_TIMEOUT: Duration = Duration::from_secs(2);

/// How long an answer waits until the ledger has it, where every answer is durable.
const DURABLE_TIMEOUT: Duration = Duration::from_secs(5);

/// A session with a deadline, and when that is.
pub type DueHint = (Timestamp, SessionKey);

/// What [`Sessions`] is made of.
pub struct SessionsParts {
    /// Live sessions.
    pub store: Arc<dyn Store>,
    /// The lasting record.
    pub ledger: Arc<dyn Ledger>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Makes the ids of operations.
    pub ids: Ids,
    /// Takes new deadlines; when it is full, the poll finds them.
    pub due_hints: mpsc::Sender<DueHint>,
    /// Knows whether a session has subscribers, on any instance.
    pub audience: Arc<dyn Audience>,
    /// A command is answered once the ledger holds its version.
    pub is_durable: bool,
    /// The shortest turn that may advance by itself.
    pub least_advance: Duration,
    /// After so long without a caller or subscriber, turns stop advancing.
    pub idle: Duration,
}

/// Timer sessions, as callers see them.
pub struct Sessions {
    pub(super) store: Arc<dyn Store>,
    pub(super) ids: Ids,
    pub(super) write_format: WriteFormat,
    pub(super) cache: SessionCache,
    clock: Arc<dyn Clock>,
    due_hints: mpsc::Sender<DueHint>,
    pub(super) restorer: Restorer,
    idle_check: IdleCheck,
    is_durable: bool,
    pub(super) least_advance_ms: i64,
    pub(super) settings: Current,
    pub(super) security: Arc<dyn Security>,
    /// Lists, histories and earlier versions.
    pub history: History,
}

impl Sessions {
    /// Puts the parts together.
    pub fn new(parts: SessionsParts) -> Self {
        let SessionsParts { store, ledger, clock, ids, due_hints, audience, is_durable, least_advance, idle } = parts;
        let (idle_check, least_advance_ms) = (IdleCheck::new(audience, whole_ms(idle)), whole_ms(least_advance));
        let history = History::new(Arc::clone(&store) as _, Arc::clone(&ledger));
        let restorer = Restorer::new(Arc::clone(&store), ledger, Arc::clone(&clock));
        let cache = SessionCache::default();
        let write_format = WriteFormat::new(FORMAT);
        Self {
            store,
            ids,
            write_format,
            cache,
            clock,
            due_hints,
            restorer,
            idle_check,
            is_durable,
            least_advance_ms,
            settings: Current::default(),
            security: Arc::new(NoSecurity),
            history,
        }
    }

    /// The same, over a store that keeps sessions for so long.
    pub fn with_retention(self, retention: Retention) -> Self {
        Self { restorer: self.restorer.with_retention(retention), ..self }
    }

    /// The same, where others may not read the newest format.
    pub fn with_write_format(self, format: WriteFormat) -> Self {
        Self { restorer: self.restorer.with_write_format(format.clone()), write_format: format, ..self }
    }

    /// The same, where tenants have settings, and where refusals are reported.
    pub fn with_control(self, settings: Current, security: Arc<dyn Security>) -> Self {
        Self { settings, security, ..self }
    }

    /// The most bytes that a session of the tenant may take as it is stored.
    pub(super) fn max_bytes(&self, tenant: &TenantId) -> usize {
        usize::try_from(self.settings.number(tenant, &MAX_SESSION_BYTES)).unwrap_or(MAX_STORED_BYTES)
    }

    /// How many sessions are cached for their next commit, and how many ids as missing.
    pub fn cache_sizes(&self) -> [(&'static str, usize); 2] {
        [("sessions", self.cache.len()), ("unknown_ids", self.restorer.negative_cache_len())]
    }

    /// The session as it stands now, with everything settled that is due.
    pub async fn read(&self, by: &Principal, id: &SessionId) -> Result<StoredSession, Error> {
        self.newest(&self.key(by, id)?).await
    }

    /// The same for a caller whose access was checked.
    pub async fn newest(&self, key: &SessionKey) -> Result<StoredSession, Error> {
        let now = self.clock.now();
        let give_up_at = Instant::now() + COMMAND_TIMEOUT;
        loop {
            let stored = self.load_existing(key).await?;
            if !stored.session.is_due(now) {
                return Ok(stored);
            }
            self.settle_from(key, stored, now).await?;
            check_timeout(give_up_at)?;
        }
    }

    /// The same for a subscriber: a deleted session is shown as deleted.
    pub async fn newest_watched(&self, key: &SessionKey) -> Result<StoredSession, Error> {
        let stored = self.restorer.load_watched(key).await?;
        let is_settled = stored.session.status == Status::Deleted || !stored.session.is_due(self.clock.now());
        if is_settled { Ok(stored) } else { self.newest(key).await }
    }

    /// Stores `change` as the answer to an idempotency key, for a request that writes no version.
    /// Gives the answer that stands, and whether that is an earlier one.
    pub async fn remember(
        &self,
        by: &Principal,
        stored: &StoredSession,
        (text, body): (&str, Digest),
        change: Bytes,
        now: Timestamp,
    ) -> Result<(Bytes, bool), Error> {
        let key = self.key(by, &stored.session.session_id)?;
        let idempotency = IdempotencyKey::of(&key, &by.identity(), text, body);
        let record =
            IdempotencyRecord { key: idempotency, position: stored.session.position, at: now, change: change.clone() };
        let record = self.store.remember_answer(&key, record).await?;
        if record.key.body != body {
            return Err(Error::IdempotencyMismatch);
        }
        let is_replay = record.change != change;
        Ok((record.change, is_replay))
    }

    /// Writes what is due by now; gives whether anything was.
    pub async fn settle(&self, key: &SessionKey) -> Result<bool, Error> {
        let now = self.clock.now();
        let stored = self.restorer.load(key).await?;
        if !stored.session.is_due(now) {
            self.announce_deadline(key, &stored);
            return Ok(false);
        }
        self.settle_from(key, stored, now).await
    }

    /// The same for what has to happen at a known instant: the session is read at once, and written
    /// when `until_past` says that the instant is certainly over.
    pub async fn settle_at(
        &self,
        key: &SessionKey,
        at: Timestamp,
        until_past: impl Future<Output = ()>,
    ) -> Result<bool, Error> {
        let stored = self.restorer.load(key).await?;
        if !stored.session.is_due(at) {
            self.announce_deadline(key, &stored);
            return Ok(false);
        }
        until_past.await;
        // Another writer may have left it due.
        Ok(self.settle_from(key, stored, self.clock.now()).await? || self.settle(key).await?)
    }

    async fn settle_from(&self, key: &SessionKey, stored: StoredSession, now: Timestamp) -> Result<bool, Error> {
        let settled = self.idle_check.settled(key, &stored.session, now.max(stored.session.updated_at)).await;
        let committed = self
            .store
            .commit(commit(self.ids.nonce(), self.write_format.get(), key, Some(&stored), settled, Author::NOBODY))
            .await?;
        let Committed::Stored(stored) = committed else { return Ok(false) };
        self.announce_deadline(key, &stored);
        Ok(true)
    }

    /// The present version, unless the session is deleted.
    pub(super) async fn load_existing(&self, key: &SessionKey) -> Result<StoredSession, Error> {
        let stored = self.restorer.load(key).await?;
        if stored.session.status == Status::Deleted { Err(Error::SessionNotFound) } else { Ok(stored) }
    }

    /// The record of an idempotency key, with the session it was looked up for. A store that
    /// loses the session loses the record as well. So a missing record counts only within the
    /// epoch of `stored`; in a later epoch the look-up is repeated.
    pub(super) async fn idempotency_record(
        &self,
        key: &SessionKey,
        mut stored: StoredSession,
        idempotency: Option<IdempotencyKey>,
    ) -> Result<(StoredSession, Option<IdempotencyRecord>), Error> {
        let Some(idempotency) = idempotency else { return Ok((stored, None)) };
        loop {
            let record = self.store.idempotency_record(key, &idempotency.key).await?;
            if record.is_some() {
                return Ok((stored, record));
            }
            let newest = self.restorer.load(key).await?;
            if newest.session.position.epoch == stored.session.position.epoch {
                return Ok((stored, None));
            }
            stored = newest;
        }
    }

    /// Announces a new deadline, which might pass before the next poll.
    pub(super) fn announce_deadline(&self, key: &SessionKey, stored: &StoredSession) {
        if let Some(at) = stored.session.due_at {
            let _ = self.due_hints.try_send((at, key.clone()));
        }
    }

    /// Waits until the ledger has the version, or is close behind where not every answer is durable.
    pub(super) async fn wait_durable(&self, result: CommandResult) -> Result<CommandResult, Error> {
        match result.stored.entry_id {
            Some(entry_id) if self.is_durable => {
                self.wait_recorded(entry_id, DURABLE_TIMEOUT, Error::NotDurable).await?;
            }
            Some(_) => self.store.wait_for_ledger().await,
            None => {}
        }
        Ok(result)
    }

    /// Waits until the ledger has an entry. A store that does not answer leaves that open, and
    /// must not look like a write that did not happen.
    pub(super) async fn wait_recorded(&self, entry_id: EntryId, within: Duration, not_yet: Error) -> Result<(), Error> {
        match tokio::time::timeout(within, self.store.wait_recorded(entry_id)).await {
            Err(_) | Ok(Err(store::Error::Unavailable(_))) => Err(not_yet),
            Ok(recorded) => Ok(recorded?),
        }
    }

    /// The key of a session the caller can see.
    pub fn key(&self, by: &Principal, id: &SessionId) -> Result<SessionKey, Error> {
        if !by.sees(id) {
            return Err(Error::SessionNotFound);
        }
        Ok(SessionKey { tenant: by.tenant.clone(), session: id.clone() })
    }
}

/// Refuses what the caller's role has no right to.
pub(super) fn authorize(by: &Principal, access: Access<'_>) -> Result<(), Error> {
    if by.may(access) { Ok(()) } else { Err(Error::Forbidden) }
}

/// The first answer to an idempotency key, with the session as it stands.
pub(super) fn replay(
    record: &IdempotencyRecord,
    stored: StoredSession,
    idempotency: Option<IdempotencyKey>,
) -> Result<CommandResult, Error> {
    if idempotency.is_some_and(|idempotency| idempotency.body != record.key.body) {
        return Err(Error::IdempotencyMismatch);
    }
    let outcome = history::outcome_in(&record.change).unwrap_or(Outcome::of(Kind::Settled));
    Ok(CommandResult { stored, outcome, replayed: Some(record.position), snapshot: None })
}

fn whole_ms(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

fn check_timeout(give_up_at: Instant) -> Result<(), Error> {
    if Instant::now() < give_up_at {
        return Ok(());
    }
    let why = "a session was written to faster than it could be read";
    Err(Error::StoreUnavailable(store::Error::Unavailable(why.into())))
}

impl CommandResult {
    /// The position of its version, for the `ETag`.
    pub fn position(&self) -> Position {
        self.stored.session.position
    }
}
