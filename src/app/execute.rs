//! Executes commands: apply to the cached version, commit, and read only if that was stale.
//!
//! Only a commit may rest on a cached version, because the store refuses one that is not
//! made from the newest. Any other answer (a refusal, a 403 that depends on the state)
//! rests on a version that the store gave in this request.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::command_metrics;
use super::commit::{Author, commit, stored_bytes};
use super::error::Error;
use super::request::{CommandRequest, CommandResult, Precondition};
use super::sessions::{COMMAND_TIMEOUT, Sessions, authorize, replay};
use crate::domain::access::Access;
use crate::domain::id::{SessionId, SessionKey};
use crate::domain::idempotency::IdempotencyKey;
use crate::domain::principal::{Principal, Role};
use crate::domain::session::command::{Command, Refused};
use crate::domain::session::event::{Change, Kind, Outcome, Step};
use crate::domain::session::{Session, Status};
use crate::domain::time::Timestamp;
use crate::security::{EventKind, SecurityEvent};
use crate::store::{Committed, StoredSession};
use crate::telemetry::metrics;
use crate::wire::command::CommandInput;
use crate::wire::frame;

/// How long a delete waits for the ledger.
const DELETE_TIMEOUT: Duration = Duration::from_secs(2);

/// A command that the caller's role may give, with what came with it.
struct Execution<'a> {
    key: &'a SessionKey,
    command: &'a Command,
    by: &'a Principal,
    expected: &'a [Precondition],
    idempotency: Option<IdempotencyKey>,
    arrived: Timestamp,
}

/// The version that a command is applied to.
struct Basis {
    stored: StoredSession,
    /// The store gave it in this request.
    is_from_store: bool,
}

impl Basis {
    const fn from_store(stored: StoredSession) -> Self {
        Self { stored, is_from_store: true }
    }
}

enum Attempt {
    Done(Box<CommandResult>),
    /// Another version was written: this is the newest known.
    Retry(Box<Basis>),
    /// The newest must be read first.
    Read,
}

impl Sessions {
    /// Executes a command.
    pub async fn command(
        &self,
        by: &Principal,
        id: &SessionId,
        request: CommandRequest,
        arrived: Timestamp,
    ) -> Result<CommandResult, Error> {
        self.security.count_command(by);
        let name = request.input.name();
        let outcome = self.authorized_command(by, id, request, arrived).await;
        if matches!(outcome, Err(Error::Forbidden)) {
            self.security.record(SecurityEvent::of(EventKind::Forbidden).by(by).detail(format!("{name} of {id}")));
        }
        outcome
    }

    async fn authorized_command(
        &self,
        by: &Principal,
        id: &SessionId,
        request: CommandRequest,
        arrived: Timestamp,
    ) -> Result<CommandResult, Error> {
        let key = self.key(by, id)?;
        authorize(by, request.access())?;
        let (name, outcome) = match self.resolve(&key, request.input).await {
            Err(error) => ("revert", Err(error)),
            Ok(mut command) => {
                apply_own_rights(&mut command, by, request.lag_ms);
                let expected = &request.expected;
                let idempotency =
                    request.idempotency.map(|(text, body)| IdempotencyKey::of(&key, &by.identity(), &text, body));
                let execution = Execution { key: &key, command: &command, by, expected, idempotency, arrived };
                (command.name(), self.execute(execution).await)
            }
        };
        command_metrics::count(name, outcome.as_ref());
        outcome
    }

    async fn resolve(&self, key: &SessionKey, input: CommandInput) -> Result<Command, Error> {
        match input {
            CommandInput::Command(command) => Ok(command),
            CommandInput::Revert { to_version } => {
                let stored = self.load_existing(key).await?;
                Ok(Command::Revert { then: Box::new(self.history.version(key, &stored, to_version).await?) })
            }
        }
    }

    /// Deletes a session, and answers once the ledger has the deletion. A repeat is safe.
    pub async fn delete(
        &self,
        by: &Principal,
        id: &SessionId,
        request: CommandRequest,
        arrived: Timestamp,
    ) -> Result<CommandResult, Error> {
        authorize(by, Access::Command(&Command::Delete))?;
        let key = self.key(by, id)?;
        let stored = self.restorer.load(&key).await?;
        let result = if stored.session.status == Status::Deleted {
            CommandResult { stored, outcome: Outcome::of(Kind::Deleted), replayed: None, snapshot: None }
        } else {
            self.command(by, id, request, arrived).await?
        };
        if let Some(entry_id) = result.stored.entry_id {
            self.wait_recorded(entry_id, DELETE_TIMEOUT, Error::LedgerBehind).await?;
        }
        Ok(result)
    }

    /// Tries until no other writer is faster, or the time is up.
    async fn execute(&self, execution: Execution<'_>) -> Result<CommandResult, Error> {
        let give_up_at = Instant::now() + COMMAND_TIMEOUT;
        let Ok(mut slot) = timeout_at(give_up_at, self.cache.lock(execution.key)).await else {
            return Err(Error::Contended(Box::new(self.load_existing(execution.key).await?)));
        };
        let mut basis = slot.take().map(|stored| Basis { stored, is_from_store: false });
        let mut attempts = 0_u32;
        loop {
            let by = match basis.take() {
                Some(basis) => basis,
                None => Basis::from_store(self.load_existing(execution.key).await?),
            };
            attempts += 1;
            match self.attempt(&execution, by).await? {
                Attempt::Done(result) => {
                    metrics::record_commit_attempts(attempts);
                    slot.put(&result.stored);
                    drop(slot);
                    return self.wait_durable(*result).await;
                }
                Attempt::Retry(newest) if Instant::now() >= give_up_at => {
                    return Err(Error::Contended(Box::new(newest.stored)));
                }
                Attempt::Retry(newest) => basis = Some(*newest),
                Attempt::Read => {}
            }
        }
    }

    async fn attempt(&self, execution: &Execution<'_>, basis: Basis) -> Result<Attempt, Error> {
        let now = execution.arrived;
        let session = &basis.stored.session;
        if !session.is_due(now) {
            if !execution.expected.iter().all(|expected| expected.is_met_at(session.position)) {
                return self.reject(execution, basis, |stored| Error::Stale(Box::new(stored))).await;
            }
            if !execution.by.may_command(execution.command, session) {
                return self.reject(execution, basis, |_| Error::Forbidden).await;
            }
        }
        match session.next(execution.command, now) {
            Step::Refused(why) => self.reject(execution, basis, |stored| refusal(execution.command, why, stored)).await,
            Step::Due(change, refused) => self.settle_first(execution, basis.stored, *change, refused).await,
            Step::Done(change) => self.write(execution, basis, *change).await,
        }
    }

    /// Rejects the command, unless this repeats one that was applied, or the version came from the
    /// cache and must be read.
    async fn reject(
        &self,
        execution: &Execution<'_>,
        basis: Basis,
        error: impl FnOnce(StoredSession) -> Error,
    ) -> Result<Attempt, Error> {
        #[cfg(feature = "mutants")]
        let basis = Basis { is_from_store: basis.is_from_store || crate::mutants::trusts_memory(), ..basis };
        if !basis.is_from_store {
            return Ok(Attempt::Read);
        }
        let position = basis.stored.session.position;
        match self.idempotency_record(execution.key, basis.stored, execution.idempotency).await? {
            (stored, Some(record)) => Ok(done(replay(&record, stored, execution.idempotency)?)),
            (stored, None) if stored.session.position == position => Err(error(stored)),
            (_, None) => Ok(Attempt::Read),
        }
    }

    /// Writes what is due first, also if the command is then refused.
    async fn settle_first(
        &self,
        execution: &Execution<'_>,
        stored: StoredSession,
        change: Change,
        refused: Option<Refused>,
    ) -> Result<Attempt, Error> {
        let write =
            commit(self.ids.nonce(), self.write_format.get(), execution.key, Some(&stored), change, Author::NOBODY);
        match self.store.commit(write).await? {
            Committed::Stored(settled) => {
                self.announce_deadline(execution.key, &settled);
                let basis = Basis::from_store(settled);
                match refused {
                    Some(why) => self.reject(execution, basis, |stored| refusal(execution.command, why, stored)).await,
                    None => Ok(Attempt::Retry(Box::new(basis))),
                }
            }
            Committed::Stale(newer) => Ok(retry_on(newer)),
            Committed::Missing | Committed::Repeated(..) => Ok(Attempt::Read),
        }
    }

    async fn write(&self, execution: &Execution<'_>, basis: Basis, change: Change) -> Result<Attempt, Error> {
        let outcome = change.outcome.clone();
        let author = Author {
            command: execution.command.name(),
            arguments: Some(execution.command),
            by: Some(execution.by),
            idempotency: execution.idempotency,
        };
        let write =
            commit(self.ids.nonce(), self.write_format.get(), execution.key, Some(&basis.stored), change, author);
        let bytes = stored_bytes(&write);
        let most = self.max_bytes(&execution.key.tenant);
        if bytes > most && outgrows(execution.command, &basis.stored.session, bytes) {
            return self.reject(execution, basis, |_| Error::TooLarge { bytes, most }).await;
        }
        let frames = write.frames.clone();
        match self.store.commit(write).await? {
            Committed::Stored(stored) => {
                self.announce_deadline(execution.key, &stored);
                Ok(done(CommandResult { stored, outcome, replayed: None, snapshot: frame::snapshot_in(&frames) }))
            }
            // The command was applied, but the position of the session is not known.
            Committed::Repeated(_, stored) if stored.needs_restore => Ok(Attempt::Read),
            Committed::Repeated(record, stored) => Ok(done(replay(&record, stored, execution.idempotency)?)),
            Committed::Stale(newer) => Ok(retry_on(newer)),
            Committed::Missing => Ok(Attempt::Read),
        }
    }
}

/// A participant's switch names its own cycle, so that a lost race cannot make it about another.
/// Its pauses are its own.
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

fn refusal(command: &Command, why: Refused, stored: StoredSession) -> Error {
    let explanation = stored.session.explain(command, why);
    Error::Refused(why, Box::new(stored), explanation)
}

/// A session that an earlier release let grow may still shrink.
fn outgrows(command: &Command, before: &Session, bytes: usize) -> bool {
    before.may_outgrow(command) && bytes > before.stored().len()
}

fn done(result: CommandResult) -> Attempt {
    Attempt::Done(Box::new(result))
}

/// Retries on a newer version, unless that one must be restored or is deleted.
fn retry_on(newer: StoredSession) -> Attempt {
    if newer.needs_restore || newer.session.status == Status::Deleted {
        return Attempt::Read;
    }
    Attempt::Retry(Box::new(Basis::from_store(newer)))
}
