//! Reading and commanding sessions: settle, judge, commit, again if the race was lost.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::command_metrics;
use super::commit::{Author, commit};
use super::error::Error;
use super::execute::Execution;
use super::history::History;
use super::idle::IdleCheck;
use super::request::{CommandRequest, CommandResult};
use super::restore::{Restorer, Retention};
use super::session_cache::SessionCache;
use crate::bus::Audience;
use crate::clock::Clock;
use crate::domain::chain::Digest;
use crate::domain::entry::{IdempotencyKey, IdempotencyRecord};
use crate::domain::id::{SessionId, SessionKey};
use crate::domain::position::Position;
use crate::domain::principal::{Principal, Role};
use crate::domain::session::Status;
use crate::domain::session::command::Command;
use crate::domain::session::event::{Kind, Outcome};
use crate::domain::session::stored::FORMAT;
use crate::domain::time::Timestamp;
use crate::ids::Ids;
use crate::ledger::Ledger;
use crate::membership::WriteFormat;
use crate::store;
use crate::store::outbox::EntryId;
use crate::store::{Committed, Store, StoredSession};
use crate::wire::command::CommandInput;
use crate::wire::history;

/// How long a lost race is tried again on the caller's behalf.
pub(super) const COMMAND_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a delete waits for the ledger.
const DELETE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long an answer waits to be durable, where every answer is.
const DURABLE_TIMEOUT: Duration = Duration::from_secs(5);

/// A deadline that somebody must see to soon.
pub type DueHint = (Timestamp, SessionKey);

/// What sessions rest on.
pub struct SessionsParts {
    /// Live sessions.
    pub store: Arc<dyn Store>,
    /// The lasting record.
    pub ledger: Arc<dyn Ledger>,
    /// Where now comes from.
    pub clock: Arc<dyn Clock>,
    /// Where the numbers of operations come from.
    pub ids: Ids,
    /// Where deadlines are announced; when it is full, the poll finds them.
    pub due_hints: mpsc::Sender<DueHint>,
    /// Who watches, wherever.
    pub audience: Arc<dyn Audience>,
    /// An answer means that the ledger holds it.
    pub is_durable: bool,
    /// Turns advance by themselves no faster than this.
    pub least_advance: Duration,
    /// Without anybody there for so long, they advance no more.
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
    /// What was, from the ledger.
    pub history: History,
}

impl Sessions {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: SessionsParts) -> Self {
        let SessionsParts { store, ledger, clock, ids, due_hints: soon, audience, is_durable, least_advance, idle } =
            parts;
        let (attendance, least_advance_ms) = (IdleCheck::new(audience, whole_ms(idle)), whole_ms(least_advance));
        let past = History::new(Arc::clone(&store) as _, Arc::clone(&ledger));
        let restoring = Restorer::new(Arc::clone(&store), ledger, Arc::clone(&clock));
        let remembered = SessionCache::default();
        Self {
            store,
            ids,
            write_format: WriteFormat::new(FORMAT),
            cache: remembered,
            clock,
            due_hints: soon,
            restorer: restoring,
            idle_check: attendance,
            is_durable,
            least_advance_ms,
            history: past,
        }
    }

    /// The same, over a store that does so with sessions by itself.
    #[must_use]
    pub fn with_retention(self, retention: Retention) -> Self {
        Self { restorer: self.restorer.with_retention(retention), ..self }
    }

    /// The same, where others may not read the newest format.
    #[must_use]
    pub fn with_write_format(self, format: WriteFormat) -> Self {
        Self { restorer: self.restorer.with_write_format(format.clone()), write_format: format, ..self }
    }

    /// How many sessions are remembered for their next commit, and how many ids as unknown.
    #[must_use]
    pub fn cache_sizes(&self) -> [(&'static str, usize); 2] {
        [("sessions", self.cache.len()), ("unknown_ids", self.restorer.negative_cache_len())]
    }

    /// The session as it stands now; what had to happen by now has happened.
    pub async fn read(&self, by: &Principal, id: &SessionId) -> Result<StoredSession, Error> {
        self.newest(&self.key(by, id)?).await
    }

    /// The same for whoever has already been let in.
    pub async fn newest(&self, key: &SessionKey) -> Result<StoredSession, Error> {
        let now = self.clock.now();
        let patience = Instant::now() + COMMAND_TIMEOUT;
        loop {
            let held = self.load_existing(key).await?;
            if !held.session.is_due(now) {
                return Ok(held);
            }
            self.settle_held(key, held, now).await?;
            check_timeout(patience)?;
        }
    }

    /// The same for whoever watches: a deleted session is shown as deleted.
    pub async fn newest_watched(&self, key: &SessionKey) -> Result<StoredSession, Error> {
        let present = self.restorer.load_watched(key).await?;
        let is_settled = present.session.status == Status::Deleted || !present.session.is_due(self.clock.now());
        if is_settled { Ok(present) } else { self.newest(key).await }
    }

    /// Does what a command says.
    pub async fn command(
        &self,
        by: &Principal,
        id: &SessionId,
        asked: CommandRequest,
        arrived: Timestamp,
    ) -> Result<CommandResult, Error> {
        let key = self.key(by, id)?;
        if !may_request(by, &asked.wish) {
            return Err(Error::Forbidden);
        }
        let (name, outcome) = match self.resolve(&key, asked.wish).await {
            Err(error) => ("revert", Err(error)),
            Ok(mut command) => {
                apply_own_rights(&mut command, by, asked.lag_ms);
                let repeat =
                    asked.idempotency.map(|(text, body)| IdempotencyKey::of(&key, &by.identity(), &text, body));
                let author = Author { command: command.name(), arguments: None, by: Some(by), repeat };
                let asked = Execution { key: &key, command: &command, expected: &asked.expected, author, arrived };
                (command.name(), self.execute(asked).await)
            }
        };
        command_metrics::count(name, outcome.as_ref());
        outcome
    }

    async fn resolve(&self, key: &SessionKey, wish: CommandInput) -> Result<Command, Error> {
        match wish {
            CommandInput::Command(command) => Ok(command),
            CommandInput::Revert { to_version } => {
                let held = self.load_existing(key).await?;
                Ok(Command::Revert { then: Box::new(self.history.version(key, &held, to_version).await?) })
            }
        }
    }

    /// What an idempotency key of the caller's was answered with before, where that wrote no
    /// version; else it is `change` from now on.
    pub async fn remember(
        &self,
        by: &Principal,
        held: &StoredSession,
        (text, body): (&str, Digest),
        change: Bytes,
        now: Timestamp,
    ) -> Result<(Bytes, bool), Error> {
        let key = self.key(by, &held.session.session_id)?;
        let repeat = IdempotencyKey::of(&key, &by.identity(), text, body);
        let answered = IdempotencyRecord { repeat, position: held.session.position, at: now, change: change.clone() };
        let standing = self.store.remember_answer(&key, answered).await?;
        if standing.repeat.body != body {
            return Err(Error::IdempotencyMismatch);
        }
        let is_replay = standing.change != change;
        Ok((standing.change, is_replay))
    }

    /// Deletes, and answers once the ledger holds it. Asking again is safe.
    pub async fn delete(
        &self,
        by: &Principal,
        id: &SessionId,
        asked: CommandRequest,
        arrived: Timestamp,
    ) -> Result<CommandResult, Error> {
        require_operator(by)?;
        let key = self.key(by, id)?;
        let present = self.restorer.load(&key).await?;
        let answer = if present.session.status == Status::Deleted {
            CommandResult { stored: present, outcome: Outcome::of(Kind::Deleted), replayed: None, snapshot: None }
        } else {
            self.command(by, id, asked, arrived).await?
        };
        if let Some(ticket) = answer.stored.entry_id {
            self.wait_recorded(ticket, DELETE_TIMEOUT, Error::LedgerBehind).await?;
        }
        Ok(answer)
    }

    /// Writes what had to happen by now, if anything had; gives whether it did.
    pub async fn settle(&self, key: &SessionKey) -> Result<bool, Error> {
        let now = self.clock.now();
        let held = self.restorer.load(key).await?;
        if !held.session.is_due(now) {
            self.announce_deadline(key, &held);
            return Ok(false);
        }
        self.settle_held(key, held, now).await
    }

    /// The same for what has to happen at a known instant: it is read at once, and written
    /// when `past` says that the instant is certainly over.
    pub async fn settle_at(
        &self,
        key: &SessionKey,
        at: Timestamp,
        past: impl Future<Output = ()>,
    ) -> Result<bool, Error> {
        let held = self.restorer.load(key).await?;
        if !held.session.is_due(at) {
            self.announce_deadline(key, &held);
            return Ok(false);
        }
        past.await;
        // Whoever wrote meanwhile may have left it due.
        Ok(self.settle_held(key, held, self.clock.now()).await? || self.settle(key).await?)
    }

    async fn settle_held(&self, key: &SessionKey, held: StoredSession, now: Timestamp) -> Result<bool, Error> {
        let settled = self.idle_check.settled(key, &held.session, now.max(held.session.updated_at)).await;
        let committed = self
            .store
            .commit(commit(self.ids.nonce(), self.write_format.get(), key, Some(&held), settled, Author::NOBODY))
            .await?;
        let Committed::Stored(held) = committed else { return Ok(false) };
        self.announce_deadline(key, &held);
        Ok(true)
    }

    /// The present version, unless it is deleted.
    pub(super) async fn load_existing(&self, key: &SessionKey) -> Result<StoredSession, Error> {
        let held = self.restorer.load(key).await?;
        if held.session.status == Status::Deleted { Err(Error::SessionNotFound) } else { Ok(held) }
    }

    /// What a command was answered with before, if it was; asked of a session that stood
    /// where `held` says. A store that has lost the session since then has lost the answer
    /// as well, so a no is one only in that epoch; in a later one it is asked again, of the
    /// session as it stands there.
    pub(super) async fn idempotency_record(
        &self,
        key: &SessionKey,
        mut held: StoredSession,
        repeat: Option<IdempotencyKey>,
    ) -> Result<(StoredSession, Option<IdempotencyRecord>), Error> {
        let Some(repeat) = repeat else { return Ok((held, None)) };
        loop {
            let answered = self.store.idempotency_record(key, &repeat.key).await?;
            if answered.is_some() {
                return Ok((held, answered));
            }
            let newest = self.restorer.load(key).await?;
            if newest.session.position.epoch == held.session.position.epoch {
                return Ok((held, None));
            }
            held = newest;
        }
    }

    /// Whoever sets a deadline says so, or it might pass before the next poll.
    pub(super) fn announce_deadline(&self, key: &SessionKey, held: &StoredSession) {
        if let Some(at) = held.session.due_at {
            let _ = self.due_hints.try_send((at, key.clone()));
        }
    }

    /// Where not every answer is durable, none is far from it.
    pub(super) async fn wait_durable(&self, answer: CommandResult) -> Result<CommandResult, Error> {
        match answer.stored.entry_id {
            Some(ticket) if self.is_durable => {
                self.wait_recorded(ticket, DURABLE_TIMEOUT, Error::NotDurable).await?;
            }
            Some(_) => self.store.wait_for_ledger().await,
            None => {}
        }
        Ok(answer)
    }

    /// Waits for the ledger to hold what was written. Who cannot learn that, because the
    /// store does not answer now, must not say that nothing was written.
    async fn wait_recorded(&self, ticket: EntryId, within: Duration, not_yet: Error) -> Result<(), Error> {
        match tokio::time::timeout(within, self.store.wait_recorded(ticket)).await {
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

/// Whether the caller's role may ask for this at all. It is asked before anything is read, so that
/// neither a refusal nor the repeat of another role's request tells what only that role may know.
fn may_request(by: &Principal, wish: &CommandInput) -> bool {
    match (by.role, wish) {
        (Role::Operator | Role::Admin, _) => true,
        (Role::Participant, CommandInput::Command(command)) => command.is_for_participants(),
        (Role::Participant, CommandInput::Revert { .. }) | (Role::Viewer, _) => false,
    }
}

/// What is for operators only.
pub fn require_operator(by: &Principal) -> Result<(), Error> {
    if by.role >= Role::Operator { Ok(()) } else { Err(Error::Forbidden) }
}

/// A participant's switch is about its own cycle, also if it lost a race meanwhile; its pauses
/// are its own.
fn apply_own_rights(command: &mut Command, by: &Principal, lag_ms: i64) {
    let is_participant = by.role == Role::Participant;
    match command {
        Command::Switch(switch) => {
            switch.connection_lag_ms = lag_ms;
            if is_participant && switch.current.is_none() {
                switch.current.clone_from(&by.participant_id);
            }
        }
        Command::Pause { by_participant, .. } | Command::Resume { by_participant, .. } => {
            *by_participant = is_participant;
        }
        _ => {}
    }
}

/// What was answered the first time, with the session as it stands.
pub(super) fn replay(
    answered: &IdempotencyRecord,
    held: StoredSession,
    repeat: Option<IdempotencyKey>,
) -> Result<CommandResult, Error> {
    if repeat.is_some_and(|repeat| repeat.body != answered.repeat.body) {
        return Err(Error::IdempotencyMismatch);
    }
    let outcome = history::outcome_in(&answered.change).unwrap_or(Outcome::of(Kind::Settled));
    Ok(CommandResult { stored: held, outcome, replayed: Some(answered.position), snapshot: None })
}

fn whole_ms(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

fn check_timeout(patience: Instant) -> Result<(), Error> {
    if Instant::now() < patience {
        return Ok(());
    }
    let why = "a session was written to faster than it could be read";
    Err(Error::StoreUnavailable(store::Error::Unavailable(why.into())))
}

/// Where an answer stands, for its `ETag`.
impl CommandResult {
    /// The position of the snapshot it carries.
    #[must_use]
    pub fn position(&self) -> Position {
        self.stored.session.position
    }
}
