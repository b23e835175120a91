//! Carrying out a command: judge by what is remembered, commit, and read only where
//! that turns out not to be the newest.
//!
//! Only a commit may rest on what is remembered, for the store refuses one that is made
//! from anything but the newest version. Whatever else an answer rests on (a refusal, a
//! 403 that depends on the state) was told by the store in this request.

use tokio::time::{Instant, timeout_at};

use super::commit::{Author, commit, stored_bytes};
use super::error::Error;
use super::request::{CommandResult, Precondition};
use super::sessions::{COMMAND_TIMEOUT, Sessions, replay};
use crate::domain::id::SessionKey;
use crate::domain::session::command::{Command, Refused};
use crate::domain::session::event::{Change, Step};
use crate::domain::session::growth::MAX_STORED;
use crate::domain::session::{Session, Status};
use crate::domain::time::Timestamp;
use crate::store::{Committed, StoredSession};
use crate::telemetry::metrics;
use crate::wire::frame;

/// A command, and what came with it.
pub(super) struct Execution<'a> {
    pub key: &'a SessionKey,
    pub command: &'a Command,
    pub expected: &'a [Precondition],
    pub author: Author<'a>,
    pub arrived: Timestamp,
}

/// A version to judge by.
struct Basis {
    held: StoredSession,
    /// The store told it in this request.
    is_from_store: bool,
}

impl Basis {
    const fn from_store(held: StoredSession) -> Self {
        Self { held, is_from_store: true }
    }
}

enum Attempt {
    Done(Box<CommandResult>),
    /// Something was written: this is the newest known.
    Retry(Box<Basis>),
    /// The newest must be read first.
    Read,
}

impl Sessions {
    /// Does what is asked for, again where a race was lost, for as long as anyone may wait.
    pub(super) async fn execute(&self, asking: Execution<'_>) -> Result<CommandResult, Error> {
        let patience = Instant::now() + COMMAND_TIMEOUT;
        let Ok(mut place) = timeout_at(patience, self.cache.lock(asking.key)).await else {
            return Err(Error::Contended(Box::new(self.load_existing(asking.key).await?)));
        };
        let mut basis = place.take().map(|held| Basis { held, is_from_store: false });
        let mut attempts = 0_u32;
        loop {
            let by = match basis.take() {
                Some(basis) => basis,
                None => Basis::from_store(self.load_existing(asking.key).await?),
            };
            attempts += 1;
            match self.attempt(&asking, by).await? {
                Attempt::Done(answer) => {
                    metrics::record_commit_attempts(attempts);
                    place.put(&answer.stored);
                    drop(place);
                    return self.wait_durable(*answer).await;
                }
                Attempt::Retry(newest) if Instant::now() >= patience => {
                    return Err(Error::Contended(Box::new(newest.held)));
                }
                Attempt::Retry(newest) => basis = Some(*newest),
                Attempt::Read => {}
            }
        }
    }

    async fn attempt(&self, asking: &Execution<'_>, basis: Basis) -> Result<Attempt, Error> {
        let now = asking.arrived;
        let session = &basis.held.session;
        if !session.is_due(now) {
            if !asking.expected.iter().all(|expected| expected.is_met_at(session.position)) {
                return self.reject(asking, basis, |held| Error::Stale(Box::new(held))).await;
            }
            if !asking.author.by.is_none_or(|by| by.may(asking.command, session)) {
                return self.reject(asking, basis, |_| Error::Forbidden).await;
            }
        }
        match session.next(asking.command, now) {
            Step::Refused(why) => self.reject(asking, basis, |held| refusal(asking.command, why, held)).await,
            Step::Due(change, refused) => self.settle_first(asking, basis.held, *change, refused).await,
            Step::Done(change) => self.write(asking, basis, *change).await,
        }
    }

    /// Says no, unless it was yes the first time, or is not known to be no now.
    async fn reject(
        &self,
        asking: &Execution<'_>,
        basis: Basis,
        no: impl FnOnce(StoredSession) -> Error,
    ) -> Result<Attempt, Error> {
        #[cfg(feature = "mutants")]
        let basis = Basis { is_told: basis.is_told || crate::mutants::trusts_memory(), ..basis };
        if !basis.is_from_store {
            return Ok(Attempt::Read);
        }
        let judged = basis.held.session.position;
        match self.idempotency_record(asking.key, basis.held, asking.author.repeat).await? {
            (held, Some(answered)) => Ok(done(replay(&answered, held, asking.author.repeat)?)),
            (held, None) if held.session.position == judged => Err(no(held)),
            (_, None) => Ok(Attempt::Read),
        }
    }

    /// What had to happen by now is written first, also if the command is then refused.
    async fn settle_first(
        &self,
        asking: &Execution<'_>,
        held: StoredSession,
        change: Change,
        refused: Option<Refused>,
    ) -> Result<Attempt, Error> {
        let write = commit(self.ids.nonce(), asking.key, Some(&held), change, Author::NOBODY);
        match self.store.commit(write).await? {
            Committed::Stored(settled) => {
                self.announce_deadline(asking.key, &settled);
                let basis = Basis::from_store(settled);
                match refused {
                    Some(why) => self.reject(asking, basis, |held| refusal(asking.command, why, held)).await,
                    None => Ok(Attempt::Retry(Box::new(basis))),
                }
            }
            Committed::Stale(newer) => Ok(retry_on(newer)),
            Committed::Missing | Committed::Repeated(..) => Ok(Attempt::Read),
        }
    }

    async fn write(&self, asking: &Execution<'_>, basis: Basis, change: Change) -> Result<Attempt, Error> {
        let outcome = change.outcome.clone();
        let author = Author { arguments: Some(asking.command), ..asking.author };
        let write = commit(self.ids.nonce(), asking.key, Some(&basis.held), change, author);
        let bytes = stored_bytes(&write);
        if bytes > MAX_STORED && outgrows(asking.command, &basis.held.session, bytes) {
            return self.reject(asking, basis, |_| Error::TooLarge { bytes }).await;
        }
        let frames = write.frames.clone();
        match self.store.commit(write).await? {
            Committed::Stored(held) => {
                self.announce_deadline(asking.key, &held);
                Ok(done(CommandResult { stored: held, outcome, replayed: None, snapshot: frame::snapshot_in(&frames) }))
            }
            // It was done; but where the session stands is not known.
            Committed::Repeated(_, held) if held.needs_restore => Ok(Attempt::Read),
            Committed::Repeated(answered, held) => Ok(done(replay(&answered, held, asking.author.repeat)?)),
            Committed::Stale(newer) => Ok(retry_on(newer)),
            Committed::Missing => Ok(Attempt::Read),
        }
    }
}

fn refusal(command: &Command, why: Refused, held: StoredSession) -> Error {
    let explanation = held.session.explain(command, why);
    Error::Refused(why, Box::new(held), explanation)
}

/// What an earlier release let grow may still shrink.
fn outgrows(command: &Command, before: &Session, bytes: usize) -> bool {
    before.may_outgrow(command) && bytes > before.stored().len()
}

fn done(answer: CommandResult) -> Attempt {
    Attempt::Done(Box::new(answer))
}

/// Somebody else wrote. What cannot be written on is looked at the long way.
fn retry_on(newer: StoredSession) -> Attempt {
    if newer.needs_restore || newer.session.status == Status::Deleted {
        return Attempt::Read;
    }
    Attempt::Retry(Box::new(Basis::from_store(newer)))
}
